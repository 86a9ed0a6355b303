package demo_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

func TestASessionIsSharedByTheInstances(t *testing.T) {
	w := newWorld()
	a, b, token := w.Story("a"), w.Story("b"), w.AccessToken(account(t, w, "player"))
	made := ask(t, a, "POST", "/api/v1/sessions/", token, `{"character_id":"c-1","world_id":"world-harbour","therapeutic_settings":{"intensity_level":"low"}}`)
	require.Equal(t, http.StatusCreated, made.status, made.raw)
	id := made.at("session_id").(string)
	first := ask(t, a, "POST", "/api/v1/gameplay/message", token, `{"session_id":"`+id+`","message":"I go to the lighthouse"}`)
	require.Equal(t, http.StatusOK, first.status, first.raw)
	assert.Equal(t, true, first.at("success"))
	second := ask(t, b, "POST", "/api/v1/gameplay/message", token, `{"session_id":"`+id+`","message":"climb"}`)
	assert.Contains(t, second.at("response"), "log", "the other instance knows where the story stands")

	history := ask(t, a, "GET", "/api/v1/conversation/"+id+"/history?limit=3", token, "")
	assert.EqualValues(t, 4, history.at("total_messages"))
	assert.Len(t, history.at("messages"), 3)
	assert.EqualValues(t, 3, ask(t, b, "GET", "/api/v1/sessions/"+id+"/progress", token, "").at("progress", "completed_steps"))

	twin := ask(t, b, "POST", "/api/v1/sessions/"+id+"/copy", token, "")
	assert.Equal(t, http.StatusCreated, twin.status)
	ask(t, a, "DELETE", "/api/v1/sessions/"+id+"/messages", token, "")
	assert.EqualValues(t, 0, ask(t, a, "GET", "/api/v1/sessions/"+id+"/messages", token, "").at("count"))
	assert.EqualValues(t, 4, ask(t, a, "GET", "/api/v1/sessions/"+twin.at("session_id").(string)+"/messages", token, "").at("count"))
	assert.EqualValues(t, 2, ask(t, b, "GET", "/api/v1/sessions/", token, "").at("count"))
}

func TestWhoMaySeeASession(t *testing.T) {
	w := newWorld()
	story := w.Story("a")
	mine, other := w.AccessToken(account(t, w, "player")), w.AccessToken(account(t, w, "therapist"))
	ask(t, story, "POST", "/api/v1/conversation/send", mine, `{"session_id":"evening-1","message":"hello"}`)
	for path, want := range map[string]int{
		"/api/v1/sessions/evening-1":             http.StatusOK, // as at the real service
		"/api/v1/sessions/evening-1/progress":    http.StatusOK,
		"/api/v1/sessions/evening-1/messages":    http.StatusForbidden,
		"/api/v1/conversation/evening-1/history": http.StatusForbidden,
		"/api/v1/conversation/evening-1/state":   http.StatusForbidden,
		"/api/v1/conversation/evening-1/stream":  http.StatusForbidden,
		"/api/v1/gameplay/sessions/evening-1":    http.StatusForbidden,
	} {
		assert.Equal(t, want, ask(t, story, "GET", path, other, "").status, path)
		assert.Equal(t, http.StatusOK, ask(t, story, "GET", path, mine, "").status, path)
	}
	stranger := ask(t, story, "POST", "/api/v1/conversation/send", other, `{"session_id":"evening-1","message":"hello"}`)
	assert.Equal(t, http.StatusForbidden, stranger.status)
	assert.NotContains(t, ask(t, story, "GET", "/api/v1/sessions/evening-1", other, "").raw, "hello")
}

func TestConversation(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	a := ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-1","message":"hello there","context":{}}`)
	require.Equal(t, http.StatusOK, a.status, a.raw)
	assert.Equal(t, "evening-1", a.at("session_id"))
	assert.Equal(t, "safe", a.at("metadata", "safety_level"))
	assert.NotEmpty(t, a.at("message_id"))
	assert.Contains(t, a.at("response"), "You could")
	assert.Equal(t, http.StatusOK, ask(t, story, "POST", "/api/v1/conversation/evening-1/goals", token, `{"goals":["rest"]}`).status)
	assert.Equal(t, []any{"rest"}, ask(t, story, "GET", "/api/v1/conversation/evening-1/state", token, "").at("session_goals"))
	assert.Equal(t, http.StatusOK, ask(t, story, "DELETE", "/api/v1/conversation/evening-1", token, "").status)
	assert.Equal(t, http.StatusNotFound, ask(t, story, "GET", "/api/v1/conversation/evening-1/history", token, "").status)
	for _, bad := range []string{
		`{"session_id":"short","message":"hello"}`,
		`{"session_id":"evening 1!","message":"hello"}`,
		`{"session_id":"evening-1","message":"  "}`,
		fmt.Sprintf(`{"session_id":"evening-1","message":%q}`, strings.Repeat("x", 10_001)),
		`{"session_id":1,"message":"hello"}`,
	} {
		assert.Equal(t, http.StatusUnprocessableEntity, ask(t, story, "POST", "/api/v1/conversation/send", token, bad).status)
	}
}

func TestTheStoryStepsAsideWhenToldTo(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	for severity, intent := range map[string]string{"": "story", "none": "story", "low": "story", "moderate": "pause", "high": "pause", "imminent": "pause"} {
		a := ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-`+severity+`","message":"to the lighthouse"}`, "X-Safety-Severity", severity)
		assert.Equal(t, intent, a.at("metadata", "therapeutic_intent"), severity)
	}
}

func TestAMessageHistoryIsBounded(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	long := strings.Repeat("é", 5000)
	for range 60 {
		ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-1","message":"`+long+`"}`)
	}
	history := ask(t, story, "GET", "/api/v1/conversation/evening-1/history?limit=1000", token, "")
	assert.EqualValues(t, 100, history.at("total_messages"))
	assert.Len(t, history.at("messages"), 100)
	first := history.at("messages").([]any)[0].(map[string]any)["content"].(string)
	assert.Len(t, []rune(first), 2000)
}

func TestGameplay(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	made := ask(t, story, "POST", "/api/v1/gameplay/sessions", token, `{"therapeutic_context":{"goals":["calm"]}}`)
	require.Equal(t, http.StatusOK, made.status, made.raw)
	path := "/api/v1/gameplay/sessions/" + made.at("session_id").(string)
	assert.Equal(t, "harbour", made.at("session_status", "current_scene"))
	chosen := ask(t, story, "POST", path+"/choices", token, `{"choice_id":"to_lighthouse"}`)
	assert.Equal(t, "lighthouse", chosen.at("choice_result", "scene"), chosen.raw)
	assert.Nil(t, chosen.at("safety_warning"))
	assert.Equal(t, http.StatusBadRequest, ask(t, story, "POST", path+"/choices", token, `{"choice_id":"fly"}`).status)
	assert.Equal(t, http.StatusUnprocessableEntity, ask(t, story, "POST", path+"/choices", token, `{}`).status)
	assert.Equal(t, "lighthouse", ask(t, story, "GET", path, token, "").at("session_status", "current_scene"))
	assert.EqualValues(t, 1, ask(t, story, "GET", "/api/v1/gameplay/sessions", token, "").at("session_metrics", "active_sessions"))
	assert.Equal(t, true, ask(t, story, "DELETE", path, token, "").at("success"))
	assert.EqualValues(t, 0, ask(t, story, "GET", "/api/v1/gameplay/sessions", token, "").at("session_metrics", "active_sessions"))
	assert.Equal(t, http.StatusNotFound, ask(t, story, "POST", "/api/v1/gameplay/message", token, `{"session_id":"not-there-1","message":"hello"}`).status)
	long := fmt.Sprintf(`{"session_id":"not-there-1","message":%q}`, strings.Repeat("x", 2001))
	assert.Equal(t, http.StatusUnprocessableEntity, ask(t, story, "POST", "/api/v1/gameplay/message", token, long).status)
}

func TestTheStreamComesPieceByPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := demo.New(secret, demo.Options{Pace: time.Second})
		story, token := w.Story("a"), w.AccessToken(w.Accounts()[0])
		ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-1","message":"look"}`)
		request, err := http.NewRequest("GET", "http://demo/api/v1/conversation/evening-1/stream", nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		reply, err := serve(t, story).Do(request)
		require.NoError(t, err)
		defer reply.Body.Close()
		assert.Equal(t, "text/event-stream", reply.Header.Get("Content-Type"))
		first := make([]byte, 4096)
		n, err := reply.Body.Read(first)
		require.NoError(t, err)
		assert.Contains(t, string(first[:n]), "event: piece")
		assert.Zero(t, time.Since(began), "the first piece does not wait for the others")
		rest := readAll(t, reply.Body)
		assert.Contains(t, rest, "event: done")
		pieces := strings.Count(rest, "event: piece")
		assert.Equal(t, time.Duration(pieces)*time.Second, time.Since(began))
	})
}
