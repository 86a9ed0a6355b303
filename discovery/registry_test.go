package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

func TestStaticKeepsTheRules(t *testing.T) {
	s := discoverytest.Suite{New: func(t *testing.T, all ...discovery.Instance) discovery.Registry {
		r, err := discovery.NewStaticInstances(all...)
		require.NoError(t, err)
		return r
	}}
	discoverytest.TestRegistry(t, s)
	discoverytest.TestWatcher(t, s)
}

// memorySuite tests a Memory in a bubble, so that time passes at once.
func memorySuite() discoverytest.Suite {
	return discoverytest.Suite{
		New: func(t *testing.T, all ...discovery.Instance) discovery.Registry {
			m := &discovery.Memory{}
			for _, i := range all {
				require.NoError(t, m.Register(t.Context(), i, time.Hour))
			}
			return m
		},
		Advance: func(d time.Duration) { time.Sleep(d); synctest.Wait() },
		Within:  synctest.Test,
	}
}

func TestMemoryKeepsTheRules(t *testing.T) {
	discoverytest.TestRegistry(t, memorySuite())
	discoverytest.TestRegistrar(t, memorySuite())
	discoverytest.TestWatcher(t, memorySuite())
}

func TestMergedKeepTheRules(t *testing.T) {
	for name, combine := range map[string]func(...discovery.Registry) discovery.Registry{"First": discovery.First, "Merge": discovery.Merge} {
		t.Run(name, func(t *testing.T) {
			s := memorySuite()
			s.New = func(t *testing.T, all ...discovery.Instance) discovery.Registry {
				r, err := discovery.NewStaticInstances(all...)
				require.NoError(t, err)
				return combine(&discovery.Memory{}, r)
			}
			discoverytest.TestRegistry(t, s)
			s.Advance = nil // nobody registers with a combined registry
			discoverytest.TestWatcher(t, s)
		})
	}
}

func TestFakesKeepTheRules(t *testing.T) {
	fake := discoverytest.Suite{New: func(_ *testing.T, all ...discovery.Instance) discovery.Registry {
		r := &discoverytest.WatchedRegistry{}
		if len(all) > 0 {
			r.Set("chat", all...)
		}
		return r
	}}
	discoverytest.TestRegistry(t, fake)
	discoverytest.TestWatcher(t, fake)
}

func TestNewStaticJoinsAllComplaints(t *testing.T) {
	_, err := discovery.NewStatic(map[string][]string{
		"chat": {"http://a", "http://a/", "ftp://b"}, "empty": nil, "bad name": {"http://c"},
	})
	for _, piece := range []string{`service "chat"`, `scheme "ftp"`, `service "empty"`, "no url", `service "bad name"`, "given twice"} {
		assert.ErrorContains(t, err, piece)
	}
}

func TestStaticZeroKnowsNobody(t *testing.T) {
	var s discovery.Static
	_, err := s.Instances(t.Context(), "chat")
	require.ErrorIs(t, err, discovery.ErrUnknownService)
	require.ErrorIs(t, err, discovery.ErrNoInstance, "an unknown service has no instance either")
	names, err := s.Services(t.Context())
	require.NoError(t, err)
	assert.Empty(t, names)
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &discovery.Memory{MaxInstances: 2}
		all := discoverytest.Instances("chat", "http://a", "http://b", "http://c")
		require.NoError(t, m.Register(t.Context(), all[0], 10*time.Second))
		require.NoError(t, m.Register(t.Context(), all[1], time.Minute))
		require.ErrorIs(t, m.Register(t.Context(), all[2], time.Minute), discovery.ErrFull)
		require.NoError(t, m.Register(t.Context(), all[1], time.Minute), "one that is there may register again")
		time.Sleep(11 * time.Second)
		require.NoError(t, m.Register(t.Context(), all[2], time.Minute), "a lease that ran out makes room")
		require.NoError(t, m.Deregister(t.Context(), "chat", all[1].ID))
		require.NoError(t, m.Register(t.Context(), all[0], time.Minute), "so does one that left")
	})
}

func TestMemoryRunFreesWhatRanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &discovery.Memory{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		require.NoError(t, m.Register(ctx, discoverytest.Instances("chat", "http://a")[0], 10*time.Second))
		names, err := m.Services(ctx)
		require.NoError(t, err)
		assert.Equal(t, []string{"chat"}, names)
		time.Sleep(time.Minute)
		names, err = m.Services(ctx)
		require.NoError(t, err)
		assert.Empty(t, names)
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
	})
}

// A watch sleeps until the next lease runs out. A heartbeat that makes a lease
// shorter must wake it.
func TestMemoryWatchNoticesAShorterLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, i := &discovery.Memory{}, discoverytest.Instances("chat", "http://a")[0]
		require.NoError(t, m.Register(t.Context(), i, time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		begun := time.Now()
		done := make(chan error)
		go func() {
			done <- m.Watch(ctx, func(service string, all []discovery.Instance) {
				told = append(told, fmt.Sprintf("%s: %d of %s", time.Since(begun), len(all), service))
			})
		}()
		synctest.Wait()
		require.NoError(t, m.Heartbeat(ctx, "chat", i.ID, 5*time.Second))
		time.Sleep(time.Minute)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		assert.Equal(t, []string{"0s: 1 of chat", "5s: 0 of chat"}, told)
	})
}

// A registrar does not wait for a watcher that is slow.
func TestMemorySlowWatchHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, all := &discovery.Memory{}, discoverytest.Instances("chat", "http://a", "http://b", "http://c")
		ctx, cancel := context.WithCancel(t.Context())
		var told []int
		done := make(chan error)
		go func() {
			done <- m.Watch(ctx, func(_ string, all []discovery.Instance) {
				told = append(told, len(all))
				time.Sleep(time.Second)
			})
		}()
		for _, i := range all {
			begun := time.Now()
			require.NoError(t, m.Register(ctx, i, time.Hour))
			assert.Zero(t, time.Since(begun))
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		assert.Equal(t, []int{1, 3}, told, "changes meanwhile are told as one")
	})
}

func registryOf(all []discovery.Instance, err error) discovery.Registry {
	return discovery.RegistryFunc(func(context.Context, string) ([]discovery.Instance, error) { return all, err })
}

func TestFirstAndMerge(t *testing.T) {
	a, b := discoverytest.Instances("chat", "http://a"), discoverytest.Instances("chat", "http://b")
	down := errors.New("registry is down")
	unknown := discovery.UnknownService("chat")
	tests := []struct {
		desc         string
		all          []discovery.Registry
		first, merge []discovery.Instance
		firstErr     []error
		mergeErr     []error
	}{
		{"nobody", nil, nil, nil, []error{discovery.ErrUnknownService}, []error{discovery.ErrUnknownService}},
		{"one", []discovery.Registry{registryOf(a, nil)}, a, a, nil, nil},
		{"two", []discovery.Registry{registryOf(a, nil), registryOf(b, nil)}, a, append(a[:1:1], b...), nil, nil},
		{"the same twice", []discovery.Registry{registryOf(a, nil), registryOf(a, nil)}, a, a, nil, nil},
		{"unknown to one", []discovery.Registry{registryOf(nil, unknown), registryOf(b, nil)}, b, b, nil, nil},
		{"known to one without instances", []discovery.Registry{registryOf(nil, unknown), registryOf(nil, nil)}, nil, nil, nil, nil},
		{"unknown to all", []discovery.Registry{registryOf(nil, unknown), registryOf(nil, unknown)}, nil, nil, []error{discovery.ErrUnknownService}, []error{discovery.ErrUnknownService}},
		{"the first is down", []discovery.Registry{registryOf(nil, down), registryOf(b, nil)}, b, b, []error{discovery.ErrStale, down}, []error{discovery.ErrStale, down}},
		{"the second is down", []discovery.Registry{registryOf(a, nil), registryOf(nil, down)}, a, a, nil, []error{discovery.ErrStale, down}},
		{"down, and nobody else knows", []discovery.Registry{registryOf(nil, down), registryOf(nil, unknown)}, nil, nil, []error{down}, []error{down}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			got, err := discovery.First(tt.all...).Instances(t.Context(), "chat")
			assertAnswer(t, tt.first, tt.firstErr, got, err)
			got, err = discovery.Merge(tt.all...).Instances(t.Context(), "chat")
			assertAnswer(t, tt.merge, tt.mergeErr, got, err)
		})
	}
}

func assertAnswer(t *testing.T, want []discovery.Instance, wantErrs []error, got []discovery.Instance, err error) {
	t.Helper()
	assert.Equal(t, want, got)
	if len(wantErrs) == 0 {
		assert.NoError(t, err)
	}
	for _, w := range wantErrs {
		assert.ErrorIs(t, err, w)
	}
}

func TestMergeWatchesOnlyIfAllDo(t *testing.T) {
	watched, asked := &discovery.Memory{}, &discoverytest.Registry{}
	_, ok := discovery.Merge(watched, watched).(discovery.Watcher)
	assert.True(t, ok)
	_, ok = discovery.Merge(watched, asked).(discovery.Watcher)
	assert.False(t, ok)
}

func TestMergeTellsTheUnion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := &discovery.Memory{}, &discovery.Memory{}
		merged := discovery.Merge(one, other)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		state := map[string]int{}
		done := make(chan error)
		go func() {
			done <- merged.(discovery.Watcher).Watch(ctx, func(service string, all []discovery.Instance) {
				mu.Lock()
				defer mu.Unlock()
				state[service] = len(all)
			})
		}()
		all := discoverytest.Instances("chat", "http://a", "http://b")
		require.NoError(t, one.Register(ctx, all[0], 10*time.Second))
		require.NoError(t, other.Register(ctx, all[1], time.Hour))
		told := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return state["chat"]
		}
		assert.Equal(t, 2, told())
		time.Sleep(11 * time.Second)
		assert.Equal(t, 1, told())
		names, err := merged.(discovery.Lister).Services(ctx)
		require.NoError(t, err)
		assert.Equal(t, []string{"chat"}, names)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}
