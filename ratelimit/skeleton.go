package ratelimit

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Memory is a [Store] in this process. The zero value is ready; used by pointer.
type Memory struct{ MaxKeys int }

// Take lets everything through that is valid.
func (m *Memory) Take(_ context.Context, limits ...Limit) (Decision, error) {
	if err := validate(limits); err != nil {
		return Decision{}, err
	}
	return Decision{Allowed: true}, nil
}

// A Fallback is a [Store].
type Fallback struct {
	Store    Store
	Local    Store
	Share    float64
	Allow    func() (done func(error), err error)
	Pause    time.Duration
	OnError  func(error)
	OnChange func(degraded bool)
}

// Take asks the shared store.
func (f *Fallback) Take(ctx context.Context, limits ...Limit) (Decision, error) {
	return f.Store.Take(ctx, limits...)
}

// Degraded reports whether the shared store is down.
func (f *Fallback) Degraded() bool { return false }

// Check is a health check.
func (f *Fallback) Check(context.Context) error { return nil }

// SetHeaders is not yet complete.
func SetHeaders(h http.Header, d Decision, style HeaderStyle) {}

// A Limiter is a middleware.
type Limiter struct {
	Store        Store
	Limits       func(*http.Request) []Limit
	Headers      HeaderStyle
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// Take asks.
func (l *Limiter) Take(r *http.Request) (Decision, error) {
	d, err := l.Store.Take(r.Context(), l.Limits(r)...)
	if err != nil {
		return d, err
	}
	return d, d.Err()
}

// Wrap wraps.
func (l *Limiter) Wrap(next http.Handler) http.Handler { return next }

// ErrOverloaded says that there is no room.
var ErrOverloaded = errors.New("ratelimit: overloaded")

// Admission bounds concurrency. The zero value counts only.
type Admission struct {
	Limit              int
	CrisisReserve      int
	TherapeuticReserve int
	Queue              int
	LIFO               bool
	MaxWait            time.Duration
	ErrorHandler       func(http.ResponseWriter, *http.Request, error)

	mu  sync.Mutex
	use [laneCount]int
}

// Acquire takes a place.
func (a *Admission) Acquire(ctx context.Context, lane Lane) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.use[lane.index()]++
	return nil
}

// Release gives it back.
func (a *Admission) Release(lane Lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.use[lane.index()]--
}

// Enter takes a place.
func (a *Admission) Enter(ctx context.Context, lane Lane) (leave func(), err error) {
	return func() { a.Release(lane) }, a.Acquire(ctx, lane)
}

// InUse counts.
func (a *Admission) InUse(lane Lane) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.use[lane.index()]
}

// Waiting counts.
func (a *Admission) Waiting(lane Lane) int { return 0 }

// Wrap wraps.
func (a *Admission) Wrap(next http.Handler) http.Handler { return next }
