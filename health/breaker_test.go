package health_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/health"
)

// calls makes n calls one after the other that all end with err, and returns how many were let in.
func calls(b *health.Breaker, n int, err error) (in int) {
	for range n {
		if ticket, refused := b.Acquire(false); refused == nil {
			in++
			ticket.Done(err)
		}
	}
	return in
}

func enter(t *testing.T, b *health.Breaker) health.Ticket {
	t.Helper()
	ticket, err := b.Acquire(false)
	require.NoError(t, err)
	return ticket
}

func TestBreakerTellsTheStoryOfOneInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		b := &health.Breaker{OnChange: func(from, to health.State) { heard = append(heard, fmt.Sprint(from, " -> ", to)) }}
		assert.True(t, b.Since().IsZero())

		assert.Equal(t, 4, calls(b, 4, errDown))
		assert.Equal(t, health.Closed, b.State(), "four failures are bad luck")
		calls(b, 1, nil)
		calls(b, 4, errDown)
		assert.Equal(t, health.Closed, b.State(), "and a success ends the row")
		calls(b, 1, errDown)
		assert.Equal(t, health.Open, b.State(), "five in a row are not")
		assert.Equal(t, time.Now(), b.Since())

		_, err := b.Acquire(false)
		require.ErrorIs(t, err, health.ErrOpen)
		assert.False(t, b.Available())
		assert.Equal(t, time.Minute, b.RetryAfter())
		time.Sleep(time.Minute - 1)
		assert.Zero(t, calls(b, 3, nil))
		assert.Equal(t, health.Open, b.State())
		time.Sleep(time.Nanosecond)
		assert.Zero(t, b.RetryAfter())
		assert.True(t, b.Available(), "a balancer must send the trial this way")
		assert.Equal(t, health.Open, b.State(), "but asking is not trying")

		assert.Equal(t, 1, calls(b, 1, errDown))
		assert.Equal(t, health.Open, b.State(), "the trial failed")
		time.Sleep(time.Minute)
		assert.Equal(t, 2, calls(b, 2, nil))
		assert.Equal(t, health.HalfOpen, b.State())
		assert.Equal(t, 1, calls(b, 1, nil))
		assert.Equal(t, health.Closed, b.State())
		assert.Equal(t, []string{
			"closed -> open", "open -> half-open", "half-open -> open", "open -> half-open", "half-open -> closed",
		}, heard)
	})
}

func TestBreakerOpensOnAShareOfFailures(t *testing.T) {
	cases := []struct {
		desc    string
		breaker *health.Breaker
		good    int // good calls, then
		bad     int // bad ones, each followed by a good one
		gap     time.Duration
		want    health.State
	}{
		{"10 of 20", &health.Breaker{}, 1, 9, 0, health.Closed},
		{"half of at least 20", &health.Breaker{}, 0, 10, 0, health.Open},
		{"half, but of 18", &health.Breaker{}, 0, 9, 0, health.Closed},
		{"half, but of those in the last ten seconds too few", &health.Breaker{}, 0, 20, 1200 * time.Millisecond, health.Closed},
		{"half of 20 spread over nine seconds", &health.Breaker{}, 0, 10, 900 * time.Millisecond, health.Open},
		{"a third, where a third is the limit", &health.Breaker{FailureRate: 0.33}, 10, 5, 0, health.Closed},
		{"more than a third, where a third is the limit", &health.Breaker{FailureRate: 0.33}, 6, 8, 0, health.Open},
		{"shares do not count", &health.Breaker{FailureRate: -1}, 0, 100, 0, health.Closed},
		{"fewer calls are enough", &health.Breaker{MinCalls: 4}, 0, 2, 0, health.Open},
		{"a longer memory", &health.Breaker{Window: time.Minute}, 0, 20, 1200 * time.Millisecond, health.Open},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls(c.breaker, c.good, nil)
				for range c.bad {
					calls(c.breaker, 1, errDown)
					calls(c.breaker, 1, nil)
					time.Sleep(c.gap)
				}
				assert.Equal(t, c.want, c.breaker.State())
			})
		})
	}
}

func TestBreakerOpensOnASlowService(t *testing.T) {
	slow := func(b *health.Breaker, n int, d time.Duration) {
		for range n {
			ticket, err := b.Acquire(false)
			if err != nil {
				return
			}
			time.Sleep(d)
			ticket.Done(nil)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := &health.Breaker{SlowCall: 100 * time.Millisecond}
		slow(b, 100, 100*time.Millisecond)
		assert.Equal(t, health.Closed, b.State(), "in time is not slow")
		slow(b, 100, 101*time.Millisecond)
		assert.Equal(t, health.Open, b.State())

		time.Sleep(time.Minute)
		slow(b, 1, time.Second)
		assert.Equal(t, health.Open, b.State(), "a trial that is slow is no recovery")

		unasked := &health.Breaker{}
		slow(unasked, 100, time.Second)
		assert.Equal(t, health.Closed, unasked.State(), "nobody said what slow is")
	})
}

func TestBreakerCountsOnlyTheFaultsOfTheService(t *testing.T) {
	b := &health.Breaker{Threshold: 3}
	calls(b, 100, fmt.Errorf("read: %w", context.Canceled))
	for range 100 {
		ticket, err := b.Acquire(false)
		require.NoError(t, err)
		ticket.Ignore()
	}
	assert.Equal(t, health.Closed, b.State())

	calls(b, 2, errDown)
	calls(b, 5, context.Canceled)
	assert.Equal(t, health.Closed, b.State())
	calls(b, 1, errDown)
	assert.Equal(t, health.Open, b.State(), "what is ignored does not end a row either")

	choosy := &health.Breaker{Threshold: 1, Failure: func(err error) bool { return !errors.Is(err, errDown) }}
	calls(choosy, 3, errDown)
	assert.Equal(t, health.Closed, choosy.State())
	calls(choosy, 1, context.Canceled)
	assert.Equal(t, health.Open, choosy.State(), "the caller's own judgement replaces ours")
}

func TestBreakerLimitsItsTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &health.Breaker{Trials: 2}
		calls(b, 5, errDown)
		time.Sleep(time.Minute)
		first, second := enter(t, b), enter(t, b)
		_, err := b.Acquire(false)
		require.ErrorIs(t, err, health.ErrOpen)
		assert.False(t, b.Available())
		assert.Zero(t, b.RetryAfter())

		first.Ignore()
		third := enter(t, b)
		second.Done(nil)
		third.Done(nil)
		assert.Equal(t, health.HalfOpen, b.State(), "the ignored one proved nothing")
		enter(t, b).Done(nil)
		assert.Equal(t, health.Closed, b.State())
	})
}

func TestBreakerDoesNotWaitForeverForALostTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &health.Breaker{Trials: 1, Successes: 1}
		calls(b, 5, errDown)
		time.Sleep(time.Minute)
		lost := enter(t, b)
		time.Sleep(time.Minute - 1)
		require.False(t, b.Available())
		time.Sleep(time.Nanosecond)
		require.True(t, b.Available())
		enter(t, b).Done(nil)
		assert.Equal(t, health.Closed, b.State())
		lost.Done(errDown)
		assert.Equal(t, health.Closed, b.State())
	})
}

func TestBreakerForgetsCallsOfAnEarlierState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &health.Breaker{Threshold: 1, Successes: 1}
		var old []health.Ticket
		for range 10 {
			old = append(old, enter(t, b))
		}
		old[0].Done(errDown)
		require.Equal(t, health.Open, b.State())
		old[1].Done(nil)
		assert.Equal(t, health.Open, b.State(), "a late success does not close it")
		time.Sleep(time.Minute)
		trial := enter(t, b)
		old[2].Done(errDown)
		old[3].Done(nil)
		old[4].Ignore()
		assert.Equal(t, health.HalfOpen, b.State(), "nor does anything late decide a trial")
		trial.Done(nil)
		require.Equal(t, health.Closed, b.State())
		old[5].Done(errDown)
		assert.Equal(t, health.Closed, b.State(), "nor does a late failure open it again")
	})
}

func TestBreakerLetsACrisisThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		force := func(b *health.Breaker, err error) {
			ticket, refused := b.Acquire(true)
			require.NoError(t, refused)
			ticket.Done(err)
		}
		b := &health.Breaker{Trials: 1}
		calls(b, 5, errDown)
		time.Sleep(10 * time.Second)
		force(b, errDown)
		assert.Equal(t, health.Open, b.State())
		assert.Equal(t, 50*time.Second, b.RetryAfter(), "its failure says nothing new, and delays nobody")
		force(b, context.Canceled)
		assert.Equal(t, health.Open, b.State(), "and one that was given up says nothing")
		force(b, nil)
		assert.Equal(t, health.HalfOpen, b.State(), "but its success is a trial passed before its time")
		enter(t, b)
		require.False(t, b.Available())
		force(b, nil)
		assert.Equal(t, health.HalfOpen, b.State())
		force(b, nil)
		assert.Equal(t, health.Closed, b.State())
		enter(t, b)
		require.False(t, b.Available(), "the ramp has room for one")
		force(b, nil)

		one := &health.Breaker{Successes: 1, Threshold: 1}
		calls(one, 1, errDown)
		force(one, nil)
		assert.Equal(t, health.Closed, one.State())
	})
}

func TestBreakerAfterAForcedSuccessStillLimitsItsTrials(t *testing.T) {
	b := &health.Breaker{Trials: 2, Threshold: 1}
	calls(b, 1, errDown)
	ticket, err := b.Acquire(true)
	require.NoError(t, err)
	ticket.Done(nil)
	require.Equal(t, health.HalfOpen, b.State())
	enter(t, b)
	enter(t, b)
	assert.False(t, b.Available())
}

// recovered is a breaker that has just closed.
func recovered(t *testing.T, b *health.Breaker) *health.Breaker {
	t.Helper()
	b.Threshold, b.Successes = 1, 1
	calls(b, 1, errDown)
	time.Sleep(time.Minute)
	enter(t, b).Done(nil)
	require.Equal(t, health.Closed, b.State())
	b.Reset()
	calls(b, 1, errDown)
	time.Sleep(time.Minute)
	enter(t, b).Done(nil)
	require.Equal(t, health.Closed, b.State())
	return b
}

func TestBreakerRampsUp(t *testing.T) {
	round := func(b *health.Breaker, err error) int { // as many calls at once as are let in
		var in []health.Ticket
		for range 1000 {
			if ticket, refused := b.Acquire(false); refused == nil {
				in = append(in, ticket)
			}
		}
		for _, ticket := range in {
			ticket.Done(err)
		}
		return len(in)
	}
	synctest.Test(t, func(t *testing.T) {
		b := recovered(t, &health.Breaker{})
		for _, want := range []int{1, 2, 4, 8, 16} {
			assert.Equal(t, want, round(b, nil), "room doubles with every round")
		}
		assert.Equal(t, 100, calls(b, 100, nil), "one after the other, nobody notices")
		time.Sleep(10 * time.Second)
		assert.True(t, b.Available())
		assert.Equal(t, 1000, round(b, nil))

		b = recovered(t, &health.Breaker{})
		time.Sleep(10 * time.Second)
		assert.True(t, b.Available(), "asked first after the ramp")

		b = recovered(t, &health.Breaker{Ramp: -1})
		assert.Equal(t, 1000, round(b, nil), "no ramp was wanted")

		b = recovered(t, &health.Breaker{Ramp: time.Hour})
		time.Sleep(time.Minute)
		assert.Equal(t, 1, round(b, nil))
		assert.Equal(t, 2, round(b, context.Canceled), "what is ignored gives its room back")
		assert.Equal(t, 2, round(b, nil))
	})
}

func TestBreakerShrinksTheRampOnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &health.Breaker{Successes: 1}
		calls(b, 5, errDown)
		time.Sleep(time.Minute)
		calls(b, 1+7, nil) // the trial, then room for 8
		var in []health.Ticket
		for b.Available() {
			in = append(in, enter(t, b))
		}
		require.Len(t, in, 8)
		in[0].Done(errDown)
		in[1].Ignore()
		in[2].Ignore()
		in[3].Ignore()
		assert.False(t, b.Available(), "four are inside, and no more than four may be")
		in[4].Ignore()
		assert.True(t, b.Available())
	})
}

func TestBreakerReset(t *testing.T) {
	var heard int
	b := &health.Breaker{OnChange: func(health.State, health.State) { heard++ }}
	b.Reset()
	calls(b, 4, errDown)
	b.Reset()
	calls(b, 4, errDown)
	assert.Equal(t, health.Closed, b.State(), "what was seen is forgotten")
	assert.Zero(t, heard)
	calls(b, 1, errDown)
	b.Reset()
	assert.Equal(t, health.Closed, b.State())
	assert.True(t, b.Available())
	assert.Equal(t, 2, heard)
}

func TestBreakerByFunc(t *testing.T) {
	b := &health.Breaker{Threshold: 2}
	done, err := b.Allow()
	require.NoError(t, err)
	done(errDown)
	done(errDown)
	assert.Equal(t, health.Closed, b.State(), "only the first word counts")
	done, err = b.Allow()
	require.NoError(t, err)
	done(errDown)
	done, err = b.Allow()
	require.ErrorIs(t, err, health.ErrOpen)
	assert.Nil(t, done)
	done, err = b.Force()
	require.NoError(t, err)
	done(nil)
	assert.Equal(t, health.HalfOpen, b.State())
}

func TestNoBreakerLetsEverythingThrough(t *testing.T) {
	var b *health.Breaker
	assert.Equal(t, 100, calls(b, 100, errDown))
	assert.True(t, b.Available())
	assert.Equal(t, health.Closed, b.State())
	assert.Zero(t, b.RetryAfter())
	assert.True(t, b.Since().IsZero())
	b.Reset()
	done, err := b.Allow()
	require.NoError(t, err)
	done(errDown)
	health.Ticket{}.Done(errDown)
	health.Ticket{}.Ignore()
}

func TestBreakerStatesHaveNames(t *testing.T) {
	assert.Equal(t, "closed open half-open unknown", fmt.Sprint(health.Closed, " ", health.Open, " ", health.HalfOpen, " ", health.State(9)))
}

// Whatever happens in whatever order: what is available is let in and what is not is refused, half-open never holds more than its
// trials, and there is always a way back.
func TestBreakerLaws(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			b := &health.Breaker{Threshold: 3, Trials: 2, Successes: 2, Timeout: 10 * time.Second, SlowCall: 5 * time.Second}
			var inside []health.Ticket
			for range 300 {
				switch random.IntN(4) {
				case 0:
					time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
				case 1, 2:
					available := b.Available()
					ticket, err := b.Acquire(false)
					require.Equal(t, available, err == nil, "seed %d", seed)
					if err == nil {
						inside = append(inside, ticket)
					}
				case 3:
					if len(inside) > 0 {
						i := random.IntN(len(inside))
						[]func(){
							func() { inside[i].Done(nil) }, func() { inside[i].Done(errDown) }, func() { inside[i].Ignore() },
						}[random.IntN(3)]()
						inside = append(inside[:i], inside[i+1:]...)
					}
				}
			}
			for tries := 0; b.State() != health.Closed; tries++ {
				require.Less(t, tries, 10, "seed %d: no way back", seed)
				time.Sleep(10 * time.Second)
				calls(b, 2, nil)
			}
		})
	}
}

func TestBreakerIsSafeForSimultaneousUse(t *testing.T) {
	var changes atomic.Int64
	b := &health.Breaker{
		Threshold: 3, Timeout: time.Microsecond, Ramp: time.Microsecond,
		OnChange: func(from, to health.State) {
			if from == to {
				t.Errorf("%v -> %v", from, to)
			}
			changes.Add(1)
		},
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 2000 {
				ticket, err := b.Acquire(j%50 == 0)
				if err != nil {
					continue
				}
				switch (i + j/7) % 3 {
				case 0:
					ticket.Done(errDown)
				case 1:
					ticket.Done(nil)
				default:
					ticket.Ignore()
				}
				_, _, _ = b.State(), b.Available(), b.RetryAfter()
				if j%500 == 0 {
					b.Reset()
				}
			}
		})
	}
	all.Wait()
	assert.Positive(t, changes.Load())
}

func TestBreakerDoesNotAllocate(t *testing.T) {
	var b health.Breaker
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		ticket, _ := b.Acquire(false)
		ticket.Done(nil)
		b.Available()
	}))
	calls(&b, 5, errDown)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = b.Acquire(false) }))
}

func BenchmarkBreaker(b *testing.B) {
	b.Run("closed", func(b *testing.B) {
		var br health.Breaker
		b.ReportAllocs()
		for b.Loop() {
			ticket, _ := br.Acquire(false)
			ticket.Done(nil)
		}
	})
	b.Run("closed, all cores", func(b *testing.B) {
		var br health.Breaker
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				ticket, _ := br.Acquire(false)
				ticket.Done(nil)
			}
		})
	})
	b.Run("available", func(b *testing.B) {
		var br health.Breaker
		calls(&br, 1, nil)
		b.ReportAllocs()
		for b.Loop() {
			br.Available()
		}
	})
	b.Run("open", func(b *testing.B) {
		var br health.Breaker
		calls(&br, 5, errDown)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = br.Acquire(false)
		}
	})
}
