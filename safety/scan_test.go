package safety

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var documents = []string{
	`{}`, `[]`, `""`, `null`, `0`, `-0.5e+10`, ` { "a" : [ 1 , "b" , { "c" : null } ] , "d" : true } `,
	`{"a":"\u006b\n\"\\\/\b\f\r\t\ud83d\ude00\ud83d"}`, `{"a":"b","a":"c"}`, "\ufeff[1]", `{"":""}`,
	`01`, `+1`, `.5`, `1.`, `1e`, `[1,]`, `{"a":1,}`, `{,}`, `[,1]`, `{"a"}`, `{"a":}`, `nul`, `truee`, `"\x"`, `"\u12g4"`, "\"\n\"", `{}{}`, `[}`, `"`, `{"a":"b"`, `]`, ``, ` `,
	strings.Repeat("[", 64) + `"x"` + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65),
}

// FuzzWalker holds the walker against encoding/json: it accepts the same
// documents, but for depth and the byte order mark, and finds the same strings.
func FuzzWalker(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		body := doc[skipBOM(doc):]
		var w walker
		w.reset(doc, &paths{segments: [][]string{{"*"}, {"[]"}}})
		var got []string
		for w.next() {
			got = append(got, asRunes(w.text))
			require.True(t, json.Valid(doc[w.start:w.end]))
		}
		if depthOf(body) > maxDepth {
			require.True(t, w.broken)
			return
		}
		require.Equal(t, json.Valid(body), !w.broken, "%q", doc)
		if !w.broken {
			require.Equal(t, stringValues(t, body), got, "%q", doc)
		}
	})
}

// asRunes writes U+FFFD for each byte that is no UTF-8, as encoding/json does.
func asRunes(b []byte) string { return string([]rune(string(b))) }

// depthOf is how deep brackets nest outside of strings.
func depthOf(doc []byte) (deepest int) {
	depth, inside := 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case !inside && (c == '{' || c == '['):
			depth++
			deepest = max(deepest, depth)
		case !inside && (c == '}' || c == ']'):
			depth--
		}
	}
	return deepest
}

// stringValues returns a document's string values by encoding/json.
func stringValues(t *testing.T, doc []byte) (values []string) {
	t.Helper()
	type container struct{ object, atValue bool }
	var open []container
	for d := json.NewDecoder(bytes.NewReader(doc)); ; {
		d.UseNumber()
		token, err := d.Token()
		if err == io.EOF {
			return values
		}
		require.NoError(t, err)
		if end, ok := token.(json.Delim); ok && (end == '}' || end == ']') {
			open = open[:len(open)-1]
			continue
		}
		isName := false
		if n := len(open); n > 0 && open[n-1].object {
			isName, open[n-1].atValue = !open[n-1].atValue, !open[n-1].atValue
		}
		switch v := token.(type) {
		case json.Delim:
			open = append(open, container{object: v == '{'})
		case string:
			if !isName {
				values = append(values, v)
			}
		}
	}
}

// FuzzEdit edits whatever is a JSON object: it stays one, what was there stays
// as it was, and what was added is there.
func FuzzEdit(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d), "Here is help: \"988\" <&>\u2028\n")
	}
	f.Add([]byte(`{"response":"x","n":1.0,"message":"y","safety":null}`), "\x00\xff")
	reply, err := compilePaths([]string{"response"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, doc []byte, help string) {
		if !isValidJSON(doc) {
			return
		}
		j := jsonEditor{doc: doc}
		said := j.strings(reply, true)
		for _, at := range said {
			j.prepend(at, help, "\n\n")
		}
		have, end, ok := j.members()
		require.Equal(t, bytes.HasPrefix(bytes.TrimLeft(doc[skipBOM(doc):], " \t\r\n"), []byte("{")), ok)
		if ok {
			j.set(have, end, jsonMember{"safety", []byte(`{"crisis":true}`)})
		}
		out := applied(doc, j.edits)
		require.True(t, json.Valid(out[skipBOM(out):]), "%q", out)
		if ok {
			compare(t, doc, out, help)
		}
	})
}

func compare(t *testing.T, before, after []byte, help string) {
	t.Helper()
	was, is := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	require.NoError(t, json.Unmarshal(before[skipBOM(before):], &was))
	require.NoError(t, json.Unmarshal(after[skipBOM(after):], &is))
	assert.Contains(t, is, "safety")
	for name, value := range was {
		if strings.EqualFold(name, "response") {
			var text *string
			if json.Unmarshal(value, &text) == nil {
				var now string
				require.NoError(t, json.Unmarshal(is[name], &now))
				assert.True(t, strings.HasPrefix(now, asRunes([]byte(help))), "%q", now)
				continue
			}
		}
		if name != "safety" {
			assert.Equal(t, string(value), string(is[name]))
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, p := range []string{"a.b", "*", "[]", "a[].b", "a..b", "[", "a[0]"} {
		f.Add(p, []byte(`{"a":[{"b":"c"}]}`))
	}
	f.Fuzz(func(t *testing.T, path string, doc []byte) {
		segments, err := parsePath(path)
		if err != nil {
			return
		}
		require.NotEmpty(t, segments)
		require.False(t, slices.Contains(segments, ""))
		var w walker
		for w.reset(doc, &paths{segments: [][]string{segments}}); w.next(); {
			require.LessOrEqual(t, w.end, len(doc))
		}
	})
}

func FuzzLanguages(f *testing.F) {
	for _, s := range []string{"en-US,en;q=0.9", "es-419", "*", ";q=", "zh-Hant-TW;q=1", "a;q=2,b;q=-1,c;q=nan"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		h := DefaultBook().Help(accept, regionOf(accept), High)
		require.NotEmpty(t, h.Text)
		require.NotEmpty(t, h.Resources)
	})
}

func TestWalkerAllocatesNothing(t *testing.T) {
	w := new(walker)
	doc := []byte(`{"message":"one \"two\"","list":[{"x":"y"}]}`)
	walk := func() {
		for w.reset(doc, nil); w.next(); {
		}
	}
	walk()
	assert.Zero(t, testing.AllocsPerRun(100, walk))
}

func TestMachineMade(t *testing.T) {
	for _, id := range []string{"7f9c24e8-3b12-4f11-9c1d-2a6b8f0e4d55", "2026-11-22T20:00:00Z", "1234567890", "2026-11-22T20:00:00.123456+01:00"} {
		assert.True(t, machineMade([]byte(id)), id)
	}
	for _, said := range []string{"kms", "i want to die", "dead", "deadbeef", "k1ll mys3lf 2night", "911", "bad dad faded"} {
		assert.False(t, machineMade([]byte(said)), said)
	}
}
