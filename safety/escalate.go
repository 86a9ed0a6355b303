package safety

import (
	"context"
	"sync"
	"time"
)

// DefaultEscalationTimeout is how long one escalation may take, unless
// [Guard.EscalationTimeout] says otherwise.
const DefaultEscalationTimeout = 2 * time.Minute

// DefaultCooldown is how long the same is not done again in a conversation,
// unless [Guard.Cooldown] says otherwise.
const DefaultCooldown = 10 * time.Minute

// Escalator tells a human that somebody may be in danger. Returning nil says
// that they, or a system that answers for them, acknowledged it; whoever only
// sent something into the dark must return an error. Escalate is called from
// the background, so it may take its time, within the context's deadline, and
// try again; [Event.ID] tells repetitions apart. It must be safe for
// simultaneous use.
//
// Nothing here calls an emergency service, and no text says to a person that
// somebody was told.
type Escalator interface {
	Escalate(context.Context, Event) error
}

// EscalatorFunc is a function that is an [Escalator].
type EscalatorFunc func(context.Context, Event) error

// Escalate calls f.
func (f EscalatorFunc) Escalate(ctx context.Context, e Event) error { return f(ctx, e) }

// The outcomes of an escalation, in an [Event] of [KindEscalation].
const (
	Acknowledged = "acknowledged"
	Failed       = "failed"  // the Escalator returned an error, panicked or ran out of time
	Dropped      = "dropped" // too many were under way
)

const (
	maxEscalations = 256  // under way at once
	maxRecords     = 8192 // waiting to be recorded
	graveRecords   = 2 * maxRecords
)

// errands are what is done in the background on behalf of requests: records
// one after the other, escalations side by side. The zero errands is ready. A
// goroutine runs only while there is something to do.
type errands struct {
	mu          sync.Mutex // guards the fields below
	records     []func()
	recording   bool
	escalations int
	idle        chan struct{} // closed when nothing is left to do; nil while nobody waits
}

// record runs f after all that came before it. It refuses when too many wait;
// grave ones are refused later.
func (e *errands) record(f func(), grave bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	limit := maxRecords
	if grave {
		limit = graveRecords
	}
	if len(e.records) >= limit {
		return false
	}
	e.records = append(e.records, f)
	if !e.recording {
		e.recording = true
		go e.work()
	}
	return true
}

func (e *errands) work() {
	for {
		e.mu.Lock()
		if len(e.records) == 0 {
			e.recording, e.records = false, nil
			e.rest()
			e.mu.Unlock()
			return
		}
		f := e.records[0]
		e.records[0] = nil
		e.records = e.records[1:]
		e.mu.Unlock()
		f()
	}
}

// escalate runs f on its own, unless too many are under way.
func (e *errands) escalate(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.escalations == maxEscalations {
		return false
	}
	e.escalations++
	go func() {
		f()
		e.mu.Lock()
		defer e.mu.Unlock()
		e.escalations--
		e.rest()
	}()
	return true
}

// rest wakes those who wait for idleness. Its caller holds mu.
func (e *errands) rest() {
	if e.idle != nil && !e.busy() {
		close(e.idle)
		e.idle = nil
	}
}

func (e *errands) busy() bool { return e.recording || e.escalations > 0 }

func (e *errands) wait(ctx context.Context) error {
	e.mu.Lock()
	if !e.busy() {
		e.mu.Unlock()
		return nil
	}
	if e.idle == nil {
		e.idle = make(chan struct{})
	}
	idle := e.idle
	e.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
