package detect

import (
	_ "embed"
	"math"

	"github.com/theinterneti/tta-gateway/safety"
)

// The linear model hears what no rule spells out. It is a table of small
// integers, one for each hashed run of up to three words; their sum over a
// window, scaled, is the log odds of a crisis. It may lift a text that no rule
// knows, and it orders texts by their score; it takes nothing back, since a
// learned sum cannot count negations: that is the frames' work.
//
// The table is rebuilt from the corpus by "go test -run TestWeights -update".

//go:embed model/weights.bin
var weightTable string

const (
	buckets = 1 << 16
	// modelStep is what one unit of a weight is worth in log odds.
	modelStep = 1.0 / 24
	// modelBias is the log odds of a window of unknown words.
	modelBias = -3.0
	// modelVersion is part of a verdict's Model.
	modelVersion = "w1"
)

// code is the number under which the model knows a word: its class where the
// pack names one, so that "tablets" speaks for "pills".
func (s *scratch) code(t *token) uint32 {
	if t.word != 0 {
		return s.prog.codes[t.word]
	}
	h := hashWord(s.letters[t.from:t.to])
	return uint32(h ^ h>>32)
}

// features lists the buckets of a window: words, pairs, triples, and pairs with
// one word between.
func (s *scratch) features(window []token) []uint16 {
	const salt1, salt2, salt3, salt4 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F
	s.feats = s.feats[:0]
	var a, b uint32 // two words back, one word back
	for i := range window {
		c := s.code(&window[i])
		s.feats = append(s.feats, bucket(c*salt1))
		if i > 0 {
			s.feats = append(s.feats, bucket((b*31+c)*salt2))
		}
		if i > 1 {
			s.feats = append(s.feats, bucket((a*31+c)*salt3), bucket(((a*31+b)*31+c)*salt4))
		}
		a, b = b, c
	}
	return s.feats
}

func bucket(h uint32) uint16 {
	h ^= h >> 15
	h *= 0x2C1B3C6D
	return uint16(h >> 16)
}

// logit is the model's opinion of a window.
func (s *scratch) logit(window []token) float64 {
	table := s.prog.weights
	if len(table) != buckets {
		return 0
	}
	sum := int32(0)
	for _, f := range s.features(window) {
		sum += int32(int8(table[f]))
	}
	return float64(sum)*modelStep*share(len(s.feats)) + modelBias
}

// share is what each of n features counts: less in a long window, so that
// length alone is no evidence.
func share(n int) float64 { return 4 / math.Sqrt(float64(max(n, 12))) }

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// score joins rules and model to one probability. What a severity is worth was
// fitted on the corpus, then rounded.
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
