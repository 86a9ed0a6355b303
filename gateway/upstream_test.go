package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/metrics"
)

// TestEveryFaultIsNamed: an answer that the gateway made says so, and why (RFC
// 9209); with either transport the same.
func TestEveryFaultIsNamed(t *testing.T) {
	tests := []struct {
		desc   string
		answer string // of a service; "" = it says nothing
		dial   func(context.Context, string, string) (net.Conn, error)
		status int
		code   string
		proxy  string
	}{
		{"refused", "", refusedDial, 502, "upstream_unreachable", "connection_refused"},
		{"no such name", "", func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Name: "s", Err: "no such host", IsNotFound: true}}
		}, 502, "upstream_unreachable", "dns_error"},
		{"nobody answers the connection", "", func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
		}, 502, "upstream_unreachable", "connection_timeout"},
		{"closes without a word", cutHere, nil, 502, "upstream_failed", "connection_terminated"},
		{"breaks off in the head", "HTTP/1.1 200 OK\r\nContent-" + cutHere, nil, 502, "upstream_failed", "http_response_incomplete"},
		{"is not HTTP", "220 smtp.example ESMTP\r\n\r\n", nil, 502, "upstream_protocol", "http_protocol_error"},
		{"switches protocols unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", nil, 502, "upstream_protocol", "http_upgrade_failed"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			b := newBackend(t, func(int, string) string { return tt.answer })
			carrier := &gateway.Transport{DialContext: tt.dial, ConnectTimeout: 100 * time.Millisecond}
			t.Cleanup(carrier.CloseIdleConnections)
			addr := listen(t, b.url(), gateway.WithTransport(carrier), open("s"), gateway.WithService("s", gateway.Service{Retries: -1}))
			resp, err := http.Get("http://" + addr + "/")
			require.NoError(t, err)
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			assert.Equal(t, tt.status, resp.StatusCode)
			assert.Contains(t, string(body), `"code":"`+tt.code+`"`)
			if tt.proxy == "http_upgrade_failed" && strings.Contains(resp.Header.Get("Proxy-Status"), "http_protocol_error") {
				return // h1 itself takes a 101 that nobody asked for as no HTTP at all
			}
			assert.Equal(t, "tta-gateway; error="+tt.proxy, resp.Header.Get("Proxy-Status"))
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func refusedDial(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

// TestAnOutageIsNotAmplified: when nobody answers, services are asked at most
// 1.2 times as often as the gateway is.
func TestAnOutageIsNotAmplified(t *testing.T) {
	for _, before := range []int{0, 2000} { // good times beforehand save nothing up
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var broken atomic.Bool
				var asked atomic.Int64
				service := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					asked.Add(1)
					if broken.Load() {
						panic(http.ErrAbortHandler)
					}
				})
				gw := gatewaytest.New(t, gatewaytest.Services{"s": service}, open("s"), gateway.WithAccessLog(false),
					gateway.WithService("s", gateway.Service{Breaker: noBreaker, Outlier: func() *health.Outlier { return nil }}))
				gw.Add("s", service)
				gw.Add("s", service)
				for range before {
					require.Equal(t, 200, gw.Get("/").Status)
				}
				time.Sleep(time.Second)
				broken.Store(true)
				asked.Store(0)
				const n = 2000
				for range n {
					require.Equal(t, 502, gw.Get("/").Status)
					time.Sleep(5 * time.Millisecond) // 200 a second
				}
				// A pooled connection that turns out dead is replaced by the HTTP/1.1
				// client, once, and what was sent on it goes again: one request for
				// each connection that the good times left, beside the budget.
				pooled := float64(min(before, 3))
				assert.LessOrEqual(t, float64(asked.Load()), 1.2*n+pooled)
				assert.Greater(t, float64(asked.Load()), 1.1*n, "what may be repeated is, as far as that goes")
			})
		})
	}
}

// TestFewRequestsMayBeRepeatedAllTheSame: a fifth of little is nothing.
func TestFewRequestsMayBeRepeatedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, open("s"), gateway.WithService("s", gateway.Service{Balancer: first{}}))
		gw.Add("s", answering("y"))
		gw.Instance("s", 0).Stop()
		for i := range 4 {
			want := 200
			if i == 3 {
				want = 502 // the fourth retry within one second
			}
			assert.Equal(t, want, gw.Get("/").Status)
		}
		time.Sleep(time.Second)
		assert.Equal(t, 200, gw.Get("/").Status)
	})
}

// TestRetriesPause: those who failed together do not come back together; but
// nobody in a crisis is made to wait.
func TestRetriesPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, open("s"), gateway.WithGuard(crisis()), gateway.WithService("s", gateway.Service{Balancer: first{}}))
		gw.Add("s", answering("y"))
		gw.Instance("s", 0).Stop()
		pauses := map[time.Duration]bool{}
		for range 10 {
			began := time.Now()
			require.Equal(t, 200, gw.Get("/").Status)
			pause := time.Since(began)
			assert.LessOrEqual(t, pause, 26*time.Millisecond)
			pauses[pause] = true
			time.Sleep(time.Second)
		}
		assert.Greater(t, len(pauses), 5)
		began := time.Now()
		require.Equal(t, 200, gw.Post("/", `{"message":"i want to die"}`).Status)
		assert.LessOrEqual(t, time.Since(began), time.Millisecond)
	})
}

// TestCrisisPrefersTheWell: force is for when nobody else is left.
func TestCrisisPrefersTheWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ill := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ill", 500) })
		gw := gatewaytest.New(t, gatewaytest.Services{"s": ill}, open("s"), gateway.WithGuard(crisis()), gateway.WithService("s", gateway.Service{
			Balancer: first{},
			Breaker:  func(string) *health.Breaker { return &health.Breaker{Threshold: 1} },
			Outlier:  func() *health.Outlier { return nil },
		}))
		gw.Add("s", answering("well"))
		require.Equal(t, 500, gw.Get("/").Status)
		for range 5 {
			assert.Contains(t, gw.Post("/", `{"message":"i want to die"}`).Body, "well")
		}
		assert.Equal(t, 1, gw.Instance("s", 0).Requests())
	})
}

// TestWhoStandsOutRests: one bad instance among good ones is left out, also
// when it answers well and then breaks off; alone it never is.
func TestWhoStandsOutRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		reg := prometheus.NewRegistry()
		m, err := metrics.New(reg)
		require.NoError(t, err)
		gw := gatewaytest.New(t, gatewaytest.Services{"s": cut}, open("s"), gateway.WithMetrics(m),
			gateway.WithService("s", gateway.Service{Balancer: discovery.NewRoundRobin(), SlowStart: time.Second}))
		gw.Add("s", answering("good"))
		gw.Add("s", answering("good"))
		failed := 0
		for range 60 {
			if _, err := gw.Try("GET", "/", ""); err != nil {
				failed++
			}
		}
		assert.Equal(t, 5, failed)
		assert.Equal(t, 1.0, value(t, reg, "gateway_ejected_instances", "service", "s"))
		time.Sleep(time.Minute)
		for range 100 {
			_, _ = gw.Try("GET", "/", "")
			time.Sleep(100 * time.Millisecond)
		}
		assert.Greater(t, gw.Instance("s", 0).Requests(), 5, "it is asked again after its rest")
	})
}

// value reads one sample by the end of its name.
func value(t *testing.T, reg *prometheus.Registry, name, label, want string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	var known []string
	for _, f := range families {
		known = append(known, f.GetName())
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label && l.GetValue() == want {
					return m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Fatalf("no %s{%s=%q} among %v", name, label, want, known)
	return 0
}

// TestBreakersAreCounted: from none to open and back, per service.
func TestBreakersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m, err := metrics.New(reg)
		require.NoError(t, err)
		var told []string
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ill", 500) })},
			open("s"), gateway.WithMetrics(m), gateway.WithService("s", gateway.Service{Breaker: func(string) *health.Breaker {
				return &health.Breaker{Threshold: 2, OnChange: func(from, to health.State) { told = append(told, from.String()+"→"+to.String()) }}
			}}))
		gw.Get("/")
		assert.Equal(t, 1.0, value(t, reg, "gateway_breakers", "state", "closed"))
		gw.Get("/")
		assert.Equal(t, 1.0, value(t, reg, "gateway_breakers", "state", "open"))
		assert.Equal(t, []string{"closed→open"}, told, "the host's own func is told too")
	})
}

// TestWhoJoinsBeginsSlowly: a new instance among others gets less than its
// share at first, and all of it in the end.
func TestWhoJoinsBeginsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("old")}, open("s"), gateway.WithAccessLog(false),
			gateway.WithService("s", gateway.Service{Balancer: discovery.NewRoundRobin(), SlowStart: 100 * time.Second}))
		require.Equal(t, 200, gw.Get("/").Status)
		joined := gw.Add("s", answering("new"))
		for range 100 {
			gw.Get("/")
		}
		assert.Less(t, joined.Requests(), 20)
		time.Sleep(100 * time.Second)
		before := joined.Requests()
		for range 100 {
			gw.Get("/")
		}
		assert.InDelta(t, 50, joined.Requests()-before, 5)
	})
}

// TestStickyBySubject: a player stays with the instance that has the story.
func TestStickyBySubject(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("1")},
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Known}),
		gateway.WithService("s", gateway.Service{Balancer: discovery.NewHash(gateway.BySubject)}))
	for i := 2; i <= 4; i++ {
		gw.Add("s", answering(fmt.Sprint(i)))
	}
	used := map[string]bool{}
	for player := range 20 {
		as := gw.As(fmt.Sprint("player", player))
		home := gw.Get("/", as).Body
		used[home] = true
		for range 5 {
			assert.Equal(t, home, gw.Get("/", as).Body)
		}
	}
	assert.Greater(t, len(used), 1)
	assert.Empty(t, gateway.BySubject(&http.Request{}), "outside a gateway there is no subject")
}

func TestServiceSettingsAreChecked(t *testing.T) {
	_, err := gateway.New(gateway.WithService("s", gateway.Service{Protocol: gateway.HTTP2, Transport: http.DefaultTransport}))
	assert.ErrorContains(t, err, "needs a *gateway.Transport")
	_, err = gateway.New(gateway.WithService("s", gateway.Service{Protocol: 9}))
	assert.ErrorContains(t, err, "is not a protocol")
	for _, p := range []gateway.Protocol{gateway.ProtocolAuto, gateway.HTTP1, gateway.HTTP2} {
		got, err := gateway.ParseProtocol(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, got)
	}
	_, err = gateway.ParseProtocol("spdy")
	assert.ErrorContains(t, err, "use auto, http1 or http2")
}
