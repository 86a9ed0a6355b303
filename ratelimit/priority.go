package ratelimit

import (
	"context"
	"fmt"
	"strings"
)

// A Lane says who goes first when there is not room for everybody. Lanes are
// ordered: Background < Normal < Therapeutic < Crisis.
type Lane int8

// The lanes. The zero Lane is Normal.
const (
	// Background is work that nobody waits for: exports, reports, crawlers.
	// It is shed first.
	Background Lane = iota - 1
	// Normal is everything that says nothing else.
	Normal
	// Therapeutic is a session in progress; it has reserved room.
	Therapeutic
	// Crisis is a person in danger; it has reserved room that nobody else
	// gets, and goes before everybody. Only the program's own judgement puts
	// a request here, never anything that a client sent.
	Crisis
)

// laneCount is the number of lanes; index maps a Lane to 0..laneCount-1.
const laneCount = 4

var laneNames = [laneCount]string{"background", "normal", "therapeutic", "crisis"}

// index is the lane's place in an array; a Lane that does not exist is
// treated as Normal, since a number must not buy a place.
func (l Lane) index() int {
	if l < Background || l > Crisis {
		return int(Normal - Background)
	}
	return int(l - Background)
}

// String is the lane's name in lower case.
func (l Lane) String() string {
	if l < Background || l > Crisis {
		return fmt.Sprintf("lane(%d)", int8(l))
	}
	return laneNames[l.index()]
}

// ParseLane reads a lane's name: background, normal, therapeutic or crisis.
// Case and surrounding space are of no account.
func ParseLane(s string) (Lane, error) {
	for i, name := range laneNames {
		if strings.EqualFold(strings.TrimSpace(s), name) {
			return Lane(i) + Background, nil
		}
	}
	return Normal, fmt.Errorf("ratelimit: unknown lane %.40q; use one of %s", s, strings.Join(laneNames[:], ", "))
}

// MarshalText is the lane's name.
func (l Lane) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what [ParseLane] reads; on an error l stays as it was.
func (l *Lane) UnmarshalText(text []byte) error {
	parsed, err := ParseLane(string(text))
	if err == nil {
		*l = parsed
	}
	return err
}

type contextKey struct{ name string }

// ContextKey is the key of the request's [Lane]: ctx.Value(ContextKey) is a
// Lane, or nil. It is for contexts that answer Value by themselves; others use
// [NewContext] and [FromContext].
var ContextKey = &contextKey{"lane"}

// NewContext returns a context in which [FromContext] finds lane.
func NewContext(ctx context.Context, lane Lane) context.Context {
	return context.WithValue(ctx, ContextKey, lane)
}

// FromContext is the lane of ctx, Normal where none was said.
func FromContext(ctx context.Context) Lane {
	lane, _ := ctx.Value(ContextKey).(Lane)
	return lane
}
