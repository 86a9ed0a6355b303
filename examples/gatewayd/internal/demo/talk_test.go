package demo

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newTestTalk(query string) *talk {
	w := New([]byte("a secret for tests, and for nothing else"), Options{})
	return newTalk(w, caller{player: "player-1", username: "mira"}, httptest.NewRequest("GET", "/ws/chat"+query, nil))
}

func (t *talk) said(raw string) []frame { return t.hear([]byte(raw), time.Now()) }

func TestATurnOfTheTalk(t *testing.T) {
	talk := newTestTalk("?typing=yes")
	frames := talk.said(`{"type":"user_message","content":{"text":"I feel overwhelmed, to the lighthouse"}}`)
	var events []any
	for _, f := range frames {
		events = append(events, f.Content["event"])
	}
	require.Equal(t, []any{"typing", "progress", "progress", "progress", "progress", "progress", nil, "typing"}, events)
	assert.Equal(t, "start", frames[0].Content["status"])
	assert.Equal(t, "complete", frames[5].Content["stage"])
	assert.Equal(t, "stop", frames[7].Content["status"])

	reply := frames[6]
	assert.Equal(t, "assistant", reply.Role)
	assert.NotEmpty(t, reply.Content["text"])
	assert.Equal(t, recommendations, reply.Metadata["recommendations"])
	assert.Equal(t, map[string]any{"crisis": false, "types": []string{}}, reply.Metadata["safety"])
	assert.Contains(t, reply.Content["elements"], element{"button", "climb", "climb the stair"})
	assert.Contains(t, reply.Content["elements"], element{"button", "ex_breathing", "Breathe with the tide"})
	for _, f := range frames {
		assert.Regexp(t, `^msg_[0-9a-f]{12}$`, f.ID)
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, f.Timestamp)
		assert.Equal(t, *reply.Session, *f.Session)
	}
}

func TestTypingIsOptedInto(t *testing.T) {
	for query, want := range map[string]bool{"": false, "?typing=0": false, "?typing=1": true, "?typing=TRUE": true} {
		frames := newTestTalk(query).said(`{"type":"user_message","content":{"text":"hello"}}`)
		assert.Equal(t, want, frames[0].Content["event"] == "typing", query)
	}
}

func TestErrorsAreToldAndTheTalkGoesOn(t *testing.T) {
	for raw, want := range map[string]string{
		`{"type":"ping","timestamp":1}`: "Unknown message type.",
		`{"content":{}}`:                "Unknown message type.",
		`nonsense`:                      "That message could not be read: a JSON object is expected.",
		`["a"]`:                         "That message could not be read: a JSON object is expected.",
		`{"type":"user_message","content":"text"}`:                     "That message could not be read: a JSON object is expected.",
		`{"type":"user_message","content":{"text":" "}}`:               "That message has no text.",
		`{"type":"user_message","session_id":"?"}`:                     "That session is not one of yours.",
		`{"type":"update_settings","content":{"intensity_level":"x"}}`: "An intensity of low, medium or high is expected.",
		`{"type":"switch_context","content":{"session_id":"?"}}`:       "That session is not one of yours.",
	} {
		frames := newTestTalk("").said(raw)
		require.Len(t, frames, 1, raw)
		assert.Equal(t, "system", frames[0].Role, raw)
		assert.Equal(t, want, frames[0].Content["text"], raw)
	}
}

func TestAPingBeginsASession(t *testing.T) {
	talk := newTestTalk("")
	frames := talk.said(`{"type":"ping"}`)
	assert.NotNil(t, frames[0].Session, "a side effect of the real service, and a reason to answer pings in front of it")
	assert.Len(t, talk.world.sessions.byID, 1)
}

func TestInteractions(t *testing.T) {
	for content, want := range map[string][]element{
		`{"action":"button_click","id":"ex_breathing"}`: {{"instruction", "ex_breathing_steps", instructions["ex_breathing"]}, {"button", "ex_breathing_complete", "Done"}},
		`{"message_id":"msg_1","action":"helpful"}`:     {{"ack", "helpful", "Received"}},
		`{}`: {{"ack", "", "Received"}},
	} {
		frames := newTestTalk("").said(`{"type":"interaction","content":` + content + `}`)
		require.Len(t, frames, 1)
		assert.Equal(t, "interactive", frames[0].Role)
		assert.Equal(t, want, frames[0].Content["elements"])
	}
	done := newTestTalk("").said(`{"type":"interaction","content":{"id":"ex_grounding_complete"}}`)[0].Content["elements"].([]element)
	assert.Equal(t, "progress", done[0].Type)
}

func TestAChoiceIsAlsoAButton(t *testing.T) {
	talk := newTestTalk("")
	frames := talk.said(`{"type":"interaction","content":{"action":"button_click","id":"to_lighthouse"}}`)
	assert.Equal(t, "assistant", frames[0].Role)
	assert.Equal(t, "lighthouse", talk.world.sessions.get(*frames[0].Session).Tale.At)
}

func TestFeedbackAndSettings(t *testing.T) {
	talk := newTestTalk("")
	thanks := talk.said(`{"type":"feedback","content":{"rating":5}}`)[0]
	assert.Len(t, thanks.Content["elements"], len(recommendations))
	changed := talk.said(`{"type":"update_settings","content":{"intensity_level":"Low","preferred_approaches":["mindfulness",3]}}`)[0]
	assert.Equal(t, map[string]any{"intensity_level": "low", "preferred_approaches": []string{"mindfulness"}}, talk.world.sessions.get(*changed.Session).Therapeutic)
}

func TestSwitchingContext(t *testing.T) {
	talk := newTestTalk("")
	first := *talk.said(`{"type":"user_message","content":{"text":"hello"}}`)[0].Session
	talk.said(`{"type":"switch_context","metadata":{"world_id":"world-library"},"content":{"session_id":"evening-1"}}`)
	second := *talk.said(`{"type":"user_message","content":{"text":"hello"}}`)[0].Session
	assert.NotEqual(t, first, second)
	assert.Equal(t, "evening-1", second)
	assert.Equal(t, "world-library", talk.world.sessions.get(second).World)
	named := *talk.said(`{"type":"user_message","session_id":"` + first + `","content":{"text":"hello"}}`)[0].Session
	assert.Equal(t, first, named, "a message may still name its session")
}

func TestNobodyTalksInAnothersSession(t *testing.T) {
	talk := newTestTalk("")
	talk.world.sessions.put("evening-1", newSession("evening-1", "somebody-else"))
	for _, raw := range []string{
		`{"type":"user_message","session_id":"evening-1","content":{"text":"hello"}}`,
		`{"type":"switch_context","content":{"session_id":"evening-1"}}`,
	} {
		assert.Equal(t, "That session is not one of yours.", talk.said(raw)[0].Content["text"])
	}
	assert.Empty(t, talk.world.sessions.get("evening-1").Messages)
}

func TestTheEleventhMessageInTwoSecondsGetsANotice(t *testing.T) {
	talk, start := newTestTalk(""), time.Now()
	ping := []byte(`{"type":"ping"}`)
	for n := range 10 {
		assert.Equal(t, "Unknown message type.", talk.hear(ping, start)[0].Content["text"], n)
	}
	notice := "You are sending quickly; please slow down a little."
	for range 1000 {
		assert.Equal(t, notice, talk.hear(ping, start.Add(2*time.Second))[0].Content["text"])
	}
	assert.LessOrEqual(t, len(talk.recent), 11, "what is remembered is bounded")
	assert.NotEqual(t, notice, talk.hear(ping, start.Add(5*time.Second))[0].Content["text"])
}

func FuzzHear(f *testing.F) {
	for _, seed := range []string{`{"type":"user_message","content":{"text":"hello"}}`, `{"type":"interaction","content":{"id":"climb"}}`, `[]`, `{"session_id":null}`} {
		f.Add([]byte(seed))
	}
	talk := newTestTalk("?typing=1")
	f.Fuzz(func(t *testing.T, raw []byte) {
		talk.recent = nil
		frames := talk.said(string(raw))
		require.NotEmpty(t, frames, "everything gets an answer")
		for _, answer := range frames {
			encoded, err := json.Marshal(answer)
			require.NoError(t, err)
			require.True(t, utf8.Valid(encoded))
		}
	})
}

func FuzzMatches(f *testing.F) {
	for _, r := range routes {
		f.Add(r.path)
	}
	f.Add("/api/v1/players//progress")
	f.Fuzz(func(t *testing.T, path string) {
		for _, r := range routes {
			if values, ok := matches(r.path, path); ok {
				for name, value := range values {
					require.NotEmpty(t, value, name)
					require.NotContains(t, value, "/")
				}
			}
		}
	})
}
