package safety_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// record is a host's one record of a request: a context that answers with a
// verdict which the host writes when it knows it.
type record struct {
	context.Context
	verdict safety.Verdict
}

func (x *record) Value(key any) any {
	if key == safety.ContextKey {
		return &x.verdict
	}
	return x.Context.Value(key)
}

// What goes on after its request reads a verdict of its own, not the host's
// record, which is written meanwhile and may serve another request by then.
func TestErrandsCarryAVerdictThatNobodyChanges(t *testing.T) {
	written := make(chan struct{})
	saw := make(chan safety.Verdict, 8)
	look := func(ctx context.Context, _ safety.Event) error {
		<-written
		saw <- safety.FromContext(ctx)
		return nil
	}
	g := &safety.Guard{Inspector: script(), Auditor: safety.AuditorFunc(look), Escalator: safety.EscalatorFunc(look)}
	x := &record{Context: t.Context()}
	p, err := g.Open(httptest.NewRequest("POST", "/", strings.NewReader(dying)).WithContext(x), 0)
	require.NoError(t, err)
	w := p.Writer(httptest.NewRecorder())
	w.Header().Set("Content-Type", "text/plain")
	_, err = w.Write([]byte(poison))
	require.NoError(t, err)
	p.Close()
	g.Message(x, safety.Message{Subject: "ada", Data: []byte(dying)})
	x.verdict = safety.Verdict{Severity: safety.Low, Skipped: "of another request"}
	close(written)
	require.NoError(t, g.Flush(t.Context()))
	close(saw)
	n := 0
	for v := range saw {
		n++
		assert.Equal(t, safety.High, v.Severity)
		assert.Equal(t, []safety.Category{safety.SuicidalIdeation}, v.Categories, "the verdict on what the person said")
		assert.Empty(t, v.Skipped)
	}
	assert.Equal(t, 7, n, "three verdicts, two escalations and what became of them")
}

func TestTheAuditorOfAReplyKnowsWhatThePersonSaid(t *testing.T) {
	saw := make(chan safety.Verdict, 8)
	g := &safety.Guard{Inspector: script(), Auditor: safety.AuditorFunc(func(ctx context.Context, e safety.Event) error {
		if e.Direction == safety.Response {
			saw <- safety.FromContext(ctx)
		}
		return nil
	})}
	post(t, g.Wrap(&service{contentType: "text/plain", answer: poison}), "text/plain", sad)
	require.NoError(t, g.Flush(t.Context()))
	assert.Equal(t, safety.Moderate, (<-saw).Severity)

	post(t, g.Wrap(&service{contentType: "text/plain", answer: poison}), "text/plain", "go on")
	require.NoError(t, g.Flush(t.Context()))
	assert.Equal(t, safety.Verdict{}, <-saw, "looked at, and nothing was found")

	g.Message(safety.NewContext(t.Context(), safety.Verdict{Severity: safety.Low}), safety.Message{Direction: safety.Response, Data: []byte(poison)})
	require.NoError(t, g.Flush(t.Context()))
	assert.Equal(t, safety.Low, (<-saw).Severity)
}

// An Inspector that is left behind looks at what was known when it was asked.
func TestALateInspectorReadsAVerdictOfItsOwn(t *testing.T) {
	for desc, begin := range map[string]func(*safety.Guard, *record){
		"a message": func(g *safety.Guard, x *record) { g.Message(x, safety.Message{Data: []byte("go on")}) },
		"a judgement": func(g *safety.Guard, x *record) {
			_, err := g.Judge(x, safety.Content{Text: []byte("go on")})
			assert.ErrorIs(t, err, safety.ErrInspector)
		},
	} {
		t.Run(desc, func(t *testing.T) {
			written, saw := make(chan struct{}), make(chan safety.Verdict, 1)
			g := &safety.Guard{Deadline: 1, Inspector: safetytest.Slow{Inspector: &safetytest.Script{Answer: func(ctx context.Context, _ safety.Content) (safety.Verdict, error) {
				<-written
				saw <- safety.FromContext(ctx)
				return safety.Verdict{}, nil
			}}}}
			x := &record{Context: t.Context(), verdict: safety.Verdict{Severity: safety.Moderate}}
			begin(g, x)
			x.verdict = safety.Verdict{Severity: safety.Low}
			close(written)
			assert.Equal(t, safety.Moderate, (<-saw).Severity)
		})
	}
}
