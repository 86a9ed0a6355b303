package ratelimit

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// What a [Rate] may say at most. The bounds keep all arithmetic of all stores
// exact enough that a limit means the same in process and on a shared server.
const (
	maxCount  = 1_000_000_000
	minPeriod = time.Millisecond
	maxPeriod = 366 * day

	day = 24 * time.Hour
)

// ErrRate is wrapped by every complaint about a [Rate].
var ErrRate = errors.New("ratelimit: bad rate")

// A Rate says how much is let through in how much time: N units per Per, and
// never more than Burst of them at once.
//
// It is a token bucket: Burst units are there at the start, and they come
// back one by one, evenly, N in every Per. So over any time T at most
// Burst + N·T/Per units pass.
//
// The zero Rate is no limit at all. Rates are compared with ==.
type Rate struct {
	N     int           // units in every Per; 1 to 1,000,000,000
	Per   time.Duration // at least one millisecond
	Burst int           // units at once; 0 means N
}

// ParseRate reads a rate as people write it:
//
//	100/minute     60/min      60/m      10/s       5/hour     3/day
//	10/30s         1/1h30m     any period that [time.ParseDuration] reads
//	100/minute burst 200       a bucket larger (or smaller) than N
//	unlimited                  the zero Rate
//
// Units are second, minute, hour and day, in the singular, the plural or
// short (s, sec, m, min, h, hr, d); case and surrounding space are of no
// account. "0/minute" is refused: who wants no limit says so.
// Every error wraps [ErrRate] and names the value and the remedy.
func ParseRate(s string) (Rate, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if text == unlimited {
		return Rate{}, nil
	}
	base, burst, err := cutBurst(text)
	if err != nil {
		return Rate{}, badRate(s, err)
	}
	count, window, found := strings.Cut(base, "/")
	if !found {
		return Rate{}, badRate(s, errors.New(`write a number, a slash and a period, as in "100/minute"`))
	}
	n, errN := parseCount(strings.TrimSpace(count))
	per, errPer := parsePeriod(strings.TrimSpace(window))
	if err := errors.Join(errN, errPer); err != nil {
		return Rate{}, badRate(s, err)
	}
	return Rate{N: n, Per: per, Burst: burst}, nil
}

// Unlimited reports whether r is the zero Rate, which lets everything through.
func (r Rate) Unlimited() bool { return r == Rate{} }

// Size is the number of units that pass at once: Burst, or N where Burst is 0.
func (r Rate) Size() int {
	if r.Burst == 0 {
		return r.N
	}
	return r.Burst
}

// Validate reports what is wrong with a Rate that was not made by
// [ParseRate]. The zero Rate is valid. The error wraps [ErrRate].
func (r Rate) Validate() error {
	switch {
	case r.Unlimited():
		return nil
	case r.N < 1 || r.N > maxCount:
		return fmt.Errorf("%w: N is %d; it must be 1 to %d (the zero Rate is no limit)", ErrRate, r.N, maxCount)
	case r.Per < minPeriod:
		return fmt.Errorf("%w: Per is %v; it must be %v at least", ErrRate, r.Per, minPeriod)
	case r.Burst < 0 || r.Burst > maxCount:
		return fmt.Errorf("%w: Burst is %d; it must be 1 to %d, or 0 for N", ErrRate, r.Burst, maxCount)
	}
	return nil
}

// String writes r so that [ParseRate] reads it back as the same Rate:
// "100/minute", "10/30s", "100/minute burst 200", "unlimited".
func (r Rate) String() string {
	if r.Unlimited() {
		return unlimited
	}
	b := append(strconv.AppendInt(nil, int64(r.N), 10), '/')
	b = append(b, periodName(r.Per)...)
	if r.Burst != 0 {
		b = append(b, burstWord...)
		b = strconv.AppendInt(b, int64(r.Burst), 10)
	}
	return string(b)
}

// MarshalText writes r as [Rate.String] does. It never fails.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what [ParseRate] reads; on an error r stays as it was.
func (r *Rate) UnmarshalText(text []byte) error {
	parsed, err := ParseRate(string(text))
	if err == nil {
		*r = parsed
	}
	return err
}

// perSecond is the refill in units a second.
func (r Rate) perSecond() float64 { return float64(r.N) / r.Per.Seconds() }

// refill is how long it takes until the given number of units came back,
// never negative, and the longest Duration where that is longer. It calculates
// step by step as x/time/rate does, so that the two never disagree.
func (r Rate) refill(units float64) time.Duration {
	d := units / r.perSecond() * float64(time.Second)
	switch {
	case !(d > 0):
		return 0
	case d >= math.MaxInt64:
		return math.MaxInt64
	}
	return time.Duration(d)
}

const (
	unlimited = "unlimited"
	burstWord = " burst "
)

func badRate(value string, reason error) error {
	return fmt.Errorf("%w %.80q: %w", ErrRate, value, reason)
}

// cutBurst splits "100/minute burst 200" and reads the second half.
func cutBurst(s string) (base string, burst int, err error) {
	base, size, found := strings.Cut(s, burstWord)
	if !found {
		return s, 0, nil
	}
	burst, err = parseCount(strings.TrimSpace(size))
	return base, burst, err
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n > maxCount {
		return 0, fmt.Errorf("the count %.40q must be a whole number from 1 to %d", s, maxCount)
	}
	if n == 0 {
		return 0, fmt.Errorf("a count of 0 would let nothing through; write %q for no limit", unlimited)
	}
	return int(n), nil
}

func parsePeriod(s string) (time.Duration, error) {
	if d, known := units[s]; known {
		return d, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("the period %.40q must be second, minute, hour, day, or a duration such as 30s", s)
	}
	if d < minPeriod || d > maxPeriod {
		return 0, fmt.Errorf("the period %.40q must be from %v to 366 days", s, minPeriod)
	}
	return d, nil
}

// units are all the names of all the periods; read only.
var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": day, "day": day, "days": day,
}

// periodName is the inverse of parsePeriod.
func periodName(d time.Duration) string {
	switch d {
	case time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case day:
		return "day"
	}
	return d.String()
}
