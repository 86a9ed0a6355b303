package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// First returns a registry that asks all in order and answers with the first
// that has an instance. While one before it cannot tell, the answer comes with
// an error that wraps [ErrStale]: a [Cache] then keeps a better one, if it has
// it. The result is a [Watcher] when all are, and a [Lister] of those that are.
func First(all ...Registry) Registry { return combine(all, takeFirst) }

// Merge returns a registry that asks all at once and puts their answers
// together; of two instances with one ID, the earlier registry's stands. When
// some cannot tell, the others' instances come with an error that wraps
// [ErrStale]. The result is a [Watcher] when all are, and a [Lister] of those
// that are.
func Merge(all ...Registry) Registry { return combine(all, takeAll) }

// combined is what First and Merge have in common: ask everybody, combine.
type combined struct {
	all  []Registry
	take func(service string, answers []answered) ([]Instance, error)
}

// answered is what one registry said.
type answered struct {
	all []Instance
	err error
}

// watched is a combined of which all are watchers.
type watched struct{ combined }

func combine(all []Registry, take func(string, []answered) ([]Instance, error)) Registry {
	c := combined{slices.Clone(all), take}
	for _, r := range all {
		if _, ok := r.(Watcher); !ok {
			return &c
		}
	}
	return &watched{c}
}

// Instances implements [Registry].
func (c *combined) Instances(ctx context.Context, service string) ([]Instance, error) {
	answers := make([]answered, len(c.all))
	var work sync.WaitGroup
	for n, r := range c.all {
		work.Go(func() { answers[n].all, answers[n].err = r.Instances(ctx, service) })
	}
	work.Wait()
	return c.take(service, answers)
}

// takeFirst is the answer of First.
func takeFirst(service string, answers []answered) ([]Instance, error) {
	known := false
	var errs []error
	for _, a := range answers {
		if failed(a.err) {
			errs = append(errs, a.err)
		}
		if len(a.all) > 0 {
			return a.all, stale(errs)
		}
		known = known || a.err == nil
	}
	return nil, nobody(service, known, errs)
}

// takeAll is the answer of Merge.
func takeAll(service string, answers []answered) ([]Instance, error) {
	known, seen := false, map[string]bool{}
	var all []Instance
	var errs []error
	for _, a := range answers {
		if failed(a.err) {
			errs = append(errs, a.err)
		}
		known = known || a.err == nil
		for _, i := range a.all {
			if !seen[i.ID] {
				seen[i.ID] = true
				all = append(all, i)
			}
		}
	}
	if len(all) > 0 {
		return all, stale(errs)
	}
	return nil, nobody(service, known, errs)
}

// failed reports whether err says that a registry could not tell.
func failed(err error) bool { return err != nil && !errors.Is(err, ErrUnknownService) }

// stale is the error beside instances that some registries did not confirm.
func stale(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrStale, errors.Join(errs...))
}

// nobody is the error when no registry had an instance.
func nobody(service string, known bool, errs []error) error {
	switch {
	case len(errs) > 0:
		return errors.Join(errs...)
	case known:
		return nil
	}
	return UnknownService(service)
}

// Services implements [Lister].
func (c *combined) Services(ctx context.Context) ([]string, error) {
	names := map[string]bool{}
	var errs []error
	for _, r := range c.all {
		l, ok := r.(Lister)
		if !ok {
			continue
		}
		some, err := l.Services(ctx)
		errs = append(errs, err)
		for _, s := range some {
			names[s] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), errors.Join(errs...)
}

// Watch implements [Watcher]. It ends when one of the watches ends.
func (w *watched) Watch(ctx context.Context, set func(string, []Instance)) error {
	watching, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // serialises set, and asking before it
	var work sync.WaitGroup
	for _, r := range w.all {
		work.Go(func() {
			err := r.(Watcher).Watch(watching, func(service string, _ []Instance) {
				mu.Lock()
				defer mu.Unlock()
				w.tell(watching, service, set)
			})
			cancel(cmp.Or(err, errWatchEnded))
		})
	}
	work.Wait()
	return cmp.Or(ctx.Err(), context.Cause(watching))
}

// tell sets what all together say now of a service that one of them told of.
func (w *watched) tell(ctx context.Context, service string, set func(string, []Instance)) {
	all, err := w.Instances(ctx, service)
	if ctx.Err() != nil || failed(err) {
		return // the next change, or the next question, will tell
	}
	set(service, all)
}
