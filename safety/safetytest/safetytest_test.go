package safetytest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// A test of one's own wiring: who is told, what is recorded, what the person saw.
func Example() {
	script := safetytest.Says(map[string]safety.Verdict{
		"it is happening": safetytest.Found(safety.Imminent, safety.Abuse),
	})
	var log safetytest.Log
	guard := &safety.Guard{Inspector: script, Auditor: &log, Escalator: &log}
	service := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"ok":true}`)
	})

	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"message":"It is happening again"}`))
	w := httptest.NewRecorder()
	guard.Wrap(service).ServeHTTP(w, r)
	_ = guard.Flush(context.Background())

	saw, _ := safetytest.Saw(w.Result())
	fmt.Println("shown:", script.Shown())
	fmt.Println("told:", len(log.Escalated()), "recorded:", len(log.Recorded()))
	fmt.Println("saw help:", saw.Crisis, saw.Links)
	// Output:
	// shown: [It is happening again]
	// told: 1 recorded: 2
	// saw help: true [Find a Helpline https://findahelpline.com]
}

func TestAScriptSaysTheGravestOfWhatItFinds(t *testing.T) {
	s := &safetytest.Script{
		Requests: map[string]safety.Verdict{
			"one": safetytest.Found(safety.Low, safety.Panic),
			"two": safetytest.Found(safety.High, safety.SelfHarm),
		},
		Responses: map[string]safety.Verdict{"one": safetytest.Found(safety.Imminent, safety.Methods)},
	}
	say := func(d safety.Direction, text string) safety.Severity {
		v, err := s.Inspect(t.Context(), safety.Content{Text: []byte(text), Direction: d})
		require.NoError(t, err)
		return v.Severity
	}
	assert.Equal(t, safety.High, say(safety.Request, "ONE and Two"))
	assert.Equal(t, safety.None, say(safety.Request, "three"))
	assert.Equal(t, safety.Imminent, say(safety.Response, "one"))
	assert.Equal(t, []string{"ONE and Two", "three", "one"}, s.Shown())

	s.Err = errors.New("down")
	_, err := safetytest.Slow{Inspector: s}.Inspect(t.Context(), safety.Content{})
	assert.ErrorIs(t, err, s.Err)
	var slow safety.Inspector = safetytest.Slow{Inspector: s}
	_, prompt := slow.(safety.Prompt)
	assert.False(t, prompt)
}

func TestWhatAPersonSaw(t *testing.T) {
	h := safety.DefaultBook().Help("en", "US", safety.High)
	saw := safetytest.SawMessage(h.Frame("s1", time.Time{}))
	assert.Contains(t, saw.Text, h.Text)
	assert.True(t, saw.Crisis)
	assert.Contains(t, saw.Links, "988 Suicide & Crisis Lifeline https://988lifeline.org")
	assert.Equal(t, safetytest.Sight{Text: "The door opens."}, safetytest.SawMessage([]byte("The door opens.")))
	assert.Equal(t, "a\nb", safetytest.SawMessage([]byte(`{"y":["b"],"x":"a"}`)).Text)
}

func TestAnObserverAddsUp(t *testing.T) {
	var o safetytest.Observer
	o.Observe(safety.Observation{Direction: safety.Request, Bytes: 5, Inspected: true})
	o.Observe(safety.Observation{Direction: safety.Request, Bytes: 7, Skipped: "binary"})
	o.Observe(safety.Observation{Direction: safety.Response, Action: "replace"})
	looked, skipped := o.Bytes(safety.Request)
	assert.Equal(t, []int64{5, 7}, []int64{looked, skipped})
	assert.Equal(t, []string{"replace"}, o.Actions())
	assert.Len(t, o.All(), 3)
}
