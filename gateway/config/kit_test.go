package config_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/config"
)

const (
	secret   = "TTA_GATEWAY_JWT_SECRET_KEY=" + strong
	strong   = "k7Jq2-Zp9xVw4nTb8mRs6yLd3hGf1cQa-Ue5"
	stronger = "Wm4Xt-8bNq2-Lz7Rv5Kp3Yc9Hd6Js1Gf-Ao0"
)

// files are a file system of the test's own, whose content may change.
type files struct {
	mu  sync.Mutex
	all map[string]string
}

func newFiles(all map[string]string) *files { return &files{all: all} }

func (f *files) set(name, content string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[name] = content
}

func (f *files) read(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, ok := f.all[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

// load loads settings that must be good, beside a strong secret.
func load(t *testing.T, environ ...string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{Environ: append([]string{secret}, environ...), ReadFile: newFiles(nil).read})
	require.NoError(t, err)
	return c
}

// refused loads settings that must be wrong, and returns the complaints.
func refused(t *testing.T, environ ...string) string {
	t.Helper()
	_, err := config.Load(config.Source{Environ: environ, ReadFile: newFiles(nil).read})
	var settings *config.Error
	require.ErrorAs(t, err, &settings)
	return settings.Error()
}

// log is what a gateway under test writes.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// build makes parts and a gateway of them, which is not run.
func build(t *testing.T, c *config.Config, host config.Host) (*config.Parts, *gateway.Gateway) {
	t.Helper()
	parts, err := c.Build(host)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, parts.Close()) })
	g, err := gateway.New(parts.Options()...)
	require.NoError(t, err)
	return parts, g
}

// serveFor runs a gateway of settings on loopback until the test ends, and
// returns where.
func serve(t *testing.T, c *config.Config, host config.Host) (url string, parts *config.Parts, g *gateway.Gateway) {
	t.Helper()
	parts, err := c.Build(host)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := parts.Listen(ctx)
	require.NoError(t, err)
	g, err = gateway.New(parts.Options()...)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, parts.Close())
	})
	return "http://" + ln.Addr().String(), parts, g
}

// get asks a gateway that is not on a network.
func get(g http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	return ask(g, http.MethodGet, path, "", headers...)
}

// ask sends a request as from a stranger's address. Headers are "Name: value".
func ask(g http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, content)
	r.RemoteAddr = "192.0.2.7:1234"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Host":
			r.Host = value
		case "From":
			r.RemoteAddr = net.JoinHostPort(value, "1234")
			if value == "127.0.0.1" {
				r.Host = "127.0.0.1:8000" // as who is on this machine calls it
			}
		default:
			r.Header.Add(name, value)
		}
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// upstream is a service that answers everything, and counts.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		u.mu.Lock()
		u.requests = append(u.requests, r.Method+" "+r.URL.Path)
		u.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"response":"the lighthouse is lit"}`)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.requests)
}

// soon is a deadline of tests for what has no way but the clock of the
// network; nothing depends on how fast it is.
const soon = 10 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, soon, 5*time.Millisecond, what)
}
