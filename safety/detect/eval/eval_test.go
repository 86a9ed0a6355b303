package eval_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
	"github.com/theinterneti/tta-gateway/safety/detect/eval"
)

func TestReadBothForms(t *testing.T) {
	own, err := eval.Read("own", strings.NewReader("# a comment\n@ es crisis self_harm 2\nuno\n\n@ en reply-ok response 0\ntwo\n"))
	require.NoError(t, err)
	require.Len(t, own, 2)
	assert.Equal(t, eval.Case{Text: "uno", Crisis: true, Kind: "self_harm", Severity: safety.Moderate, Language: "es", Source: "own", Line: 3}, own[0])
	assert.Equal(t, safety.Response, own[1].Direction)

	lines, err := eval.Read("json", strings.NewReader(`{"text":"a","label":"crisis","severity":3,"cat":"suicide"}`+"\n"+`{"text":"b","label":"distress"}`+"\n"+`{"text":"c","label":"unreviewed"}`+"\n"))
	require.NoError(t, err)
	require.Len(t, lines, 3)
	assert.Equal(t, safety.High, lines[0].Severity)
	assert.Equal(t, eval.Unknown, lines[1].Severity)
	assert.True(t, lines[2].Ignore)
}

func TestBadFilesNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"text before\n":                         "bad:1: a text before the first section",
		"@ en crisis x\n":                       "bad:1: want @ LANGUAGE",
		"@ en crisis x 7\n":                     `bad:1: bad severity "7"`,
		"@ en maybe x 1\n":                      `bad:1: unknown label "maybe"`,
		"{}\n":                                  `bad:1: unknown label ""`,
		`{"text":"a","label":"benign"}` + "\n{": "bad:2: unexpected end",
	} {
		_, err := eval.Read("bad", strings.NewReader(text))
		assert.ErrorContains(t, err, want)
	}
}

func TestMeasure(t *testing.T) {
	rep, err := eval.Measure(t.Context(), severities{}, []eval.Case{
		{Text: "h", Crisis: true, Severity: safety.High, Language: "en", Kind: "k", Source: "s"},
		{Text: "m", Crisis: true, Severity: safety.High, Language: "en", Kind: "k", Source: "s"},
		{Text: "n", Language: "en", Kind: "idiom", Source: "s"},
		{Text: "l", Language: "en", Kind: "idiom", Source: "s"},
		{Text: "h", Ignore: true},
	})
	require.NoError(t, err)
	assert.Equal(t, 1.0, rep.Found[0].Rate(safety.Moderate))
	assert.Equal(t, 0.5, rep.Found[0].Rate(safety.High))
	assert.Equal(t, 0.5, rep.Harmless[0].Rate(safety.Low))
	assert.Equal(t, 1.0, rep.AP)
	assert.Equal(t, 1.0, rep.AUC)
	assert.Equal(t, 1.0, rep.RecallAt[0.01])
	assert.Empty(t, rep.Wrong)
	assert.NotContains(t, rep.String(), "\"")
}

type severities struct{}

func (severities) Inspect(_ context.Context, c safety.Content) (safety.Verdict, error) {
	s := safety.Severity(strings.Index("nlmhi", string(c.Text)))
	return safety.Verdict{Severity: s, Score: float64(s) / 4}, nil
}

func TestLines(t *testing.T) {
	in := strings.Join([]string{
		`{"text":"i took all my pills"}`,
		`{"text":"hello","session":"a"}`,
		`not json`,
		`{"text":"You should kill yourself.","direction":"response"}`,
		`{"text":"i want to","session":"b"}`,
		`{"text":"die","session":"b"}`,
	}, "\n")
	var out bytes.Buffer
	require.NoError(t, eval.Lines(t.Context(), detect.Default(), strings.NewReader(in), &out))
	var got []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		got = append(got, m)
	}
	require.Len(t, got, 6)
	assert.EqualValues(t, 4, got[0]["severity"])
	assert.NotContains(t, got[0], "session_severity")
	assert.EqualValues(t, 0, got[1]["session_severity"])
	assert.Equal(t, []any{}, got[1]["findings"])
	assert.Equal(t, "malformed", got[2]["skipped"])
	assert.EqualValues(t, 3, got[3]["severity"])
	assert.EqualValues(t, 0, got[5]["severity"])
	assert.EqualValues(t, 2, got[5]["session_severity"])
}

func ExampleRead() {
	cases, _ := eval.Read("mine", strings.NewReader("@ en crisis suicidal_ideation 2\ni want to die\n@ en benign idiom 0\ni'm dying of laughter\n"))
	report, _ := eval.Measure(context.Background(), detect.Default(), cases)
	fmt.Println(report.Found[0].Rate(safety.Moderate), report.Harmless[0].Rate(safety.Moderate))
	// Output: 1 0
}
