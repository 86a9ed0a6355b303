package ratelimit_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/ratelimittest"
)

var errDown = errors.New("down")

// A switched store is a Memory that can be switched off.
type switched struct {
	ratelimit.Memory
	down  bool
	asked int
}

func (s *switched) Take(ctx context.Context, limits ...ratelimit.Limit) (ratelimit.Decision, error) {
	s.asked++
	if s.down {
		return ratelimit.Decision{}, errDown
	}
	return s.Memory.Take(ctx, limits...)
}

func TestFallbackIsAStore(t *testing.T) {
	t.Run("up", func(t *testing.T) {
		ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store { return &ratelimit.Fallback{Store: new(ratelimit.Memory)} })
	})
	t.Run("down", func(t *testing.T) {
		ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store { return &ratelimit.Fallback{Store: &switched{down: true}} })
	})
	t.Run("without", func(t *testing.T) {
		ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store { return new(ratelimit.Fallback) })
	})
}

// passes counts how many of so many Takes are allowed.
func passes(t *testing.T, s ratelimit.Store, tries int, limits ...ratelimit.Limit) (n int) {
	t.Helper()
	for range tries {
		if take(t, s, limits...).Allowed {
			n++
		}
	}
	return n
}

// The moment of failure brings nobody a fresh burst.
func TestFallbackIsWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(switched)
		f := &ratelimit.Fallback{Store: shared}
		l := perMinute(10, "n", "k")
		assert.Equal(t, 7, passes(t, f, 7, l))
		shared.down = true
		assert.Equal(t, 3, passes(t, f, 20, l))
	})
}

// One limit that is used up here does not keep the others from counting.
func TestFallbackWarmsEachLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(switched)
		f := &ratelimit.Fallback{Store: shared, Share: 0.5}
		narrow, wide := perMinute(4, "narrow", "k"), perMinute(20, "wide", "k")
		assert.Equal(t, 4, passes(t, f, 4, narrow, wide), "all four may pass here; the share is for bad times")
		shared.down = true
		assert.Equal(t, 6, passes(t, f, 20, wide), "half of 20 is 10, and 4 are used")
	})
}

func TestFallbackShare(t *testing.T) {
	for _, c := range []struct {
		share  float64
		burst  int
		minute int // units that come back in a minute
	}{
		{0, 12, 12}, {1, 12, 12}, {7, 12, 12}, {-1, 12, 12}, {0.5, 6, 6}, {0.25, 3, 3}, {1.0 / 12, 1, 1}, {1e-9, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &ratelimit.Fallback{Store: &switched{down: true}, Share: c.share}
			l := perMinute(12, "n", "k")
			assert.Equal(t, c.burst, passes(t, f, 50, l), "share %v", c.share)
			time.Sleep(time.Minute + time.Millisecond)
			assert.Equal(t, c.minute, passes(t, f, 50, l), "share %v", c.share)
			d := take(t, f, l)
			assert.Equal(t, l, d.Limit, "the Decision speaks of the limit as it was asked for")
		})
	}
}

// A Take that costs more than the share of the burst can pass nevertheless.
func TestFallbackShareIsNeverBelowTheCost(t *testing.T) {
	f := &ratelimit.Fallback{Store: &switched{down: true}, Share: 0.1}
	l := perMinute(10, "export", "k")
	l.Cost = 8
	assert.Equal(t, 1, passes(t, f, 5, l))
}

// A store that is down is asked once in a while, and by one at a time.
func TestFallbackLeavesTheDeadAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &switched{down: true}
		var told []error
		var changes []bool
		f := &ratelimit.Fallback{
			Store:    shared,
			OnError:  func(err error) { told = append(told, err) },
			OnChange: func(degraded bool) { changes = append(changes, degraded) },
		}
		l := perMinute(1_000_000, "n", "k")
		require.NoError(t, f.Check(t.Context()))
		passes(t, f, 1000, l)
		assert.Equal(t, 1, shared.asked)
		assert.Equal(t, []error{errDown}, told)
		assert.True(t, f.Degraded())
		assert.ErrorIs(t, f.Check(t.Context()), ratelimit.ErrDegraded)

		time.Sleep(999 * time.Millisecond)
		passes(t, f, 10, l)
		assert.Equal(t, 1, shared.asked)
		time.Sleep(time.Millisecond)
		passes(t, f, 10, l)
		assert.Equal(t, 2, shared.asked, "after a second it is asked again, once")

		shared.down = false
		time.Sleep(time.Second)
		passes(t, f, 10, l)
		assert.Equal(t, 12, shared.asked, "it answers, so it is asked every time")
		assert.Equal(t, []bool{true, false}, changes)
		require.NoError(t, f.Check(t.Context()))
	})
}

func TestFallbackTriesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &ratelimittest.Scripted{
			Answers: []ratelimittest.Answer{ratelimittest.Fail(errDown)},
			Before:  func(context.Context) { time.Sleep(50 * time.Millisecond) }, // it hangs
		}
		f := &ratelimit.Fallback{Store: shared, Pause: time.Minute}
		take(t, f, perMinute(1000, "n", "k"))
		time.Sleep(time.Minute)
		var crowd sync.WaitGroup
		start := time.Now()
		slow := 0
		var mu sync.Mutex
		for range 100 {
			crowd.Go(func() {
				take(t, f, perMinute(1000, "n", "k"))
				if time.Since(start) > 0 {
					mu.Lock()
					slow++
					mu.Unlock()
				}
			})
		}
		crowd.Wait()
		assert.Equal(t, 1, slow, "one of a hundred paid for the trial")
		assert.Len(t, shared.Takes(), 2)
	})
}

// A breaker in the place of the pause is told how each Take ended.
func TestFallbackWithBreaker(t *testing.T) {
	var ended []error
	open := false
	shared := new(switched)
	f := &ratelimit.Fallback{Store: shared, Allow: func() (func(error), error) {
		if open {
			return nil, errors.New("open")
		}
		return func(err error) { ended = append(ended, err) }, nil
	}}
	l := perMinute(100, "n", "k")
	take(t, f, l)
	shared.down = true
	take(t, f, l)
	take(t, f, l)
	assert.Equal(t, []error{nil, errDown, errDown}, ended)
	open = true
	take(t, f, l)
	assert.Equal(t, 3, shared.asked)
	assert.True(t, f.Degraded())

	t.Run("also when the store panics", func(t *testing.T) {
		open, ended = false, nil
		f.Store = ratelimit.StoreFunc(func(context.Context, ...ratelimit.Limit) (ratelimit.Decision, error) { panic("bug") })
		assert.PanicsWithValue(t, "bug", func() { _, _ = f.Take(t.Context(), l) })
		require.Len(t, ended, 1)
		assert.ErrorContains(t, ended[0], "panicked")
	})
}

// A client that goes away says nothing about the store.
func TestFallbackCallerGone(t *testing.T) {
	shared := ratelimit.StoreFunc(func(ctx context.Context, _ ...ratelimit.Limit) (ratelimit.Decision, error) {
		return ratelimit.Decision{Allowed: true}, ctx.Err()
	})
	f := &ratelimit.Fallback{Store: shared, OnError: func(err error) { t.Error(err) }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Take(ctx, perMinute(5, "n", "k"))
	require.NoError(t, err)
	assert.False(t, f.Degraded())
}

// Nor does a limit that could never hold.
func TestFallbackBadLimit(t *testing.T) {
	shared := new(switched)
	f := &ratelimit.Fallback{Store: shared}
	_, err := f.Take(t.Context(), ratelimit.Limit{Rate: ratelimit.Rate{N: 1, Per: time.Minute}, Cost: 2})
	require.ErrorIs(t, err, ratelimit.ErrLimit)
	assert.Zero(t, shared.asked)
	assert.False(t, f.Degraded())
}

// A local store that fails too is an error, and told.
func TestFallbackBothDown(t *testing.T) {
	told := 0
	f := &ratelimit.Fallback{Store: &switched{down: true}, Local: &switched{down: true}, OnError: func(error) { told++ }}
	d, err := f.Take(t.Context(), perMinute(5, "n", "k"))
	require.ErrorIs(t, err, errDown)
	assert.Equal(t, ratelimit.Decision{}, d)
	assert.Equal(t, 2, told)

	f = &ratelimit.Fallback{Store: new(switched), Local: &switched{down: true}, OnError: func(error) { told++ }}
	assert.True(t, take(t, f, perMinute(5, "n", "k")).Allowed, "the shared store decides; that warming failed is told")
	assert.Equal(t, 3, told)
}
