package discoverytest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/theinterneti/tta-gateway/discovery"
)

// Registry is a fake discovery.Registry and discovery.Lister. The zero value
// knows no service. Its fields may be set before first use, later on only its
// methods are safe for simultaneous use.
type Registry struct {
	// ByService holds what it answers. A service that is there with no instances
	// is known and has none; one that is not there is unknown.
	ByService map[string][]discovery.Instance
	// Err, if set, is what it answers to everything.
	Err error

	mu      sync.Mutex
	calls   []string
	watches map[chan struct{}]struct{}
}

// Instances implements discovery.Registry.
func (r *Registry) Instances(ctx context.Context, service string) ([]discovery.Instance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, service)
	if r.Err != nil {
		return nil, r.Err
	}
	all, ok := r.ByService[service]
	if !ok {
		return nil, discovery.UnknownService(service)
	}
	return slices.Clone(all), ctx.Err()
}

// Services implements discovery.Lister.
func (r *Registry) Services(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.ByService)), r.Err
}

// Set replaces the instances of a service. With none, the service is known and
// has none.
func (r *Registry) Set(service string, all ...discovery.Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ByService == nil {
		r.ByService = map[string][]discovery.Instance{}
	}
	r.ByService[service] = slices.Clone(all)
	r.wake()
}

// Forget makes a service unknown.
func (r *Registry) Forget(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ByService, service)
	r.wake()
}

// Fail sets Err. Nil makes the registry well again.
func (r *Registry) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Err = err
	r.wake()
}

// Calls returns the services that were asked for so far, in order.
func (r *Registry) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// wake requires that mu is held.
func (r *Registry) wake() {
	for w := range r.watches {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// WatchedRegistry is a Registry that is a discovery.Watcher, too: it tells of
// what Set and Forget change. While Err is set, Watch returns it.
type WatchedRegistry struct {
	Registry
}

// Watch implements discovery.Watcher.
func (r *WatchedRegistry) Watch(ctx context.Context, set func(string, []discovery.Instance)) error {
	wake := r.openWatch()
	defer r.closeWatch(wake)
	told := map[string][]discovery.Instance{}
	for {
		now, err := r.state()
		if err != nil {
			return err
		}
		tell(told, now, set)
		told = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

func (r *WatchedRegistry) openWatch() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watches == nil {
		r.watches = map[chan struct{}]struct{}{}
	}
	wake := make(chan struct{}, 1)
	r.watches[wake] = struct{}{}
	return wake
}

func (r *WatchedRegistry) closeWatch(wake chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watches, wake)
}

func (r *WatchedRegistry) state() (map[string][]discovery.Instance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.ByService), r.Err
}

// tell sets what differs between told and now.
func tell(told, now map[string][]discovery.Instance, set func(string, []discovery.Instance)) {
	for _, service := range slices.Sorted(maps.Keys(now)) {
		before, known := told[service]
		if !known || !slices.EqualFunc(before, now[service], discovery.Instance.Equal) {
			set(service, slices.Clone(now[service]))
		}
	}
	for service := range told {
		if _, still := now[service]; !still {
			set(service, nil)
		}
	}
}
