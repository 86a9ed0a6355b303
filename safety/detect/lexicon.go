package detect

// A lexicon maps normalised words to small numbers. It is filled while a pack
// is compiled and never changes afterwards.
type lexicon struct {
	table    []lexEntry // open addressing, a power of two, at most half full
	words    []string   // by id; 0 is the unknown word
	hot      []bool     // by id: worth repairing a disguised spelling for
	hotWords []uint16
	prefixes uint32 // bit n: some prefix of n letters is known
	aliases  int
}

type lexEntry struct {
	hash uint64
	id   uint16
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
	// prefixSeed keeps "suicid*" apart from a word spelled "suicid".
	prefixSeed = 0x9E3779B97F4A7C15
)

// hashWord is FNV-1a: short words, one multiplication a letter, and the hash
// of every prefix falls out on the way.
func hashWord(word []byte) uint64 {
	h := uint64(fnvOffset)
	for _, b := range word {
		h = (h ^ uint64(b)) * fnvPrime
	}
	return h
}

func newLexicon() *lexicon {
	return &lexicon{table: make([]lexEntry, 1<<10), words: []string{""}, hot: []bool{false}}
}

// find returns the id stored for a hash, 0 when there is none.
func (l *lexicon) find(hash uint64) uint16 {
	mask := uint64(len(l.table) - 1)
	for i := (hash ^ hash>>32) & mask; ; i = (i + 1) & mask {
		switch e := &l.table[i]; {
		case e.id == 0:
			return 0
		case e.hash == hash:
			return e.id
		}
	}
}

// add returns the id of a word, giving it one if it is new. A word that ends
// in "*" stands for all words that begin so.
func (l *lexicon) add(word string) uint16 {
	hash := hashWord([]byte(word))
	if n := len(word) - 1; n > 0 && word[n] == '*' {
		hash = hashWord([]byte(word[:n])) ^ prefixSeed
		l.prefixes |= 1 << min(n, 31)
	}
	if id := l.find(hash); id != 0 {
		return id
	}
	id := uint16(len(l.words))
	l.words, l.hot = append(l.words, word), append(l.hot, false)
	l.insert(hash, id)
	return id
}

// alias makes another spelling mean an existing word, unless it is a word itself.
func (l *lexicon) alias(spelling []byte, id uint16) {
	if hash := hashWord(spelling); l.find(hash) == 0 {
		l.insert(hash, id)
		l.aliases++
	}
}

func (l *lexicon) insert(hash uint64, id uint16) {
	if 2*(len(l.words)+l.aliases) >= len(l.table) {
		l.grow()
	}
	mask := uint64(len(l.table) - 1)
	i := (hash ^ hash>>32) & mask
	for l.table[i].id != 0 {
		i = (i + 1) & mask
	}
	l.table[i] = lexEntry{hash, id}
}

func (l *lexicon) grow() {
	old := l.table
	l.table = make([]lexEntry, 2*len(old))
	for _, e := range old {
		if e.id != 0 {
			l.insert(e.hash, e.id)
		}
	}
}

// heat marks a word as one that people disguise, and adds its usual slips of
// the finger: a letter dropped, doubled, or two letters swapped.
func (l *lexicon) heat(id uint16) {
	if l.hot[id] {
		return
	}
	l.hot[id] = true
	l.hotWords = append(l.hotWords, id)
	word := l.words[id]
	if len(word) < 4 || len(word) > 60 || word[len(word)-1] == '*' {
		return
	}
	var slip [64]byte
	for i := 1; i < len(word); i++ {
		if len(word) < 6 { // of a short word only swapped letters: the rest are other words
			if i+1 < len(word) && len(word) > 3 {
				swapped := append(slip[:0], word...)
				swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
				l.alias(swapped, id)
			}
			continue
		}
		l.alias(append(append(slip[:0], word[:i]...), word[i+1:]...), id)
		l.alias(append(append(slip[:0], word[:i]...), word[i-1:]...), id)
		if i+1 < len(word) {
			swapped := append(slip[:0], word...)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			l.alias(swapped, id)
		}
	}
}

// lookup finds a word as it stands: whole, or by a known prefix.
func (l *lexicon) lookup(word []byte) uint16 {
	if id := l.find(hashWord(word)); id != 0 {
		return id
	}
	return l.lookupPrefix(word)
}

func (l *lexicon) lookupPrefix(word []byte) uint16 {
	h, best := uint64(fnvOffset), uint16(0)
	for i, b := range word[:min(len(word), 24)] {
		h = (h ^ uint64(b)) * fnvPrime
		if l.prefixes&(1<<(i+1)) != 0 {
			if id := l.find(h ^ prefixSeed); id != 0 {
				best = id
			}
		}
	}
	return best
}
