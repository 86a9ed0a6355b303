package redisregistry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/discovery"
)

// swap replaces one entry if it is still what we read, so that no other
// writer's change is lost. It touches one key, as a cluster wants.
var swap = redis.NewScript(`
local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1`)

// swapTries is how often an entry that others change at the same time is tried.
const swapTries = 8

var errBusy = errors.New("entry is being changed by others")

// Register implements discovery.Registrar.
func (r *Registry) Register(ctx context.Context, i discovery.Instance, ttl time.Duration) error {
	i, err := i.Clone().Complete()
	if err != nil {
		return err
	}
	if ttl, err = discovery.Lease(ttl); err != nil {
		return err
	}
	if err := r.room(ctx, i.ID); err != nil {
		return err
	}
	r.keep(i, ttl)
	return r.publish(ctx, i, ttl)
}

// room refuses an entry that would be one too many.
func (r *Registry) room(ctx context.Context, id string) error {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	var n *redis.IntCmd
	var there *redis.BoolCmd
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		n, there = p.HLen(ctx, servicesKey), p.HExists(ctx, servicesKey, id)
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	if !there.Val() && n.Val() >= int64(r.maxEntries()) {
		return discovery.ErrFull
	}
	return nil
}

// keep remembers a lease that was registered here, and forgets those that ran
// out.
func (r *Registry) keep(i discovery.Instance, ttl time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for id, l := range r.own {
		if !l.until.After(now) {
			delete(r.own, id)
		}
	}
	r.own[i.ID] = lease{i, ttl, now.Add(ttl)}
}

// publish writes entry, indexes and health key, and tells. Whatever part of
// it fails may be repeated.
func (r *Registry) publish(ctx context.Context, i discovery.Instance, ttl time.Duration) error {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	old, raw, err := r.exchange(ctx, i.ID, func(old string) (string, error) { return render(i, old, r.now()) })
	if err != nil {
		return err
	}
	_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, healthKey+i.ID, healthy, ttl)
		r.reindex(ctx, p, i.ID, old, raw)
		announce(ctx, p, i.Service)
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// exchange reads an entry, makes the new one of it, and writes that.
func (r *Registry) exchange(ctx context.Context, id string, change func(old string) (string, error)) (old, raw string, err error) {
	for range swapTries {
		old, err = r.client.HGet(ctx, servicesKey, id).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", "", unavailable(err)
		}
		if raw, err = change(old); err != nil {
			return "", "", err
		}
		done, err := swap.Run(ctx, r.client, []string{servicesKey}, id, old, raw).Bool()
		if err != nil {
			return "", "", unavailable(err)
		}
		if done {
			return old, raw, nil
		}
	}
	return "", "", unavailable(errBusy)
}

// reindex moves an id from the index sets of its old entry to those of its new
// one. Either may be "".
func (r *Registry) reindex(ctx context.Context, p redis.Pipeliner, id, old, raw string) {
	before, after := r.indexes(id, old), r.indexes(id, raw)
	for key := range before {
		if !after[key] {
			p.SRem(ctx, key, id)
		}
	}
	for key := range after {
		p.SAdd(ctx, key, id)
	}
}

// indexes returns the keys of the index sets that an entry belongs to.
func (r *Registry) indexes(id, raw string) map[string]bool {
	keys := map[string]bool{}
	rec, err := r.parseRecord(id, raw)
	if raw == "" || err != nil {
		return keys
	}
	if rec.typ != "" {
		keys[typePrefix+rec.typ] = true
	}
	for _, t := range historicTags(rec.historTags) {
		keys[tagPrefix+t] = true
	}
	return keys
}

// announce tells everybody that a service has changed.
func announce(ctx context.Context, p redis.Pipeliner, service string) {
	p.Incr(ctx, revisionKey)
	p.Publish(ctx, changedKey, service)
}

// Heartbeat implements discovery.Registrar. An instance that was registered
// here, and which Redis has lost, is put back.
func (r *Registry) Heartbeat(ctx context.Context, service, id string, ttl time.Duration) error {
	ttl, err := discovery.Lease(ttl)
	if err != nil {
		return err
	}
	mine, isMine := r.prolong(service, id, ttl)
	there, err := r.beat(ctx, service, id, ttl)
	switch {
	case err != nil:
		return err
	case there:
		return nil
	case isMine:
		return r.publish(ctx, mine, ttl)
	}
	return discovery.ErrUnknownInstance
}

// prolong prolongs the lease that is kept here, if there is one and it has not
// run out. A heartbeat that Redis does not hear counts for that, too.
func (r *Registry) prolong(service, id string, ttl time.Duration) (discovery.Instance, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.own[id]
	if !ok || l.instance.Service != service || !l.until.After(r.now()) {
		return discovery.Instance{}, false
	}
	l.ttl, l.until = ttl, r.now().Add(ttl)
	r.own[id] = l
	return l.instance, true
}

// beat prolongs the health key if it and the entry are there.
func (r *Registry) beat(ctx context.Context, service, id string, ttl time.Duration) (bool, error) {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	raw, err := r.client.HGet(ctx, servicesKey, id).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(err)
	}
	if rec, err := r.parseRecord(id, raw); err != nil || rec.Instance.Service != service {
		return false, nil
	}
	err = r.client.SetArgs(ctx, healthKey+id, healthy, redis.SetArgs{Mode: "XX", TTL: ttl}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(err)
	}
	return true, nil
}

// Deregister implements discovery.Registrar.
func (r *Registry) Deregister(ctx context.Context, service, id string) error {
	r.forget(service, id)
	return r.remove(ctx, id, func(rec Record) bool { return rec.Instance.Service == service })
}

func (r *Registry) forget(service, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own[id].instance.Service == service {
		delete(r.own, id)
	}
}

// errKeep: an entry is not to be removed.
var errKeep = errors.New("redisregistry: entry stays")

// remove removes an entry that fits, and all that belongs to it.
func (r *Registry) remove(ctx context.Context, id string, fits func(Record) bool) error {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	var rec Record
	old, _, err := r.exchange(ctx, id, func(old string) (string, error) {
		var err error
		if rec, err = r.parseRecord(id, old); err != nil || !fits(rec) {
			return "", errKeep
		}
		return "", nil
	})
	if errors.Is(err, errKeep) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, healthKey+id)
		r.reindex(ctx, p, id, old, "")
		announce(ctx, p, rec.Instance.Service)
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// Mark writes what a poller found out about an entry, as the historic gateway
// did: it prolongs the lease of one that is well, and takes work from one that
// is not until ttl has passed or it is marked well. It is how entries live whose
// writers send no heartbeats. The key is [Record.Key].
func (r *Registry) Mark(ctx context.Context, key string, well bool, ttl time.Duration) error {
	ttl, err := discovery.Lease(ttl)
	if err != nil {
		return err
	}
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	there, err := r.client.HExists(ctx, servicesKey, key).Result()
	if err != nil {
		return unavailable(err)
	}
	if !there {
		return fmt.Errorf("%w: no entry %.64q", discovery.ErrUnknownInstance, key)
	}
	state := unhealthy
	if well {
		state = healthy
	}
	_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, healthKey+key, state, ttl)
		p.Publish(ctx, changedKey, "")
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}
