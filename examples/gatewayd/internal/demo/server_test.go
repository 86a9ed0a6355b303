package demo_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

// running serves instances of one world on loopback for as long as the test lasts.
func running(t *testing.T, w *demo.World, names ...string) []*demo.Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() { cancel(); serving.Wait() })
	var servers []*demo.Server
	for _, name := range names {
		s, err := demo.Listen(w.Story(name), "127.0.0.1:0")
		require.NoError(t, err)
		serving.Go(func() { assert.NoError(t, s.Run(ctx)) })
		get(t, s.URL()+"/health")
		servers = append(servers, s)
	}
	return servers
}

var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func get(t *testing.T, url string) string {
	t.Helper()
	reply, err := direct.Get(url)
	require.NoError(t, err)
	defer reply.Body.Close()
	require.Equal(t, http.StatusOK, reply.StatusCode)
	return readAll(t, reply.Body)
}

func TestAServerStopsAndStartsOnTheSameAddress(t *testing.T) {
	s := running(t, newWorld(), "story-a")[0]
	for range 3 {
		s.Stop()
		s.Stop()
		assert.False(t, s.Running())
		_, err := direct.Get(s.URL() + "/health")
		require.ErrorContains(t, err, "connection refused")
		require.NoError(t, s.Start())
		require.NoError(t, s.Start())
		assert.True(t, s.Running())
		get(t, s.URL()+"/health")
	}
}

func TestStoppingBreaksOffWhatIsUnderWay(t *testing.T) {
	w := newWorld()
	s := running(t, w, "story-a")[0]
	token := w.AccessToken(w.Accounts()[0])
	socket, _, err := websocket.Dial(t.Context(), s.URL()+"/ws/chat?token="+token, nil)
	require.NoError(t, err)
	defer socket.CloseNow() //nolint:errcheck // ended already
	hear(t, socket)

	body := strings.NewReader(`{"session_id":"evening-1","message":"hello"}`)
	request, err := http.NewRequest("POST", s.URL()+"/api/v1/conversation/send?demo_delay=30s", body)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-Demo-Id", "turn-1")
	broken, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := direct.Do(request)
		broken <- err
	}()
	go func() {
		_, _, err := socket.Read(context.Background())
		ended <- err
	}()
	require.Eventually(t, func() bool { return len(s.Instance.Stats().Delivered) == 1 }, 10*time.Second, time.Millisecond)
	s.Stop()
	require.Error(t, <-broken, "the request had been delivered and has no answer")
	assert.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(<-ended))
	assert.Equal(t, "turn-1", s.Instance.Stats().Delivered[0].ID)
	history := ask(t, w.Story("story-b"), "GET", "/api/v1/conversation/evening-1/history", token, "")
	assert.Equal(t, http.StatusNotFound, history.status, "a process that was killed plays no more turns")
}

func TestOnlyARunServerStarts(t *testing.T) {
	s, err := demo.Listen(newWorld().Story("story-a"), "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorContains(t, s.Start(), `demo: instance "story-a" is not being run`)
	s.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, s.Run(ctx))
	require.Error(t, s.Start())
}

func TestAnAddressTakenMeanwhile(t *testing.T) {
	s := running(t, newWorld(), "story-a")[0]
	s.Stop()
	squatter, err := net.Listen("tcp", strings.TrimPrefix(s.URL(), "http://"))
	require.NoError(t, err)
	require.ErrorContains(t, s.Start(), "address already in use")
	require.NoError(t, squatter.Close())
	require.NoError(t, s.Start())
}

func TestTheDemoServesLoopbackOnly(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "192.0.2.1:80", "example.org:80", "[::]:0", ""} {
		_, err := demo.Listen(newWorld().Story("story-a"), addr)
		require.ErrorContains(t, err, "not a loopback address", addr)
	}
}

func steer(t *testing.T, h http.Handler, method, path string, change func(*http.Request)) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:5555", "127.0.0.1:8001"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &body)
	return w.Code, body
}

func TestControl(t *testing.T) {
	servers := running(t, newWorld(), "story-a", "story-b")
	control := demo.Control(servers...)
	status, body := steer(t, control, "POST", "/demo/story-a/stop", nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, map[string]any{"name": "story-a", "running": false}, body)
	_, body = steer(t, control, "GET", "/demo", nil)
	assert.Equal(t, false, body["instances"].([]any)[0].(map[string]any)["running"])
	assert.Equal(t, true, body["instances"].([]any)[1].(map[string]any)["running"])
	assert.Equal(t, []any{}, body["delivered_twice"])
	_, body = steer(t, control, "POST", "/demo/story-a/start", nil)
	assert.Equal(t, true, body["running"])
	_, body = steer(t, control, "GET", "/demo/story-b/stats", nil)
	assert.EqualValues(t, 1, body["requests"])
	status, _ = steer(t, control, "POST", "/demo/story-c/stop", nil)
	assert.Equal(t, http.StatusNotFound, status)
	status, _ = steer(t, control, "GET", "/demo/story-a/stop", nil)
	assert.Equal(t, http.StatusMethodNotAllowed, status)
}

func TestControlSeesADeliveryMadeTwice(t *testing.T) {
	servers := running(t, newWorld(), "story-a", "story-b")
	for _, s := range servers {
		request, err := http.NewRequest("POST", s.URL()+"/api/v1/auth/login", strings.NewReader("{}"))
		require.NoError(t, err)
		request.Header.Set("X-Demo-Id", "turn-1")
		reply, err := direct.Do(request)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
	}
	_, body := steer(t, demo.Control(servers...), "GET", "/demo", nil)
	assert.Equal(t, []any{"turn-1"}, body["delivered_twice"])
}

func TestControlIsForThisMachineOnly(t *testing.T) {
	control := demo.Control()
	for desc, change := range map[string]func(*http.Request){
		"another machine":                     func(r *http.Request) { r.RemoteAddr = "192.0.2.7:5555" },
		"through a proxy":                     func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.7") },
		"a name that was resolved to this":    func(r *http.Request) { r.Host = "evil.example" },
		"a page of another site (fetch meta)": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a page of another site (origin)":     func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		status, _ := steer(t, control, "POST", "/demo/story-a/stop", change)
		assert.Equal(t, http.StatusForbidden, status, desc)
	}
	status, _ := steer(t, control, "GET", "/demo", func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:5555", "localhost" })
	assert.Equal(t, http.StatusOK, status)
}
