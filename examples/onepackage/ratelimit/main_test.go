package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ask(h http.Handler, method, path, peer string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = peer
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheSixthGuessWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		for range 5 {
			assert.Equal(t, http.StatusUnauthorized, ask(h, "POST", "/login", "192.0.2.1:1000").Code)
		}
		refused := ask(h, "POST", "/login", "192.0.2.1:1001")
		assert.Equal(t, http.StatusTooManyRequests, refused.Code)
		wait, err := strconv.Atoi(refused.Header().Get("Retry-After"))
		require.NoError(t, err)
		assert.InDelta(t, 12, wait, 1, "seconds until the next of five in a minute")
		assert.JSONEq(t, `{"message":"That was a little fast. Please wait a moment and try again."}`, refused.Body.String())

		assert.Equal(t, http.StatusOK, ask(h, "GET", "/stories", "192.0.2.1:1002").Code, "the stories are still open")
		assert.Equal(t, http.StatusUnauthorized, ask(h, "POST", "/login", "192.0.2.2:1000").Code, "and so is the login, to others")
		time.Sleep(time.Duration(wait) * time.Second)
		assert.Equal(t, http.StatusUnauthorized, ask(h, "POST", "/login", "192.0.2.1:1003").Code, "and to the first, in time")
	})
}

func TestARefusedGuessCostsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		for range 50 {
			ask(h, "POST", "/login", "192.0.2.1:1000")
		}
		assert.Equal(t, "94", ask(h, "GET", "/stories", "192.0.2.1:1000").Header().Get("X-RateLimit-Remaining"))
	})
}

func TestRequestsInFlightFinish(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cancel()
			stories(w, r)
		}))
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Get("http://" + ln.Addr().String())
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	assert.Equal(t, http.StatusOK, reply.StatusCode)
	require.NoError(t, <-ended)
}

func TestATakenAddressIsSaid(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	require.ErrorContains(t, run(t.Context(), ln.Addr().String()), "address already in use")
}
