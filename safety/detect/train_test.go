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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	update     = flag.Bool("update", false, "write what was rebuilt")
	background = flag.String("background", "", "directory of labelled posts to count words in; only hashed counts are kept")
)

// TestWeights rebuilds the model from what is committed: the corpus, and counts
// of hashed words in permitted posts, which hold no text.
func TestWeights(t *testing.T) {
	want := rebuildWeights(t)
	if *update {
		require.NoError(t, os.WriteFile("model/weights.bin", want, 0o644))
		return
	}
	got, err := os.ReadFile("model/weights.bin")
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range want {
		// Elsewhere than on amd64 the compiler may fuse multiplications.
		require.InDelta(t, int8(want[i]), int8(got[i]), 1, "bucket %d: run go test -run TestWeights -update", i)
	}
}

// example is a window's features and whether it speaks of a crisis.
type example struct {
	feats  []uint16
	crisis bool
	weight float64
}

const (
	readings   = 8    // of each template
	epochs     = 14   // over the corpus
	rate       = 0.08 // of learning
	decay      = 1e-4
	counted    = 3.0 // how many features a counted word stands for
	countTrust = 0.2 // what a counted word weighs beside a line of the corpus
)

func rebuildWeights(t *testing.T) []byte {
	examples := corpusExamples(t, "corpus/train.txt", "corpus/train-other.txt", "corpus/lines.txt")
	crisis, harmless := readCounts(t)
	w, grad2 := make([]float64, buckets), make([]float64, buckets)
	rng := rand.New(rand.NewPCG(20260101, 7))
	learn := func(f uint16, g float64) {
		grad2[f] = float64(grad2[f] + float64(g*g))
		w[f] = float64(w[f] - float64(float64(rate*g)/math.Sqrt(1e-2+grad2[f])))
	}
	for range epochs {
		for i := range buckets {
			if c, h := crisis[i], harmless[i]; c+h > 0 {
				p := sigmoid(float64(counted*w[i]) - 2)
				g := float64(float64(c*(p-1)) + float64(h*p))
				n := c + h
				learn(uint16(i), float64(countTrust*float64(g/math.Sqrt(n))))
			}
		}
		for _, at := range rng.Perm(len(examples)) {
			e := &examples[at]
			x := share(len(e.feats))
			z := 0.0
			for _, f := range e.feats {
				z = float64(z + w[f])
			}
			z = modelBias + float64(z*x)
			g := sigmoid(z)
			if e.crisis {
				g--
			}
			g = float64(g * e.weight)
			for _, f := range e.feats {
				learn(f, float64(float64(g*x)+float64(decay*w[f])))
			}
		}
	}
	t.Logf("%d examples", len(examples))
	out := make([]byte, buckets)
	for i, x := range w {
		out[i] = byte(int8(max(-127, min(127, math.RoundToEven(x/modelStep)))))
	}
	return out
}

// corpusExamples reads the training lines, a few readings of each.
func corpusExamples(t *testing.T, names ...string) []example {
	prog, err := compile(BuiltIn())
	require.NoError(t, err)
	s := newScratch(prog)
	rng := rand.New(rand.NewPCG(1, 2))
	var out []example
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		var head []string
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			switch {
			case line == "" || line[0] == '#':
			case line[0] == '@':
				head = strings.Fields(line[1:])
			case !strings.HasPrefix(head[1], "reply"):
				out = append(out, readingsOf(s, rng, line, head[1] == "crisis")...)
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
		out = append(out, example{feats: append([]uint16(nil), s.features(window)...), crisis: crisis, weight: 1})
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

// readCounts reads how often each hashed word or pair stood in sentences of
// posts that were graded as a crisis, and in others.
func readCounts(t *testing.T) (crisis, harmless []float64) {
	raw, err := os.ReadFile("model/background.bin")
	require.NoError(t, err)
	require.Len(t, raw, 4*buckets)
	crisis, harmless = make([]float64, buckets), make([]float64, buckets)
	for i := range buckets {
		crisis[i] = float64(binary.LittleEndian.Uint16(raw[4*i:]))
		harmless[i] = float64(binary.LittleEndian.Uint16(raw[4*i+2:]))
	}
	return crisis, harmless
}

// TestBackground counts hashed words in posts; it runs only when it is given
// the directory, and keeps no count below a handful.
func TestBackground(t *testing.T) {
	if *background == "" {
		t.Skip("no -background directory")
	}
	crisis, harmless := make([]uint32, buckets), make([]uint32, buckets)
	for _, name := range []string{"goemotions_reddit_chat", "counselchat_questions", "cssrs500_reddit", "life_reddit", "hatecheck"} {
		countPosts(t, filepath.Join(*background, name+".jsonl"), crisis, harmless)
	}
	var out bytes.Buffer
	const handful = 5
	for i := range buckets {
		if crisis[i]+harmless[i] < handful {
			crisis[i], harmless[i] = 0, 0
		}
		require.NoError(t, binary.Write(&out, binary.LittleEndian, [2]uint16{uint16(min(crisis[i], 65535)), uint16(min(harmless[i], 65535))}))
	}
	require.NoError(t, os.WriteFile("model/background.bin", out.Bytes(), 0o644))
}

func countPosts(t *testing.T, name string, crisis, harmless []uint32) {
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	prog, err := compile(BuiltIn())
	require.NoError(t, err)
	s := newScratch(prog)
	for line := range bytes.Lines(raw) {
		var post struct {
			Text, Label, Cat string
			Severity         int
		}
		require.NoError(t, json.Unmarshal(line, &post))
		into := harmless
		switch {
		case post.Label == "crisis" && post.Cat != "harm_others" && (post.Severity == 0 || post.Severity >= 3):
			into = crisis
		case post.Label == "benign" || post.Label == "distress":
		default:
			continue
		}
		text := []byte(post.Text)
		for len(text) > 0 {
			n := nextBlock(text, true)
			s.tokenise(text[:n], false)
			s.gather()
			for _, f := range s.features(s.tokens) {
				into[f]++
			}
			text = text[n:]
		}
	}
}
