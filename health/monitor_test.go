package health_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/health"
)

var errDown = errors.New("down")

// patient is a service whose health the story changes.
type patient struct {
	mu     sync.Mutex
	err    error
	probes int
}

func (p *patient) check(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
	return p.err
}

func (p *patient) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *patient) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probes
}

// running runs the monitor for one story in a bubble and ends it with the story.
func running(t *testing.T, m *health.Monitor) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	synctest.Wait()
}

func steady() *health.Monitor { return &health.Monitor{Interval: 10 * time.Second, Jitter: -1} }

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestMonitorTellsTheStoryOfOneService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		m := steady()
		m.OnChange = func(name, from, to string) { heard = append(heard, name+": "+from+" -> "+to) }
		var story patient
		require.NoError(t, m.Add("story", story.check))
		assert.Equal(t, health.Unknown, m.Status("story"))
		assert.True(t, m.Well("story"), "what has not been heard of is tried")

		running(t, m)
		assert.Equal(t, health.Healthy, m.Status("story"), "the first answer decides alone, and comes at once")

		story.set(errDown)
		pass(10 * time.Second)
		assert.True(t, m.Well("story"), "one failure is not yet an illness")
		assert.Equal(t, "down", m.Report().Checks["story"].Error, "though it can be seen")
		pass(2 * 2500 * time.Millisecond)
		assert.False(t, m.Well("story"), "three are, and the second and third question come sooner")

		story.set(nil)
		pass(10 * time.Second)
		assert.False(t, m.Well("story"), "one pass is not yet a recovery")
		pass(2500 * time.Millisecond)
		assert.True(t, m.Well("story"))
		assert.Empty(t, m.Report().Checks["story"].Error)
		assert.Equal(t, []string{"story: unknown -> healthy", "story: healthy -> unhealthy", "story: unhealthy -> healthy"}, heard)
	})
}

func TestMonitorSparesWhatItWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := steady()
		var story patient
		require.NoError(t, m.Add("story", story.check))
		running(t, m)
		for range 1000 {
			_ = m.Report()
			_ = m.Well("story")
		}
		pass(95 * time.Second)
		assert.Equal(t, 10, story.asked(), "one probe at once, then one every ten seconds, however often anybody asks us")
	})
}

func TestMonitorJitterKeepsWithinItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &health.Monitor{Interval: 10 * time.Second, Jitter: 0.5}
		var times []time.Time
		require.NoError(t, m.Add("story", func(context.Context) error {
			times = append(times, time.Now())
			return nil
		}))
		running(t, m)
		pass(10 * time.Minute)
		varied := false
		for i := 1; i < len(times); i++ {
			gap := times[i].Sub(times[i-1])
			assert.GreaterOrEqual(t, gap, 5*time.Second)
			assert.LessOrEqual(t, gap, 15*time.Second)
			varied = varied || gap != 10*time.Second
		}
		assert.True(t, varied)
	})
}

func TestMonitorCountsSilenceAsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := steady()
		require.NoError(t, m.Add("mute", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		running(t, m)
		pass(6 * time.Second)
		got := m.Report().Checks["mute"]
		assert.Equal(t, health.Unhealthy, got.Status)
		assert.Equal(t, "health: no answer in time", got.Error)
		assert.Equal(t, 5*time.Second, got.ResponseTime)
	})
}

func TestMonitorNeverProbesATargetTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := steady()
		m.Fails = 1
		let := make(chan struct{})
		var inside, most, calls atomic.Int32
		require.NoError(t, m.Add("stubborn", func(context.Context) error { // does not care for its context
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			calls.Add(1)
			<-let
			return nil
		}))
		running(t, m)
		pass(time.Minute)
		assert.EqualValues(t, 1, calls.Load())
		assert.Equal(t, "health: an earlier probe has still not returned", m.Report().Checks["stubborn"].Error)
		assert.False(t, m.Well("stubborn"))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, m.Probe(ctx, "stubborn"), context.DeadlineExceeded, "a probe by hand waits for its turn too")

		close(let)
		pass(30 * time.Second)
		assert.True(t, m.Well("stubborn"))
		assert.EqualValues(t, 1, most.Load())
	})
}

func TestMonitorSurvivesABrokenCheck(t *testing.T) {
	for desc, check := range map[string]health.Check{
		"panics":                       func(context.Context) error { panic("oh\nno") },
		"ends its goroutine":           func(context.Context) error { runtime.Goexit(); return nil },
		"panics with an error":         func(context.Context) error { panic(errDown) },
		"divides by what is not there": func(context.Context) error { var p *patient; return p.err },
	} {
		t.Run(desc, func(t *testing.T) {
			var m health.Monitor
			require.NoError(t, m.Add("x", check))
			require.Error(t, m.Probe(t.Context(), "x"))
			got := m.Report()
			assert.Equal(t, health.Broken, got.Checks["x"].Status)
			assert.NotContains(t, got.Checks["x"].Error, "\n")
			assert.False(t, m.Well("x"))
			assert.Equal(t, health.Unhealthy, got.Status)
		})
	}
}

func TestMonitorAddsAndRemovesWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := steady()
		running(t, m)
		var late patient
		require.NoError(t, m.Add("late", late.check))
		synctest.Wait()
		assert.Equal(t, 1, late.asked())

		m.Remove("late")
		m.Remove("never there")
		pass(time.Minute)
		assert.Equal(t, 1, late.asked())
		assert.Empty(t, m.Report().Checks)
		assert.Equal(t, health.Unknown, m.Status("late"))

		require.NoError(t, m.Add("late", late.check), "the name is free again")
	})
}

func TestMonitorDropsTheAnswerOfWhatWasRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := steady()
		m.OnChange = func(name, from, to string) { t.Errorf("%s: %s -> %s", name, from, to) }
		cancelled := false
		require.NoError(t, m.Add("slow", func(ctx context.Context) error {
			<-ctx.Done()
			cancelled = errors.Is(ctx.Err(), context.Canceled)
			return ctx.Err()
		}))
		running(t, m)
		m.Remove("slow")
		synctest.Wait()
		assert.True(t, cancelled, "the probe under way is cancelled at once")
		assert.Empty(t, m.Report().Checks)
	})
}

func TestMonitorRunsOnceAtATimeAndAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := steady()
		var story patient
		require.NoError(t, m.Add("story", story.check))
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- m.Run(ctx) }()
			synctest.Wait()
			require.ErrorIs(t, m.Run(t.Context()), health.ErrRunning)
			cancel()
			require.NoError(t, <-ended)
		}
		assert.Equal(t, 2, story.asked())
		assert.True(t, m.Well("story"), "what was known stays known")
	})
}

func TestMonitorStoppedInTheMiddleOfAProbeLearnsNothingFromIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := steady()
		var returned atomic.Bool
		require.NoError(t, m.Add("slow", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			returned.Store(true)
			return ctx.Err()
		}))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		synctest.Wait()
		cancel()
		require.NoError(t, <-ended)
		assert.True(t, returned.Load(), "Run ends all that it started before it returns")
		assert.Equal(t, health.Unknown, m.Status("slow"))
	})
}

func TestMonitorRefusesWhatCannotWork(t *testing.T) {
	well := func(context.Context) error { return nil }
	var m health.Monitor
	require.NoError(t, m.Add("a", well, health.Requires("b")))
	require.NoError(t, m.Add("b", well, health.Wants("c"), nil))
	cases := []struct {
		desc, name string
		check      health.Check
		option     health.CheckOption
		want       string
	}{
		{"no name", "", well, nil, "health: a check needs a name"},
		{"no func", "x", nil, nil, `health: check "x" has no func to call`},
		{"a taken name", "a", well, nil, `health: check "a" is there already; Remove it first`},
		{"itself", "x", well, health.Requires("x"), "health: checks depend on each other in a circle: x -> x"},
		{"a circle, hard and soft", "c", well, health.Wants("a"), "health: checks depend on each other in a circle: c -> a -> b -> c"},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			require.EqualError(t, m.Add(c.name, c.check, c.option), c.want)
			assert.Len(t, m.Report().Checks, 2, "nothing has changed")
		})
	}
	require.ErrorIs(t, m.Add("c", well, health.Requires("b")), health.ErrCycle)
	require.NoError(t, m.Add("c", well, health.Requires("d")))
	require.ErrorIs(t, m.Probe(t.Context(), "nobody"), health.ErrUnknownCheck)
}

func TestMonitorCascade(t *testing.T) {
	well, down := error(nil), errDown
	cases := []struct {
		desc                   string
		redis, agents          error
		optional               health.CheckOption
		how                    health.CheckOption // how the story depends on the agents
		story, agentsAre, word string
		cause                  string
	}{
		{"all is well", well, well, nil, health.Requires("agents"), "healthy", "healthy", "healthy", ""},
		{"hard: down with it", well, down, nil, health.Requires("agents"), "unhealthy", "unhealthy", "unhealthy", "requires agents, which is unhealthy"},
		{"soft: degraded", well, down, nil, health.Wants("agents"), "degraded", "unhealthy", "unhealthy", "wants agents, which is unhealthy"},
		{"soft and optional: the whole is degraded", well, down, health.Optional, health.Wants("agents"), "degraded", "unhealthy", "degraded", "wants agents, which is unhealthy"},
		{"hard over two steps", down, well, nil, health.Requires("agents"), "unhealthy", "unhealthy", "unhealthy", "requires agents, which is unhealthy"},
		{"soft over two steps", down, well, health.Optional, health.Wants("agents"), "degraded", "unhealthy", "unhealthy", "wants agents, which is unhealthy"},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			var m health.Monitor
			say := func(err error) health.Check { return func(context.Context) error { return err } }
			// The dependent comes first: the order of Add does not matter.
			require.NoError(t, m.Add("story", say(nil), c.how))
			require.NoError(t, m.Add("agents", say(c.agents), health.Requires("redis"), c.optional))
			require.NoError(t, m.Add("redis", say(c.redis)))
			for _, name := range []string{"story", "agents", "redis"} {
				_ = m.Probe(t.Context(), name)
			}
			got := m.Report()
			assert.Equal(t, c.story, got.Checks["story"].Status)
			assert.Equal(t, c.cause, got.Checks["story"].Error)
			assert.Equal(t, c.agentsAre, got.Checks["agents"].Status)
			assert.Equal(t, c.word, got.Status)
		})
	}
}

func TestMonitorCascadeLiftsWhenTheCauseIsGone(t *testing.T) {
	var m health.Monitor
	var heard []string
	m.OnChange = func(name, from, to string) { heard = append(heard, fmt.Sprintf("%s %s", name, to)) }
	require.NoError(t, m.Add("agents", func(context.Context) error { return errDown }))
	require.NoError(t, m.Add("story", func(context.Context) error { return nil }, health.Requires("agents")))
	_ = m.Probe(t.Context(), "story")
	_ = m.Probe(t.Context(), "agents")
	require.False(t, m.Well("story"))
	m.Remove("agents")
	assert.True(t, m.Well("story"))
	assert.Equal(t, []string{"story healthy", "agents unhealthy", "story unhealthy", "story healthy"}, heard)
}

func TestMonitorDegradedPassesOnThroughHardNeedsOnly(t *testing.T) {
	var m health.Monitor
	ok := func(context.Context) error { return nil }
	require.NoError(t, m.Add("cache", func(context.Context) error { return errDown }, health.Optional))
	require.NoError(t, m.Add("agents", ok, health.Wants("cache")))
	require.NoError(t, m.Add("story", ok, health.Requires("agents")))
	require.NoError(t, m.Add("worlds", ok, health.Wants("agents")))
	for _, name := range []string{"cache", "agents", "story", "worlds"} {
		_ = m.Probe(t.Context(), name)
	}
	got := m.Report()
	assert.Equal(t, health.Degraded, got.Checks["story"].Status)
	assert.Equal(t, health.Healthy, got.Checks["worlds"].Status)
	assert.Equal(t, health.Degraded, got.Status)
	assert.Equal(t, []string{"cache"}, got.Unhealthy())
}

func TestMonitorListenerMayUseTheMonitor(t *testing.T) {
	var m health.Monitor
	ok := func(context.Context) error { return nil }
	m.OnChange = func(name, _, _ string) {
		if name == "a" {
			m.Remove("a")
			_ = m.Add("b", ok)
			_ = m.Probe(context.Background(), "b")
		}
		_ = m.Report()
	}
	require.NoError(t, m.Add("a", ok))
	require.NoError(t, m.Probe(t.Context(), "a"))
	assert.Equal(t, health.Healthy, m.Status("b"))
}

func TestMonitorTellsOneChangeAtATime(t *testing.T) {
	var m health.Monitor
	var heard []string
	m.OnChange = func(name, _, _ string) {
		heard = append(heard, name+" begins")
		if name == "a" {
			_ = m.Probe(context.Background(), "b")
		}
		heard = append(heard, name+" ends")
	}
	ok := func(context.Context) error { return nil }
	require.NoError(t, m.Add("a", ok))
	require.NoError(t, m.Add("b", ok))
	require.NoError(t, m.Probe(t.Context(), "a"))
	assert.Equal(t, []string{"a begins", "a ends", "b begins", "b ends"}, heard)
}

func TestMonitorAnswerOfARemovedTargetDoesNotReachItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m health.Monitor
		let := make(chan struct{})
		require.NoError(t, m.Add("story", func(context.Context) error { <-let; return errDown }))
		asked := make(chan error)
		go func() { asked <- m.Probe(t.Context(), "story") }()
		synctest.Wait()
		m.Remove("story")
		require.NoError(t, m.Add("story", func(context.Context) error { return nil }))
		close(let)
		require.ErrorIs(t, <-asked, errDown)
		assert.Equal(t, health.Unknown, m.Status("story"))
	})
}

// Every pair of rungs doubles the number of ways down this ladder; only the rungs must be counted.
func TestMonitorAddsALongLadderOfDependencies(t *testing.T) {
	var m health.Monitor
	ok := func(context.Context) error { return nil }
	for i := range 60 {
		below := health.Requires(fmt.Sprint("left", i-1), fmt.Sprint("right", i-1))
		require.NoError(t, m.Add(fmt.Sprint("left", i), ok, below))
		require.NoError(t, m.Add(fmt.Sprint("right", i), ok, below))
	}
	require.ErrorIs(t, m.Add("left-1", ok, health.Requires("left59")), health.ErrCycle)
}

func TestMonitorSurvivesAListenerThatPanics(t *testing.T) {
	var m health.Monitor
	heard := 0
	m.OnChange = func(string, string, string) {
		heard++
		if heard == 1 {
			panic("listener")
		}
	}
	ok := func(context.Context) error { return nil }
	require.NoError(t, m.Add("a", ok))
	require.NoError(t, m.Add("b", ok))
	require.Panics(t, func() { _ = m.Probe(t.Context(), "a") })
	require.NoError(t, m.Probe(t.Context(), "b"))
	assert.Equal(t, 2, heard, "the next news is told all the same")
}

func TestMonitorIsSafeForSimultaneousUse(t *testing.T) {
	m := &health.Monitor{Interval: time.Microsecond, OnChange: func(string, string, string) {}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) })
	var flip atomic.Int64
	check := func(context.Context) error {
		if flip.Add(1)%3 == 0 {
			return errDown
		}
		return nil
	}
	for i := range 4 {
		all.Go(func() {
			for j := range 100 {
				name := fmt.Sprint("s", (i+j)%5)
				_ = m.Add(name, check, health.Requires(fmt.Sprint("s", (i+j+1)%5)))
				_ = m.Well(name)
				_ = m.Report()
				_ = m.Probe(ctx, name)
				if j%3 == 0 {
					m.Remove(name)
				}
			}
			cancel()
		})
	}
	all.Wait()
}

func TestWellDoesNotAllocate(t *testing.T) {
	var m health.Monitor
	require.NoError(t, m.Add("story", func(context.Context) error { return nil }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { m.Well("story") }))
}
