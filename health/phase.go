package health

import "time"

// outcome is how a call ended.
type outcome uint8

const (
	success outcome = 1 << iota
	failure
	slow // beside success or failure

	ignored outcome = 0
)

// phase is a state of the Breaker with what it remembers. The Breaker's mu is held around every call.
type phase interface {
	state() State
	due(now time.Time) bool                 // the time has come to turn half-open
	room(now time.Time) bool                // one more call may enter
	enter(now time.Time)                    // one more call has entered
	leave(now time.Time, how outcome) phase // a call of this phase has ended; not nil = what comes next
	calm() bool                             // room is always true
}

// closed lets calls in and watches how they end.
type closed struct {
	of     *Breaker
	streak int // failures in a row
	window window
	ramp   *ramp // nil once recovery is over
}

func newClosed(b *Breaker, now time.Time, recovering bool) *closed {
	c := &closed{of: b, window: window{start: now, tenth: positive(b.Window, DefaultWindow) / tenths}}
	if recovering && b.Ramp >= 0 {
		c.ramp = &ramp{until: now.Add(or(b.Ramp, DefaultRamp)), limit: 1}
	}
	return c
}

func (c *closed) state() State       { return Closed }
func (c *closed) due(time.Time) bool { return false }
func (c *closed) calm() bool         { return c.ramp == nil }

func (c *closed) room(now time.Time) bool {
	if c.ramp == nil {
		return true
	}
	if now.Before(c.ramp.until) {
		return c.ramp.inside < c.ramp.limit
	}
	c.ramp = nil
	c.of.show(c.of.look().turn(), c)
	return true
}

func (c *closed) enter(time.Time) {
	if c.ramp != nil {
		c.ramp.inside++
	}
}

func (c *closed) leave(now time.Time, how outcome) phase {
	if c.ramp != nil {
		c.ramp.leave(how)
	}
	if how == ignored {
		return nil
	}
	c.window.add(now, how)
	c.streak++
	if how&failure == 0 {
		c.streak = 0
	}
	if c.tooMany() {
		return newOpen(c.of, now)
	}
	return nil
}

func (c *closed) tooMany() bool {
	b, sum := c.of, c.window.sum
	if most := or(b.Threshold, DefaultThreshold); most > 0 && c.streak >= most {
		return true
	}
	if int(sum.calls) < positive(b.MinCalls, DefaultMinCalls) {
		return false
	}
	return reaches(sum.failures, sum.calls, or(b.FailureRate, DefaultFailureRate)) ||
		reaches(sum.slow, sum.calls, or(b.SlowRate, DefaultSlowRate))
}

// reaches says whether part of whole is at least the rate; a negative rate is never reached, nor is any by no part at all.
func reaches(part, whole uint32, rate float64) bool {
	return rate >= 0 && part > 0 && float64(part) >= rate*float64(whole)
}

// ramp limits the calls at once after a recovery, so that a service that has just come back is not thrown over by all who waited. Room
// grows with every success, which doubles it with every round of calls; one caller after the other never notices.
type ramp struct {
	until         time.Time
	limit, inside int
}

func (r *ramp) leave(how outcome) {
	r.inside = max(0, r.inside-1)
	switch {
	case how&failure != 0:
		r.limit = max(1, r.limit/2)
	case how&success != 0:
		r.limit++
	}
}

// open refuses until its time has come.
type open struct {
	of    *Breaker
	until time.Time
}

func newOpen(b *Breaker, now time.Time) *open {
	return &open{b, now.Add(positive(b.Timeout, DefaultBreakerTimeout))}
}

func (o *open) state() State           { return Open }
func (o *open) due(now time.Time) bool { return !now.Before(o.until) }
func (o *open) room(time.Time) bool    { return false }
func (o *open) enter(time.Time)        {}
func (o *open) calm() bool             { return false }

// leave is the end of a call that was forced in. One that went well is a trial passed before its time; one that failed says what we
// know already.
func (o *open) leave(now time.Time, how outcome) phase {
	if how != success {
		return nil
	}
	return (&halfOpen{of: o.of, inside: 1}).next(now, how)
}

// halfOpen lets a few trials in.
type halfOpen struct {
	of     *Breaker
	inside int
	passed int
	last   time.Time // when the last trial went in
}

func (h *halfOpen) state() State       { return HalfOpen }
func (h *halfOpen) due(time.Time) bool { return false }
func (h *halfOpen) calm() bool         { return false }

// room also gives up waiting for trials that never end: a lost ticket must not shut the door for good.
func (h *halfOpen) room(now time.Time) bool {
	return h.inside < positive(h.of.Trials, DefaultTrials) || now.Sub(h.last) >= positive(h.of.Timeout, DefaultBreakerTimeout)
}

func (h *halfOpen) enter(now time.Time) {
	h.inside++
	h.last = now
}

func (h *halfOpen) leave(now time.Time, how outcome) phase {
	if next := h.next(now, how); next != h {
		return next
	}
	return nil
}

// next is what follows a trial: itself while more are needed.
func (h *halfOpen) next(now time.Time, how outcome) phase {
	h.inside = max(0, h.inside-1)
	if how&(failure|slow) != 0 {
		return newOpen(h.of, now)
	}
	if how == success {
		h.passed++
	}
	if h.passed >= positive(h.of.Successes, DefaultSuccesses) {
		return newClosed(h.of, now, true)
	}
	return h
}

const tenths = 10

// window counts calls over the last ten tenths of a time, the one under way included.
type window struct {
	start time.Time
	tenth time.Duration
	at    int64 // the number of the tenth counted last
	parts [tenths]tally
	sum   tally
}

type tally struct{ calls, failures, slow uint32 }

func (w *window) add(now time.Time, how outcome) {
	w.advance(int64(now.Sub(w.start) / max(1, w.tenth)))
	one := tally{calls: 1}
	if how&failure != 0 {
		one.failures = 1
	}
	if how&slow != 0 {
		one.slow = 1
	}
	part := &w.parts[w.at%tenths]
	*part = part.plus(one)
	w.sum = w.sum.plus(one)
}

// advance empties the tenths that have passed. A clock that went back counts in the tenth where it stood.
func (w *window) advance(to int64) {
	if to-w.at >= tenths {
		w.parts, w.sum, w.at = [tenths]tally{}, tally{}, to
	}
	for w.at < to {
		w.at++
		old := &w.parts[w.at%tenths]
		w.sum = w.sum.minus(*old)
		*old = tally{}
	}
}

func (t tally) plus(o tally) tally {
	return tally{t.calls + o.calls, t.failures + o.failures, t.slow + o.slow}
}

func (t tally) minus(o tally) tally {
	return tally{t.calls - o.calls, t.failures - o.failures, t.slow - o.slow}
}
