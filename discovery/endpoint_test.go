package discovery_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

func oneEndpoint() *discovery.Endpoint { return discoverytest.Endpoints("chat", "http://a")[0] }

func call(e *discovery.Endpoint, latency time.Duration, ok bool) {
	e.Enter()
	e.Leave(latency, ok)
}

func TestLatencyRisesAtOnceAndIsForgottenSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := oneEndpoint()
		assert.Zero(t, e.Latency(), "nothing is known of a new endpoint")
		call(e, 10*time.Millisecond, true)
		assert.Equal(t, 10*time.Millisecond, e.Latency())
		call(e, time.Second, true)
		assert.Equal(t, time.Second, e.Latency(), "a slow call counts at once")
		call(e, 10*time.Millisecond, true)
		assert.Greater(t, e.Latency(), 900*time.Millisecond, "a quick one after it does not excuse it")
		for range 60 {
			time.Sleep(time.Second)
			call(e, 10*time.Millisecond, true)
		}
		assert.InDelta(t, 0.010, e.Latency().Seconds(), 0.005, "a minute of quick ones does")
		time.Sleep(10 * time.Second)
		assert.Less(t, e.Latency(), 5*time.Millisecond, "what nobody calls is forgotten")
	})
}

func TestFailuresCountAsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := oneEndpoint()
		call(e, time.Millisecond, true)
		call(e, 50*time.Microsecond, false)
		assert.Equal(t, 100*time.Millisecond, e.Latency(), "refusing quickly is not being quick")
		call(e, 50*time.Microsecond, false)
		assert.Equal(t, 200*time.Millisecond, e.Latency(), "each failure doubles what is expected")
		for range 20 {
			call(e, 0, false)
		}
		assert.Equal(t, 10*time.Second, e.Latency(), "within bounds")
		call(e, 30*time.Second, false)
		assert.Equal(t, 30*time.Second, e.Latency(), "unless it really took longer")
	})
}

func TestCallsThatSayNothingChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := oneEndpoint()
		call(e, 10*time.Millisecond, true)
		e.Enter()
		assert.EqualValues(t, 1, e.InFlight())
		e.Leave(-1, false)
		assert.EqualValues(t, 0, e.InFlight())
		assert.Equal(t, 10*time.Millisecond, e.Latency())
	})
}

func TestWarmEndpointGetsItsShareSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := discoverytest.Weighted("chat", 10)[0]
		assert.InDelta(t, 10, e.Share(), 0)
		e.Warm(20 * time.Second)
		assert.InDelta(t, 1, e.Share(), 1e-6, "a tenth at first")
		time.Sleep(10 * time.Second)
		assert.InDelta(t, 5, e.Share(), 1e-6)
		time.Sleep(10 * time.Second)
		assert.InDelta(t, 10, e.Share(), 0)
		e.Warm(time.Minute)
		e.Warm(0)
		assert.InDelta(t, 10, e.Share(), 0, "a slow start can be ended")
	})
}

func TestKeptIsMadeOnce(t *testing.T) {
	e := oneEndpoint()
	var mu sync.Mutex
	values := map[any]bool{}
	var work sync.WaitGroup
	for n := range 8 {
		work.Go(func() {
			v := e.Kept(func(of *discovery.Endpoint) any {
				assert.Same(t, e, of)
				return n
			})
			mu.Lock()
			defer mu.Unlock()
			values[v] = true
		})
	}
	work.Wait()
	assert.Len(t, values, 1, "all get the value that won")
}

func TestEndpointUnderManyHands(t *testing.T) {
	e := oneEndpoint()
	e.Warm(time.Millisecond)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 1000 {
				call(e, time.Millisecond, true)
				_, _ = e.Latency(), e.Share()
			}
		})
	}
	work.Wait()
	assert.Zero(t, e.InFlight())
	assert.InDelta(t, 0.001, e.Latency().Seconds(), 0.001)
}
