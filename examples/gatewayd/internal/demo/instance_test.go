package demo_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

func TestRefusalsHaveTheServicesShapes(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	for _, tt := range []struct {
		desc, method, path, authorization, body string
		status                                  int
		want                                    string
	}{
		{"nobody", "GET", "/api/v1/sessions/", "", "", 401,
			`{"error":"Authentication Required","message":"Authorization header is required"}`},
		{"an unknown path is hidden from nobody too", "GET", "/api/v1/nothing", "", "", 401,
			`{"error":"Authentication Required","message":"Authorization header is required"}`},
		{"another scheme", "GET", "/api/v1/sessions/", "Basic bWlyYTpt", "", 401,
			`{"error":"Invalid Authorization Header","message":"Authorization header must be in format: Bearer <token>"}`},
		{"rubbish", "GET", "/api/v1/sessions/", "Bearer rubbish", "", 401,
			`{"error":"Authentication Failed","message":"Could not validate credentials"}`},
		{"an unknown path", "GET", "/api/v1/auth/verify", "Bearer " + token, "", 404,
			`{"error":"HTTP Exception","message":"Not Found","status_code":404}`},
		{"a method that is not there", "PATCH", "/api/v1/worlds/", "Bearer " + token, "", 405,
			`{"error":"HTTP Exception","message":"Method Not Allowed","status_code":405}`},
		{"somebody else's profile", "GET", "/api/v1/players/somebody", "Bearer " + token, "", 403,
			`{"error":"HTTP Exception","message":"You may only access your own resources","status_code":403}`},
		{"an unknown session", "GET", "/api/v1/sessions/none", "Bearer " + token, "", 404,
			`{"error":"HTTP Exception","message":"Session not found","status_code":404}`},
		{"a body that is too large", "POST", "/api/v1/conversation/send", "Bearer " + token, strings.Repeat("x", 65<<10), 413,
			`{"error":"HTTP Exception","message":"Request body too large","status_code":413}`},
	} {
		a := ask(t, story, tt.method, tt.path, "", tt.body, "Authorization", tt.authorization)
		assert.Equal(t, tt.status, a.status, tt.desc)
		assert.JSONEq(t, tt.want, a.raw, tt.desc)
		assert.Equal(t, tt.status == 401, a.header.Get("WWW-Authenticate") == "Bearer", tt.desc)
	}
}

func TestAMissingFieldIsNamed(t *testing.T) {
	w := newWorld()
	a := ask(t, w.Story("a"), "POST", "/api/v1/conversation/send", w.AccessToken(account(t, w, "player")), `{"session_id":"evening-1"}`)
	assert.Equal(t, http.StatusUnprocessableEntity, a.status)
	assert.Equal(t, "Validation Error", a.at("error"))
	assert.Equal(t, a.at("details"), a.at("detail"))
	assert.Contains(t, a.raw, `"loc":["body","message"]`)
}

func TestABodyIsReadAsWhatItSaysItIs(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	for kind, status := range map[string]int{
		"":                                  200,
		"application/json":                  200,
		"Application/JSON; charset=utf-8":   200,
		"application/problem+json":          200,
		"application/x-www-form-urlencoded": 422,
		"text/plain":                        422,
		"nonsense/":                         422,
	} {
		body := `{"session_id":"evening-1","message":"hello"}`
		assert.Equal(t, status, ask(t, story, "POST", "/api/v1/conversation/send", token, body, "Content-Type", kind).status, kind)
	}
}

func TestCollectionsWithoutTheirSlashAreElsewhere(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	for path, want := range map[string]string{
		"/api/v1/sessions?x=1&x=2": "http://tta.example/api/v1/sessions/?x=1&x=2",
		"/api/v1/players":          "http://tta.example/api/v1/players/",
		"/api/v1/characters":       "http://tta.example/api/v1/characters/",
		"/api/v1/worlds":           "http://tta.example/api/v1/worlds/",
		"/api/v1/auth/me/":         "http://tta.example/api/v1/auth/me",
	} {
		a := ask(t, story, "GET", "http://tta.example"+path, token, "")
		assert.Equal(t, http.StatusTemporaryRedirect, a.status, path)
		assert.Equal(t, want, a.header.Get("Location"), path)
		assert.Empty(t, a.raw)
	}
	assert.Equal(t, http.StatusUnauthorized, ask(t, story, "POST", "/api/v1/sessions", "", "{}").status, "and only for those who may ask")
}

func TestHealthAndMetricsNeedNoToken(t *testing.T) {
	story := newWorld().Story("a")
	for path, want := range map[string]string{
		"/health":                        `"service":"player-experience-api"`,
		"/api/v1/health/":                `"status":"healthy"`,
		"/api/v1/health/liveness":        `{"status":"alive"}`,
		"/api/v1/health/readiness":       `{"status":"ready"}`,
		"/api/v1/health/redis":           `"status":"unknown"`,
		"/api/v1/gameplay/health":        `"status":"healthy"`,
		"/":                              `"message"`,
		"/metrics":                       "# TYPE demo_requests_total counter",
		"/metrics-prom":                  `demo_requests_total{instance="a"}`,
		"/api/v1/openrouter/auth/status": `"authenticated":false`,
	} {
		a := ask(t, story, "GET", path, "", "")
		assert.Equal(t, http.StatusOK, a.status, path)
		assert.Contains(t, a.raw, want, path)
	}
	assert.Equal(t, http.StatusUnauthorized, ask(t, story, "GET", "/api/v1/health", "", "").status, "without its slash it is not public, as at the real service")
}

func TestEveryAnswerSaysWhoGaveIt(t *testing.T) {
	w := newWorld()
	for _, name := range []string{"story-a", "story-b"} {
		assert.Equal(t, name, ask(t, w.Story(name), "GET", "/health", "", "").header.Get(demo.InstanceHeader))
		assert.Equal(t, name, ask(t, w.Story(name), "GET", "/nowhere", "", "").header.Get(demo.InstanceHeader))
	}
}

func TestTheServicesOwnLimitIsPerPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := demo.New(secret, demo.Options{Calls: 2})
		story, token := w.Story("a"), w.AccessToken(w.Accounts()[0])
		assert.Equal(t, "1", ask(t, story, "GET", "/health", "", "").header.Get("X-RateLimit-Remaining"))
		assert.Equal(t, "0", ask(t, story, "GET", "/api/v1/worlds/", token, "").header.Get("X-RateLimit-Remaining"))
		refused := ask(t, story, "GET", "/health", "", "")
		assert.Equal(t, http.StatusTooManyRequests, refused.status, "the next player behind the same gateway pays for the first")
		assert.Equal(t, "60", refused.header.Get("Retry-After"))
		assert.JSONEq(t, `{"error":"Rate Limit Exceeded","message":"Too many requests","retry_after":60}`, refused.raw)
		assert.Empty(t, refused.header.Get("X-RateLimit-Limit"))
		time.Sleep(time.Minute + time.Second)
		assert.Equal(t, http.StatusOK, ask(t, story, "GET", "/health", "", "").status)
	})
}

func TestDeliveriesAreNoted(t *testing.T) {
	w := demo.New(secret, demo.Options{MaxRecords: 3})
	story := w.Story("a")
	ask(t, story, "GET", "/health", "", "", "X-Demo-Id", "not-a-delivery")
	for n := range 4 {
		ask(t, story, "POST", "/api/v1/auth/login", "", `{}`, "X-Demo-Id", fmt.Sprint("post-", n), "X-Request-ID", "other")
	}
	ask(t, story, "DELETE", "/api/v1/characters/x", "", "", "X-Request-ID", "request-1")
	s := story.Stats()
	assert.EqualValues(t, 6, s.Requests)
	assert.EqualValues(t, 2, s.Forgotten)
	assert.Equal(t, []demo.Delivery{
		{ID: "post-2", Method: "POST", Path: "/api/v1/auth/login"},
		{ID: "post-3", Method: "POST", Path: "/api/v1/auth/login"},
		{ID: "request-1", Method: "DELETE", Path: "/api/v1/characters/x"},
	}, s.Delivered)
	assert.Equal(t, []string{"post-2"}, demo.Twice(append(s.Delivered, s.Delivered[0])))
}

func TestAStoppedInstanceHangsUp(t *testing.T) {
	story := newWorld().Story("a")
	client := serve(t, story)
	story.Stop()
	_, err := client.Get("http://demo/health")
	require.Error(t, err)
	assert.False(t, story.Stats().Running)
	assert.Zero(t, story.Stats().Requests, "nothing was delivered")
	story.Start()
	reply, err := client.Get("http://demo/health")
	require.NoError(t, err)
	defer reply.Body.Close()
	assert.Equal(t, http.StatusOK, reply.StatusCode)
}

func TestManyPlayersAtOnce(t *testing.T) {
	w := demo.New(secret, demo.Options{MaxRecords: 20})
	a, b := w.Story("a"), w.Story("b")
	token := w.AccessToken(w.Accounts()[0])
	var players sync.WaitGroup
	for n := range 8 {
		players.Go(func() {
			for turn := range 20 {
				body := fmt.Sprintf(`{"session_id":"evening-%d","message":"look %d"}`, (n*turn)%30, turn)
				ask(t, []http.Handler{a, b}[turn%2], "POST", "/api/v1/conversation/send", token, body)
				ask(t, b, "GET", "/api/v1/sessions/", token, "")
				ask(t, a, "GET", "/api/v1/players/"+w.Accounts()[0].ID+"/export", token, "")
				ask(t, a, "PUT", "/api/v1/players/"+w.Accounts()[0].ID+"/settings/privacy", token, `{"a":1}`)
				ask(t, b, "GET", "/api/v1/players/"+w.Accounts()[0].ID+"/settings", token, "")
			}
		})
	}
	players.Wait()
	assert.EqualValues(t, 20, ask(t, a, "GET", "/api/v1/sessions/", token, "").at("count"), "and the store is bounded")
}

func TestAProxyOnThisMachineIsBelieved(t *testing.T) {
	story := demo.New(secret, demo.Options{Calls: 1}).Story("a")
	asks := func(peer, forwarded string) int {
		r := httptest.NewRequest("GET", "/health", nil)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", forwarded)
		w := httptest.NewRecorder()
		story.ServeHTTP(w, r)
		return w.Code
	}
	assert.Equal(t, http.StatusOK, asks("127.0.0.1:1", "198.51.100.1, 192.0.2.1"))
	assert.Equal(t, http.StatusOK, asks("127.0.0.1:2", "192.0.2.2"))
	assert.Equal(t, http.StatusTooManyRequests, asks("127.0.0.1:3", "192.0.2.1"))
	assert.Equal(t, http.StatusOK, asks("203.0.113.9:1", "192.0.2.3"))
	assert.Equal(t, http.StatusTooManyRequests, asks("203.0.113.9:2", "192.0.2.4"), "others may claim what they like")
}

func TestEveryRouteOfTheFrontEndAnswers(t *testing.T) {
	w := newWorld()
	story, who := w.Story("a"), account(t, w, "admin")
	token := w.AccessToken(who)
	ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-1","message":"hello"}`)
	own := "/api/v1/players/" + who.ID
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v1/auth/me", "", 200},
		{"POST", "/api/v1/auth/verify-token", "", 200},
		{"POST", "/api/v1/auth/mfa/verify", "{}", 400},
		{"GET", "/api/v1/openrouter/auth/user-info", "", 401},
		{"POST", "/api/v1/openrouter/auth/logout", "", 200},
		{"PATCH", own + "/privacy-settings", `{"data_collection_consent":true}`, 200},
		{"PUT", own + "/settings/therapeutic", `{}`, 200},
		{"PUT", own + "/settings/notifications", `{}`, 200},
		{"PUT", "/api/v1/sessions/evening-1", `{"therapeutic_settings":{"intensity_level":"low"}}`, 200},
		{"GET", "/api/v1/conversation/evening-1/analytics", "", 200},
		{"GET", "/api/v1/conversation/statistics", "", 200},
		{"GET", "/api/v1/conversation/health", "", 200},
		{"GET", "/api/v1/health/startup", "", 200},
		{"GET", "/api/v1/health/unknown", "", 404},
		{"HEAD", "/api/v1/worlds/", "", 200},
		{"PUT", own, `nonsense`, 422},
		{"PUT", own + "/settings/privacy", `nonsense`, 422},
		{"POST", "/api/v1/conversation/evening-1/goals", `{"goals":"one"}`, 422},
		{"POST", "/api/v1/gameplay/message", `nonsense`, 422},
		{"POST", "/api/v1/gameplay/sessions", `nonsense`, 422},
		{"POST", "/api/v1/worlds/world-library/customize", `nonsense`, 422},
		{"POST", "/api/v1/sessions/", `{}`, 422},
	} {
		a := ask(t, story, tt.method, tt.path, token, tt.body)
		assert.Equal(t, tt.status, a.status, "%s %s: %s", tt.method, tt.path, a.raw)
	}
}

func TestTheSchemeOfARedirectIsThatOfTheClient(t *testing.T) {
	w := newWorld()
	r := httptest.NewRequest("GET", "http://tta.example/api/v1/worlds", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("Authorization", "Bearer "+w.AccessToken(account(t, w, "player")))
	recorder := httptest.NewRecorder()
	w.Story("a").ServeHTTP(recorder, r)
	assert.Equal(t, "https://tta.example/api/v1/worlds/", recorder.Header().Get("Location"))
}
