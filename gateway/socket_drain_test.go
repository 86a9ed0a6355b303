package gateway_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// ends is when sockets were told that they end, and how, by name.
type ends struct {
	mu   sync.Mutex
	all  sync.WaitGroup
	at   map[string]time.Time
	code map[string]int
}

func (e *ends) await(name string, s *gatewaytest.Socket) {
	e.all.Go(func() {
		for {
			_, _, err := s.Receive()
			if err == nil {
				continue
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.at == nil {
				e.at, e.code = map[string]time.Time{}, map[string]int{}
			}
			e.at[name], e.code[name] = time.Now(), gatewaytest.CloseCode(err)
			return
		}
	})
}

func TestDrainIsSpreadOverAllLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		normal := gateway.Route{Pattern: "/ws/normal", Service: "story", Upgrade: true}
		low := normal
		low.Pattern, low.Lane = "/ws/low", ratelimit.Background
		tunnel := normal
		tunnel.Pattern, tunnel.Inspect = "/ws/tunnel", safety.NotInspected("a test")
		gw := gatewaytest.Start(t, gatewaytest.Services{"story": &chat{}}, gateway.WithGuard(crisis()),
			gateway.WithRoutes(chatRoute, normal, low, tunnel), gateway.WithShutdown(gateway.Shutdown{Spread: 8 * time.Second}))
		var e ends
		for name, path := range map[string]string{"ann": "/ws/chat", "bob": "/ws/chat", "carl": "/ws/normal", "dora": "/ws/low", "eve": "/ws/tunnel"} {
			s := dial(t, gw, path, gw.As(name))
			if name == "bob" {
				require.NoError(t, s.Send("i want to die"))
			}
			e.await(name, s)
		}
		synctest.Wait()
		began := time.Now()
		require.NoError(t, gw.Stop())
		e.all.Wait()
		for name, code := range e.code {
			assert.Equal(t, 1012, code, name)
		}
		assert.Equal(t, 8*time.Second, e.at["bob"].Sub(began), "crisis last, and Spread is the time for all")
		assert.Equal(t, 6*time.Second, e.at["ann"].Sub(began))
		assert.Equal(t, time.Duration(0), e.at["dora"].Sub(began))
		assert.Equal(t, 2*time.Second, e.at["carl"].Sub(e.at["eve"]).Abs())
	})
}

func TestADrainWithoutTimeLeavesNobodyBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tunnel := gateway.Route{Pattern: "/ws/tunnel", Service: "story", Upgrade: true, Inspect: safety.NotInspected("a test")}
		m, err := metrics.New(prometheus.NewRegistry())
		require.NoError(t, err)
		gw := gatewaytest.New(t, gatewaytest.Services{"story": &chat{}}, gateway.WithGuard(crisis()), gateway.WithMetrics(m), gateway.WithRoutes(chatRoute, tunnel),
			gateway.WithShutdown(gateway.Shutdown{Spread: 10 * time.Second}))
		var e ends
		for name, path := range map[string]string{"ann": "/ws/chat", "bob": "/ws/chat", "carl": "/ws/chat", "dora": "/ws/tunnel", "eve": "/ws/tunnel"} {
			e.await(name, dial(t, gw, path, gw.As(name)))
		}
		deaf := knock(t, gw, "/ws/chat", "Authorization: Bearer "+gw.Token("fay")) // does not read, does not answer
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, gw.Gateway.Shutdown(ctx), context.DeadlineExceeded)
		assert.LessOrEqual(t, time.Since(began), time.Second)
		e.all.Wait()
		assert.Len(t, e.code, 5)
		for name, code := range e.code {
			assert.Equal(t, 1012, code, name)
		}
		_ = deaf.SetReadDeadline(time.Now().Add(time.Minute))
		buf := make([]byte, 4096)
		for err == nil {
			_, err = deaf.Read(buf)
		}
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.LessOrEqual(t, time.Since(began), time.Second, "whoever does not answer is cut")
		synctest.Wait()
		assert.Len(t, gw.Log.Requests(), 6)
		assert.Regexp(t, `websockets_closed_total\{code="1012",lane="therapeutic".*\} 4`, exposition(gw), "with our code, whatever the others said")
	})
}

func TestAClosingSocketWaitsForNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t, gateway.WithWebSocket(gateway.WebSocket{Idle: time.Minute}))
		began := time.Now()
		_ = knock(t, gw, "/ws/chat", "Authorization: Bearer "+gw.Token("ann"))
		time.Sleep(2 * time.Minute)
		lines := gw.Log.Requests()
		require.Len(t, lines, 1)
		at, err := time.Parse(time.RFC3339Nano, lines[0]["time"].(string))
		require.NoError(t, err)
		assert.LessOrEqual(t, at.Sub(began), time.Minute+3*time.Second)
	})
}
