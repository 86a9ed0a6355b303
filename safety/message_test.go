package safety_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

func TestMessagesOfAChat(t *testing.T) {
	g := (&safety.Guard{Inspector: script()}).With(safety.Rule{Fields: []string{"content.text"}, Reply: "content.text"})
	in := func(d safety.Direction, data string) safety.Outcome {
		return g.Message(t.Context(), safety.Message{Direction: d, Route: "/ws/chat", Language: "es-MX", Data: []byte(data)})
	}
	said := `{"type":"user_message","content":{"text":"` + dying + `"},"metadata":{"x":"` + tonight + `"}}`
	out := in(safety.Request, said)
	assert.Equal(t, said, string(out.Data))
	assert.False(t, out.Replaced)
	assert.Equal(t, safety.High, out.Verdict.Severity, "only the fields are judged")
	require.NotNil(t, out.Help)
	assert.Equal(t, "es", out.Help.Language)
	assert.Equal(t, "MX", out.Help.Region)

	out = in(safety.Response, `{"role":"assistant","content":{"text":"Well, `+poison+`."},"metadata":{"safety":{"crisis":false}}}`)
	assert.True(t, out.Replaced)
	assert.Regexp(t, `^{"role":"assistant","content":{"text":"Una comprobación automática retuvo [^"]*"},"metadata":{"safety":{"crisis":false}}}$`, string(out.Data))

	same := `{"role":"system","content":{"event":"typing","status":"start"}}`
	out = in(safety.Response, same)
	assert.Equal(t, same, string(out.Data))
	assert.Nil(t, out.Help)

	out = g.Message(t.Context(), safety.Message{Binary: true, Data: []byte{0, 1, 2, 3, 255, 254}})
	assert.Equal(t, safety.SkippedBinary, out.Verdict.Skipped)
	out = g.Message(t.Context(), safety.Message{Binary: true, Data: []byte(said)})
	assert.Equal(t, safety.High, out.Verdict.Severity, "text is text however it came")
}

func TestAChatGoesOnWhenTheInspectorFails(t *testing.T) {
	guard := &safety.Guard{Inspector: &safetytest.Script{Err: errors.New("down")}}
	reply := []byte(`{"role":"assistant","content":{"text":"Yes."}}`)
	typing := []byte(`{"role":"system","content":{"event":"typing","status":"start now"}}`)

	g := guard.With(safety.Rule{Reply: "content.text"})
	say := func() safety.Outcome {
		return g.Message(t.Context(), safety.Message{Subject: "ada", Data: []byte(dying)})
	}
	out := say()
	assert.Equal(t, dying, string(out.Data))
	require.NotNil(t, out.Help, "the standing help")
	assert.Equal(t, safety.None, out.Help.Severity)
	assert.Nil(t, say().Help, "but not at every line")

	out = g.Message(t.Context(), safety.Message{Direction: safety.Response, Data: reply})
	assert.Regexp(t, `"Yes\.\\n\\nThe automated safety check could not look`, string(out.Data))
	out = g.Message(t.Context(), safety.Message{Direction: safety.Response, Data: typing})
	assert.Equal(t, string(typing), string(out.Data), "nothing of it is read by the person")

	held := guard.With(safety.Rule{Reply: "content.text", Hold: true})
	out = held.Message(t.Context(), safety.Message{Direction: safety.Response, Data: reply})
	assert.NotContains(t, string(out.Data), "Yes.")
	assert.Contains(t, string(out.Data), `{"role":"assistant","content":{"text":"This reply could not`)
	typing = []byte(`{"role":"system","content":{"event":"typing"}}`)
	out = held.Message(t.Context(), safety.Message{Direction: safety.Response, Data: typing})
	assert.Equal(t, string(typing), string(out.Data))
}
