package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

func TestSocketsHaveEveryPathThatRequestsHave(t *testing.T) {
	relayed := gateway.Route{Pattern: "/ws/{id}", Service: "story", Upgrade: true}
	tunnelled := relayed
	tunnelled.Inspect = safety.NotInspected("a test")
	rewritten := relayed
	rewritten.Rewrite = "/socket/of/{id}"
	for desc, rt := range map[string]gateway.Route{"relay": relayed, "tunnel": tunnelled, "rewritten": rewritten} {
		for _, id := range []string{"a|b", "a^b", "a`b", "{a}", "a%7Cb", "ü%20", "plain"} {
			t.Run(desc+" "+id, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := &chat{}
					gw := gatewaytest.New(t, gatewaytest.Services{"story": c}, gateway.WithGuard(crisis()), gateway.WithRoutes(rt))
					resp := answered(t, knock(t, gw, "/ws/"+id+"?q=a|b", "Authorization: Bearer "+gw.Token("ann")))
					if id == "ü%20" { // bytes above ASCII are refused for requests too
						assert.Equal(t, 400, resp.StatusCode)
						return
					}
					require.Equal(t, 101, resp.StatusCode)
					synctest.Wait()
					if desc != "rewritten" && assert.NotNil(t, c.handshake) {
						assert.Equal(t, "/ws/"+id+"?q=a|b", c.handshake.RequestURI, "as it came")
						assert.Equal(t, gatewaytest.Host, c.handshake.Host)
					}
				})
			})
		}
	}
}

func TestOddPathsOpenNoBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := gateway.Route{Pattern: "/ws/{id}", Service: "story", Upgrade: true}
		gw := gatewaytest.New(t, gatewaytest.Services{"story": &chat{}}, gateway.WithGuard(crisis()), gateway.WithRoutes(rt))
		for range 6 {
			_ = answered(t, knock(t, gw, "/ws/a|b", "Authorization: Bearer "+gw.Token("ann"))).Body.Close()
		}
		dial(t, gw, "/ws/good", gw.As("bob")).Break()
	})
}

// shouting is a service that says more than it should, and takes sockets or
// does not.
func shouting(take bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Safety-Severity", "none")
		h.Set("X-Crisis-Support", "none")
		h.Set("X-Frame-Options", "ALLOWALL")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("X-Request-Id", "the service's own")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("X-Hop", "mine")
		h.Add("Connection", "X-Hop")
		h.Set("Set-Cookie", "sticky=1")
		h.Set("X-Fine", "yes")
		if !take {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "no")
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err == nil {
			_ = conn.Close(1000, "")
		}
	}
}

func TestTunnelsAnswerByTheRulesOfAnswers(t *testing.T) {
	for _, take := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			rt := gateway.Route{Pattern: "/ws", Service: "s", Upgrade: true, Inspect: safety.NotInspected("a test")}
			gw := gatewaytest.New(t, gatewaytest.Services{"s": shouting(take)}, gateway.WithGuard(crisis()), gateway.WithRoutes(rt),
				gateway.WithCORS(gateway.CORS{Origins: []string{"https://play.example"}}))
			resp := answered(t, knock(t, gw, "/ws", "Authorization: Bearer "+gw.Token("ann"), "Origin: https://play.example"))
			h := resp.Header
			if take {
				require.Equal(t, 101, resp.StatusCode)
				assert.Equal(t, "ICX+Yqv66kxgM0FcWaLWlFLwTAI=", h.Get("Sec-WebSocket-Accept"), "the service's own word")
				assert.Equal(t, "websocket", h.Get("Upgrade"))
				assert.Equal(t, []string{"Upgrade"}, h["Connection"])
			} else {
				require.Equal(t, 418, resp.StatusCode)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "no", string(body))
			}
			hidden := []string{"X-Safety-Severity", "X-Crisis-Support", "Keep-Alive"}
			if !take { // the other one lists Upgrade
				hidden = append(hidden, "X-Hop")
			}
			for _, name := range hidden {
				assert.Empty(t, h[name], name)
			}
			assert.Equal(t, []string{"https://play.example"}, h["Access-Control-Allow-Origin"])
			assert.Equal(t, []string{"DENY"}, h["X-Frame-Options"])
			assert.NotEqual(t, "the service's own", h.Get("X-Request-Id"))
			assert.Len(t, h["X-Request-Id"], 1)
			assert.Equal(t, "sticky=1", h.Get("Set-Cookie"))
			assert.Equal(t, "yes", h.Get("X-Fine"))
		})
	}
}

// slowly is a service that takes its time to take a socket.
func slowly(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		next.ServeHTTP(w, r)
	})
}

func TestAHandshakeTakesAPlaceUntilItIsThrough(t *testing.T) {
	for desc, rule := range map[string]safety.Rule{"relay": {}, "tunnel": safety.NotInspected("a test")} {
		t.Run(desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true, Inspect: rule}
				admission := &ratelimit.Admission{Limit: 1, Queue: -1}
				gw := gatewaytest.New(t, gatewaytest.Services{"story": slowly(5*time.Second, &chat{})}, gateway.WithGuard(crisis()),
					gateway.WithAdmission(admission), gateway.WithRoutes(rt))
				first := knock(t, gw, "/ws", "Authorization: Bearer "+gw.Token("ann"))
				synctest.Wait()
				assert.Equal(t, 1, admission.InUse(ratelimit.Normal))
				_, refused := gw.Dial("/ws", gw.As("bob"))
				require.NotNil(t, refused)
				assert.Equal(t, 503, refused.Status)
				assert.NotEmpty(t, refused.Header.Get("Retry-After"))

				require.Equal(t, 101, answered(t, first).StatusCode)
				synctest.Wait()
				assert.Equal(t, 0, admission.InUse(ratelimit.Normal), "a live socket is counted elsewhere")
				dial(t, gw, "/ws", gw.As("bob")).Break()

				gw.Instance("story", 0).Stop()
				_, refused = gw.Dial("/ws", gw.As("bob"))
				require.NotNil(t, refused)
				synctest.Wait()
				assert.Equal(t, 0, admission.InUse(ratelimit.Normal), "nor is one that came to nothing")
			})
		})
	}
}

func TestAHostsOwnRequestIsLeftAsItWas(t *testing.T) {
	gw, _ := newChat(t)
	r := httptest.NewRequest(http.MethodGet, "/ws/chat?token="+gw.Token("ann")+"&a=1", nil)
	before := r.URL.String()
	gw.ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, before, r.URL.String())
	assert.Empty(t, r.Header)
}

func TestWhatComesWithTheHandshakeIsDeliveredAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := metrics.New(prometheus.NewRegistry())
		require.NoError(t, err)
		got := make(chan string, 1)
		eager := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome")
			buf := make([]byte, 5)
			_, _ = io.ReadFull(rw, buf)
			got <- string(buf)
		})
		rt := gateway.Route{Pattern: "/ws", Service: "s", Upgrade: true, Inspect: safety.NotInspected("a test")}
		gw := gatewaytest.New(t, gatewaytest.Services{"s": eager}, gateway.WithGuard(crisis()), gateway.WithMetrics(m), gateway.WithRoutes(rt))
		conn, err := gw.Network.DialContext(t.Context(), "tcp", gatewaytest.Host+":80")
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer "+gw.Token("ann")+"\r\n\r\nhello")
		require.NoError(t, err)
		all, err := io.ReadAll(conn)
		require.NoError(t, err)
		assert.Contains(t, string(all), "\r\n\r\nwelcome")
		assert.Equal(t, "hello", <-got)
		synctest.Wait()
		text := exposition(gw)
		assert.Regexp(t, `uninspected_bytes_total\{direction="request".*websocket.*\} 5\n`, text)
		assert.Regexp(t, `uninspected_bytes_total\{direction="response".*websocket.*\} 7\n`, text)
	})
}
