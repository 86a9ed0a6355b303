package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Static is a Registry, Watcher and Lister of instances that never change. It
// is immutable. The zero value knows no service.
type Static struct {
	byService map[string][]Instance
}

// NewStatic returns a registry of the given URLs by service name. The error
// joins every complaint: a bad name or URL, a URL given twice, a service
// without a URL.
func NewStatic(urls map[string][]string) (*Static, error) {
	var all []Instance
	var errs []error
	for _, service := range slices.Sorted(maps.Keys(urls)) {
		if len(urls[service]) == 0 {
			errs = append(errs, fmt.Errorf("service %q: %w", service, invalid("no url: give at least one")))
		}
		for _, raw := range urls[service] {
			i, err := NewInstance(service, raw)
			if err != nil {
				errs = append(errs, fmt.Errorf("service %q: %w", service, err))
				continue
			}
			all = append(all, i)
		}
	}
	s, err := NewStaticInstances(all...)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return s, nil
}

// NewStaticInstances returns a registry of the given instances, for weights
// and tags. The error joins every complaint.
func NewStaticInstances(all ...Instance) (*Static, error) {
	s := &Static{byService: map[string][]Instance{}}
	var errs []error
	seen := map[string]bool{}
	for _, i := range all {
		i, err := i.Clone().Complete()
		if err != nil {
			errs = append(errs, fmt.Errorf("instance of %q: %w", clip(i.Service), err))
			continue
		}
		if key := i.Service + "\x00" + i.ID; seen[key] {
			errs = append(errs, invalid("instance %s is given twice: remove one", i))
		} else {
			seen[key] = true
			s.byService[i.Service] = append(s.byService[i.Service], i)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Instances implements [Registry].
func (s *Static) Instances(_ context.Context, service string) ([]Instance, error) {
	all, ok := s.byService[service]
	if !ok {
		return nil, UnknownService(service)
	}
	return slices.Clone(all), nil
}

// Services implements [Lister].
func (s *Static) Services(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(s.byService)), nil
}

// Watch implements [Watcher]: it sets every service once and waits.
func (s *Static) Watch(ctx context.Context, set func(string, []Instance)) error {
	for _, service := range slices.Sorted(maps.Keys(s.byService)) {
		set(service, slices.Clone(s.byService[service]))
	}
	<-ctx.Done()
	return ctx.Err()
}
