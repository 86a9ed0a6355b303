package gateway_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/ratelimit"
)

// hear reads what a socket is told until it ends.
func hear(s *gatewaytest.Socket) {
	for {
		if _, _, err := s.Receive(); err != nil {
			return
		}
	}
}

func TestCrisisBuysNoEndlessSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t, gateway.WithQuotas(gateway.Quotas{Crisis: ratelimit.Rate{N: 20, Per: time.Minute}}))
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		go hear(s)
		require.NoError(t, s.Send("i want to die"))
		for i := range 99 {
			require.NoError(t, s.Send(fmt.Sprint("word ", i)))
		}
		synctest.Wait()
		assert.Len(t, c.heard(), 30, "as many as one caller may have of the crisis lane, and a burst like everybody's")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, c.heard(), 100, "then she waits like everybody, and nothing is lost")
		assert.Equal(t, "word 98", c.heard()[99])
	})
}

func TestTheCrisisCapIsOneForAllSocketsOfACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t, gateway.WithQuotas(gateway.Quotas{Crisis: ratelimit.Rate{N: 20, Per: time.Hour}}))
		for range 3 {
			s := dial(t, gw, "/ws/chat", gw.As("ann"))
			go hear(s)
			for range 40 {
				require.NoError(t, s.Send("i want to die"))
			}
		}
		synctest.Wait()
		assert.LessOrEqual(t, len(c.heard()), 20+3*10)
	})
}

func TestSocketsInCrisisAreBounded(t *testing.T) {
	open := func(t *testing.T, gw *gatewaytest.Gateway, name string, n int) (in int) {
		for range n {
			s := dial(t, gw, "/ws/chat", gw.As(name))
			if s.Send(`{"type":"ping"}`) != nil {
				continue
			}
			if text, _, err := s.Receive(); err == nil && text == `{"type":"pong"}` {
				in++
			}
		}
		return in
	}
	raise := func(t *testing.T, gw *gatewaytest.Gateway, name string) {
		s := dial(t, gw, "/ws/chat", gw.As(name))
		require.NoError(t, s.Send("i want to die"))
		_ = s.ReceiveJSON()
		require.NoError(t, s.Close(1000, ""))
		synctest.Wait()
	}
	t.Run("per caller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gw, _ := newChat(t, gateway.WithWebSocket(gateway.WebSocket{PerCaller: 3}))
			raise(t, gw, "ann")
			assert.Equal(t, 6, open(t, gw, "ann", 10), "twice as many, and no more")
			assert.Equal(t, 3, open(t, gw, "bob", 5))
		})
	})
	t.Run("in all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gw, _ := newChat(t, gateway.WithWebSocket(gateway.WebSocket{Total: 20, PerCaller: 100}))
			raise(t, gw, "ann")
			assert.Equal(t, 20, open(t, gw, "bob", 21))
			assert.Equal(t, 2, open(t, gw, "ann", 5), "a tenth is kept for those in crisis")
			assert.Equal(t, 0, open(t, gw, "carl", 1))
		})
	})
}

func TestSocketsWithoutABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t, gateway.WithWebSocket(gateway.WebSocket{Total: -1, PerCaller: -1}))
		for range 12 {
			s := dial(t, gw, "/ws/chat", gw.As("ann"))
			require.NoError(t, s.Send("hello"))
			text, _, err := s.Receive()
			require.NoError(t, err)
			assert.Equal(t, "hello", text)
		}
	})
}
