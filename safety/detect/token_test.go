package detect

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
)

// words normalises a text and returns what the rules see.
func words(t testing.TB, text string) (out []string) {
	t.Helper()
	s := newScratch(Default().prog)
	s.tokenise([]byte(text), false)
	s.gather()
	for i := range s.tokens {
		if w := s.tokens[i].word; w != 0 {
			out = append(out, s.lex.words[w])
		} else {
			out = append(out, string(s.letters[s.tokens[i].from:s.tokens[i].to]))
		}
	}
	return out
}

func TestNormalising(t *testing.T) {
	for text, want := range map[string][]string{
		"I want to DIE":            {"i", "want", "to", "die"},
		"i’m tired":                {"i'm", "tired"},
		"k1ll my$elf":              {"kill", "myself"},
		"ki11":                     {"kil"},
		"d!e":                      {"die"},
		"kiII":                     {"kill"},
		"k**l":                     {"kill"},
		"s*icide":                  {"suicide"},
		"sui-cide":                 {"suicide"},
		"k i l l m y s e l f":      {"kill", "myself"},
		"k.i.l.l":                  {"kill"},
		"killmyself":               {"kill", "myself"},
		"dieeeee":                  {"die"},
		"\u0456 w\u0430nt":         {"i", "want"},
		"ｄｉｅ":                      {"die"},
		"𝓭𝓲𝓮":                      {"die"},
		"d\u200bi\u00ade":          {"die"},
		"suiicde":                  {"suicide"},
		"3d6 damage":               {"#many", "damage"},
		"wow!now":                  {"wow", "now"},
		"goblin's":                 {"goblin"},
		"j'ai envie":               {"j'ai", "envie"},
		"die 😭 now":                {"die", "now"},
		"💊":                        {":pill:"},
		"deadline Scunthorpe":      {"deadline", "scunthorpe"},
		"20 of them and 3 of mine": {"#many", "of", "them", "and", "#number", "of", "mine"},
	} {
		assert.Equal(t, want, words(t, text), "%q", text)
	}
}

// FuzzTokens: offsets are monotone and within the text, and normalising what is
// normal changes nothing.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{"i want to die", "k.i.l.l m3", "a'b'c'", "\xff\xf0", "k**l s*icide", "💊💊", "I’m 𝓭𝓲𝓮", "1!1!1"} {
		f.Add(seed)
	}
	s := newScratch(Default().prog)
	f.Fuzz(func(t *testing.T, text string) {
		text = text[:min(len(text), blockSize)]
		s.tokenise([]byte(text), false)
		s.gather()
		end := int32(0)
		for _, tok := range s.tokens {
			require.LessOrEqual(t, tok.start, tok.end)
			require.LessOrEqual(t, int(tok.end), len(text))
			require.GreaterOrEqual(t, tok.start, min(end, tok.start))
			end = tok.start
			for _, b := range s.letters[tok.from:tok.to] {
				require.True(t, b < utf8.RuneSelf && lower(b) == b, "%q", b)
			}
		}
	})
}

// Every letter that folding gives is folded already.
func TestFoldingIsIdempotent(t *testing.T) {
	for r := rune(0x80); r < 0x20000; r++ {
		f := foldRune(r)
		for _, b := range f.letters[:f.n] {
			assert.True(t, b == 1 || asciiKind[b] == kindLetter || asciiKind[b] == kindDigit, "%U gives %q", r, b)
			assert.Equal(t, b, lower(b))
		}
	}
}

func TestDampingIsReadable(t *testing.T) {
	for kind := range frameKinds {
		for level := safety.Low; level <= safety.Imminent; level++ {
			assert.LessOrEqual(t, damping[kind][level], level, "%s raises", frameNames[kind])
			if level > safety.Low {
				assert.LessOrEqual(t, damping[kind][level-1], damping[kind][level], "%s is not in order", frameNames[kind])
			}
		}
	}
	for _, kind := range damps {
		assert.Positive(t, damping[kind][safety.Imminent], "%s deletes what is imminent", frameNames[kind])
	}
}
