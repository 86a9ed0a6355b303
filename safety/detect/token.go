package detect

import (
	"bytes"
	"unicode/utf8"
)

// A token is one word as a reader sees it, and where it stood in the text.
type token struct {
	start, end int32  // bytes of the block, before normalising
	from, to   int32  // letters in scratch.letters
	word       uint16 // its number in the lexicon, 0 unknown
	flags      uint8
	stars      uint8 // how many letters that sign hides
	joint      byte  // the sign between it and the word before, when no space is
}

const (
	afterBreak uint8 = 1 << iota // a comma or line end stands before it
	inQuotes
	afterStop // a full stop stands before it
	hasDigit
	hasLetter
	hasSymbol
	hasApostrophe
	single // one letter
)

// maxTokens bounds the words of one block; a block has at most [blockSize] bytes.
const maxTokens = blockSize/2 + 2

// tokenise cuts a block into words. Quotes that are open when the block ends
// stay open for the next one.
func (s *scratch) tokenise(block []byte, quoted bool) (stillQuoted bool) {
	s.tokens, s.letters, s.disguised = s.tokens[:0], s.letters[:0], false
	var cur token
	open, flags, joint, stars := false, uint8(0), byte(0), uint8(0)
	begin := func(at int) {
		if !open {
			open = true
			cur = token{start: int32(at), from: int32(len(s.letters)), flags: flags, joint: joint, stars: stars}
			if quoted {
				cur.flags |= inQuotes
			}
			flags, joint, stars = 0, 0, 0
		}
	}
	finish := func(at int) {
		if open {
			open = false
			cur.end, cur.to = int32(at), int32(len(s.letters))
			s.push(cur)
		}
	}
	for i := 0; i < len(block); {
		b := block[i]
		kind, size := uint8(0), 1
		var f folded
		if b < utf8.RuneSelf {
			kind = asciiKind[b]
		} else {
			r, n := utf8.DecodeRune(block[i:])
			f, size = foldRune(r), n
			if r == utf8.RuneError && n == 1 {
				f = folded{kind: kindSpace}
			}
			kind = f.kind
		}
		next := i + size
		switch kind {
		case kindLetter, kindDigit:
			if f.emoji != "" {
				finish(i)
				begin(i)
				s.letters = append(s.letters, f.emoji...)
				finish(next)
				break
			}
			begin(i)
			if kind == kindLetter {
				cur.flags |= hasLetter
			} else {
				cur.flags |= hasDigit
			}
			switch {
			case b == 'I' && i > 0 && block[i-1] >= 'a' && block[i-1] <= 'z' || b == 'I' && i > 1 && block[i-1] == 'I' && block[i-2] >= 'a' && block[i-2] <= 'z':
				s.letters = append(s.letters, 'l') // a capital i that poses as an l
			case b < utf8.RuneSelf:
				s.letters = append(s.letters, lower(b))
			default:
				s.letters = append(s.letters, f.letters[:f.n]...)
			}
		case kindApostrophe:
			if open && wordAt(block, next) {
				s.letters = append(s.letters, '\'')
				cur.flags |= hasApostrophe
			} else {
				finish(i)
			}
		case kindIgnore:
		case kindSymbol:
			if wordAt(block, next) && (open || b == '$' || b == '@') || open && (b == '$' || b == '@') || b == '@' && next < len(block) && block[next] == ' ' {
				begin(i)
				s.letters = append(s.letters, b)
				cur.flags |= hasSymbol
				break
			}
			finish(i)
		case kindJoiner:
			if (open || stars > 0) && wordAt(block, next) {
				joint = '-'
				if b == '*' || b == '#' || b == '%' || b == '_' {
					joint = '*'
					stars++
				}
			} else if b == '*' && i+1 < len(block) && block[i+1] == '*' {
				stars++ // one of several letters that are hidden
				finish(i)
				break
			}
			finish(i)
		case kindStop:
			switch {
			case open && b == '!' && wordAt(block, next) && cur.flags&hasApostrophe == 0:
				s.letters = append(s.letters, '!')
				cur.flags |= hasSymbol
			case open && wordAt(block, next):
				finish(i)
				joint = '.'
			default:
				finish(i)
				flags |= afterStop | afterBreak
			}
		case kindQuote:
			finish(i)
			quoted = !quoted
			flags |= afterBreak
		case kindBreak, kindBracket:
			finish(i)
			flags |= afterBreak
		default:
			finish(i)
		}
		i = next
	}
	finish(len(block))
	return quoted
}

// wordAt reports whether a letter or digit stands at i.
func wordAt(block []byte, i int) bool {
	for i < len(block) {
		b := block[i]
		if b < utf8.RuneSelf {
			return asciiKind[b] == kindLetter || asciiKind[b] == kindDigit || asciiKind[b] == kindSymbol && i+1 < len(block) && asciiKind[block[i+1]&0x7f] == kindLetter
		}
		r, n := utf8.DecodeRune(block[i:])
		f := foldRune(r)
		if f.kind != kindIgnore {
			return f.kind == kindLetter && f.emoji == "" || f.kind == kindDigit
		}
		i += n
	}
	return false
}

// push appends a token and, where its spelling is not a known word, tries what
// people do to words.
func (s *scratch) push(t token) {
	if n := len(s.tokens); n > 0 && s.prog.mute[s.tokens[n-1].word] {
		s.tokens = s.tokens[:n-1] // a face between words is no word
	}
	if len(s.tokens) == cap(s.tokens) || t.from == t.to {
		return
	}
	if t.to-t.from == 1 {
		t.flags |= single
	}
	word := s.letters[t.from:t.to]
	t.word = s.lex.find(hashWord(word))
	if t.joint == '*' && s.rejoin(&t) {
		return
	}
	if t.word == 0 {
		s.repair(t, word)
		return
	}
	s.tokens = append(s.tokens, t)
}

// repair resolves a word that is not in the lexicon as it stands.
func (s *scratch) repair(t token, word []byte) {
	if t.flags&(hasDigit|hasLetter|hasSymbol) == hasDigit {
		t.word = s.prog.number
		if len(word) > 1 && len(word) < 5 || word[0] > '5' {
			t.word = s.prog.many
		}
		s.tokens = append(s.tokens, t)
		return
	}
	if t.flags&(hasSymbol|hasDigit) != 0 {
		if t.word = s.unleet(word); t.word != 0 {
			s.disguised = true
		} else if t.flags&hasSymbol != 0 && s.splitSymbol(t, word) {
			return
		}
	}
	if t.word == 0 && t.flags&hasApostrophe != 0 {
		if t.word = s.shorten(word); t.word == 0 && s.apostrophe(t, word) {
			return
		}
	}
	if t.word == 0 {
		t.word = s.lex.lookupPrefix(word)
	}
	if t.word == 0 && len(word) > 2 {
		t.word = s.shorten(word)
	}
	if t.word == 0 && s.rejoin(&t) {
		return
	}
	if t.word == 0 && len(word) >= 7 && len(word) <= maxRun && s.segment(t, word, false) {
		return
	}
	if t.word == 0 && t.flags&hasDigit != 0 && asciiKind[word[0]] == kindDigit {
		t.word = s.prog.many // "20kg", "3am"
	}
	s.tokens = append(s.tokens, t)
}

// apostrophe handles "mom's" (mom), "cant" for "can't", and "j'ai" (j ai).
func (s *scratch) apostrophe(t token, word []byte) bool {
	at := bytes.IndexByte(word, '\'')
	left, right := word[:at], word[at+1:]
	if len(right) == 1 && right[0] == 's' {
		t.word = s.lex.lookup(left)
		s.tokens = append(s.tokens, t)
		return true
	}
	var plain [maxRun]byte
	if len(word) <= len(plain) {
		if id := s.lex.find(hashWord(append(append(plain[:0], left...), right...))); id != 0 {
			t.word = id
			s.tokens = append(s.tokens, t)
			return true
		}
	}
	s.split(t, at, 1)
	return true
}

// splitSymbol cuts "wow!now" in two.
func (s *scratch) splitSymbol(t token, word []byte) bool {
	at := bytes.IndexAny(word, "!@$|+")
	if at < 0 || at == len(word)-1 {
		return false
	}
	s.split(t, at, 1)
	return true
}

// split pushes the letters before and after a sign as two tokens.
func (s *scratch) split(t token, at, width int) {
	left, right := t, t
	left.to = t.from + int32(at)
	right.from = left.to + int32(width)
	left.flags &^= hasApostrophe | hasSymbol
	right.flags &^= hasApostrophe | afterBreak | afterStop
	if !bytes.ContainsAny(s.letters[right.from:right.to], "!@$|+") {
		right.flags &^= hasSymbol
	}
	if bytes.IndexByte(s.letters[right.from:right.to], '\'') >= 0 {
		right.flags |= hasApostrophe
	}
	s.push(left)
	s.push(right)
}

// leet maps digits and signs to the letters they stand for; those in twins
// have a second reading.
var (
	leet  = [128]byte{'0': 'o', '1': 'i', '2': 'z', '3': 'e', '4': 'a', '5': 's', '6': 'g', '7': 't', '8': 'b', '9': 'g', '@': 'a', '$': 's', '!': 'i', '|': 'l', '+': 't'}
	twins = [128]byte{'1': 'l', '!': 'l', '|': 'i', '3': 'e', '0': 'o', '5': 's'}
)

// unleet reads digits and signs as letters and looks the result up.
func (s *scratch) unleet(word []byte) uint16 {
	if len(word) > maxRun {
		return 0
	}
	var plain [maxRun]byte
	for reading := range 4 {
		out, seen := plain[:len(word)], 0
		for i, b := range word {
			out[i] = b
			if l := leet[b&0x7f]; l != 0 {
				out[i] = l
				if t := twins[b&0x7f]; t != 0 && t != l {
					if reading>>min(seen, 1)&1 == 1 {
						out[i] = t
					}
					seen++
				}
			}
		}
		if id := s.lex.lookup(out); id != 0 {
			return id
		}
		if id := s.shorten(out); id != 0 {
			return id
		}
		if seen == 0 {
			break
		}
	}
	return 0
}

// shorten undoes elongation: "dieeee" is "die", "killl" is "kill".
func (s *scratch) shorten(word []byte) uint16 {
	if len(word) > maxRun || !doubled(word) {
		return 0
	}
	var plain [maxRun]byte
	for _, keep := range [2]int{2, 1} {
		out, run := plain[:0], 0
		for i, b := range word {
			if i > 0 && b == word[i-1] {
				run++
			} else {
				run = 1
			}
			if run <= keep {
				out = append(out, b)
			}
		}
		if id := s.lex.find(hashWord(out)); id != 0 {
			return id
		}
		if keep == 2 {
			if id := s.shortenLast(out); id != 0 {
				return id
			}
		}
	}
	return 0
}

// shortenLast tries words in which only the stretched letters at the end, or
// all but the first double, were stretched.
func (s *scratch) shortenLast(word []byte) uint16 {
	var plain [maxRun]byte
	for i := len(word) - 1; i > 0; i-- {
		if word[i] == word[i-1] {
			out := append(append(plain[:0], word[:i]...), word[i+1:]...)
			if id := s.lex.find(hashWord(out)); id != 0 {
				return id
			}
		}
	}
	return 0
}

func doubled(word []byte) bool {
	for i := 1; i < len(word); i++ {
		if word[i] == word[i-1] {
			return true
		}
	}
	return false
}

// rejoin puts a word together again that was cut by a sign or a space
// ("sui-cide", "s*icide", "sui cide") and extends the token before it.
func (s *scratch) rejoin(t *token) bool {
	if len(s.tokens) == 0 {
		return false
	}
	last := &s.tokens[len(s.tokens)-1]
	if t.flags&afterBreak != 0 || last.to != t.from || t.to-last.from > maxRun || last.flags&t.flags&single != 0 && t.joint != '*' {
		return false
	}
	if t.joint == 0 && last.word != 0 {
		return false
	}
	id := s.lex.find(hashWord(s.letters[last.from:t.to]))
	if id == 0 && t.joint == '*' {
		id = s.wildcard(s.letters[last.from:last.to], s.letters[t.from:t.to], int(t.stars))
	}
	if id == 0 || !s.lex.hot[id] {
		return false
	}
	last.word, last.end, last.to = id, t.end, t.to
	return true
}

// wildcard finds the hot word with that many letters between left and right.
func (s *scratch) wildcard(left, right []byte, hidden int) uint16 {
	for _, id := range s.lex.hotWords {
		word := s.lex.words[id]
		if len(word) == len(left)+hidden+len(right) && word[:len(left)] == string(left) && word[len(left)+hidden:] == string(right) {
			return id
		}
	}
	return 0
}

// maxRun bounds the letters that a disguise may stretch over.
const maxRun = 192

// sentence is from how many single letters on nobody spells by accident.
const sentence = 12

// strayLetter is what a letter costs in a reading that belongs to no known word.
const strayLetter = 4

// segment reads a run of letters as known words, at least one of them hot:
// "killmyself", "iwanttodie". It pushes them as tokens.
func (s *scratch) segment(t token, word []byte, loose bool) bool {
	var back [maxRun + 1]uint8 // length of the last word of the best reading that ends here
	var cost [maxRun + 1]uint16
	var ids [maxRun + 1]uint16
	for i := range word {
		if i > 0 && back[i] == 0 {
			continue
		}
		if c := cost[i] + strayLetter; loose && (back[i+1] == 0 || c < cost[i+1]) {
			back[i+1], cost[i+1], ids[i+1] = 1, c, 0
		}
		h := uint64(fnvOffset)
		for n := 1; n <= 16 && i+n <= len(word); n++ {
			h = (h ^ uint64(word[i+n-1])) * fnvPrime
			if n == 1 && word[i] != 'i' && word[i] != 'a' && word[i] != 'u' {
				continue
			}
			id := s.lex.find(h)
			if id == 0 {
				continue
			}
			if c := cost[i] + 1; back[i+n] == 0 || c < cost[i+n] {
				back[i+n], cost[i+n], ids[i+n] = uint8(n), c, id
			}
		}
	}
	if back[len(word)] == 0 {
		return false
	}
	hot, known := false, 0
	for i := len(word); i > 0; i -= int(back[i]) {
		hot = hot || s.lex.hot[ids[i]]
		if ids[i] != 0 {
			known += int(back[i])
		}
	}
	if !hot && (!loose || len(word) < sentence) || 2*known < len(word) {
		return false
	}
	s.pushSegments(t, word, &back, &ids)
	return true
}

func (s *scratch) pushSegments(t token, word []byte, back *[maxRun + 1]uint8, ids *[maxRun + 1]uint16) {
	var ends [maxRun]uint8
	n := 0
	for i := len(word); i > 0; i -= int(back[i]) {
		ends[n] = uint8(i)
		n++
	}
	for i := n - 1; i >= 0 && len(s.tokens) < cap(s.tokens); i-- {
		part, end := t, int32(ends[i])
		part.from, part.to, part.word = t.from+end-int32(back[end]), t.from+end, ids[end]
		if last := len(s.tokens) - 1; part.word == 0 && i < n-1 && s.tokens[last].word == 0 {
			s.tokens[last].to = part.to // stray letters in a row are one unknown word
			continue
		}
		s.tokens = append(s.tokens, part)
		t.flags &^= afterBreak | afterStop
	}
}

// gather reads runs of single letters: words with a sign in every gap
// ("k.i.l.l"), then whole runs ("k i l l m e"). Where a digit already posed as a
// letter, a lone "1" is an "i".
func (s *scratch) gather() {
	if s.disguised {
		s.undisguise()
	}
	for i := 0; i < len(s.tokens); i++ {
		if n := s.dotted(i); n >= 3 {
			s.gatherDotted(i, n)
		}
	}
	for i := 0; i < len(s.tokens); i++ {
		n := 0
		for i+n < len(s.tokens) && s.tokens[i+n].flags&single != 0 && (n == 0 || s.tokens[i+n].flags&afterStop == 0) && n < maxRun {
			n++
		}
		if n >= 3 {
			i += s.gatherRun(i, n) - 1
		}
	}
}

func (s *scratch) undisguise() {
	for i := range s.tokens {
		if t := &s.tokens[i]; t.flags&single != 0 && s.letters[t.from] == '1' {
			t.word = s.prog.letterI
		}
	}
}

// dotted counts the single letters from i on that signs join.
func (s *scratch) dotted(i int) int {
	n := 0
	for i+n < len(s.tokens) && s.tokens[i+n].flags&single != 0 && (n == 0 || s.tokens[i+n].joint != 0) {
		n++
	}
	return n
}

// spell appends the letters of a run and returns them as one token.
func (s *scratch) spell(run []token) token {
	from := int32(len(s.letters))
	for _, t := range run {
		b := s.letters[t.from]
		if l := leet[b&0x7f]; l != 0 {
			b = l
		}
		s.letters = append(s.letters, b)
	}
	return token{start: run[0].start, end: run[len(run)-1].end, from: from, to: int32(len(s.letters)), flags: run[0].flags &^ single}
}

// gatherDotted makes one word of tokens [at, at+n).
func (s *scratch) gatherDotted(at, n int) {
	t := s.spell(s.tokens[at : at+n])
	word := s.letters[t.from:t.to]
	if t.word = s.lex.lookup(word); t.word == 0 {
		t.word = s.shorten(word)
	}
	s.tokens[at] = t
	s.tokens = append(s.tokens[:at+1], s.tokens[at+n:]...)
}

// gatherRun replaces tokens [at, at+n) by the words they spell, and returns how many those are.
func (s *scratch) gatherRun(at, n int) int {
	whole := s.spell(s.tokens[at : at+n])
	word := s.letters[whole.from:whole.to]
	rest := append(s.spare[:0], s.tokens[at+n:]...)
	s.tokens = s.tokens[:at]
	if id := s.lex.find(hashWord(word)); id != 0 && s.lex.hot[id] {
		whole.word = id
		s.tokens = append(s.tokens, whole)
	} else if !s.segment(whole, word, true) {
		s.tokens = s.tokens[:at+n]
		return n
	}
	now := len(s.tokens) - at
	s.tokens = append(s.tokens, rest...)
	return now
}
