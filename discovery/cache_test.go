package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

var errDown = errors.New("registry is down")

// running runs c until the test ends.
func running(t *testing.T, c *discovery.Cache) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
}

func endpoints(t *testing.T, c *discovery.Cache) []*discovery.Endpoint {
	t.Helper()
	all, err := c.Endpoints(t.Context(), "chat")
	require.NoError(t, err)
	return all
}

func TestCacheThatIsNotRunAsksEachTime(t *testing.T) {
	fake := &discoverytest.Registry{}
	c := &discovery.Cache{Registry: fake}
	fake.Set("chat", discoverytest.Instances("chat", "http://a")...)
	assert.Len(t, endpoints(t, c), 1)
	fake.Set("chat", discoverytest.Instances("chat", "http://a", "http://b")...)
	assert.Len(t, endpoints(t, c), 2, "a change is seen by the very next call")
	assert.Equal(t, []string{"chat", "chat"}, fake.Calls())
}

func TestCacheKeepsIdentity(t *testing.T) {
	fake := &discoverytest.Registry{}
	c := &discovery.Cache{Registry: fake}
	all := discoverytest.Instances("chat", "http://a", "http://b", "http://c")
	fake.Set("chat", all...)
	before := endpoints(t, c)
	before[1].Enter()
	before[2].Enter()

	heavier := all[1]
	heavier.Weight = 9
	moved := all[2]
	moved.URL = &url.URL{Scheme: "http", Host: "elsewhere"}
	fake.Set("chat", all[0], heavier, moved)
	after := endpoints(t, c)

	assert.Same(t, before[0], after[0], "the same instance is the same endpoint")
	assert.NotSame(t, before[1], after[1])
	assert.True(t, before[1].Same(after[1]), "one of another weight keeps its history")
	assert.Equal(t, 9, after[1].Weight)
	assert.EqualValues(t, 1, after[1].InFlight())
	before[1].Leave(-1, true)
	assert.EqualValues(t, 0, after[1].InFlight(), "a call that began before ends after")
	assert.False(t, before[2].Same(after[2]), "one at another place is another one")
	assert.EqualValues(t, 0, after[2].InFlight())

	again := endpoints(t, c)
	assert.Same(t, &after[0], &again[0], "an answer that is the same is the same slice")
}

func TestCacheFailures(t *testing.T) {
	fake := &discoverytest.Registry{}
	var told []string
	c := &discovery.Cache{Registry: fake, OnError: func(service string, err error) {
		told = append(told, fmt.Sprint(service, ": ", err))
	}}
	_, err := c.Endpoints(t.Context(), "chat")
	require.ErrorIs(t, err, discovery.ErrUnknownService)
	require.NoError(t, c.Degraded("chat"), "that nobody is there is an answer")
	require.NoError(t, c.Degraded("never asked for"))

	fake.Set("chat")
	_, err = c.Endpoints(t.Context(), "chat")
	require.ErrorIs(t, err, discovery.ErrNoInstance)
	assert.NotErrorIs(t, err, discovery.ErrUnknownService)

	fake.Set("chat", discoverytest.Instances("chat", "http://a")...)
	was := endpoints(t, c)
	fake.Fail(errDown)
	assert.Equal(t, was, endpoints(t, c), "the last good answer stays")
	assert.Equal(t, was, endpoints(t, c))
	degraded := &discovery.DegradedError{}
	require.ErrorAs(t, c.Degraded("chat"), &degraded)
	require.ErrorIs(t, degraded, errDown)
	assert.Equal(t, "chat", degraded.Service)
	assert.ErrorContains(t, degraded, `endpoints of "chat" are not fresh since`)

	fake.Fail(nil)
	assert.Equal(t, was, endpoints(t, c))
	require.NoError(t, c.Degraded("chat"))
	assert.Equal(t, []string{"chat: registry is down", "chat: <nil>"}, told, "told once each way")
}

func TestCacheNeverAnswered(t *testing.T) {
	fake := &discoverytest.Registry{Err: errDown}
	c := &discovery.Cache{Registry: fake}
	_, err := c.Endpoints(t.Context(), "chat")
	require.ErrorIs(t, err, errDown)
	require.ErrorIs(t, c.Degraded("chat"), errDown)
}

// Part of an answer is better than none, but not than a whole one.
func TestCachePartialAnswers(t *testing.T) {
	shared := &discoverytest.Registry{Err: errDown}
	local := &discoverytest.Registry{}
	local.Set("chat", discoverytest.Instances("chat", "http://a")...)
	c := &discovery.Cache{Registry: discovery.Merge(local, shared)}
	assert.Len(t, endpoints(t, c), 1, "what the others know is used")
	require.ErrorIs(t, c.Degraded("chat"), discovery.ErrStale)

	shared.Set("chat", discoverytest.Instances("chat", "http://b")...)
	shared.Fail(nil)
	assert.Len(t, endpoints(t, c), 2)
	require.NoError(t, c.Degraded("chat"))
	shared.Fail(errDown)
	assert.Len(t, endpoints(t, c), 2, "what was known of the one that fails stays")
	require.ErrorIs(t, c.Degraded("chat"), errDown)
}

// A registry that breaks its rules does not bring a nil URL into the pipeline.
func TestCacheDropsBrokenInstances(t *testing.T) {
	good := discoverytest.Instances("chat", "http://a")[0]
	minimal := discovery.Instance{URL: &url.URL{Scheme: "http", Host: "b"}}
	c := &discovery.Cache{Registry: registryOf([]discovery.Instance{{Service: "chat"}, good, minimal}, nil)}
	all := endpoints(t, c)
	require.Len(t, all, 2)
	assert.Equal(t, discovery.InstanceID("chat", minimal.URL), all[1].ID, "what can be completed is")
	require.ErrorIs(t, c.Degraded("chat"), discovery.ErrInvalid)
}

func TestCacheCallerWhoLeavesSaysNothingOfTheRegistry(t *testing.T) {
	c := &discovery.Cache{Registry: discovery.RegistryFunc(func(ctx context.Context, _ string) ([]discovery.Instance, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Endpoints(gone, "chat")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, c.Degraded("chat"))
}

func TestCacheGivesUpOnASlowRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := false
		fine := discoverytest.Instances("chat", "http://a")
		c := &discovery.Cache{Timeout: time.Second, Registry: discovery.RegistryFunc(func(ctx context.Context, _ string) ([]discovery.Instance, error) {
			if slow {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return fine, nil
		})}
		was := endpoints(t, c)
		slow = true
		begun := time.Now()
		assert.Equal(t, was, endpoints(t, c))
		assert.Equal(t, time.Second, time.Since(begun))
		require.ErrorIs(t, c.Degraded("chat"), context.DeadlineExceeded)
	})
}

func TestCacheThatRunsPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &discoverytest.Registry{}
		fake.Set("chat", discoverytest.Instances("chat", "http://a")...)
		c := &discovery.Cache{Registry: fake}
		stop := running(t, c)
		defer stop()
		first := endpoints(t, c)
		for range 100 {
			assert.Equal(t, first, endpoints(t, c))
		}
		assert.Len(t, fake.Calls(), 1, "it is asked for the first one only")

		fake.Set("chat", discoverytest.Instances("chat", "http://a", "http://b")...)
		assert.Len(t, endpoints(t, c), 1)
		time.Sleep(discovery.DefaultEvery + time.Millisecond)
		after := endpoints(t, c)
		assert.Len(t, after, 2)
		assert.Same(t, first[0], after[0])
		assert.Equal(t, []string{"chat"}, c.Services())

		fake.Fail(errDown)
		time.Sleep(time.Hour)
		assert.Equal(t, after, endpoints(t, c))
		degraded := &discovery.DegradedError{}
		require.ErrorAs(t, c.Degraded("chat"), &degraded)
		assert.InDelta(t, time.Hour.Seconds(), time.Since(degraded.Since).Seconds(), 10, "since the first failure")
	})
}

func TestCacheThatRunsWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &discovery.Memory{}
		var changes []string
		c := &discovery.Cache{Registry: m, SlowStart: 10 * time.Second, OnChange: func(service string, all []*discovery.Endpoint) {
			changes = append(changes, fmt.Sprint(service, " ", len(all)))
		}}
		all := discoverytest.Instances("chat", "http://a", "http://b")
		require.NoError(t, m.Register(t.Context(), all[0], time.Hour))
		defer running(t, c)()
		assert.InDelta(t, 1, endpoints(t, c)[0].Share(), 0, "the first ones are warm")

		require.NoError(t, m.Register(t.Context(), all[1], 20*time.Second))
		synctest.Wait()
		now := endpoints(t, c)
		require.Len(t, now, 2, "a change is seen at once")
		joined := now[slices.IndexFunc(now, func(e *discovery.Endpoint) bool { return e.ID == all[1].ID })]
		assert.InDelta(t, 0.1, joined.Share(), 0.01, "one that joins starts slowly")
		time.Sleep(10 * time.Second)
		assert.InDelta(t, 1, joined.Share(), 0)
		time.Sleep(11 * time.Second)
		assert.Len(t, endpoints(t, c), 1, "a lease that runs out is seen, too")
		require.NoError(t, m.Deregister(t.Context(), "chat", all[0].ID))
		synctest.Wait()
		_, err := c.Endpoints(t.Context(), "chat")
		require.ErrorIs(t, err, discovery.ErrNoInstance)
		assert.Equal(t, []string{"chat 1", "chat 2", "chat 1", "chat 0"}, changes)
	})
}

// A watch that breaks is begun again; meanwhile the registry is asked.
func TestCacheSurvivesABrokenWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &discoverytest.WatchedRegistry{}
		var mu sync.Mutex
		var ended int
		c := &discovery.Cache{Registry: fake, OnError: func(service string, _ error) {
			mu.Lock()
			defer mu.Unlock()
			if service == "" {
				ended++
			}
		}}
		all := discoverytest.Instances("chat", "http://a", "http://b")
		fake.Set("chat", all...)
		fake.Set("story", discoverytest.Instances("story", "http://s")...)
		defer running(t, c)()
		before := endpoints(t, c)
		require.Len(t, before, 2)

		fake.Fail(errDown)
		synctest.Wait()
		assert.Equal(t, before, endpoints(t, c))
		require.ErrorIs(t, c.Degraded("chat"), errDown)
		mu.Lock()
		assert.Equal(t, 1, ended)
		mu.Unlock()

		fake.Set("chat", all[0])
		fake.Forget("story") // nobody will ever tell that it has gone
		fake.Fail(nil)
		time.Sleep(discovery.DefaultEvery + time.Millisecond)
		assert.Len(t, endpoints(t, c), 1)
		require.NoError(t, c.Degraded("chat"))
		_, err := c.Endpoints(t.Context(), "story")
		require.ErrorIs(t, err, discovery.ErrNoInstance)
	})
}

// What the watch tells while a question is on its way is newer than its answer.
func TestCacheOldAnswerDoesNotReplaceANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := discoverytest.Instances("chat", "http://a", "http://b")
		w := &slowWatcher{answer: all[:1], push: make(chan []discovery.Instance)}
		c := &discovery.Cache{Registry: w, Timeout: time.Minute}
		defer running(t, c)()
		answered := make(chan []*discovery.Endpoint)
		go func() {
			got, _ := c.Endpoints(t.Context(), "chat")
			answered <- got
		}()
		synctest.Wait()
		w.push <- all
		assert.Len(t, <-answered, 2)
		assert.Len(t, endpoints(t, c), 2)
	})
}

// slowWatcher answers a question after a second with what it knew before.
type slowWatcher struct {
	answer []discovery.Instance
	push   chan []discovery.Instance
}

func (w *slowWatcher) Instances(context.Context, string) ([]discovery.Instance, error) {
	time.Sleep(time.Second)
	return w.answer, nil
}

func (w *slowWatcher) Watch(ctx context.Context, set func(string, []discovery.Instance)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case all := <-w.push:
			set("chat", all)
		}
	}
}

func TestCacheAsksOnceForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWatcher{answer: discoverytest.Instances("chat", "http://a"), push: nil}
		var mu sync.Mutex
		asked := 0
		c := &discovery.Cache{Registry: discovery.RegistryFunc(func(ctx context.Context, s string) ([]discovery.Instance, error) {
			mu.Lock()
			asked++
			mu.Unlock()
			return w.Instances(ctx, s)
		})}
		defer running(t, c)()
		var work sync.WaitGroup
		for range 20 {
			work.Go(func() { assert.Len(t, endpoints(t, c), 1) })
		}
		synctest.Wait()
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := c.Endpoints(ctx, "chat")
			assert.ErrorIs(t, err, context.DeadlineExceeded, "one who cannot wait need not")
		})
		work.Wait()
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, 1, asked)
	})
}

func TestCacheIsBounded(t *testing.T) {
	fake := &discoverytest.Registry{}
	fake.Set("other", discoverytest.Instances("other", "http://o")...)
	c := &discovery.Cache{Registry: fake, MaxServices: 2}
	for n := range 10 {
		_, err := c.Endpoints(t.Context(), fmt.Sprint("service-", n))
		require.ErrorIs(t, err, discovery.ErrUnknownService)
	}
	assert.Len(t, c.Services(), 2)
	all, err := c.Endpoints(t.Context(), "other")
	require.NoError(t, err)
	assert.Len(t, all, 1, "others are answered, too")
}

func TestCacheRunRefusesNonsense(t *testing.T) {
	require.ErrorContains(t, (&discovery.Cache{}).Run(t.Context()), "set Registry")
	synctest.Test(t, func(t *testing.T) {
		c := &discovery.Cache{Registry: &discoverytest.Registry{}}
		defer running(t, c)()
		require.ErrorContains(t, c.Run(t.Context()), "runs already")
	})
}

func TestCacheUnderManyHands(t *testing.T) {
	m := &discovery.Memory{}
	c := &discovery.Cache{Registry: m}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	all := discoverytest.Instances("chat", "http://a", "http://b", "http://c")
	require.NoError(t, m.Register(ctx, all[0], time.Hour))
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 500 {
				for _, e := range endpoints(t, c) {
					call(e, time.Millisecond, true)
				}
			}
		})
	}
	work.Go(func() {
		for n := range 200 {
			_ = m.Register(ctx, all[1+n%2], time.Hour)
			_ = m.Deregister(ctx, "chat", all[1+(n+1)%2].ID)
		}
	})
	work.Wait()
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestCacheReadDoesNotAllocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := discovery.NewStatic(map[string][]string{"chat": {"http://a", "http://b"}})
		require.NoError(t, err)
		c := &discovery.Cache{Registry: r}
		defer running(t, c)()
		ctx := t.Context()
		assert.Zero(t, testing.AllocsPerRun(200, func() {
			if all, err := c.Endpoints(ctx, "chat"); len(all) != 2 || err != nil || c.Degraded("chat") != nil {
				t.Error("no endpoints")
			}
		}))
	})
}

func BenchmarkCacheEndpoints(b *testing.B) {
	r, err := discovery.NewStatic(map[string][]string{"chat": {"http://a", "http://b"}})
	require.NoError(b, err)
	c := &discovery.Cache{Registry: r}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	_, err = c.Endpoints(ctx, "chat")
	require.NoError(b, err)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = c.Endpoints(ctx, "chat")
		}
	})
	cancel()
	<-ended
}
