package config

import (
	"context"
	"errors"
	"sync"

	"github.com/theinterneti/tta-gateway/discovery"
)

// aliased is a registry in which a service that nobody serves is served by
// those who serve one of its other names.
type aliased struct {
	discovery.Registry
	names map[string][]string // service → other names, in order
}

// Instances implements [discovery.Registry].
func (a aliased) Instances(ctx context.Context, service string) ([]discovery.Instance, error) {
	all, err := a.Registry.Instances(ctx, service)
	for _, other := range a.names[service] {
		if len(all) > 0 || err != nil && !errors.Is(err, discovery.ErrUnknownService) {
			break
		}
		var theirs []discovery.Instance
		if theirs, err = a.Registry.Instances(ctx, other); len(theirs) > 0 {
			all = renamed(theirs, service)
		}
	}
	return all, err
}

// renamed are copies under another service's name.
func renamed(all []discovery.Instance, service string) []discovery.Instance {
	out := make([]discovery.Instance, len(all))
	for i, inst := range all {
		inst.Service = service
		out[i] = inst
	}
	return out
}

// watchedAliases is aliased over a registry that tells of changes.
type watchedAliases struct {
	aliased
	watcher discovery.Watcher
}

// withAliases adds other names to a registry, and keeps it a Watcher if it is
// one.
func withAliases(r discovery.Registry, names map[string][]string) discovery.Registry {
	a := aliased{Registry: r, names: names}
	if w, ok := r.(discovery.Watcher); ok {
		return &watchedAliases{aliased: a, watcher: w}
	}
	return &a
}

// Watch implements [discovery.Watcher]: a change of a service is one of all
// who go by it.
func (w *watchedAliases) Watch(ctx context.Context, set func(string, []discovery.Instance)) error {
	known := map[string][]discovery.Instance{}
	var mu sync.Mutex // a Watcher calls one at a time; this costs nothing where it does
	return w.watcher.Watch(ctx, func(service string, all []discovery.Instance) {
		mu.Lock()
		defer mu.Unlock()
		known[service] = all
		set(service, w.served(known, service))
		for alias, others := range w.names {
			for _, other := range others {
				if other == service && alias != service {
					set(alias, w.served(known, alias))
					break
				}
			}
		}
	})
}

// served are who serves a name by what is known.
func (w *watchedAliases) served(known map[string][]discovery.Instance, service string) []discovery.Instance {
	if own := known[service]; len(own) > 0 {
		return own
	}
	for _, other := range w.names[service] {
		if theirs := known[other]; len(theirs) > 0 {
			return renamed(theirs, service)
		}
	}
	return nil
}
