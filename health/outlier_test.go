package health_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/health"
)

func join(o *health.Outlier, names ...string) map[string]*health.Member {
	all := make(map[string]*health.Member)
	for _, name := range names {
		all[name] = o.Join(name)
	}
	return all
}

func fail(m *health.Member, n int) {
	for range n {
		m.Done(errDown)
	}
}

func succeed(m *health.Member, n int) {
	for range n {
		m.Done(nil)
	}
}

func TestOutlierTellsTheStoryOfAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		o := &health.Outlier{OnChange: func(who string, out bool) { heard = append(heard, fmt.Sprint(who, " ", out)) }}
		all := join(o, "a", "b", "c")

		fail(all["a"], 4)
		succeed(all["a"], 1)
		fail(all["a"], 4)
		require.True(t, all["a"].Available(), "four in a row, twice, is not five")
		fail(all["a"], 1)
		require.False(t, all["a"].Available())
		require.False(t, o.Available("a"))
		assert.Equal(t, []string{"a"}, o.Ejected())

		fail(all["b"], 100)
		assert.True(t, all["b"].Available(), "half of three is one: the rest must carry on")

		time.Sleep(30*time.Second - 1)
		require.False(t, all["a"].Available())
		time.Sleep(time.Nanosecond)
		require.True(t, all["a"].Available(), "it comes back by itself")
		succeed(all["c"], 1)
		assert.Equal(t, []string{"a true", "a false"}, heard)

		fail(all["a"], 5)
		time.Sleep(time.Minute - 1)
		assert.False(t, all["a"].Available(), "the second time it rests twice as long")
		time.Sleep(time.Nanosecond)
		assert.True(t, all["a"].Available())
	})
}

func TestOutlierForgivesWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o health.Outlier
		all := join(&o, "a", "b")
		for range 20 {
			fail(all["a"], 5)
			require.False(t, all["a"].Available())
			for !all["a"].Available() {
				time.Sleep(time.Second)
			}
		}
		fail(all["a"], 5)
		time.Sleep(5*time.Minute - 1)
		require.False(t, all["a"].Available())
		time.Sleep(time.Nanosecond)
		require.True(t, all["a"].Available(), "never longer than five minutes")

		for range 11 {
			succeed(all["a"], 1)
			time.Sleep(10 * time.Second)
		}
		fail(all["a"], 5)
		time.Sleep(30 * time.Second)
		assert.True(t, all["a"].Available(), "after a good while it is as if nothing had been")
	})
}

func TestOutlierComparesInstances(t *testing.T) {
	cases := []struct {
		desc    string
		outlier *health.Outlier
		bad     map[string]int // failures of 100 calls
		want    []string
	}{
		{"one of three fails often", &health.Outlier{}, map[string]int{"a": 2, "b": 60, "c": 3}, []string{"b"}},
		{"one of two does", &health.Outlier{}, map[string]int{"a": 0, "b": 40}, []string{"b"}},
		{"all fail as often: the fault is elsewhere", &health.Outlier{}, map[string]int{"a": 60, "b": 62, "c": 58}, nil},
		{"a small difference", &health.Outlier{}, map[string]int{"a": 0, "b": 19, "c": 0}, nil},
		{"a small difference, looked for", &health.Outlier{Gap: 0.1}, map[string]int{"a": 0, "b": 19, "c": 0}, []string{"b"}},
		{"a difference that is usual here", &health.Outlier{}, map[string]int{"a": 0, "b": 45, "c": 55, "d": 20}, nil},
		{"no comparison wanted", &health.Outlier{Deviation: -1}, map[string]int{"a": 0, "b": 90}, nil},
		{"too few calls to say", &health.Outlier{MinCalls: 101}, map[string]int{"a": 0, "b": 90}, nil},
		{"nobody to compare with", &health.Outlier{}, map[string]int{"b": 90}, nil},
		{"the worst goes when only one may", &health.Outlier{MaxEjected: 0.2, Gap: 0.01, Deviation: 0.01}, map[string]int{"a": 1, "b": 50, "c": 80, "d": 0, "e": 2}, []string{"c"}},
		{"two may go", &health.Outlier{Gap: 0.01, Deviation: 0.01}, map[string]int{"a": 1, "b": 50, "c": 80, "d": 0, "e": 2}, []string{"b", "c"}},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.outlier.Failures = -1
				for name, bad := range c.bad {
					m := c.outlier.Join(name)
					fail(m, bad)
					succeed(m, 100-bad)
				}
				assert.Empty(t, c.outlier.Ejected(), "not before the interval is over")
				time.Sleep(10 * time.Second)
				c.outlier.Join("b").Done(nil)
				assert.Equal(t, c.want, c.outlier.Ejected())
			})
		})
	}
}

func TestOutlierComparesEveryIntervalAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &health.Outlier{Failures: -1}
		all := join(o, "a", "b")
		succeed(all["a"], 15)
		fail(all["b"], 15)
		time.Sleep(10 * time.Second)
		succeed(all["a"], 15)
		fail(all["b"], 15)
		time.Sleep(10 * time.Second)
		succeed(all["a"], 1)
		assert.Empty(t, o.Ejected(), "fifteen calls twice are not thirty at once")
	})
}

func TestOutlierNeverEjectsTheLastOne(t *testing.T) {
	o := &health.Outlier{MaxEjected: 1}
	only := o.Join("only")
	fail(only, 1000)
	assert.True(t, only.Available())

	second := o.Join("second")
	fail(second, 5)
	require.False(t, second.Available())
	only.Leave()
	assert.True(t, second.Available(), "now it is the last one")
	assert.True(t, only.Available(), "who left is nobody's business")
	fail(only, 100)
	assert.Empty(t, o.Ejected())
	only.Leave()
	assert.Same(t, second, o.Join("second"))
	assert.True(t, o.Available("never heard of"))
}

func TestOutlierIgnoresTheClientsFaults(t *testing.T) {
	var o health.Outlier
	all := join(&o, "a", "b")
	for range 100 {
		all["a"].Done(fmt.Errorf("read: %w", context.Canceled))
	}
	assert.True(t, all["a"].Available())
}

func TestNoOutlierEjectsNobody(t *testing.T) {
	var o *health.Outlier
	m := o.Join("a")
	fail(m, 100)
	m.Leave()
	assert.True(t, m.Available())
	assert.True(t, o.Available("a"))
	assert.Empty(t, o.Ejected())
}

// Whatever happens in whatever order: with anybody there, somebody is available, and never more are out than may be.
func TestOutlierLaws(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 11))
			o := &health.Outlier{Failures: 2, MinCalls: 5, Interval: time.Second, Gap: 0.05, Deviation: 0.1, MaxEjected: random.Float64()}
			here := map[string]*health.Member{}
			for range 500 {
				name := fmt.Sprint(random.IntN(8))
				switch random.IntN(8) {
				case 0:
					here[name] = o.Join(name)
				case 1:
					here[name].Leave()
					delete(here, name)
				case 2:
					time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
				case 3, 4:
					here[name].Done(nil)
				default:
					here[name].Done(errDown)
				}
				out := len(o.Ejected())
				allowed := min(max(1, int(o.MaxEjected*float64(len(here)))), max(0, len(here)-1))
				require.LessOrEqual(t, out, allowed, "seed %d", seed)
			}
		})
	}
}

func TestOutlierIsSafeForSimultaneousUse(t *testing.T) {
	o := &health.Outlier{Interval: time.Microsecond, Ejection: time.Microsecond, MinCalls: 1, OnChange: func(string, bool) {}}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 1000 {
				m := o.Join(fmt.Sprint((i + j) % 5))
				if j%3 == 0 {
					m.Done(nil)
				} else {
					m.Done(errDown)
				}
				_, _ = m.Available(), o.Ejected()
				if j%100 == 0 {
					m.Leave()
				}
			}
		})
	}
	all.Wait()
}

func TestOutlierDoesNotAllocate(t *testing.T) {
	var o health.Outlier
	m := o.Join("a")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if m.Available() {
			m.Done(nil)
		}
	}))
}

func BenchmarkOutlier(b *testing.B) {
	var o health.Outlier
	m := o.Join("a")
	b.ReportAllocs()
	for b.Loop() {
		if m.Available() {
			m.Done(nil)
		}
	}
}
