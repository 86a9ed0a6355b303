package gateway_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.Start(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			_, _ = io.WriteString(w, "done")
		})}, open("s"), gateway.WithEndpoints(gateway.Endpoints{}), gateway.WithShutdown(gateway.Shutdown{Grace: time.Second}))
		type answer struct {
			resp *gatewaytest.Response
			err  error
		}
		answers := make(chan answer, 10)
		for range 10 {
			go func() {
				resp, err := gw.Try("GET", "/x", "")
				answers <- answer{resp, err}
			}()
		}
		time.Sleep(time.Second)
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- gw.Stop() }()
		synctest.Wait()
		assert.Equal(t, 503, gw.Get("/health/ready").Status, "readiness goes first, and the listener stays for a grace")
		for range 10 {
			a := <-answers
			require.NoError(t, a.err)
			assert.Equal(t, "done", a.resp.Body)
		}
		require.NoError(t, <-ended)
		assert.Less(t, time.Since(began), 25*time.Second)
		_, err := gw.Try("GET", "/x", "")
		assert.Error(t, err, "nobody listens any more")
	})
}

func TestWhatDoesNotEndIsCutAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.Start(t, gatewaytest.Services{"s": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })},
			open("s"), gateway.WithShutdown(gateway.Shutdown{Timeout: 8 * time.Second}))
		answer := make(chan *gatewaytest.Response, 1)
		go func() {
			resp, err := gw.Try("GET", "/x", "")
			assert.NoError(t, err)
			answer <- resp
		}()
		synctest.Wait()
		began := time.Now()
		assert.NoError(t, gw.Stop())
		assert.Less(t, time.Since(began), 8*time.Second)
		resp := <-answer
		assert.Equal(t, 503, resp.Status)
		assert.Equal(t, "cut_by_restart", problemOf(t, resp)["code"])
	})
}

func TestAStreamDoesNotStarveTheAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &safetytest.Log{}
		guard := crisis()
		guard.Auditor = safety.AuditorFunc(func(ctx context.Context, e safety.Event) error {
			time.Sleep(100 * time.Millisecond)
			return log.Record(ctx, e)
		})
		gw := gatewaytest.Start(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				story(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "data: x\n\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		})}, open("s"), gateway.WithGuard(guard))
		broken := make(chan error, 1)
		go func() {
			_, err := gw.Try("GET", "/stream", "")
			broken <- err
		}()
		synctest.Wait()
		for range 5 {
			require.Equal(t, 200, gw.Post("/", `{"message":"i want to die"}`).Status)
		}
		assert.NoError(t, gw.Stop(), "a stream without an end does not stand in the way")
		assert.Error(t, <-broken, "it breaks off, so that the client comes back")
		assert.Len(t, log.Recorded(), 5)
	})
}

func TestShutdownFlushesTheAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &safetytest.Log{}
		guard := crisis()
		guard.Auditor = safety.AuditorFunc(func(ctx context.Context, e safety.Event) error {
			time.Sleep(2 * time.Second)
			return log.Record(ctx, e)
		})
		gw := gatewaytest.Start(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, open("s"), gateway.WithGuard(guard))
		require.Equal(t, 200, gw.Post("/", `{"message":"i want to die"}`).Status)
		require.NoError(t, gw.Stop())
		require.Len(t, log.Recorded(), 1)
		assert.Equal(t, safety.High, log.Recorded()[0].Severity)
	})
}

func TestShutdownForAHostsOwnServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		ended := make(chan error, 1)
		go func() { ended <- gw.Shutdown(t.Context()) }()
		_, _, err := s.Receive()
		assert.Equal(t, 1012, gatewaytest.CloseCode(err), "%v", err)
		require.NoError(t, <-ended)
		late := dial(t, gw, "/ws/chat", gw.As("ann"))
		_ = late.ReceiveJSON()
		_, _, err = late.Receive()
		assert.Equal(t, 1012, gatewaytest.CloseCode(err), "no new sockets: %v", err)
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.Start(t, nil)
		synctest.Wait()
		assert.ErrorIs(t, gw.Run(t.Context()), gateway.ErrRunning)
	})
}
