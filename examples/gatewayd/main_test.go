package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "TTA_GATEWAY_JWT_SECRET_KEY=k7Jq2-Zp9xVw4nTb8mRs6yLd3hGf1cQa-Ue5"

// output is what a program writes, while others read it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func run(environ []string, args ...string) (code int, out, log string) {
	var stdout, stderr output
	p := &program{args: args, environ: environ, out: &stdout, log: &stderr}
	return p.main(), stdout.String(), stderr.String()
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		desc    string
		args    []string
		environ []string
		code    int
		says    string
	}{
		{"version", []string{"-version"}, nil, 0, "gatewayd "},
		{"help", []string{"-help"}, nil, 0, "-demo"},
		{"unknown flag", []string{"-frobnicate"}, nil, 2, "not defined"},
		{"an argument", []string{"serve"}, nil, 2, `"serve" is not understood`},
		{"no secret", nil, nil, 2, "TTA_GATEWAY_JWT_SECRET_KEY: not set"},
		{"bad settings", []string{"-check"}, []string{"TTA_GATEWAY_PORT=x", "TTA_GATEWAY_DEBUG=perhaps"}, 2, "TTA_GATEWAY_DEBUG"},
		{"good settings", []string{"-check"}, []string{secret}, 0, "the settings are good"},
		{"a demo in production", []string{"-demo"}, []string{"TTA_ENVIRONMENT=production"}, 2, "no place in production"},
		{"a demo with another algorithm", []string{"-demo"}, []string{"TTA_GATEWAY_JWT_ALGORITHM=HS512"}, 2, "HS256"},
		{"a demo for others", []string{"-demo"}, []string{"TTA_GATEWAY_HOST=0.0.0.0"}, 2, "this machine only"},
		{"routes", []string{"-routes"}, []string{secret}, 0, "/api/v1/gameplay/message/"},
		{"routes as a file", []string{"-routes", "-o", "yaml"}, []string{secret}, 0, "version: 1"},
		{"routes as what", []string{"-routes", "-o", "xml"}, []string{secret}, 2, "text or yaml"},
		{"health of nobody", []string{"-health"}, []string{"TTA_GATEWAY_PORT=1"}, 1, "connection refused"},
		{"settings", []string{"-config"}, []string{secret}, 0, "TTA_GATEWAY_PORT"},
		{"wrong settings are shown, too", []string{"-config"}, []string{"TTA_GATEWAY_LOG_LEVEL=loud"}, 2, "loud"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			code, out, log := run(tt.environ, tt.args...)
			assert.Equal(t, tt.code, code, log)
			assert.Contains(t, out+log, tt.says)
			assert.NotContains(t, out+log, "k7Jq2", "a secret is never shown")
		})
	}
}

func TestRoutesThatArePrintedCanBeServed(t *testing.T) {
	_, table, _ := run([]string{secret}, "-routes", "-o", "yaml")
	file := t.TempDir() + "/routes.yaml"
	require.NoError(t, os.WriteFile(file, []byte(table), 0o600))
	code, _, log := run([]string{secret, "TTA_GATEWAY_ROUTES_FILE=" + file}, "-check")
	assert.Equal(t, 0, code, log)
}

// started is a gatewayd that runs in this process.
type started struct {
	t        *testing.T
	url      string
	out, log *output
	done     chan int
}

// start runs gatewayd until the test ends it by a signal.
func start(t *testing.T, environ []string, args ...string) *started {
	t.Helper()
	s := &started{t: t, out: &output{}, log: &output{}, done: make(chan int, 1)}
	p := &program{args: args, environ: append([]string{"TTA_GATEWAY_PORT=0"}, environ...), out: s.out, log: s.log}
	go func() { s.done <- p.main() }()
	address := regexp.MustCompile(`"msg":"serving","address":"([^"]+)"`)
	require.Eventually(t, func() bool {
		found := address.FindStringSubmatch(s.log.String())
		if found != nil {
			s.url = "http://" + found[1]
		}
		return found != nil
	}, 10*time.Second, 5*time.Millisecond, "it serves: %s", s.log)
	require.Eventually(t, func() bool { return s.get("/health/ready").StatusCode == 200 }, 10*time.Second, 5*time.Millisecond, "it is ready")
	return s
}

// end sends SIGTERM to this process, which only gatewayd listens to now.
func (s *started) end() int {
	require.NoError(s.t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	return <-s.done
}

func (s *started) do(method, path, body, token string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	require.NoError(s.t, err)
	content, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	resp.Body = io.NopCloser(bytes.NewReader(content))
	return resp
}

func (s *started) get(path string) *http.Response { return s.do(http.MethodGet, path, "", "") }

func text(resp *http.Response) string {
	content, _ := io.ReadAll(resp.Body) // it is in memory
	return string(content)
}

// TestDemo is what a newcomer does in his first minute.
func TestDemo(t *testing.T) {
	s := start(t, []string{"TTA_GATEWAY_JWT_EXPIRE_MINUTES=7"}, "-demo")
	require.Eventually(t, func() bool { return strings.Contains(s.out.String(), "/stop") }, 10*time.Second, 5*time.Millisecond)
	account := regexp.MustCompile(`"username":"(\w+)","password":"([^"]+)"`).FindStringSubmatch(s.out.String())
	require.NotNil(t, account, "the commands name an account:\n%s", s.out)

	login := s.do("POST", "/api/v1/auth/login", `{"username":"`+account[1]+`","password":"`+account[2]+`"}`, "")
	require.Equal(t, 200, login.StatusCode)
	var granted struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	require.NoError(t, json.NewDecoder(login.Body).Decode(&granted))
	assert.Equal(t, 7*60, granted.Expires)

	assert.Equal(t, 200, s.get("/demo/").StatusCode, "the chat page")
	assert.Equal(t, 401, s.get("/api/v1/worlds").StatusCode)
	assert.Equal(t, 200, s.do("GET", "/api/v1/worlds/", "", granted.Token).StatusCode)

	t.Log("the story goes on, and only who is in crisis gets help")
	calm := text(s.do("POST", "/api/v1/conversation/send", `{"session_id":"first-evening","message":"walk to the lighthouse"}`, granted.Token))
	assert.Contains(t, calm, "response")
	assert.NotContains(t, calm, "crisis_resources")
	crisis := text(s.do("POST", "/api/v1/conversation/send", `{"session_id":"first-evening","message":"I am going to end my life tonight"}`, granted.Token))
	assert.Contains(t, crisis, "crisis_resources")

	t.Log("one instance stops: nobody who reads notices")
	stop := regexp.MustCompile(`http://127\.0\.0\.1:\d+/demo/story-a/stop`).FindString(s.out.String())
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post(stop, "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Less(t, resp.StatusCode, 300)
	for range 20 {
		assert.Equal(t, 200, s.do("GET", "/api/v1/worlds/", "", granted.Token).StatusCode)
	}
	assert.Equal(t, 0, s.end())
	for _, never := range []string{"lighthouse", "end my life", granted.Token, account[2]} {
		assert.NotContains(t, s.log.String(), never, "nothing that was said, and no token, is in the log")
	}
}

func TestHealthAsksARunningOne(t *testing.T) {
	s := start(t, []string{secret})
	port := s.url[strings.LastIndex(s.url, ":")+1:]
	code, out, log := run([]string{"TTA_GATEWAY_PORT=" + port}, "-health")
	assert.Equal(t, 0, code, log)
	assert.Contains(t, out, "ready")
	code, _, _ = run([]string{"TTA_GATEWAY_PORT=" + port, "TTA_GATEWAY_HOST=0.0.0.0"}, "-health")
	assert.Equal(t, 0, code, "where it listens everywhere, this machine is asked")
	assert.Equal(t, 0, s.end())
}

func TestHangupReadsSettingsAgain(t *testing.T) {
	file := t.TempDir() + "/routes.yaml"
	write := func(path string) {
		require.NoError(t, os.WriteFile(file, []byte("version: 1\nroutes:\n  - {pattern: "+path+", service: s, allow: anyone}\n"), 0o600))
	}
	write("/one")
	s := start(t, []string{secret, "TTA_GATEWAY_ROUTES_FILE=" + file})
	assert.Equal(t, 404, s.get("/two").StatusCode)
	write("/two")
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "changed settings are in force") }, 10*time.Second, 5*time.Millisecond)
	assert.Equal(t, 503, s.get("/two").StatusCode, "nobody serves it, but it is a route")
	assert.Equal(t, 404, s.get("/one").StatusCode)
	assert.Equal(t, 0, s.end())
}

func TestAPortThatIsTakenIsAFailure(t *testing.T) {
	s := start(t, []string{secret})
	port := s.url[strings.LastIndex(s.url, ":")+1:]
	code, _, log := run([]string{secret, "TTA_GATEWAY_PORT=" + port})
	assert.Equal(t, 1, code)
	assert.Contains(t, log, "cannot listen on 127.0.0.1:"+port)
	assert.Equal(t, 0, s.end())
}

func TestTracesGoWhereTheyAreWanted(t *testing.T) {
	none, err := startTracing(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT="}, "v1")
	require.NoError(t, err)
	assert.Empty(t, none.options)
	some, err := startTracing(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}, "v1")
	require.NoError(t, err)
	assert.Len(t, some.options, 1)
	some.stop()
}
