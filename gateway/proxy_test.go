package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/safety"
)

func open(service string) gateway.Option {
	return gateway.WithRoutes(gateway.Route{Pattern: "/", Service: service, Allow: auth.Anyone})
}

// answering is a handler that says who it is.
func answering(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, name)
	})
}

func TestFaultsAreToldApart(t *testing.T) {
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cut := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	tests := []struct {
		desc    string
		service http.Handler
		stopped bool
		method  string
		status  int
		code    string
		reached int
	}{
		{desc: "nobody listens", service: answering("x"), stopped: true, method: "GET", status: 502, code: "upstream_unreachable"},
		{desc: "a GET breaks off, and twice more", service: cut, method: "GET", status: 502, code: "upstream_failed", reached: 3},
		{desc: "a POST breaks off: never a second delivery", service: cut, method: "POST", status: 502, code: "upstream_failed", reached: 1},
		{desc: "too slow", service: hang, method: "GET", status: 504, code: "upstream_timeout", reached: 1},
		{desc: "its own 503 passes", service: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "mine", http.StatusServiceUnavailable)
		}), method: "GET", status: 503, reached: 1},
		{desc: "its own 429 passes", service: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "mine", http.StatusTooManyRequests)
		}), method: "GET", status: 429, reached: 1},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw := gatewaytest.New(t, gatewaytest.Services{"s": tt.service}, open("s"))
				if tt.stopped {
					gw.Instance("s", 0).Stop()
				}
				resp := gw.Do(tt.method, "/", "")
				require.Equal(t, tt.status, resp.Status)
				if tt.code == "" {
					assert.Equal(t, "mine\n", resp.Body)
					assert.Equal(t, "7", resp.Header.Get("Retry-After"))
					assert.Empty(t, gw.Log.Requests()[0]["problem"])
				} else {
					assert.Equal(t, tt.code, problemOf(t, resp)["code"])
				}
				assert.Equal(t, tt.reached, gw.Instance("s", 0).Requests())
			})
		})
	}
}

func TestWhatMayBeRepeatedIsTriedElsewhere(t *testing.T) {
	tests := []struct {
		desc, method, body string
		header             gatewaytest.RequestOption
		inspected, refused bool // refused: the first instance does not even listen
		want               int
		reached            int // requests that reached the first, broken instance
	}{
		{desc: "GET", method: "GET", want: 200, reached: 1},
		{desc: "DELETE", method: "DELETE", want: 200, reached: 1},
		{desc: "PUT with a body that is held", method: "PUT", body: "x", inspected: true, want: 200, reached: 1},
		{desc: "PUT with a small body that nobody held", method: "PUT", body: "x", want: 200, reached: 1},
		{desc: "PUT with a large body that nobody held", method: "PUT", body: strings.Repeat("x", 65<<10), want: 502, reached: 1},
		{desc: "POST", method: "POST", body: "x", want: 502, reached: 1},
		{desc: "POST that is held", method: "POST", body: "x", inspected: true, want: 502, reached: 1},
		{desc: "POST without a body", method: "POST", want: 502, reached: 1},
		{desc: "POST with an idempotency key", method: "POST", header: gatewaytest.Header("Idempotency-Key", "1"), want: 502, reached: 1},
		{desc: "POST that nobody received", method: "POST", body: "x", refused: true, want: 200},
		{desc: "held POST that nobody received", method: "POST", body: "x", inspected: true, refused: true, want: 200},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					panic(http.ErrAbortHandler)
				})
				options := []gateway.Option{open("s"), gateway.WithService("s", gateway.Service{Balancer: first{}})}
				if tt.inspected {
					options = append(options, gateway.WithGuard(crisis()))
				}
				gw := gatewaytest.New(t, gatewaytest.Services{"s": broken}, options...)
				good := gw.Add("s", answering("good"))
				if tt.refused {
					gw.Instance("s", 0).Stop()
				}
				var header []gatewaytest.RequestOption
				if tt.header != nil {
					header = append(header, tt.header)
				}
				resp := gw.Do(tt.method, "/", tt.body, header...)
				assert.Equal(t, tt.want, resp.Status, resp.Body)
				assert.Equal(t, tt.reached, gw.Instance("s", 0).Requests())
				assert.Equal(t, tt.want == 200, good.Requests() == 1)
				if tt.want == 502 {
					assert.Contains(t, problemOf(t, resp)["message"], "may have arrived")
				}
			})
		})
	}
}

// first always picks the first of those it may.
type first struct{}

func (first) Pick(_ *http.Request, all []*discovery.Endpoint) *discovery.Endpoint { return all[0] }

func TestABreakerOpensAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !well.Load() {
				http.Error(w, "ill", 500)
			}
		})}, open("s"), gateway.WithGuard(crisis()),
			gateway.WithService("s", gateway.Service{Breaker: func(string) *health.Breaker {
				return &health.Breaker{Threshold: 3, Timeout: time.Minute}
			}}))
		for range 3 {
			assert.Equal(t, 500, gw.Get("/").Status)
		}
		resp := gw.Get("/")
		require.Equal(t, 503, resp.Status)
		assert.Equal(t, "breaker_open", problemOf(t, resp)["code"])
		assert.NotEmpty(t, resp.Header.Get("Retry-After"))
		assert.Equal(t, 3, gw.Instance("s", 0).Requests())

		assert.Equal(t, 500, gw.Post("/", `{"message":"i want to die"}`).Status, "crisis is let through an open breaker")
		well.Store(true)
		time.Sleep(time.Minute)
		assert.Equal(t, 200, gw.Get("/").Status)
	})
}

func TestCallersFaultsAreNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("ok")},
			gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, MaxBody: 64}),
			gateway.WithService("s", gateway.Service{Breaker: func(string) *health.Breaker { return &health.Breaker{Threshold: 1} }}))
		for range 5 {
			resp, err := gw.Try("POST", "/", strings.Repeat("x", 100), func(r *http.Request) { r.ContentLength = -1 })
			if err == nil {
				assert.Equal(t, 413, resp.Status)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			req, _ := http.NewRequestWithContext(ctx, "POST", gw.URL("/"), &stuck{ctx})
			_, err = gw.Client().Do(req)
			assert.Error(t, err)
			cancel()
		}
		synctest.Wait()
		assert.Equal(t, 200, gw.Get("/").Status, "the breaker has not opened")
		last := gw.Log.Requests()
		assert.EqualValues(t, 499, last[len(last)-2]["status"], "who left is 499 in the log")
	})
}

// stuck is a body that never comes.
type stuck struct{ ctx context.Context }

func (s *stuck) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }

func TestATruncatedAnswerStaysTruncated(t *testing.T) {
	for _, declared := range []bool{true, false} {
		t.Run(fmt.Sprint(declared), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if declared {
						w.Header().Set("Content-Length", "100")
					}
					_, _ = io.WriteString(w, "half of it")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				})}, open("s"))
				_, err := gw.Try("GET", "/", "")
				require.Error(t, err, "never a tidy short answer")
				assert.Equal(t, true, gw.Log.Requests()[0]["broken_off"])
			})
		})
	}
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		gone := make(chan struct{})
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				_ = http.NewResponseController(w).Flush()
				<-step
			}
			<-r.Context().Done()
			close(gone)
		})}, open("s"), gateway.WithGuard(crisis()))
		resp, err := gw.Client().Get(gw.URL("/"))
		require.NoError(t, err)
		lines := bufio.NewReader(resp.Body)
		for i := range 3 {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("data: %d\n", i), line, "each event comes at once, uncut")
			_, _ = lines.ReadString('\n')
			time.Sleep(50 * time.Second) // a long stream lives as long as it moves
			step <- struct{}{}
		}
		resp.Body.Close()
		<-gone // who leaves ends the service's work at once
	})
}

func TestAStalledAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})}, gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, Timeouts: gateway.Timeouts{Idle: 10 * time.Second}}))
		began := time.Now()
		_, err := gw.Try("GET", "/", "")
		require.Error(t, err)
		assert.InDelta(t, 10, time.Since(began).Seconds(), 1.5, "never early, an eighth late at most")
	})
}

func TestInterimAnswersAndTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			w.Header().Set("Trailer", "X-Sum")
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
			w.Header().Set("X-Sum", r.Trailer.Get("X-In"))
			w.Header().Set(http.TrailerPrefix+"X-Late", "late")
		})}, open("s"))
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		}})
		req, err := http.NewRequestWithContext(ctx, "POST", gw.URL("/"), strings.NewReader("body"))
		require.NoError(t, err)
		req.ContentLength = -1
		req.Trailer = http.Header{"X-In": {"in"}}
		resp, err := gw.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, "body", string(body))
		assert.Equal(t, []string{"103</a.css>; rel=preload"}, hints)
		assert.Equal(t, "in", resp.Trailer.Get("X-Sum"), "trailers pass both ways")
		assert.Equal(t, "late", resp.Trailer.Get("X-Late"), "announced or not")
		assert.Empty(t, resp.Header.Get("Link"))
	})
}

func TestAServiceCannotSwitchProtocolsUnasked(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		_ = rw.Flush()
	})}, open("s"))
	resp := gw.Get("/")
	assert.Equal(t, 502, resp.Status)
	assert.Equal(t, "upstream_protocol", problemOf(t, resp)["code"])
}

func TestLoopsEnd(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{}, open("self"))
	gw.Registry.Set("self", discoverytest.Instances("self", "http://"+gatewaytest.Host)...)
	resp := gw.Get("/")
	assert.Equal(t, 508, resp.Status)
	assert.Len(t, gw.Log.Requests(), 9)
}

func TestUpstreamIsAskedForCodingsThatCanBeRead(t *testing.T) {
	var got []string
	service := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header["Accept-Encoding"] })
	gw := gatewaytest.New(t, gatewaytest.Services{"s": service}, gateway.WithGuard(crisis()), gateway.WithRoutes(
		gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone},
		gateway.Route{Pattern: "/free/", Service: "s", Allow: auth.Anyone, Inspect: safety.NotInspected("catalogue")},
	))
	accept := gatewaytest.Header("Accept-Encoding", "br, gzip;q=0.8, zstd")
	gw.Get("/", accept)
	assert.Equal(t, []string{"gzip"}, got)
	gw.Get("/", gatewaytest.Header("Accept-Encoding", "br"))
	assert.Equal(t, []string{"identity"}, got)
	gw.Get("/free/", accept)
	assert.Equal(t, []string{"br, gzip;q=0.8, zstd"}, got, "elsewhere the caller's wish goes on")
}

func TestRegistryTrouble(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, open("s"))
	require.Equal(t, 200, gw.Get("/").Status)
	gw.Registry.Fail(errors.New("registry is down"))
	assert.Equal(t, 200, gw.Get("/").Status, "the last good answer stays")
}

// TestExpectContinue: the service decides whether it wants the body.
func TestExpectContinue(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "not today", http.StatusForbidden)
	})}, open("s"))
	conn, err := gw.Network.DialContext(t.Context(), "tcp", gatewaytest.Host+":80")
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+gatewaytest.Host+"\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, 403, resp.StatusCode, "the answer comes without the body")
}

// raw sends bytes to the gateway and returns the first answer's status, 0 if
// there is none.
func raw(t *testing.T, gw *gatewaytest.Gateway, text string) int {
	t.Helper()
	conn, err := gw.Network.DialContext(t.Context(), "tcp", gatewaytest.Host+":80")
	require.NoError(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

func TestRawRequests(t *testing.T) {
	var seen atomic.Int64
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Body", string(body))
		w.Header().Set("X-Framing", fmt.Sprint(r.ContentLength, r.TransferEncoding))
	})}, open("s"))
	const host = "Host: gateway.test\r\n"
	tests := []struct {
		desc, request string
		status        int
		reaches       bool
	}{
		{"plain", "GET / HTTP/1.1\r\n" + host + "\r\n", 200, true},
		{"CL and TE: one framing goes on", "POST / HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, true},
		{"two lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400, false},
		{"a signed length", "POST / HTTP/1.1\r\n" + host + "Content-Length: +2\r\n\r\nab", 400, false},
		{"an unknown coding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 501, false},
		{"a space before the colon", "GET / HTTP/1.1\r\n" + host + "X-A : b\r\n\r\n", 400, false},
		{"two hosts", "GET / HTTP/1.1\r\n" + host + host + "\r\n", 400, false},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400, false},
		{"absolute form wins over Host", "GET http://gateway.test/x HTTP/1.1\r\nHost: other\r\n\r\n", 200, true},
		{"CONNECT", "CONNECT gateway.test:443 HTTP/1.1\r\n" + host + "\r\n", 405, false},
		{"TRACE with a cookie", "TRACE / HTTP/1.1\r\n" + host + "Cookie: a=b\r\n\r\n", 405, false},
		{"h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, false},
		{"h2c upgrade", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 400, false},
		{"an odd upgrade", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: foo\r\n\r\n", 400, false},
		{"a bad chunk", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, true},
		{"dot segments", "GET /a/../b HTTP/1.1\r\n" + host + "\r\n", 400, false},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			before := seen.Load()
			assert.Equal(t, tt.status, raw(t, gw, tt.request))
			if tt.desc != "a bad chunk" {
				assert.Equal(t, tt.reaches, seen.Load() > before)
			}
		})
	}
}

// noBreaker is for tests of other things.
func noBreaker(string) *health.Breaker { return nil }
