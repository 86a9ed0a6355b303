package discovery

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// DefaultMaxInstances is how many instances a [Memory] holds unless told.
const DefaultMaxInstances = 10_000

// Memory keeps instances and their leases in this process. It is a Registry,
// a Registrar, a Watcher and a Lister. The zero value is ready; it must not be
// copied after first use.
//
// A lease that runs out ends by the clock, whether or not Run runs: Run only
// frees the memory.
type Memory struct {
	// MaxInstances bounds how many there may be. Register then returns
	// [ErrFull]. Zero means [DefaultMaxInstances].
	MaxInstances int

	mu       sync.Mutex // guards the fields below
	services map[string]map[string]lease
	count    int
	watches  map[*memoryWatch]struct{}
}

type lease struct {
	Instance
	expires time.Time
}

// Register implements [Registrar].
func (m *Memory) Register(_ context.Context, i Instance, ttl time.Duration) error {
	i, err := i.Clone().Complete()
	if err != nil {
		return err
	}
	ttl, err = Lease(ttl)
	if err != nil {
		return err
	}
	return m.put(lease{i, time.Now().Add(ttl)})
}

func (m *Memory) put(l lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.roomFor(l) {
		return ErrFull
	}
	if m.services == nil {
		m.services = map[string]map[string]lease{}
	}
	if m.services[l.Service] == nil {
		m.services[l.Service] = map[string]lease{}
	}
	if _, there := m.services[l.Service][l.ID]; !there {
		m.count++
	}
	m.services[l.Service][l.ID] = l
	m.changed(l.Service)
	return nil
}

// roomFor requires that mu is held. When there is no room, leases that have
// run out make some.
func (m *Memory) roomFor(l lease) bool {
	limit := cmp.Or(m.MaxInstances, DefaultMaxInstances)
	if _, there := m.services[l.Service][l.ID]; there || m.count < limit {
		return true
	}
	m.sweep(time.Now())
	return m.count < limit
}

// Heartbeat implements [Registrar].
func (m *Memory) Heartbeat(_ context.Context, service, id string, ttl time.Duration) error {
	ttl, err := Lease(ttl)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	l, ok := m.services[service][id]
	if !ok || !l.expires.After(now) {
		return ErrUnknownInstance
	}
	if sooner := now.Add(ttl).Before(l.expires); sooner {
		m.wakeWatches() // they sleep for longer than they may now
	}
	l.expires = now.Add(ttl)
	m.services[service][id] = l
	return nil
}

// Deregister implements [Registrar].
func (m *Memory) Deregister(_ context.Context, service, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.services[service][id]; ok {
		m.remove(service, id)
		m.changed(service)
	}
	return nil
}

// remove requires that mu is held.
func (m *Memory) remove(service, id string) {
	delete(m.services[service], id)
	m.count--
	if len(m.services[service]) == 0 {
		delete(m.services, service)
	}
}

// Instances implements [Registry]. A service whose last lease has run out is
// not known any more.
func (m *Memory) Instances(_ context.Context, service string) ([]Instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.live(service, time.Now())
	if len(all) == 0 {
		return nil, UnknownService(service)
	}
	return all, nil
}

// live requires that mu is held. It sorts by ID.
func (m *Memory) live(service string, now time.Time) []Instance {
	var all []Instance
	for _, l := range m.services[service] {
		if l.expires.After(now) {
			all = append(all, l.Instance)
		}
	}
	slices.SortFunc(all, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Services implements [Lister].
func (m *Memory) Services(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(time.Now())
	return slices.Sorted(maps.Keys(m.services)), nil
}

// Run frees what leases that ran out still hold, once in a while, until ctx
// ends. It returns ctx's error.
func (m *Memory) Run(ctx context.Context) error {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			m.mu.Lock()
			m.sweep(now)
			m.mu.Unlock()
		}
	}
}

// sweep requires that mu is held.
func (m *Memory) sweep(now time.Time) {
	for service, all := range m.services {
		for id, l := range all {
			if !l.expires.After(now) {
				m.remove(service, id)
				m.changed(service)
			}
		}
	}
}

// A memoryWatch is one running Watch: which services it has not told of yet.
type memoryWatch struct {
	wake  chan struct{}
	dirty map[string]bool // guarded by Memory.mu
	told  map[string]bool // the services that set knows; used by Watch only
}

// changed requires that mu is held.
func (m *Memory) changed(service string) {
	for w := range m.watches {
		w.dirty[service] = true
	}
	m.wakeWatches()
}

// wakeWatches requires that mu is held.
func (m *Memory) wakeWatches() {
	for w := range m.watches {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Watch implements [Watcher].
func (m *Memory) Watch(ctx context.Context, set func(string, []Instance)) error {
	w := m.openWatch()
	defer m.closeWatch(w)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		case <-timer.C:
		}
		if err := m.tell(ctx, w, set); err != nil {
			return err
		}
		timer.Reset(m.untilExpiry())
	}
}

func (m *Memory) openWatch() *memoryWatch {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &memoryWatch{wake: make(chan struct{}, 1), dirty: map[string]bool{}, told: map[string]bool{}}
	for service := range m.services {
		w.dirty[service] = true
	}
	if m.watches == nil {
		m.watches = map[*memoryWatch]struct{}{}
	}
	m.watches[w] = struct{}{}
	return w
}

func (m *Memory) closeWatch(w *memoryWatch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watches, w)
}

// tell sets every service that changed or had a lease run out.
func (m *Memory) tell(ctx context.Context, w *memoryWatch, set func(string, []Instance)) error {
	for _, service := range m.takeDirty(w) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.mu.Lock()
		all := m.live(service, time.Now())
		m.mu.Unlock()
		if len(all) > 0 || w.told[service] {
			set(service, all)
		}
		w.told[service] = len(all) > 0
	}
	maps.DeleteFunc(w.told, func(_ string, there bool) bool { return !there })
	return nil
}

// takeDirty returns the services to tell of, sorted, and forgets them. It
// sweeps first, so that those whose leases ran out are among them.
func (m *Memory) takeDirty(w *memoryWatch) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(time.Now())
	names := slices.Sorted(maps.Keys(w.dirty))
	clear(w.dirty)
	return names
}

// untilExpiry is how long to sleep until the next lease runs out. A heartbeat
// meanwhile moves that on; then the sleeper wakes once for nothing.
func (m *Memory) untilExpiry() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := time.Now().Add(MaxLease)
	for _, all := range m.services {
		for _, l := range all {
			if l.expires.Before(next) {
				next = l.expires
			}
		}
	}
	return max(time.Until(next), 0)
}
