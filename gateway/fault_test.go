package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// TestAHeldReplyThatBreaksOff: nothing has gone out yet, so the person is told,
// and where to find help.
func TestAHeldReplyThatBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("Etag", `"theirs"`)
			_, _ = io.WriteString(w, `{"response":"I hear`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})}, gateway.WithGuard(crisis()), gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, Lane: ratelimit.Therapeutic}))
		resp := gw.Post("/", `{"message":"i took them all"}`)
		require.Equal(t, 502, resp.Status)
		assert.NotEmpty(t, problemOf(t, resp)["help"])
		assert.Empty(t, resp.Header.Get("Etag"), "nothing of the service's is left")
	})
}

// TestAHandlerThatWorksOn: a deadline for writing is none for working.
func TestAHandlerThatWorksOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, nil, gateway.WithRoutes(gateway.Route{Pattern: "/", Allow: auth.Anyone, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "accepted")
			time.Sleep(5 * time.Minute)
		})}))
		resp := gw.Get("/")
		assert.Equal(t, "accepted", resp.Body)
		assert.Equal(t, "accepted", gw.Get("/").Body, "and the connection is as good as before")
	})
}

// TestSlowCallersOpenNoBreaker, whoever carries the request and however short
// the time for an answer is.
func TestSlowCallersOpenNoBreaker(t *testing.T) {
	for name, standard := range map[string]bool{"h1": false, "net/http": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("well")},
					gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, Timeouts: gateway.Timeouts{Header: 5 * time.Second}}),
					gateway.WithService("s", gateway.Service{Breaker: func(string) *health.Breaker { return &health.Breaker{Threshold: 1} }}))
				gw.Transport.Standard = standard
				for range 3 {
					status, _ := trickle(t, gw, time.Hour, 10, 1)
					assert.Equal(t, 408, status)
				}
				assert.Equal(t, "well", gw.Get("/").Body)
			})
		})
	}
}

// TestNothingWasDeliveredIsTrue: a try that a service may have heard is not
// forgotten over a later one that nobody did.
func TestNothingWasDeliveredIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		})}, open("s"), gateway.WithService("s", gateway.Service{Balancer: first{}, Retries: 1}))
		gw.Add("s", answering("x")).Stop()
		resp := gw.Do("PUT", "/", "a message")
		require.Equal(t, 502, resp.Status)
		assert.Contains(t, problemOf(t, resp)["message"], "may have arrived")
	})
}

// TestPartsOfRepliesAreNotAskedFor: nobody can judge a part.
func TestPartsOfRepliesAreNotAskedFor(t *testing.T) {
	var got http.Header
	service := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
	gw := gatewaytest.New(t, gatewaytest.Services{"s": service}, gateway.WithGuard(crisis()), gateway.WithRoutes(
		gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone},
		gateway.Route{Pattern: "/free/", Service: "s", Allow: auth.Anyone, Inspect: safety.NotInspected("a test")}))
	part := []gatewaytest.RequestOption{gatewaytest.Header("Range", "bytes=0-"), gatewaytest.Header("If-Range", `"x"`)}
	gw.Get("/", part...)
	assert.Empty(t, got["Range"])
	assert.Empty(t, got["If-Range"])
	gw.Get("/free/", part...)
	assert.Equal(t, []string{"bytes=0-"}, got["Range"])
}

// TestServicesDoNotSpeakOfCrises: whether somebody is in one, is the gateway's
// to say.
func TestServicesDoNotSpeakOfCrises(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Crisis-Hotline", "988")
		w.Header().Set("X-Crisis-Support", "available")
	})}, open("s"))
	resp := gw.Get("/")
	assert.Empty(t, resp.Header["X-Crisis-Hotline"])
	assert.Empty(t, resp.Header["X-Crisis-Support"])
}

// TestNobodyIsToldThatHeLeft: 499 stands in the log and nowhere else.
func TestNobodyIsToldThatHeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, open("s"))
		conn, err := gw.Network.DialContext(t.Context(), "tcp", gatewaytest.Host+":80")
		require.NoError(t, err)
		_, err = io.WriteString(conn, postHead+"Content-Length: 10\r\n\r\nhalf")
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, conn.Close())
		time.Sleep(2 * time.Second)
		assert.EqualValues(t, 499, gw.Log.Requests()[0]["status"])
	})
}

// TestChunksAreCountedToo: no byte passes silently.
func TestChunksAreCountedToo(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg)
	require.NoError(t, err)
	gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, gateway.WithMetrics(m), gateway.WithGuard(crisis()),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, Inspect: safety.NotInspected("a test")}))
	resp, err := gw.Client().Post(gw.URL("/"), "text/plain", bufio.NewReader(strings.NewReader(strings.Repeat("x", 1234))))
	require.NoError(t, err)
	_ = resp.Body.Close()
	families, err := reg.Gather()
	require.NoError(t, err)
	assert.Contains(t, fmt.Sprint(families), "1234", "the bytes of a body of unknown length")
}
