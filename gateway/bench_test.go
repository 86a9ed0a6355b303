package gateway_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

// full is everything that a request to a public deployment passes.
func full(b *testing.B) []gateway.Option {
	m, err := metrics.New(prometheus.NewRegistry())
	require.NoError(b, err)
	return []gateway.Option{
		gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC(gatewaytest.Secret)}),
		gateway.WithQuotas(gateway.Quotas{Default: ratelimit.Rate{N: 1_000_000, Per: time.Second}, Therapeutic: ratelimit.Rate{N: 1_000_000, Per: time.Second}}),
		gateway.WithMetrics(m),
		gateway.WithLogger(slog.New(slog.NewJSONHandler(io.Discard, nil))),
		gateway.WithAdmission(&ratelimit.Admission{Limit: 1000}),
	}
}

// plain is as little as there can be.
var plain = []gateway.Option{gateway.WithAccessLog(false), gateway.WithSecurityHeaders(gateway.SecurityHeaders{})}

const chatBody = `{"session_id":"7b0c2f9e","message":"I light the lantern and walk down to the old harbour, where the boats creak in the wind. Is my sister there? I have not seen her since the storm, and I would like to tell her that I am sorry for what I said. Then I sit down on the pier and wait until somebody comes along the shore."}`

// serve sends one request after the other, as a server would.
func serve(b *testing.B, g http.Handler, method, path, body string, token string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	header := http.Header{
		"Accept": {"*/*"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"},
		"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"},
	}
	w := &answer{header: http.Header{}}
	reader := strings.NewReader(body)
	b.ReportAllocs()
	for b.Loop() {
		r := &http.Request{Method: method, Host: "gateway.test", RequestURI: path, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			RemoteAddr: "192.0.2.1:1234", Body: http.NoBody}
		r.URL = urlOf(path)
		if body != "" {
			reader.Reset(body)
			r.Body, r.ContentLength = io.NopCloser(reader), int64(len(body))
		}
		clear(w.header)
		w.status = 0
		g.ServeHTTP(w, r.WithContext(ctx))
	}
	b.StopTimer()
	require.Equal(b, http.StatusOK, w.status)
}

// BenchmarkPipeline is the way of a request without any network: what the
// gateway itself costs.
func BenchmarkPipeline(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(jsonBody)
	})
	guard := gateway.WithGuard(&safety.Guard{Inspector: detect.Default()})
	token := authtest.Token(b, gatewaytest.Secret, auth.Identity{Subject: "p", Player: "p", Roles: []string{auth.RolePlayer}})
	routes := gateway.WithRoutes(
		gateway.Route{Pattern: "/open/", Handler: handler, Allow: auth.Anyone, Inspect: safety.NotInspected("a benchmark")},
		gateway.Route{Pattern: "/known/", Handler: handler, Inspect: safety.NotInspected("a benchmark")},
		gateway.Route{Pattern: "/chat/", Handler: handler, Lane: ratelimit.Therapeutic, Inspect: safety.Rule{Fields: []string{"message"}}},
		gateway.Route{Pattern: "/chat/unheard/", Handler: handler, Lane: ratelimit.Therapeutic, Inspect: safety.NotInspected("a benchmark")},
	)
	run := func(name, method, path, body string, options ...gateway.Option) {
		b.Run(name, func(b *testing.B) {
			g, err := gateway.New(append(options, routes)...)
			require.NoError(b, err)
			serve(b, g, method, path, body, token)
		})
	}
	run("plain", "GET", "/open/x", "", plain...)
	run("log", "GET", "/open/x", "", gateway.WithLogger(slog.New(slog.NewJSONHandler(io.Discard, nil))))
	run("full", "GET", "/known/x", "", full(b)...)
	run("full POST", "POST", "/chat/unheard/x", chatBody, full(b)...)
	run("full POST inspected", "POST", "/chat/x", chatBody, append(full(b), guard)...)
}

// BenchmarkForward adds a service behind a loopback socket, in this process:
// its server is in the figures too.
func BenchmarkForward(b *testing.B) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(jsonBody)
	}))
	defer service.Close()
	registry, err := discovery.NewStatic(map[string][]string{"s": {service.URL}})
	require.NoError(b, err)
	token := authtest.Token(b, gatewaytest.Secret, auth.Identity{Subject: "p", Player: "p", Roles: []string{auth.RolePlayer}})
	routes := gateway.WithRoutes(gateway.Route{Pattern: "/open/", Service: "s", Allow: auth.Anyone}, gateway.Route{Pattern: "/known/", Service: "s"})
	run := func(name, method, path, body string, options ...gateway.Option) {
		b.Run(name, func(b *testing.B) {
			g, err := gateway.New(append(options, routes, gateway.WithRegistry(registry))...)
			require.NoError(b, err)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- g.Run(ctx) }()
			serve(b, g, method, path, body, token)
			cancel()
			<-done
		})
	}
	run("plain", "GET", "/open/x", "", plain...)
	run("plain POST", "POST", "/open/x", chatBody, plain...)
	run("full", "GET", "/known/x", "", full(b)...)
}

// SetReadDeadline and SetWriteDeadline are what a server's writer has.
func (a *answer) SetReadDeadline(time.Time) error  { return nil }
func (a *answer) SetWriteDeadline(time.Time) error { return nil }

var (
	jsonType = []string{"application/json"}
	jsonBody = []byte(`{"ok":true,"text":"` + strings.Repeat("x", 1000) + `"}`)
)

func urlOf(path string) *url.URL { return &url.URL{Path: path} }
