package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// target is one check and what it last said. Its answers are guarded by the Monitor's mu.
type target struct {
	name            string
	check           Check
	requires, wants []string
	optional        bool

	slot   chan struct{} // holds one token while a probe is under way: never two of one target
	cancel context.CancelFunc

	own    string    // what the answers say, before dependencies
	streak int       // answers in a row that contradict own
	fault  string    // the text of the last failure; "" when well
	last   time.Time // when the last answer came
	took   time.Duration
	since  time.Time // when the probe under way began
}

var (
	errTimeout = errors.New("health: no answer in time")
	errStuck   = errors.New("health: an earlier probe has still not returned")
)

// panicError is a check that broke instead of answering.
type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("health: the check panicked: %v", e.value) }

// Probe asks one check now, waits for its answer, counts it as [Monitor.Run] would, and returns it. If a probe of that check is under
// way, it waits for its turn. A Monitor that is not run can be probed. The error is that of the check, or of ctx, or [ErrUnknownCheck].
func (m *Monitor) Probe(ctx context.Context, name string) error {
	m.mu.Lock()
	t := m.targets[name]
	m.mu.Unlock()
	if t == nil {
		return fmt.Errorf("%w: %q", ErrUnknownCheck, name)
	}
	select {
	case t.slot <- struct{}{}:
		return m.probe(ctx, t, func(f func()) { go f() })
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turn is a probe of Run's. It does not wait for a probe that is under way: one past its time is one more failure, any other will
// bring its own answer.
func (m *Monitor) turn(ctx context.Context, r *run, t *target) {
	select {
	case t.slot <- struct{}{}:
		_ = m.probe(ctx, t, r.tasks.Go) // recorded there
	default:
		if began, late := m.overdue(t); late {
			m.record(t, began, errStuck)
		}
	}
}

func (m *Monitor) overdue(t *target) (began time.Time, late bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return t.since, time.Since(t.since) > m.timeout()
}

// probe asks, once. The caller has put the token into t.slot; it is taken out when the check has really returned, which may be later
// than probe does. What the check says after its time is dropped: it has already counted as a failure.
func (m *Monitor) probe(ctx context.Context, t *target, spawn func(func())) error {
	began := m.mark(t)
	limited, cancel := context.WithTimeout(ctx, m.timeout())
	defer cancel()
	answer := make(chan error, 1)
	spawn(func() {
		defer func() { <-t.slot }()
		ask(limited, t.check, answer)
	})
	return m.await(ctx, limited, t, began, answer)
}

func (m *Monitor) mark(t *target) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.since = time.Now()
	return t.since
}

func (m *Monitor) await(ctx, limited context.Context, t *target, began time.Time, answer <-chan error) error {
	var err error
	select {
	case err = <-answer:
		if errors.Is(err, context.DeadlineExceeded) && limited.Err() != nil {
			err = errTimeout
		}
	case <-limited.Done():
		err = errTimeout
	}
	if ctx.Err() != nil { // nobody wants to know any more; a probe cut short says nothing about its target
		return ctx.Err()
	}
	m.record(t, began, err)
	return err
}

// ask calls the check and sends what it said, once. A panic, and a goroutine that ends without returning, are failures too.
func ask(ctx context.Context, c Check, answer chan<- error) {
	said := error(panicError{"it ended without an answer"})
	defer func() {
		if v := recover(); v != nil {
			said = panicError{v}
		}
		answer <- said
	}()
	said = c(ctx)
}

func (m *Monitor) record(t *target, began time.Time, err error) {
	m.mu.Lock()
	t.last, t.took = time.Now(), time.Since(began)
	if t.hear(err, positive(m.Fails, DefaultFails), positive(m.Passes, DefaultPasses)) {
		m.settle() // in which a target that was removed meanwhile has no part
	}
	m.mu.Unlock()
	m.tell()
}

// hear takes one answer in and reports whether the target's own status changed.
func (t *target) hear(err error, fails, passes int) bool {
	said, need := Healthy, passes
	if err != nil {
		said, need = badness(err), fails
		t.fault = brief(err.Error())
	}
	if sick(said) != sick(t.own) || t.own == Unknown {
		t.streak++
		if t.own != Unknown && t.streak < need {
			return false
		}
	}
	changed := t.own != said
	t.own, t.streak = said, 0
	if said == Healthy {
		t.fault = ""
	}
	return changed
}

// leave cancels the probes of a target that is watched no more.
func (t *target) leave() {
	if t.cancel != nil {
		t.cancel()
	}
}

func (m *Monitor) timeout() time.Duration { return positive(m.Timeout, DefaultTimeout) }

func badness(err error) string {
	if _, ok := errors.AsType[panicError](err); ok {
		return Broken
	}
	return Unhealthy
}

// brief keeps an error short and on one line, valid in JSON.
func brief(text string) string {
	const most = 200
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
