package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of [Cache].
const (
	DefaultEvery       = 5 * time.Second
	DefaultTimeout     = 2 * time.Second
	DefaultMaxServices = 1024
)

// resyncs is how many Every lie between two full questions to a registry that
// tells of changes by itself: they find what it failed to tell.
const resyncs = 6

// A Cache keeps the last good answer of a Registry for each service, as
// endpoints that keep what was counted on them. It is safe for simultaneous
// use, and must not be copied after first use; its fields are set before.
//
// While Run runs, Endpoints answers from memory, without a lock and without
// allocating. When it does not run, Endpoints asks the registry at each call,
// so that a test's change to a fake registry is seen by the next request.
//
// When the registry cannot answer, the last good answer stays, however old,
// and Degraded says so.
type Cache struct {
	// Registry is asked. It must be set.
	Registry Registry
	// Every is how often Run asks a registry that is no [Watcher], and a sixth
	// of how often it asks one that is. Zero means [DefaultEvery].
	Every time.Duration
	// Timeout bounds each question. Zero means [DefaultTimeout].
	Timeout time.Duration
	// SlowStart is how long an instance that joins a service, or comes back to
	// it, takes to get its full share of the work ([Endpoint.Warm]). Those that
	// find the service empty begin with their full share. Zero means none.
	SlowStart time.Duration
	// MaxServices bounds how many services are kept. Others are asked for at
	// each call. Zero means [DefaultMaxServices].
	MaxServices int
	// OnChange, if set, is told of a service's new endpoints, in order, after
	// they can be had. It must not call Endpoints of this Cache, nor change all.
	OnChange func(service string, all []*Endpoint)
	// OnError, if set, is told when the registry begins to fail for a service,
	// with the cause, and with nil when it answers again; and with service ""
	// when a watch ended, before it is begun again. It must not call Endpoints.
	OnError func(service string, err error)

	running  atomic.Bool
	services atomic.Pointer[map[string]*cached]
	mu       sync.Mutex // guards replacing services
}

// cached is what is kept of one service.
type cached struct {
	service string
	answer  atomic.Pointer[answer]
	first   chan struct{} // holds one token: the right to ask the first question

	mu     sync.Mutex // guards the fields below, and replacing answer
	pushes int        // sets by the watch so far
	good   bool       // some answer was good
	failed error      // why the last question was not answered
	since  time.Time  // of failed
}

// answer is what Endpoints returns. It never changes.
type answer struct {
	all      []*Endpoint
	err      error // when all is empty
	degraded error
}

// A DegradedError says that a service's endpoints are an old or partial
// answer, because the registry fails.
type DegradedError struct {
	Service string
	Since   time.Time // the first failure in a row
	Err     error     // the latest
}

// Error implements error.
func (e *DegradedError) Error() string {
	return fmt.Sprintf("discovery: endpoints of %q are not fresh since %s: %v", e.Service, e.Since.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns the cause.
func (e *DegradedError) Unwrap() error { return e.Err }

// Endpoints returns the endpoints of a service. The slice is shared: it is not
// to be changed. When there is none, the error wraps [ErrNoInstance], or says
// why the registry could not answer if it never did.
func (c *Cache) Endpoints(ctx context.Context, service string) ([]*Endpoint, error) {
	if !c.running.Load() {
		return c.askNow(ctx, c.keep(service))
	}
	if s := c.find(service); s != nil {
		if a := s.answer.Load(); a != nil {
			return a.all, a.err
		}
	}
	return c.askFirst(ctx, c.keep(service))
}

// askFirst asks for a service that has no answer yet, once for all who wait.
func (c *Cache) askFirst(ctx context.Context, s *cached) ([]*Endpoint, error) {
	select {
	case s.first <- struct{}{}:
		defer func() { <-s.first }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if a := s.answer.Load(); a != nil {
		return a.all, a.err
	}
	return c.askNow(ctx, s)
}

// Degraded returns nil when the service's endpoints are what the registry says
// now, and for a service that nobody asked for. Otherwise it returns a
// [*DegradedError].
func (c *Cache) Degraded(service string) error {
	if s := c.find(service); s != nil {
		if a := s.answer.Load(); a != nil {
			return a.degraded
		}
	}
	return nil
}

// Services returns the names of the services that are kept, sorted.
func (c *Cache) Services() []string {
	return slices.Sorted(maps.Keys(c.table()))
}

func (c *Cache) table() map[string]*cached {
	if t := c.services.Load(); t != nil {
		return *t
	}
	return nil
}

func (c *Cache) find(service string) *cached { return c.table()[service] }

// keep returns the place of a service and makes it if there is room; without
// room it returns one that nobody else sees.
func (c *Cache) keep(service string) *cached {
	if s := c.find(service); s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.find(service); s != nil {
		return s
	}
	s, old := &cached{service: service, first: make(chan struct{}, 1)}, c.table()
	if len(old) >= cmp.Or(c.MaxServices, DefaultMaxServices) {
		return s
	}
	next := maps.Clone(old)
	if next == nil {
		next = map[string]*cached{}
	}
	next[service] = s
	c.services.Store(&next)
	return s
}

// askNow asks the registry and returns what is known then.
func (c *Cache) askNow(ctx context.Context, s *cached) ([]*Endpoint, error) {
	c.ask(ctx, s)
	if a := s.answer.Load(); a != nil {
		return a.all, a.err
	}
	return nil, cmp.Or(context.Cause(ctx), ErrNoInstance) // the caller left before there was an answer
}

// ask asks the registry for one service and takes its answer.
func (c *Cache) ask(ctx context.Context, s *cached) {
	s.mu.Lock()
	pushes := s.pushes
	s.mu.Unlock()
	asking, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, DefaultTimeout))
	defer cancel()
	all, err := c.Registry.Instances(asking, s.service)
	if err != nil && ctx.Err() != nil {
		return // our caller left; that says nothing of the registry
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pushes != pushes {
		return // what the watch set meanwhile is newer
	}
	c.take(s, all, err)
}

// push takes what the watch set.
func (c *Cache) push(service string, all []Instance) {
	s := c.keep(service)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushes++
	c.take(s, all, nil)
}

// take requires that s.mu is held. It sorts answers from failures: only the
// former replace a good answer.
func (c *Cache) take(s *cached, all []Instance, err error) {
	all, bad := completed(s.service, all)
	switch {
	case bad != nil:
		c.fail(s, errors.Join(err, bad))
		c.replace(s, all, s.failed)
		s.good = true
	case err == nil, errors.Is(err, ErrUnknownService):
		c.recovered(s)
		c.replace(s, all, err)
		s.good = true
	case s.good:
		c.fail(s, err)
		c.note(s)
	default: // nothing better than what came with the error
		c.fail(s, err)
		c.replace(s, all, err)
	}
}

// completed returns the instances that are fit for use, and what is wrong with
// the others.
func completed(service string, all []Instance) (fit []Instance, err error) {
	fit = make([]Instance, 0, len(all))
	var errs []error
	for _, i := range all {
		i.Service = cmp.Or(i.Service, service)
		i, err := i.Complete()
		if err != nil {
			errs = append(errs, fmt.Errorf("discovery: registry answered with instance %q: %w", clip(i.ID), err))
			continue
		}
		fit = append(fit, i)
	}
	return fit, errors.Join(errs...)
}

// fail requires that s.mu is held.
func (c *Cache) fail(s *cached, err error) {
	first := s.failed == nil
	if first {
		s.since = time.Now()
	}
	s.failed = err
	if first && c.OnError != nil {
		c.OnError(s.service, err)
	}
}

// recovered requires that s.mu is held.
func (c *Cache) recovered(s *cached) {
	if s.failed == nil {
		return
	}
	s.failed = nil
	if c.OnError != nil {
		c.OnError(s.service, nil)
	}
}

// note requires that s.mu is held. It keeps the endpoints and tells that they
// are not fresh.
func (c *Cache) note(s *cached) {
	old := s.answer.Load()
	s.answer.Store(&answer{all: old.all, err: old.err, degraded: s.degraded()})
}

// degraded requires that s.mu is held.
func (s *cached) degraded() error {
	if s.failed == nil {
		return nil
	}
	return &DegradedError{Service: s.service, Since: s.since, Err: s.failed}
}

// replace requires that s.mu is held. It stores the endpoints of all, reusing
// those that stay.
func (c *Cache) replace(s *cached, all []Instance, err error) {
	old := s.answer.Load()
	var before []*Endpoint
	if old != nil {
		before = old.all
	}
	next, changed := c.endpoints(before, all)
	s.answer.Store(&answer{all: next, err: s.emptiness(next, err), degraded: s.degraded()})
	if changed && c.OnChange != nil {
		c.OnChange(s.service, next)
	}
}

// emptiness is the error of an answer without endpoints.
func (s *cached) emptiness(all []*Endpoint, err error) error {
	switch {
	case len(all) > 0:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w of service %q", ErrNoInstance, s.service)
}

// endpoints returns the endpoints of all, those of before where ID and URL
// are the same, and before itself if nothing changed.
func (c *Cache) endpoints(before []*Endpoint, all []Instance) (next []*Endpoint, changed bool) {
	known := make(map[string]*Endpoint, len(before))
	for _, e := range before {
		known[e.ID] = e
	}
	changed = len(all) != len(before)
	next = make([]*Endpoint, len(all))
	for n, i := range all {
		next[n] = c.endpoint(known[i.ID], i, len(before) > 0)
		changed = changed || next[n] != before[n]
	}
	if !changed {
		return before, false
	}
	return next, true
}

func (c *Cache) endpoint(was *Endpoint, i Instance, warm bool) *Endpoint {
	switch {
	case was == nil || !sameURL(was.URL, i.URL):
		e := NewEndpoint(i)
		if warm && c.SlowStart > 0 {
			e.Warm(c.SlowStart)
		}
		return e
	case was.Equal(i):
		return was
	}
	return was.with(i)
}

// Run keeps the answers fresh until ctx ends, and returns ctx's error. It
// watches a registry that is a [Watcher], and asks any other one each Every
// for the services that were asked for before. It returns an error at once if
// it runs already or has no Registry.
func (c *Cache) Run(ctx context.Context) error {
	if c.Registry == nil {
		return errors.New("discovery: cache has no registry: set Registry")
	}
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("discovery: cache runs already")
	}
	defer c.running.Store(false)
	every := cmp.Or(c.Every, DefaultEvery)
	watcher, watched := c.Registry.(Watcher)
	if !watched {
		return c.refresh(ctx, every, 1)
	}
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { c.watch(ctx, watcher, every) })
	return c.refresh(ctx, every, resyncs)
}

// watch watches, again and again, until ctx ends. Between two watches it asks,
// because a new watch does not tell which services went meanwhile.
func (c *Cache) watch(ctx context.Context, w Watcher, every time.Duration) {
	for ctx.Err() == nil {
		err := w.Watch(ctx, c.push)
		if ctx.Err() != nil {
			return
		}
		c.askAll(ctx, false)
		if c.OnError != nil {
			c.OnError("", fmt.Errorf("discovery: watch ended, will watch again in %s: %w", every, cmp.Or(err, errWatchEnded)))
		}
		sleep(ctx, every)
	}
}

var errWatchEnded = errors.New("discovery: watcher returned without an error")

// refresh asks each every: for all services in one round of so many, in the
// others for those that fail.
func (c *Cache) refresh(ctx context.Context, every time.Duration, rounds int) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for round := 0; ; round++ {
		c.askAll(ctx, round%rounds != 0)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// askAll asks for every kept service, a few at a time, so that one slow
// answer does not hold up all the others.
func (c *Cache) askAll(ctx context.Context, onlyFailing bool) {
	var work sync.WaitGroup
	defer work.Wait()
	room := make(chan struct{}, 8)
	for _, s := range c.table() {
		if onlyFailing && !s.failing() {
			continue
		}
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			c.ask(ctx, s)
		})
	}
}

// failing reports whether the last question was not answered.
func (s *cached) failing() bool {
	a := s.answer.Load()
	return a == nil || a.degraded != nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
