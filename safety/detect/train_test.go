package detect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	update     = flag.Bool("update", false, "write what was rebuilt")
	background = flag.String("background", "", "directory of labelled posts to count words in; only hashed counts are kept")
)

// TestWeights rebuilds the model from what is committed: the corpus, and hashed
// counts of what stood in harmless posts that were taken for a crisis, which hold
// no text.
func TestWeights(t *testing.T) {
	examples := corpusExamples(t, corpora...)
	want, kinds := train(examples, readCounts(t)), trainKinds(examples)
	if *update {
		require.NoError(t, os.WriteFile("model/weights.bin", want, 0o644))
		require.NoError(t, os.WriteFile("model/kinds.bin", kinds, 0o644))
		return
	}
	requireNear(t, want, weightTable)
	requireNear(t, kinds, kindTable)
}

// requireNear allows for one unit: elsewhere than on amd64 the compiler may
// fuse multiplications.
func requireNear(t *testing.T, want []byte, got string) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if d := int(int8(want[i])) - int(int8(got[i])); d < -1 || d > 1 {
			t.Fatalf("bucket %d: %d, not %d: run go test -run TestWeights -update", i, int8(got[i]), int8(want[i]))
		}
	}
}

// example is a window's features and whether it speaks of a crisis.
type example struct {
	feats  []uint32
	crisis bool
	weight float64
	kept   bool // out of training, to calibrate by
	words  int
	kind   string
}

const (
	readings = 8    // of each template
	epochs   = 8    // over the corpus
	rate     = 0.08 // of learning
	decay    = 1e-4
	counted  = 6.0 // how many features a counted one stands for

	harmlessWeight = 1.5 // of a harmless line beside one that speaks of a crisis
)

// corpora are what the model is trained on. Nothing of heldout.txt is.
var corpora = []string{"train.txt", "train-other.txt", "lines.txt", "natural-en-suicide.txt", "natural-en-other.txt", "natural-es.txt", "natural-pt.txt", "natural-fr.txt", "natural-de.txt"}

// train fits the table to the examples that are not kept out. What was counted
// in harmless posts is taken for harmless, however often it was learned otherwise.
func train(examples []example, harmless []float64) []byte {
	w, grad2 := make([]float64, buckets), make([]float64, buckets)
	rng := rand.New(rand.NewPCG(20260101, 7))
	learn := func(f uint32, g float64) {
		grad2[f] = float64(grad2[f] + float64(g*g))
		w[f] = float64(w[f] - float64(float64(rate*g)/math.Sqrt(1e-2+grad2[f])))
	}
	for range epochs {
		for i, n := range harmless {
			if n > 0 {
				learn(uint32(i), float64(sigmoid(float64(counted*w[i])-2)*math.Sqrt(n)))
			}
		}
		for _, at := range rng.Perm(len(examples)) {
			e := &examples[at]
			if e.kept {
				continue
			}
			x := share(e.words)
			z := 0.0
			for _, f := range e.feats {
				z = float64(z + w[f])
			}
			g := sigmoid(modelBias + float64(z*x))
			if e.crisis {
				g--
			}
			g = float64(g * e.weight)
			for _, f := range e.feats {
				learn(f, float64(float64(g*x)+float64(decay*w[f])))
			}
		}
	}
	return signed(w)
}

// kindNames are the corpus's words for kinds.
var kindNames = []string{"suicidal_ideation", "self_harm", "harm_others", "abuse", "substance_crisis", "eating_disorder", "psychosis", "panic", "severe_depression", "third_party"}

// trainKinds fits, on the lines that speak of a crisis, one sum for each kind.
func trainKinds(examples []example) []byte {
	const size, rounds = kindWidth << kindBits, 8
	w, grad2 := make([]float64, size), make([]float64, size)
	rng := rand.New(rand.NewPCG(20260101, 8))
	for range rounds {
		for _, i := range rng.Perm(len(examples)) {
			e := &examples[i]
			kind := slices.Index(kindNames, e.kind)
			if kind < 0 || !e.crisis || e.kept {
				continue
			}
			var z [kindWidth]float64
			x := share(e.words)
			for _, f := range e.feats {
				at := int(f>>(bucketBits-kindBits)) * kindWidth
				for k := range z {
					z[k] = float64(z[k] + float64(x*w[at+k]))
				}
			}
			for k := range z {
				z[k] = sigmoid(z[k] - 1)
			}
			z[kind]--
			for _, f := range e.feats {
				at := int(f>>(bucketBits-kindBits)) * kindWidth
				for k, g := range z {
					g = float64(g * x)
					grad2[at+k] = float64(grad2[at+k] + float64(g*g))
					w[at+k] = float64(w[at+k] - float64(float64(rate*g)/math.Sqrt(1e-2+grad2[at+k])))
				}
			}
		}
	}
	return signed(w)
}

// signed writes weights as signed bytes.
func signed(w []float64) []byte {
	out := make([]byte, len(w))
	for i, x := range w {
		out[i] = byte(int8(max(-127, min(127, math.RoundToEven(x/modelStep)))))
	}
	return out
}

// TestKinds asks of the lines that were kept out what they are about.
func TestKinds(t *testing.T) {
	right, n := 0, 0
	for _, e := range corpusExamples(t, corpora...) {
		if kind := slices.Index(kindNames, e.kind); e.kept && e.crisis && kind >= 0 {
			n++
			if int(kindOf(kindTable, e.feats)) == kind {
				right++
			}
		}
	}
	t.Logf("%d of %d", right, n)
	require.Greater(t, float64(right)/float64(n), 0.5)
}

// corpusExamples reads the training lines, a few readings of each.
func corpusExamples(t *testing.T, names ...string) []example {
	prog, err := compile(BuiltIn())
	require.NoError(t, err)
	s := newScratch(prog)
	rng := rand.New(rand.NewPCG(1, 2))
	var out []example
	for _, name := range names {
		text, err := os.ReadFile("corpus/" + name)
		require.NoError(t, err)
		natural := strings.HasPrefix(name, "natural-")
		var head []string
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			switch {
			case line == "" || line[0] == '#':
			case line[0] == '@':
				head = strings.Fields(line[1:])
			case !strings.HasPrefix(head[1], "reply"):
				for _, e := range readingsOf(s, rng, line, head[1] == "crisis") {
					e.kept = natural && hashWord([]byte(line))%5 == 0
					e.kind = head[2]
					if !e.crisis {
						e.weight = harmlessWeight
					}
					out = append(out, e)
				}
			}
		}
	}
	return out
}

func readingsOf(s *scratch, rng *rand.Rand, line string, crisis bool) (out []example) {
	seen := map[string]bool{}
	for range readings {
		text := line
		if strings.Contains(line, "{") || strings.Contains(line, "[") {
			text = expand(rng, line)
		}
		if seen[text] {
			continue
		}
		seen[text] = true
		s.tokenise([]byte(text), false)
		s.gather()
		window := s.tokens[:min(len(s.tokens), windowSize)]
		out = append(out, example{feats: append([]uint32(nil), s.features(window)...), crisis: crisis, weight: 1, words: len(window)})
	}
	return out
}

// expand takes one reading of "{a|b} and [maybe] c".
func expand(rng *rand.Rand, line string) string {
	for {
		i := strings.LastIndexAny(line, "{[")
		if i < 0 {
			return strings.Join(strings.Fields(line), " ")
		}
		end := "}"
		if line[i] == '[' {
			end = "]"
		}
		j := i + strings.Index(line[i:], end)
		choice := strings.Split(line[i+1:j], "|")
		pick := choice[rng.IntN(len(choice))]
		if end == "]" && rng.IntN(2) == 0 {
			pick = ""
		}
		line = line[:i] + pick + line[j+1:]
	}
}

// readCounts reads how often each bucket was met in harmless posts.
func readCounts(t *testing.T) []float64 {
	raw, err := os.ReadFile("model/background.bin")
	require.NoError(t, err)
	harmless := make([]float64, buckets)
	next := func() uint64 {
		v, n := binary.Uvarint(raw)
		require.Positive(t, n)
		raw = raw[n:]
		return v
	}
	for at := uint64(0); len(raw) > 0; {
		at += next()
		require.Less(t, at, uint64(buckets))
		harmless[at] = float64(next())
	}
	return harmless
}

// handful is the least count that is kept.
const handful = 3

// TestBackground trains on the corpus alone and counts what stands in the
// harmless posts that such a model takes for a crisis. It runs only when it is
// given the directory; what it keeps is hashed counts, and none below a handful.
func TestBackground(t *testing.T) {
	if *background == "" {
		t.Skip("no -background directory")
	}
	table, harmless := string(train(corpusExamples(t, corpora...), nil)), make([]uint32, buckets)
	for _, name := range []string{"goemotions_reddit_chat", "counselchat_questions", "cssrs500_reddit", "life_reddit", "hatecheck"} {
		countPosts(t, filepath.Join(*background, name+".jsonl"), table, harmless)
	}
	var out []byte
	last := 0
	for i, n := range harmless {
		if n >= handful {
			out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(i-last)), uint64(n))
			last = i
		}
	}
	require.NoError(t, os.WriteFile("model/background.bin", out, 0o644))
}

// countPosts leaves out every fourth post, for measurements.
func countPosts(t *testing.T, name, table string, harmless []uint32) {
	const loud = 1.0 // in the model's own log odds
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	prog, err := compile(BuiltIn())
	require.NoError(t, err)
	s := newScratch(prog)
	for line := range bytes.Lines(raw) {
		var post struct{ Text, Label string }
		require.NoError(t, json.Unmarshal(line, &post))
		if post.Label != "benign" && post.Label != "distress" || hashWord([]byte(post.Text))%4 == 0 {
			continue
		}
		for text := []byte(post.Text); len(text) > 0; {
			n := nextBlock(text, true)
			s.tokenise(text[:n], false)
			s.gather()
			if modelBias+s.raw(table, s.tokens) > loud {
				for _, f := range s.feats {
					harmless[f]++
				}
			}
			text = text[n:]
		}
	}
}

// TestCalibration fits the model's sum to what the kept-out lines are (Platt's
// method), and holds the committed constants to that.
func TestCalibration(t *testing.T) {
	var z []float64
	var crisis []bool
	for _, e := range corpusExamples(t, corpora...) {
		if e.kept {
			sum := int32(0)
			for _, f := range e.feats {
				sum += int32(int8(weightTable[f]))
			}
			z, crisis = append(z, modelBias+float64(sum)*modelStep*share(e.words)), append(crisis, e.crisis)
		}
	}
	slope, shift := 1.0, 0.0
	for range 5000 {
		var a, b float64
		for i := range z {
			g := sigmoid(slope*z[i] + shift)
			if crisis[i] {
				g--
			}
			a, b = a+g*z[i], b+g
		}
		slope, shift = slope-a/float64(len(z)), shift-b/float64(len(z))
	}
	t.Logf("%d lines kept out: slope %.3f, shift %.3f", len(z), slope, shift)
	require.InDelta(t, slope, plattSlope, 0.02)
	require.InDelta(t, shift, plattShift, 0.02)

	var said, was, n [5]float64 // in fifths of the probability
	for i := range z {
		p := sigmoid(plattSlope*z[i] + plattShift)
		at := min(4, int(5*p))
		n[at]++
		said[at] += p
		if crisis[i] {
			was[at]++
		}
	}
	for i := range n {
		t.Logf("said %.2f, was %.2f, of %.0f", said[i]/n[i], was[i]/n[i], n[i])
		require.InDelta(t, said[i]/n[i], was[i]/n[i], 0.08)
	}
}
