package ratelimit

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrExceeded says that a limit is used up: HTTP 429. The error that
	// carries the details is [*ExceededError].
	ErrExceeded = errors.New("ratelimit: limit exceeded")

	// ErrLimit is wrapped by every complaint about a [Limit] that no waiting
	// will mend: a fault of the program or its settings, never of the client.
	ErrLimit = errors.New("ratelimit: bad limit")
)

// A Limit is one bucket: whose it is, and how fast it fills.
//
// Buckets are told apart by Name and Key together. The same Name should
// always come with the same Rate; where it does not, the latest Rate counts.
type Limit struct {
	// Name says which rule this is: "default", "login", "crisis". It is shown
	// to clients in headers, so it says nothing about a person. Printable
	// ASCII, at most 64 bytes; few different ones.
	Name string
	// Key says whose bucket: an address ([ByAddress]), a subject. Any bytes;
	// "" is one bucket for everybody.
	Key string
	// Rate is how fast; the zero Rate is no limit.
	Rate Rate
	// Cost is how many units one Take takes; 0 means 1.
	Cost int
}

// Units is what one Take of this limit costs: Cost, or 1 where Cost is 0.
func (l Limit) Units() int {
	if l.Cost == 0 {
		return 1
	}
	return l.Cost
}

// Validate reports why no store could ever honour this limit: a name that
// cannot stand in a header, a bad [Rate], a negative cost, or a cost above
// the burst, which no waiting would bring. A [Store] calls it first. The
// error wraps [ErrLimit].
func (l Limit) Validate() error {
	if !validName(l.Name) {
		return fmt.Errorf("%w: the name %.80q must be printable ASCII and at most %d bytes", ErrLimit, l.Name, maxName)
	}
	if err := l.Rate.Validate(); err != nil {
		return fmt.Errorf("%w %q: %w", ErrLimit, l.Name, err)
	}
	if l.Cost < 0 {
		return fmt.Errorf("%w %q: the cost %d is negative; a store takes, it does not give back", ErrLimit, l.Name, l.Cost)
	}
	if !l.Rate.Unlimited() && l.Units() > l.Rate.Size() {
		return fmt.Errorf("%w %q: a cost of %d can never pass a burst of %d; lower the cost or raise the burst of %q",
			ErrLimit, l.Name, l.Units(), l.Rate.Size(), l.Rate)
	}
	return nil
}

const maxName = 64

func validName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// A Decision is the answer of a [Store] to one Take. The zero Decision is a
// refusal, so that a forgotten error lets nobody in.
type Decision struct {
	// Allowed says whether the units were taken: from all limits, or none.
	Allowed bool
	// Limit is the limit that speaks: the one that refuses or, where all
	// allow, the one that is nearest to refusing. Zero where nothing limits.
	Limit Limit
	// Remaining is how many units of Limit are left now.
	Remaining int
	// RetryAfter is how long to wait until the same Take could pass; 0 when
	// allowed.
	RetryAfter time.Duration
	// Reset is how long until the bucket of Limit is full again, if nobody
	// takes from it.
	Reset time.Duration
}

// Err is nil when d allows, and an [*ExceededError] when it does not.
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	return &ExceededError{Decision: d}
}

// Strictest makes one answer of several: a refusal if any refuses (then the
// one that takes longest to wait for), else the one with the fewest units
// remaining (then the one that is longest in coming back, then the first).
// Decisions without a limit have nothing to say. None at all allow.
//
// A [Store] uses it over its limits, a program over the answers of several
// stores.
func Strictest(all ...Decision) Decision {
	strictest := Decision{Allowed: true}
	for _, d := range all {
		if stricter(&d, &strictest) {
			strictest = d
		}
	}
	return strictest
}

func stricter(d, than *Decision) bool {
	switch {
	case d.Allowed != than.Allowed:
		return !d.Allowed
	case !d.Allowed:
		return d.RetryAfter > than.RetryAfter
	case d.Limit.Rate.Unlimited() || than.Limit.Rate.Unlimited():
		return !d.Limit.Rate.Unlimited()
	case d.Remaining != than.Remaining:
		return d.Remaining < than.Remaining
	}
	return d.Reset > than.Reset
}

// An ExceededError is a refusal as an error. errors.Is(err, [ErrExceeded])
// holds. Its text names the limit, never the key: that may be a person.
type ExceededError struct{ Decision }

// Error names the limit, its rate and how long to wait.
func (e *ExceededError) Error() string {
	return fmt.Sprintf("%v: %q allows %v, retry after %v", ErrExceeded, e.Limit.Name, e.Limit.Rate, e.RetryAfter)
}

// Unwrap is [ErrExceeded].
func (e *ExceededError) Unwrap() error { return ErrExceeded }
