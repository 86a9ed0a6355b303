package ratelimit

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// ErrDegraded says that a [Fallback] counts locally because its shared store
// is not there.
var ErrDegraded = errors.New("ratelimit: the shared store is down, limits are counted locally")

// A Fallback is a [Store] that asks a shared one, and counts locally while
// that fails. Used by pointer; safe for simultaneous use; its fields must not
// change after first use.
//
//	limits ─► Allow? ──yes─► Store ──answered──► its Decision
//	            │              │                 (and Local counts what passed)
//	            no           failed
//	            └──────┬───────┘
//	                   ▼
//	                 Local, at its Share of every rate
//
// The local store is warm: it counts also while the shared one is well, so
// the moment of failure brings nobody a fresh burst. It counts this process's
// part of the traffic only; that is what Share is for.
//
// A failing store costs little. Each failure costs the time that the store
// takes to fail (rule 10 of [Store] bounds it), and then none is asked until
// Allow says so: a request pays for a dead server at most once in a while,
// and most never. A caller that goes away is not a failure of the store: the
// shared Take is finished even when ctx is cancelled meanwhile.
type Fallback struct {
	// Store is the shared one. nil means there is none: Local counts, and
	// nothing is degraded.
	Store Store
	// Local counts while Store fails; nil means a [Memory] of its own.
	Local Store
	// Share is the part of every rate that is let through locally, such as
	// 1/3 where three gateways stand side by side. 0 means 1: n gateways
	// then let n times the rate through while the shared store is down. It
	// is kept between 0.001 and 1, and a bucket is never made smaller than
	// the cost of a Take.
	Share float64

	// Allow decides whether Store is asked; done is told how that ended. It
	// has the shape of a circuit breaker's. nil means that after a failure
	// Store is left alone for Pause, then asked by one Take at a time until
	// one succeeds.
	Allow func() (done func(error), err error)
	// Pause is how long Store is left alone where Allow is nil; 0 means 1 s.
	Pause time.Duration

	// OnError is told each error of the shared store (not those of Allow),
	// and the errors of Local, if it has any. It must be quick: the request
	// waits for it.
	OnError func(error)
	// OnChange is told when the state changes: true when local counting
	// begins, false when the shared store answers again. Calls come one at
	// a time and in order.
	OnChange func(degraded bool)

	own      Memory
	retryAt  atomic.Pointer[time.Time] // nil while the shared store is well
	degraded atomic.Bool
	mu       sync.Mutex // orders the calls of OnChange
}

var (
	errPaused   = errors.New("ratelimit: the shared store failed and is left alone for a while")
	errPanicked = errors.New("ratelimit: the shared store panicked")
)

// Take asks the shared store, or the local one. It fails only for a bad limit
// or when Local itself fails.
func (f *Fallback) Take(ctx context.Context, limits ...Limit) (Decision, error) {
	if err := validate(limits); err != nil {
		return Decision{}, err // a fault of ours says nothing about the store
	}
	if f.Store == nil {
		return f.local().Take(ctx, limits...)
	}
	d, err := f.shared(ctx, limits)
	f.setDegraded(err != nil)
	if err != nil {
		return f.decideLocally(ctx, limits)
	}
	if d.Allowed {
		f.warm(ctx, limits)
	}
	return d, nil
}

// Degraded reports whether limits are counted locally at present.
func (f *Fallback) Degraded() bool { return f.degraded.Load() }

// Check is nil, or [ErrDegraded] while limits are counted locally. It asks
// nobody, and has the shape of a health check.
func (f *Fallback) Check(context.Context) error {
	if f.Degraded() {
		return ErrDegraded
	}
	return nil
}

// shared asks the shared store if that is allowed, and tells how it ended,
// also when it panics.
func (f *Fallback) shared(ctx context.Context, limits []Limit) (d Decision, err error) {
	done, err := f.allow()
	if err != nil {
		return Decision{}, err
	}
	err = errPanicked
	defer func() { done(err) }()
	if d, err = f.Store.Take(context.WithoutCancel(ctx), limits...); err != nil {
		f.report(err)
	}
	return d, err
}

func (f *Fallback) allow() (done func(error), err error) {
	if f.Allow != nil {
		return f.Allow()
	}
	at := f.retryAt.Load()
	if at == nil {
		return f.pauseAfter, nil
	}
	now := time.Now()
	if now.Before(*at) || !f.retryAt.CompareAndSwap(at, f.nextTry(now)) {
		return nil, errPaused
	}
	return f.pauseAfter, nil
}

func (f *Fallback) pauseAfter(err error) {
	if err == nil {
		f.retryAt.Store(nil)
		return
	}
	f.retryAt.Store(f.nextTry(time.Now()))
}

func (f *Fallback) nextTry(now time.Time) *time.Time {
	pause := f.Pause
	if pause <= 0 {
		pause = time.Second
	}
	at := now.Add(pause)
	return &at
}

func (f *Fallback) local() Store {
	if f.Local == nil {
		return &f.own
	}
	return f.Local
}

// decideLocally answers in the shared store's stead; the Decision speaks of
// the limit as it was asked for.
func (f *Fallback) decideLocally(ctx context.Context, limits []Limit) (Decision, error) {
	d, err := f.local().Take(ctx, f.shares(limits)...)
	if err != nil {
		f.report(err)
		return Decision{}, err
	}
	for i := range limits {
		if limits[i].Name == d.Limit.Name && limits[i].Key == d.Limit.Key {
			d.Limit = limits[i]
			break
		}
	}
	return d, nil
}

// warm counts what the shared store let through: each limit by itself, so
// that one which is used up here does not keep the others from counting.
func (f *Fallback) warm(ctx context.Context, limits []Limit) {
	shares := f.shares(limits)
	for i := range shares {
		if _, err := f.local().Take(ctx, shares[i:i+1]...); err != nil {
			f.report(err)
		}
	}
}

func (f *Fallback) report(err error) {
	if f.OnError != nil {
		f.OnError(err)
	}
}

func (f *Fallback) setDegraded(degraded bool) {
	if f.degraded.Load() == degraded {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.degraded.Swap(degraded) != degraded && f.OnChange != nil {
		f.OnChange(degraded)
	}
}

// shares are the limits at this process's share.
func (f *Fallback) shares(limits []Limit) []Limit {
	share := f.Share
	if !(share > 0 && share < 1) {
		return limits
	}
	shares := make([]Limit, len(limits))
	for i, l := range limits {
		l.Rate = l.Rate.share(max(share, 0.001), l.Units())
		shares[i] = l
	}
	return shares
}

// share is the given part of r: the period grows, so that nothing is lost to
// rounding, and the bucket shrinks, but never below least.
func (r Rate) share(part float64, least int) Rate {
	if r.Unlimited() {
		return r
	}
	burst := max(least, int(math.Ceil(float64(r.Size())*part)))
	per := float64(r.Per) / part
	return Rate{N: r.N, Per: time.Duration(min(per, math.MaxInt64/2)), Burst: burst}
}
