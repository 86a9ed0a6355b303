package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/safety"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const crisis = "I want to die, I have a plan for tonight"

func say(t *testing.T, h http.Handler, message string) (status int, reply string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"message": message})
	require.NoError(t, err)
	r := httptest.NewRequest("POST", "/chat", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept-Language", "en-US")
	r.SetBasicAuth("mira", "password")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	reply, _ = out["reply"].(string)
	return w.Code, reply
}

func TestTheReplyToACrisisCarriesHelpAndNoOtherDoes(t *testing.T) {
	guard := newGuard("", slog.New(slog.DiscardHandler))
	h := newRouter(guard, "password")
	story := "You set out along the quay, and the lighthouse waves to you."
	_, calm := say(t, h, "to the lighthouse")
	assert.Equal(t, story, calm)

	status, grave := say(t, h, crisis)
	assert.Equal(t, http.StatusOK, status, "the words are delivered")
	assert.Contains(t, grave, "988")
	assert.True(t, strings.HasSuffix(grave, "I am putting the story down for now. You can write here as long as you like."), grave)

	_, calm = say(t, h, "to the market")
	assert.Equal(t, story, calm)
	require.NoError(t, guard.Flush(t.Context()))
}

func TestWhoIsNotKnownIsToldWhereHelpIs(t *testing.T) {
	h := newRouter(newGuard("", slog.New(slog.DiscardHandler)), "password")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/chat", strings.NewReader("{}")))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/help", nil))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Body.String(), "findahelpline.com")
}

func TestWordsInOtherClothesAreNotTaken(t *testing.T) {
	h := newRouter(newGuard("", slog.New(slog.DiscardHandler)), "password")
	r := httptest.NewRequest("POST", "/chat", strings.NewReader(`{"message":"`+crisis+`"}`))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d says unless told otherwise
	r.SetBasicAuth("mira", "password")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusUnsupportedMediaType, w.Code)
}

func TestAHumanIsToldBeforeTheProgramEnds(t *testing.T) {
	told := make(chan safety.Event, 1)
	desk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e safety.Event
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&e))
		assert.Equal(t, e.ID, r.Header.Get("Idempotency-Key"))
		told <- e
		w.WriteHeader(http.StatusAccepted)
	}))
	defer desk.Close()
	var log bytes.Buffer
	guard := newGuard("", slog.New(slog.NewTextHandler(&log, nil)))
	guard.Escalator = pager{URL: desk.URL, Client: desk.Client()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln, newRouter(guard, "password"), guard) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequest("POST", "http://"+ln.Addr().String()+"/chat", strings.NewReader(`{"message":"`+crisis+`"}`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("mira", "password")
	reply, err := client.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	assert.NotContains(t, string(body), "person has been told")
	cancel()
	require.NoError(t, <-ended)

	e := <-told
	assert.Equal(t, "mira", e.Subject)
	assert.GreaterOrEqual(t, e.Severity, safety.High)
	assert.Contains(t, log.String(), "outcome=acknowledged")
	for _, private := range []string{"mira", "want to die", "tonight"} {
		assert.NotContains(t, log.String(), private)
	}
}

func TestAPagerThatFailsSaysSo(t *testing.T) {
	desk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	client := desk.Client()
	p := pager{URL: desk.URL, Client: client}
	require.ErrorContains(t, p.Escalate(t.Context(), safety.Event{}), "pager: answered 502")
	desk.Close()
	require.ErrorContains(t, p.Escalate(t.Context(), safety.Event{}), "pager: ")
	require.Error(t, pager{URL: ":"}.Escalate(t.Context(), safety.Event{}))
}
