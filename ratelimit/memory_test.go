package ratelimit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/ratelimittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryIsAStore(t *testing.T) {
	ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store { return new(ratelimit.Memory) })
}

func TestSmallMemoryIsAStore(t *testing.T) {
	ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store { return &ratelimit.Memory{MaxKeys: 1} })
}

// take is a Take that does not fail.
func take(t testing.TB, s ratelimit.Store, limits ...ratelimit.Limit) ratelimit.Decision {
	t.Helper()
	d, err := s.Take(t.Context(), limits...)
	require.NoError(t, err)
	return d
}

func perMinute(n int, name, key string) ratelimit.Limit {
	return ratelimit.Limit{Name: name, Key: key, Rate: ratelimit.Rate{N: n, Per: time.Minute}}
}

func TestMemoryTellsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m ratelimit.Memory
		l := perMinute(60, "n", "k")
		for i := range 60 {
			d := take(t, &m, l)
			require.True(t, d.Allowed)
			assert.Equal(t, 59-i, d.Remaining)
		}
		d := take(t, &m, l)
		assert.Equal(t, time.Second, d.RetryAfter.Truncate(time.Millisecond))
		assert.Equal(t, time.Minute, d.Reset.Truncate(time.Millisecond))

		time.Sleep(d.RetryAfter - time.Millisecond)
		assert.False(t, take(t, &m, l).Allowed, "a millisecond early")
		time.Sleep(time.Millisecond)
		assert.True(t, take(t, &m, l).Allowed)

		time.Sleep(time.Hour)
		for range 60 {
			assert.True(t, take(t, &m, l).Allowed)
		}
		assert.False(t, take(t, &m, l).Allowed, "an hour of quiet fills the bucket once, not sixty times")
	})
}

// Over any stretch of time, no more than Burst + N·T/Per units pass: the law
// of the bucket, under random rates, costs and pauses.
func TestMemoryNeverAllowsMoreThanTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			rate := ratelimit.Rate{N: 1 + dice.IntN(50), Per: time.Duration(1+dice.IntN(1000)) * time.Millisecond, Burst: dice.IntN(30)}
			var m ratelimit.Memory
			type event struct {
				at    time.Time
				units int
			}
			var passed []event
			for range 300 {
				l := ratelimit.Limit{Name: "n", Rate: rate, Cost: 1 + dice.IntN(min(3, rate.Size()))}
				if take(t, &m, l).Allowed {
					passed = append(passed, event{time.Now(), l.Cost})
				}
				time.Sleep(time.Duration(dice.Int64N(int64(rate.Per)/int64(rate.N) + 1)))
			}
			for i := range passed {
				units := 0
				for _, e := range passed[i:] {
					units += e.units
					most := float64(rate.Size()) + float64(rate.N)*float64(e.at.Sub(passed[i].at))/float64(rate.Per)
					require.LessOrEqual(t, float64(units), most+1e-6, "rate %v", rate)
				}
			}
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, most := range []int{64, 100, 1000, 4096} {
			m := ratelimit.Memory{MaxKeys: most}
			for i := range 5 * most {
				take(t, &m, perMinute(2, "n", fmt.Sprint(i)), perMinute(5, "m", fmt.Sprint(i)))
				require.LessOrEqual(t, m.Len(), most)
			}
			assert.Greater(t, m.Len(), most/2, "room is used")
		}
	})
}

// A flood of new keys does not wash out a bucket that holds somebody back.
func TestMemoryKeepsTheUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := ratelimit.Memory{MaxKeys: 256}
		var held []ratelimit.Limit
		for i := range 20 {
			l := perMinute(10, "n", fmt.Sprint("held ", i))
			l.Cost = 10
			require.True(t, take(t, &m, l).Allowed)
			l.Cost = 1
			held = append(held, l)
		}
		for i := range 100_000 {
			take(t, &m, perMinute(10, "n", fmt.Sprint("flood ", i)))
		}
		for _, l := range held {
			assert.False(t, take(t, &m, l).Allowed, "%s was given a fresh bucket by the flood", l.Key)
		}
	})
}

func TestMemoryForgetsFullBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := ratelimit.Memory{MaxKeys: 100_000}
		for i := range 10_000 {
			take(t, &m, perMinute(10, "n", fmt.Sprint(i)))
		}
		require.Equal(t, 10_000, m.Len())
		time.Sleep(time.Minute)
		for i := range 12_000 {
			take(t, &m, perMinute(10, "other", fmt.Sprint(i)))
		}
		assert.Less(t, m.Len(), 13_000, "the first ten thousand are full again, and not worth their room")
	})
}

func TestMemoryRefusalsLeaveNoTrace(t *testing.T) {
	var m ratelimit.Memory
	all := perMinute(1, "all", "")
	require.True(t, take(t, &m, all).Allowed)
	for i := range 1000 {
		require.False(t, take(t, &m, all, perMinute(10, "n", fmt.Sprint(i))).Allowed)
	}
	assert.Equal(t, 1, m.Len())
}

func BenchmarkMemoryTake(b *testing.B) {
	limits := []ratelimit.Limit{perMinute(1_000_000_000, "default", "192.0.2.1"), perMinute(1_000_000_000, "route", "192.0.2.1")}
	for n := 1; n <= 2; n++ {
		b.Run(fmt.Sprint(n, " limits"), func(b *testing.B) {
			var m ratelimit.Memory
			b.ReportAllocs()
			for b.Loop() {
				_, _ = m.Take(context.Background(), limits[:n]...)
			}
		})
	}
	b.Run("new keys at the bound", func(b *testing.B) {
		var m ratelimit.Memory
		keys := make([]ratelimit.Limit, 1<<18)
		for i := range keys {
			keys[i] = perMinute(100, "default", fmt.Sprint(i))
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_, _ = m.Take(context.Background(), keys[i%len(keys)])
		}
	})
	b.Run("parallel, one key each", func(b *testing.B) {
		var m ratelimit.Memory
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			l := []ratelimit.Limit{perMinute(1_000_000_000, "default", fmt.Sprint(rand.Int()))}
			for pb.Next() {
				_, _ = m.Take(context.Background(), l...)
			}
		})
	})
}
