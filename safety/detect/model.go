package detect

import (
	_ "embed"
	"math"

	"github.com/theinterneti/tta-gateway/safety"
)

// The linear model hears what no rule spells out. It is a table of small
// integers, one for each hashed run of up to three words, and of three to five
// letters in a word; their sum over a window, scaled, is the log odds of a
// crisis. It may lift a text that no rule knows, mostly to low or moderate; where
// it is sure that nothing is meant, a moderate finding becomes low. What a rule
// calls imminent it leaves alone, and what it calls high too, but for the strict
// profile. It does not count negations: that is the frames' work. It is asked only where a rule's rarest
// words stand, which keeps most lines cheap.
//
// The tables are rebuilt from the corpus, and from hashed counts of what stood in
// harmless posts, by "go test -run TestWeights -update".

//go:embed model/weights.bin
var weightTable string

const (
	bucketBits = 20
	buckets    = 1 << bucketBits
	// modelStep is what one unit of a weight is worth in log odds.
	modelStep = 1.0 / 64
	// modelBias is the log odds of a window of unknown words, before plattShift.
	modelBias = -1.0
	// plattSlope and plattShift turn the model's sum into log odds. They were
	// fitted (Platt, "Probabilistic Outputs for Support Vector Machines", 1999) on
	// the fifth of the natural lines that is kept out of training, of which 43 in
	// a hundred speak of a crisis; in real traffic far fewer do, and the odds are
	// lower accordingly. TestCalibration fits them again and compares.
	plattSlope = 0.70
	plattShift = 0.25
	// modelVersion is part of a verdict's Model.
	modelVersion = "w2"
)

// code is the number under which the model knows a word: its class where the
// pack names one, so that "tablets" speaks for "pills".
func (s *scratch) code(t *token, plain []byte) uint32 {
	if t.word != 0 {
		return s.prog.codes[t.word]
	}
	h := hashWord(plain)
	return uint32(h ^ h>>32)
}

// plain copies a word's letters to out, each run of one letter as one, and
// digits between letters as what they stand for.
func (s *scratch) plain(t *token, out []byte) []byte {
	out = out[:0]
	for _, b := range s.letters[t.from:min(t.to, t.from+2*longestWord)] {
		if l := leet[b&0x7f]; l != 0 && b < 0x80 && t.flags&hasLetter != 0 {
			b = l
		}
		if len(out) > 0 && out[len(out)-1] == b {
			continue
		}
		if len(out) == longestWord {
			break
		}
		out = append(out, b)
	}
	return out
}

// features lists the buckets of a window: words, pairs, triples, and pairs with
// one word between; and of each word the runs of three to five letters in it,
// so that a word that was never seen, or is spelt wrong, is not unknown.
func (s *scratch) features(window []token) []uint32 {
	const salt1, salt2, salt3, salt4 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F
	s.feats = s.feats[:0]
	var a, b uint32 // two words back, one word back
	var letters [longestWord]byte
	for i := range window {
		t := &window[i]
		plain := s.plain(t, letters[:])
		c := s.code(t, plain)
		s.feats = append(s.feats, bucket(c*salt1))
		if i > 0 {
			s.feats = append(s.feats, bucket((b*31+c)*salt2))
		}
		if i > 1 {
			s.feats = append(s.feats, bucket((a*31+c)*salt3), bucket(((a*31+b)*31+c)*salt4))
		}
		a, b = b, c
		s.runs(plain)
	}
	return s.feats
}

// longestWord bounds how many letters of a word are looked at.
const longestWord = 24

// runs adds the runs of three to five signs in a word, its borders counted as
// signs.
func (s *scratch) runs(word []byte) {
	const prime, salt = 0x01000193, 0x165667B1
	var signs [longestWord + 2]byte
	signs[0] = '<'
	n := 1 + copy(signs[1:1+longestWord], word)
	signs[n] = '>'
	n++
	for i := 0; i+3 <= n; i++ {
		h := ((salt^uint32(signs[i]))*prime ^ uint32(signs[i+1])) * prime
		for j := i + 2; j < min(n, i+5); j++ {
			h = (h ^ uint32(signs[j])) * prime
			s.feats = append(s.feats, bucket(h))
		}
	}
}

func bucket(h uint32) uint32 {
	h ^= h >> 15
	h *= 0x2C1B3C6D
	return h >> (32 - bucketBits)
}

// logit is the model's opinion of a window, in calibrated log odds.
func (s *scratch) logit(window []token) float64 {
	table := s.prog.weights
	if len(table) != buckets {
		return 0
	}
	return plattSlope*(modelBias+s.raw(table, window)) + plattShift
}

// raw is the weighted sum before calibration, without the bias.
func (s *scratch) raw(table string, window []token) float64 {
	sum := int32(0)
	for _, f := range s.features(window) {
		sum += int32(int8(table[f]))
	}
	return float64(sum) * modelStep * share(len(window))
}

// share is what each feature of n words counts: less in a long window, so that
// length alone is no evidence.
func share(n int) float64 { return 2 / math.Sqrt(float64(max(n, 4))) }

// noLift is an opinion below which no profile lifts a text.
const noLift = 0

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// score joins rules and model to one number between 0 and 1 by which texts are
// ordered. What a severity is worth was chosen by hand: of the two, only the
// model's part was fitted, so the whole is no probability.
func score(level safety.Severity, logit float64) float64 {
	return sigmoid(severityLogit[level] + modelShare*max(noOpinion, min(-noOpinion, logit)))
}

var severityLogit = [safety.Imminent + 1]float64{-3.5, -1, 1.2, 2.6, 3.6}

const modelShare = 0.35

// weightOf is what findings beside the gravest add to the log odds: somebody who
// says it in several ways means it.
func weightOf(findings []safety.Finding) float64 {
	rules, more := map[string]bool{}, 0.0
	for _, f := range findings {
		if !rules[f.Rule] {
			rules[f.Rule] = true
			more += float64(f.Severity)
		}
	}
	return min(6, max(0, more-2)*0.7)
}

// kindTable says of what a bucket speaks, where a crisis is heard: small
// integers, kindWidth for each of its buckets. It is asked only where the
// model's opinion may lift a text.
//
//go:embed model/kinds.bin
var kindTable string

const (
	kindBits  = 14
	kindWidth = 10
)

// kinds are the categories that the model tells apart.
var kinds = [kindWidth]safety.Category{
	safety.SuicidalIdeation, safety.SelfHarm, safety.HarmToOthers, safety.Abuse, safety.SubstanceCrisis,
	safety.EatingDisorder, safety.Psychosis, safety.Panic, safety.SevereDepression, safety.ThirdParty,
}

// kindOf sums up what a window's buckets speak of.
func kindOf(table string, feats []uint32) uint8 {
	var sums [kindWidth]int32
	for _, f := range feats {
		at := int(f>>(bucketBits-kindBits)) * kindWidth
		for kind := range sums {
			sums[kind] += int32(int8(table[at+kind]))
		}
	}
	best := 0
	for kind := range sums {
		if sums[kind] > sums[best] {
			best = kind
		}
	}
	return uint8(best)
}
