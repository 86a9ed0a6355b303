package gateway

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// retryBudget bounds retries to a share of the requests of each second, or to
// a few where there are few, so that an outage is not answered by a storm.
// Whether there are few, the second before tells: a busy one that has only
// begun is not a quiet one.
// Nothing is saved up: good times must not pay for a storm either.
type retryBudget struct {
	share    float64
	floor    int64
	second   atomic.Int64 // the counts are of this one
	requests atomic.Int64
	before   atomic.Int64 // requests of the second before
	retries  atomic.Int64
}

const (
	defaultRetryShare = 0.2
	defaultRetryFloor = 3 // a second
)

func newRetryBudget(share float64) *retryBudget {
	switch {
	case share == 0:
		share = defaultRetryShare
	case share < 0:
		share = 0
	}
	return &retryBudget{share: share, floor: defaultRetryFloor}
}

// earn counts a request.
func (b *retryBudget) earn(now time.Time) {
	b.turn(now)
	b.requests.Add(1)
}

// spend asks for a retry.
func (b *retryBudget) spend(now time.Time) bool {
	b.turn(now)
	if b.retries.Add(1) <= b.allowed() {
		return true
	}
	b.retries.Add(-1)
	return false
}

func (b *retryBudget) allowed() int64 {
	share := int64(b.share * float64(b.requests.Load()))
	if b.share*float64(b.before.Load()) >= float64(b.floor) {
		return share
	}
	return max(b.floor, share)
}

// turn begins another second. Who counts at this very moment may be forgotten:
// the budget is a bound, not an account.
func (b *retryBudget) turn(now time.Time) {
	this := now.Unix()
	if last := b.second.Load(); last != this && b.second.CompareAndSwap(last, this) {
		before := b.requests.Swap(0)
		if last != this-1 {
			before = 0
		}
		b.before.Store(before)
		b.retries.Store(0)
	}
}

// Pauses before a retry: a random part of a bound that doubles, so that those
// who failed together do not come back together.
const (
	firstPause = 25 * time.Millisecond
	mostPause  = 250 * time.Millisecond
)

// backoff waits before the n-th retry, counted from 1. It reports whether the
// caller is still there.
func backoff(ctx context.Context, n int) bool {
	bound := min(firstPause<<min(n-1, 8), mostPause)
	timer := time.NewTimer(rand.N(bound))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// replayCap is how much of a body is kept so that it can be sent again.
const replayCap = 64 << 10

// idempotent methods may be repeated without harm (RFC 9110 section 9.2.2). A
// POST is none, whatever key it carries: whether a service honours that is not
// known here.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
