package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// What a Monitor without settings uses.
const (
	DefaultInterval = 30 * time.Second
	DefaultTimeout  = 5 * time.Second
	DefaultFails    = 3
	DefaultPasses   = 2
	DefaultJitter   = 0.1
)

var (
	// ErrRunning is returned by [Monitor.Run] while another Run of the same Monitor goes on.
	ErrRunning = errors.New("health: the monitor is already running")
	// ErrUnknownCheck is returned, wrapped with the name, by [Monitor.Probe] for a name that was never added or has been removed.
	ErrUnknownCheck = errors.New("health: no such check")
	// ErrCycle is returned, wrapped with the way round, by [Monitor.Add] when the new check would depend on itself.
	ErrCycle = errors.New("health: checks depend on each other in a circle")
)

// A Monitor asks its checks regularly, remembers the answers, and works out what they mean for those that depend on each other. The
// zero value is ready, and a setting that makes no sense (a negative time or number) counts as zero; between [Monitor.Run]s it knows what it knew. Fields must not change after first use. All methods are safe for
// simultaneous use. It must not be copied after first use.
type Monitor struct {
	Interval time.Duration // between two probes of one target; 0 = 30 s. While a change is being confirmed, a quarter of it.
	Timeout  time.Duration // for one probe; 0 = 5 s. A check that does not answer by then has failed.
	Fails    int           // failures in a row that make a healthy target unhealthy; 0 = 3. The very first answer decides alone.
	Passes   int           // passes in a row that make an unhealthy target healthy; 0 = 2
	Jitter   float64       // Interval varies by up to this share, so that gateways started together drift apart; 0 = 0.1, negative = none, at most 0.9

	Version string    // shown in the report
	Started time.Time // uptime counts from here; zero = from the first Add or Run

	// OnChange, if set, is told when the status of a check changes, one change at a time and in order; from and to are statuses as in
	// the report. It is called on the goroutine that saw the change, holds up only further news, and may use the Monitor.
	OnChange func(name, from, to string)

	// Detail says who may see more than the one word of the whole: names of services and their errors are a map for an attacker.
	// nil = nobody.
	Detail func(*http.Request) bool

	mu       sync.Mutex // guards the fields below and those of the targets
	targets  map[string]*target
	born     time.Time
	run      *run                                // nil while not running
	standing atomic.Pointer[map[string]standing] // replaced whole under mu, read without it
	news     changes[change]
}

type change struct{ name, from, to string }

// run is one call of Monitor.Run.
type run struct {
	ctx   context.Context
	tasks sync.WaitGroup
}

// A CheckOption says more about a check: [Requires], [Wants], [Optional].
type CheckOption interface{ apply(*target) }

// Optional marks a check whose failing leaves the whole degraded instead of unhealthy: a cache, a registry with a last good answer.
const Optional = optional(true)

type optional bool

func (o optional) apply(t *target) { t.optional = bool(o) }

type hard []string

func (h hard) apply(t *target) { t.requires = append(t.requires, h...) }

type soft []string

func (s soft) apply(t *target) { t.wants = append(t.wants, s...) }

// Requires names the checks without which this one cannot be well: while one of them is unhealthy, so is this one, and while one is
// degraded, this one is at best degraded. A name that was not added (yet) does no harm.
func Requires(names ...string) CheckOption { return hard(names) }

// Wants names the checks without which this one is at best degraded. A name that was not added (yet) does no harm.
func Wants(names ...string) CheckOption { return soft(names) }

// Add begins to watch what c asks about; while the Monitor runs, the first probe goes out at once. It refuses an empty name, one that
// is taken, a nil check, and a dependency that would close a circle ([ErrCycle]); then nothing has changed.
func (m *Monitor) Add(name string, c Check, opts ...CheckOption) error {
	t := &target{name: name, check: c, own: Unknown, slot: make(chan struct{}, 1)}
	for _, o := range opts {
		if o != nil {
			o.apply(t)
		}
	}
	if err := m.add(t); err != nil {
		return err
	}
	m.tell()
	return nil
}

func (m *Monitor) add(t *target) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(t); err != nil {
		return err
	}
	if m.targets == nil {
		m.targets = make(map[string]*target)
	}
	m.targets[t.name] = t
	m.beBorn()
	m.settle()
	m.watch(t)
	return nil
}

func (m *Monitor) refuses(t *target) error {
	switch {
	case t.name == "":
		return errors.New("health: a check needs a name")
	case t.check == nil:
		return fmt.Errorf("health: check %q has no func to call", t.name)
	case m.targets[t.name] != nil:
		return fmt.Errorf("health: check %q is there already; Remove it first", t.name)
	}
	if way := circle(m.targets, t); way != "" {
		return fmt.Errorf("%w: %s", ErrCycle, way)
	}
	return nil
}

// Remove stops watching. A probe under way is cancelled and its answer dropped. Those that required it are no longer held down by it.
// An unknown name is no error.
func (m *Monitor) Remove(name string) {
	m.mu.Lock()
	t := m.targets[name]
	if t != nil {
		delete(m.targets, name)
		t.leave()
		m.settle()
	}
	m.mu.Unlock()
	m.tell()
}

// Well says whether the check of that name is not known to be unhealthy. A degraded one is well, and so is one that was never added or
// has not answered yet: what is not known to be down is tried. It neither locks nor allocates.
func (m *Monitor) Well(name string) bool {
	s := m.Status(name)
	return s != Unhealthy && s != Broken
}

// Status is the status of one check: [Healthy], [Degraded], [Unhealthy], [Broken], or [Unknown] for a name that was never added or has
// not answered yet.
func (m *Monitor) Status(name string) string {
	all := m.standing.Load()
	if all == nil {
		return Unknown
	}
	if s, ok := (*all)[name]; ok {
		return s.status
	}
	return Unknown
}

// Run probes until ctx ends, then waits for the probes under way, and returns nil. A check that ignores its context keeps it waiting.
func (m *Monitor) Run(ctx context.Context) error {
	r, err := m.begin(ctx)
	if err != nil {
		return err
	}
	<-ctx.Done()
	m.end()
	r.tasks.Wait()
	return nil
}

func (m *Monitor) begin(ctx context.Context) (*run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run != nil {
		return nil, ErrRunning
	}
	m.beBorn()
	m.run = &run{ctx: ctx}
	for _, t := range m.targets {
		m.watch(t)
	}
	return m.run, nil
}

// end makes Add start nothing any more; only then may be waited for what was started.
func (m *Monitor) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run = nil
}

// watch starts the loop of one target if the Monitor runs.
func (m *Monitor) watch(t *target) {
	r := m.run
	if r == nil || r.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	t.cancel = cancel
	r.tasks.Go(func() {
		defer cancel()
		m.loop(ctx, r, t)
	})
}

func (m *Monitor) loop(ctx context.Context, r *run, t *target) {
	for ctx.Err() == nil {
		m.turn(ctx, r, t)
		m.rest(ctx, t)
	}
}

func (m *Monitor) rest(ctx context.Context, t *target) {
	timer := time.NewTimer(m.pause(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// pause is the time to the next probe. A result that contradicts the status is looked into sooner.
func (m *Monitor) pause(t *target) time.Duration {
	d := positive(m.Interval, DefaultInterval)
	m.mu.Lock()
	if t.streak > 0 {
		d /= 4
	}
	m.mu.Unlock()
	jitter := min(or(m.Jitter, DefaultJitter), 0.9)
	if jitter < 0 {
		return d
	}
	return d + time.Duration(float64(d)*jitter*(2*rand.Float64()-1))
}

func (m *Monitor) beBorn() {
	if m.born.IsZero() {
		m.born = time.Now()
	}
}

// settle works out anew what the answers mean, and notes what changed. The caller holds mu.
func (m *Monitor) settle() {
	before := m.standings()
	after := cascade(m.targets)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		from, known := before[name]
		if known && from.status != after[name].status && m.OnChange != nil {
			m.news.add(change{name, from.status, after[name].status})
		}
	}
	m.standing.Store(&after)
}

func (m *Monitor) standings() map[string]standing {
	if all := m.standing.Load(); all != nil {
		return *all
	}
	return nil
}

func (m *Monitor) tell() {
	if m.OnChange == nil {
		return
	}
	m.news.tell(func(c change) { m.OnChange(c.name, c.from, c.to) })
}

// positive is v, or def if v is not.
func positive[T int | float64 | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// or is v, or def if v is zero, for settings of which a negative value means something.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
