package health

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// What a Breaker without settings uses.
const (
	DefaultThreshold      = 5
	DefaultBreakerTimeout = 60 * time.Second
	DefaultFailureRate    = 0.5
	DefaultSlowRate       = 0.5
	DefaultMinCalls       = 20
	DefaultWindow         = 10 * time.Second
	DefaultTrials         = 3
	DefaultSuccesses      = 3
	DefaultRamp           = 10 * time.Second
)

// ErrOpen is returned for a call that the breaker does not let in. [Breaker.RetryAfter] says when to come back.
var ErrOpen = errors.New("health: breaker is open")

// A State is that of a [Breaker].
type State int8

const (
	Closed   State = iota // calls go through and are watched
	Open                  // calls are refused, to spare the callers the wait and the service the load
	HalfOpen              // a few calls go through to find out whether the service is back
)

// String returns "closed", "open" or "half-open".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	}
	return "unknown"
}

// A Breaker stands before one instance of a service and stops calling it while it fails.
//
//	         Threshold failures in a row, or FailureRate or SlowRate of
//	         at least MinCalls within Window
//	┌────────┐ ────────────────────────────────────────────────► ┌──────┐
//	│ closed │                                                   │ open │◄─────────┐
//	└────────┘ ◄──────────┐                                      └──┬───┘          │
//	  the first Ramp:     │  Successes trials      ┌───────────┐    │ Timeout      │ a trial
//	  room grows with     └─────────────────────── │ half-open │ ◄──┘              │ fails, or
//	  every success                                └─────┬─────┘ ──────────────────┘ is slow
//
// Only the faults of the service belong in here: what the client did wrong, or a client that went away, is told by [Ticket.Ignore].
// The answer to a call that began before the last change of state counts no more, so a late failure cannot open a breaker that has
// just found its service well.
//
// The zero value is ready, and a setting that makes no sense counts as zero; a nil *Breaker lets everything through. For a therapeutic service TTA uses Threshold 3 and Timeout 30 s.
// Fields must not change after first use. All methods are safe for simultaneous use; it must not be copied after first use.
type Breaker struct {
	Threshold int           // failures in a row that open it; 0 = 5, negative = their number never does
	Timeout   time.Duration // how long it stays open before a trial; 0 = 60 s

	FailureRate float64       // share of failures that opens it, 0 to 1; 0 = 0.5, negative = none does
	SlowCall    time.Duration // calls that take longer are slow; 0 = none are
	SlowRate    float64       // share of slow calls that opens it, 0 to 1; 0 = 0.5, negative = none does
	MinCalls    int           // calls within Window before a share means anything; 0 = 20
	Window      time.Duration // how far back shares look; 0 = 10 s, seen in tenths

	Trials    int           // calls at once while half-open; 0 = 3. One that has not ended within Timeout makes room for another.
	Successes int           // trials that must succeed to close it; 0 = 3
	Ramp      time.Duration // how long after closing calls at once are limited: to one more than have succeeded since; 0 = 10 s, negative = not limited

	// Failure says whether an error speaks against the service; one that does not counts neither way, as if ignored. It is not asked
	// about nil. nil = every error does except context.Canceled: the caller went away.
	Failure func(error) bool

	// OnChange, if set, is told of every change of state, one at a time and in order, on the goroutine whose call brought it about.
	OnChange func(from, to State)

	face atomic.Uint64 // a face: written under mu, read without it

	mu    sync.Mutex // guards the fields below
	phase phase      // nil = closed, never used
	since time.Time
	news  changes[turned]
}

// face is what of a Breaker is seen without its lock, in one word so that its parts belong together.
//
//	turn, 61 bits: counts changes of phase; a ticket of another turn counts no more
//	state, 2 bits
//	calm, 1 bit: every call is let in, and entering is not counted
type face uint64

func newFace(turn uint64, p phase) face {
	f := face(turn<<3 | uint64(p.state())<<1)
	if p.calm() {
		f |= 1
	}
	return f
}

func (f face) turn() uint64 { return uint64(f >> 3) }
func (f face) state() State { return State(f >> 1 & 3) }
func (f face) calm() bool   { return f&1 == 1 }

type turned struct{ from, to State }

// A Ticket is a call that was let in. Exactly one of its methods must be called, once, when the call has ended. The zero Ticket does
// nothing.
type Ticket struct {
	b     *Breaker
	turn  uint64
	began time.Time
}

// Acquire asks whether a call may go in, and returns [ErrOpen] if not. With force it always may: a person in crisis is not turned away
// by a guess about the service, and their call is the best of trials. It does not allocate.
func (b *Breaker) Acquire(force bool) (Ticket, error) {
	if b == nil {
		return Ticket{}, nil
	}
	if f := b.look(); f.calm() {
		return b.ticket(f), nil
	}
	ticket, ok, changed := b.enter(time.Now(), force)
	if changed {
		b.tell()
	}
	if !ok {
		return Ticket{}, ErrOpen
	}
	return ticket, nil
}

// Done says how the call ended: nil for well, else an error, which [Breaker.Failure] judges. It does not allocate.
func (t Ticket) Done(err error) {
	if t.b == nil {
		return
	}
	t.b.leave(t, t.b.judge(err))
}

// Ignore gives the ticket back without a word about the service: the fault was the client's, or the call was never made.
func (t Ticket) Ignore() {
	if t.b == nil {
		return
	}
	t.b.leave(t, ignored)
}

// Allow is Acquire(false) for code that would rather hold a func. done may be called more than once; the first call counts. It is
// never nil unless err is not.
func (b *Breaker) Allow() (done func(error), err error) { return b.allow(false) }

// Force is Acquire(true) in the manner of Allow: the way in for a crisis. The error is always nil.
func (b *Breaker) Force() (done func(error), err error) { return b.allow(true) }

func (b *Breaker) allow(force bool) (func(error), error) {
	ticket, err := b.Acquire(force)
	if err != nil {
		return nil, err
	}
	var used atomic.Bool
	return func(err error) {
		if used.CompareAndSwap(false, true) {
			ticket.Done(err)
		}
	}, nil
}

// State is the present one. An open breaker turns half-open when the next call asks after Timeout, not by itself.
func (b *Breaker) State() State {
	if b == nil {
		return Closed
	}
	return b.look().state()
}

// Since is when the present state began; zero if it never changed.
func (b *Breaker) Since() time.Time {
	if b == nil {
		return time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since
}

// Available says whether Acquire(false) would let a call in now, without asking for it: what a balancer wants to know of each of its
// candidates. In the steady closed state neither of them takes a lock.
func (b *Breaker) Available() bool {
	if b == nil || b.look().calm() {
		return true
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prepare()
	return b.phase.due(now) || b.phase.room(now)
}

// RetryAfter is how long an open breaker will certainly refuse; 0 in every other state.
func (b *Breaker) RetryAfter() time.Duration {
	if b.State() != Open {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if o, ok := b.phase.(*open); ok {
		return max(0, time.Until(o.until))
	}
	return 0
}

// Reset closes the breaker and forgets all that it saw, for an instance that was replaced.
func (b *Breaker) Reset() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.prepare()
	b.become(time.Now(), newClosed(b, time.Now(), false))
	b.mu.Unlock()
	b.tell()
}

func (b *Breaker) look() face { return face(b.face.Load()) }

// ticket is one for a call let in while the breaker looked so. The time is taken only where it will be asked for.
func (b *Breaker) ticket(f face) Ticket {
	t := Ticket{b: b, turn: f.turn()}
	if b.SlowCall > 0 {
		t.began = time.Now()
	}
	return t
}

func (b *Breaker) enter(now time.Time, force bool) (t Ticket, ok, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prepare()
	if b.phase.due(now) {
		b.become(now, &halfOpen{of: b})
		changed = true
	}
	if !force && !b.phase.room(now) {
		return Ticket{}, false, changed
	}
	b.phase.enter(now)
	return b.ticket(b.look()), true, changed
}

func (b *Breaker) leave(t Ticket, how outcome) {
	now := time.Now()
	if how != ignored && b.SlowCall > 0 && now.Sub(t.began) > b.SlowCall {
		how |= slow
	}
	if b.end(now, t.turn, how) {
		b.tell()
	}
}

func (b *Breaker) end(now time.Time, turn uint64, how outcome) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if turn != b.look().turn() {
		return false
	}
	next := b.phase.leave(now, how)
	if next == nil {
		return false
	}
	b.become(now, next)
	return true
}

func (b *Breaker) prepare() {
	if b.phase == nil {
		b.show(0, newClosed(b, time.Now(), false))
	}
}

// show is the one place where the phase changes, or its face.
func (b *Breaker) show(turn uint64, p phase) {
	b.phase = p
	b.face.Store(uint64(newFace(turn, p)))
}

func (b *Breaker) become(now time.Time, next phase) {
	from, to := b.phase.state(), next.state()
	b.show(b.look().turn()+1, next)
	if from == to {
		return
	}
	b.since = now
	if b.OnChange != nil {
		b.news.add(turned{from, to})
	}
}

func (b *Breaker) tell() {
	if b.OnChange != nil {
		b.news.tell(func(t turned) { b.OnChange(t.from, t.to) })
	}
}

func (b *Breaker) judge(err error) outcome {
	switch {
	case err == nil:
		return success
	case b.speaksAgainst(err):
		return failure
	}
	return ignored
}

func (b *Breaker) speaksAgainst(err error) bool {
	if b.Failure != nil {
		return b.Failure(err)
	}
	return !errors.Is(err, context.Canceled)
}
