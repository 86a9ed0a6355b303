package redisregistry

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/discovery"
)

// Watch implements discovery.Watcher. It looks when another gateway tells of a
// change, and every Poll. It ends when Redis cannot be asked; whoever runs it
// (a discovery.Cache does) begins again.
func (r *Registry) Watch(ctx context.Context, set func(string, []discovery.Instance)) error {
	notices := r.client.Subscribe(ctx, changedKey)
	defer notices.Close()
	tick := time.NewTicker(cmp.Or(r.Poll, DefaultPoll))
	defer tick.Stop()
	told := map[string][]discovery.Instance{}
	for {
		now, err := r.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		told = tell(told, now.live, set)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-notices.Channel():
			drain(notices.Channel())
		}
	}
}

// drain drops notices that one look answers together.
func drain(notices <-chan *redis.Message) {
	for len(notices) > 0 {
		<-notices
	}
}

// tell sets what differs between told and now, and returns now.
func tell(told, now map[string][]discovery.Instance, set func(string, []discovery.Instance)) map[string][]discovery.Instance {
	for _, service := range slices.Sorted(maps.Keys(now)) {
		before, known := told[service]
		if !known || !slices.EqualFunc(before, now[service], discovery.Instance.Equal) {
			set(service, slices.Clone(now[service]))
		}
	}
	for _, service := range slices.Sorted(maps.Keys(told)) {
		if _, still := now[service]; !still {
			set(service, nil)
		}
	}
	return now
}

// Run removes entries that this package wrote and whose lease has run out
// Retain ago, once a minute, until ctx ends; it returns ctx's error. Entries of
// other writers stay. It is optional: what has run out is not seen anyway.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			_ = r.Sweep(ctx) // a Redis that is away is swept when it is back
		}
	}
}

// Sweep removes, once, what Run removes.
func (r *Registry) Sweep(ctx context.Context) error {
	records, err := r.Records(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, rec := range r.overdue(records) {
		same := func(now Record) bool { return now.raw == rec.raw } // it has not come back meanwhile
		errs = append(errs, r.remove(ctx, rec.Key, same))
	}
	return errors.Join(errs...)
}

// overdue returns our records whose lease has been seen to be over for Retain.
func (r *Registry) overdue(records []Record) []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, lapsed, out := r.now(), map[string]time.Time{}, []Record(nil)
	for _, rec := range records {
		if rec.Foreign || rec.Health != "" {
			continue
		}
		since, ok := r.lapsedAt[rec.Key]
		if !ok {
			since = now
		}
		lapsed[rec.Key] = since
		if now.Sub(since) >= cmp.Or(r.Retain, DefaultRetain) {
			out = append(out, rec)
		}
	}
	r.lapsedAt = lapsed
	return out
}
