package discoverytest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
)

// patience is how long the suite waits for what must come. It is never waited
// out by an implementation that keeps the rules.
const patience = 30 * time.Second

// A Suite says how to test an implementation. The numbers in the names of the
// tests are those of the rules in discovery's documentation.
type Suite struct {
	// New returns a new registry that holds all, with leases of an hour where
	// there are leases. It must be set.
	New func(t *testing.T, all ...discovery.Instance) discovery.Registry
	// Advance makes time pass for the registry: time.Sleep inside a bubble of
	// testing/synctest, or the fake clock of a backend. Nil leaves out the tests
	// of leases that run out.
	Advance func(time.Duration)
	// Within, if set, runs each test, for example synctest.Test.
	Within func(t *testing.T, f func(t *testing.T))
}

// run runs one test of the suite.
func (s Suite) run(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		if s.Within != nil {
			s.Within(t, f)
			return
		}
		f(t)
	})
}

// two are the instances that the tests begin with.
func two() []discovery.Instance {
	all := Instances("chat", "http://127.0.0.1:8001", "https://story.internal/base")
	all[0].Weight, all[0].Tags = 3, []string{"api", "therapeutic"}
	all[1].Metadata, all[1].Draining = map[string]string{"zone": "a"}, true
	return all
}

// TestRegistry tests that a registry keeps the rules of discovery.Registry.
func TestRegistry(t *testing.T, s Suite) {
	t.Helper()
	s.run(t, "1 simultaneous use", func(t *testing.T) { simultaneous(t, s.New(t, two()...)) })
	s.run(t, "3 instances are complete", func(t *testing.T) { complete(t, s.New(t, two()...)) })
	s.run(t, "4 the order stays", func(t *testing.T) { ordered(t, s.New(t, two()...)) })
	s.run(t, "5 an unknown service", func(t *testing.T) { unknown(t, s.New(t, two()...)) })
	s.run(t, "7 the caller leaves", func(t *testing.T) { leaves(t, s.New(t, two()...)) })
	s.run(t, "8 the slice is the caller's", func(t *testing.T) { callersOwn(t, s.New(t, two()...)) })
}

func ask(t *testing.T, r discovery.Registry, service string) []discovery.Instance {
	t.Helper()
	all, err := r.Instances(t.Context(), service)
	require.NoError(t, err)
	return all
}

func simultaneous(t *testing.T, r discovery.Registry) {
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 20 {
				all, err := r.Instances(t.Context(), "chat")
				assert.NoError(t, err)
				assert.Len(t, all, 2)
			}
		})
	}
	work.Wait()
}

func complete(t *testing.T, r discovery.Registry) {
	got := ask(t, r, "chat")
	require.Len(t, got, 2)
	assert.NotEqual(t, got[0].ID, got[1].ID)
	for _, want := range two() {
		n := slices.IndexFunc(got, func(i discovery.Instance) bool { return i.ID == want.ID })
		require.GreaterOrEqual(t, n, 0, "no instance %s among %v", want, got)
		require.NoError(t, got[n].Validate())
		assert.True(t, want.Equal(got[n]), "want %+v, got %+v", want, got[n])
	}
}

func ordered(t *testing.T, r discovery.Registry) {
	first := ask(t, r, "chat")
	for range 10 {
		assert.True(t, slices.EqualFunc(first, ask(t, r, "chat"), discovery.Instance.Equal))
	}
}

func unknown(t *testing.T, r discovery.Registry) {
	for _, name := range []string{"nobody", "", "chat ", "CHAT", "\x00", "a/b"} {
		all, err := r.Instances(t.Context(), name)
		assert.Empty(t, all, "service %q", name)
		assert.ErrorIs(t, err, discovery.ErrUnknownService, "service %q", name)
	}
}

func leaves(t *testing.T, r discovery.Registry) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.Instances(gone, "chat")
	}()
	wait(t, done, "Instances goes on though its context has ended")
}

func callersOwn(t *testing.T, r discovery.Registry) {
	mine := ask(t, r, "chat")
	clear(mine)
	assert.NotEmpty(t, ask(t, r, "chat")[0].ID)
}

func wait(t *testing.T, done <-chan struct{}, complaint string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.FailNow(t, complaint)
	}
}

// TestRegistrar tests that a registry which is a discovery.Registrar keeps the
// rules of that.
func TestRegistrar(t *testing.T, s Suite) {
	t.Helper()
	s.run(t, "1 simultaneous use", func(t *testing.T) { registersTogether(t, s.New(t)) })
	s.run(t, "2 register completes and refuses", func(t *testing.T) { registers(t, s.New(t)) })
	s.run(t, "2 register replaces", func(t *testing.T) { replaces(t, s.New(t, two()...)) })
	s.run(t, "3 bounds of a lease", func(t *testing.T) { bounds(t, s.New(t, two()...)) })
	s.run(t, "5 leave", func(t *testing.T) { deregisters(t, s.New(t, two()...)) })
	s.run(t, "4 heartbeat of a stranger", func(t *testing.T) { stranger(t, s.New(t)) })
	if s.Advance == nil {
		return
	}
	s.run(t, "4 heartbeat prolongs", func(t *testing.T) { s.prolongs(t, s.New(t)) })
	s.run(t, "6 a lease runs out", func(t *testing.T) { s.runsOut(t, s.New(t)) })
}

func registrar(t *testing.T, r discovery.Registry) discovery.Registrar {
	t.Helper()
	registrar, ok := r.(discovery.Registrar)
	require.True(t, ok, "%T is no discovery.Registrar", r)
	return registrar
}

func registersTogether(t *testing.T, r discovery.Registry) {
	var work sync.WaitGroup
	for n := range 16 {
		work.Go(func() {
			i := Instances("chat", fmt.Sprintf("http://127.0.0.1:%d", 9000+n))[0]
			assert.NoError(t, registrar(t, r).Register(t.Context(), i, time.Hour))
			assert.NoError(t, registrar(t, r).Heartbeat(t.Context(), "chat", i.ID, time.Hour))
		})
	}
	work.Wait()
	assert.Len(t, ask(t, r, "chat"), 16)
}

func registers(t *testing.T, r discovery.Registry) {
	i := two()[0]
	i.ID, i.Weight = "", 0
	require.NoError(t, registrar(t, r).Register(t.Context(), i, time.Hour))
	got := ask(t, r, "chat")
	require.Len(t, got, 1)
	assert.Equal(t, discovery.InstanceID("chat", i.URL), got[0].ID)
	assert.Equal(t, 1, got[0].Weight)

	i.Service = "not a name"
	assert.ErrorIs(t, registrar(t, r).Register(t.Context(), i, time.Hour), discovery.ErrInvalid)
}

func replaces(t *testing.T, r discovery.Registry) {
	i := two()[0]
	i.Weight, i.Tags, i.Draining = 7, nil, true
	require.NoError(t, registrar(t, r).Register(t.Context(), i, time.Hour))
	got := ask(t, r, "chat")
	require.Len(t, got, 2)
	assert.True(t, slices.ContainsFunc(got, i.Equal), "%+v is not among %+v", i, got)
}

func bounds(t *testing.T, r discovery.Registry) {
	i := two()[0]
	for _, ttl := range []time.Duration{-1, time.Nanosecond, discovery.MaxLease + 1} {
		assert.ErrorIs(t, registrar(t, r).Register(t.Context(), i, ttl), discovery.ErrInvalid, "lease %s", ttl)
		assert.ErrorIs(t, registrar(t, r).Heartbeat(t.Context(), "chat", i.ID, ttl), discovery.ErrInvalid, "lease %s", ttl)
	}
	assert.NoError(t, registrar(t, r).Register(t.Context(), i, 0))
	assert.NoError(t, registrar(t, r).Heartbeat(t.Context(), "chat", i.ID, 0))
}

func deregisters(t *testing.T, r discovery.Registry) {
	i := two()[0]
	for range 2 { // the second time there is nobody to leave
		require.NoError(t, registrar(t, r).Deregister(t.Context(), "chat", i.ID))
		got := ask(t, r, "chat")
		require.Len(t, got, 1)
		assert.NotEqual(t, i.ID, got[0].ID)
	}
	assert.NoError(t, registrar(t, r).Deregister(t.Context(), "nobody", "nothing"))
	assert.ErrorIs(t, registrar(t, r).Heartbeat(t.Context(), "chat", i.ID, time.Hour), discovery.ErrUnknownInstance)
}

func stranger(t *testing.T, r discovery.Registry) {
	assert.ErrorIs(t, registrar(t, r).Heartbeat(t.Context(), "chat", "nobody", time.Hour), discovery.ErrUnknownInstance)
}

func (s Suite) prolongs(t *testing.T, r discovery.Registry) {
	i := two()[0]
	require.NoError(t, registrar(t, r).Register(t.Context(), i, 10*time.Second))
	for range 4 {
		s.Advance(6 * time.Second)
		require.NoError(t, registrar(t, r).Heartbeat(t.Context(), "chat", i.ID, 10*time.Second))
		assert.Len(t, ask(t, r, "chat"), 1)
	}
}

func (s Suite) runsOut(t *testing.T, r discovery.Registry) {
	all := two()
	require.NoError(t, registrar(t, r).Register(t.Context(), all[0], 10*time.Second))
	require.NoError(t, registrar(t, r).Register(t.Context(), all[1], time.Hour))
	s.Advance(11 * time.Second)
	got := ask(t, r, "chat")
	require.Len(t, got, 1)
	assert.Equal(t, all[1].ID, got[0].ID)
	assert.ErrorIs(t, registrar(t, r).Heartbeat(t.Context(), "chat", all[0].ID, time.Hour), discovery.ErrUnknownInstance)
	assert.NoError(t, registrar(t, r).Register(t.Context(), all[0], time.Hour), "an instance may come back")
}

// TestWatcher tests that a registry which is a discovery.Watcher keeps the
// rules of that. Rules 3, 5 and 6 are tested on those that are a
// discovery.Registrar, too.
func TestWatcher(t *testing.T, s Suite) {
	t.Helper()
	s.run(t, "1 ends with its context", func(t *testing.T) { endsWithContext(t, s.New(t, two()...)) })
	s.run(t, "2 tells of all at first", func(t *testing.T) { tellsAll(t, s.New(t, two()...)) })
	s.run(t, "3 and 6 tells of changes", func(t *testing.T) { tellsChanges(t, s.New(t, two()...)) })
	if s.Advance == nil {
		return
	}
	s.run(t, "5 tells of leases that run out", func(t *testing.T) { s.tellsExpiry(t, s.New(t)) })
}

// watching collects what a Watch sets.
type watching struct {
	t      *testing.T
	cancel context.CancelFunc
	err    chan error
	news   chan struct{}

	mu    sync.Mutex
	busy  bool
	state map[string][]discovery.Instance
}

func watch(t *testing.T, r discovery.Registry) *watching {
	t.Helper()
	watcher, ok := r.(discovery.Watcher)
	require.True(t, ok, "%T is no discovery.Watcher", r)
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{
		t: t, cancel: cancel, err: make(chan error, 1), news: make(chan struct{}, 1),
		state: map[string][]discovery.Instance{},
	}
	go func() { w.err <- watcher.Watch(ctx, w.set) }()
	return w
}

func (w *watching) set(service string, all []discovery.Instance) {
	w.mu.Lock()
	assert.False(w.t, w.busy, "4: calls of set overlap")
	w.busy, w.state[service] = true, all
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
	w.mu.Lock()
	w.busy = false
	w.mu.Unlock()
}

// until waits until service has n instances.
func (w *watching) until(service string, n int) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		got, told := w.state[service]
		w.mu.Unlock()
		if told && len(got) == n {
			return
		}
		select {
		case <-w.news:
		case <-deadline:
			require.FailNow(w.t, "watch did not tell", "service %q: want %d instances, got %v", service, n, got)
		}
	}
}

// end ends the watch and checks how it ends.
func (w *watching) end() {
	w.t.Helper()
	w.cancel()
	select {
	case err := <-w.err:
		assert.ErrorIs(w.t, err, context.Canceled)
	case <-time.After(patience):
		require.FailNow(w.t, "1: watch goes on though its context has ended")
	}
}

func endsWithContext(t *testing.T, r discovery.Registry) {
	watch(t, r).end()
	again := watch(t, r)
	again.until("chat", 2)
	again.end()
}

func tellsAll(t *testing.T, r discovery.Registry) {
	w := watch(t, r)
	defer w.end()
	w.until("chat", 2)
}

func tellsChanges(t *testing.T, r discovery.Registry) {
	w := watch(t, r)
	defer w.end()
	w.until("chat", 2)
	registrar, ok := r.(discovery.Registrar)
	if !ok {
		return
	}
	all := two()
	require.NoError(t, registrar.Register(t.Context(), Instances("story", "http://127.0.0.1:9001")[0], time.Hour))
	w.until("story", 1)
	assert.Len(t, ask(t, r, "story"), 1)
	require.NoError(t, registrar.Deregister(t.Context(), "chat", all[0].ID))
	w.until("chat", 1)
	require.NoError(t, registrar.Deregister(t.Context(), "chat", all[1].ID))
	w.until("chat", 0)
}

func (s Suite) tellsExpiry(t *testing.T, r discovery.Registry) {
	require.NoError(t, registrar(t, r).Register(t.Context(), two()[0], 10*time.Second))
	w := watch(t, r)
	defer w.end()
	w.until("chat", 1)
	s.Advance(11 * time.Second)
	w.until("chat", 0)
}
