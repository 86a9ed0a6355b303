package ratelimittest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// An Answer is what a [Scripted] store says to one Take.
type Answer struct {
	Decision ratelimit.Decision
	Err      error
}

// Allow is an Answer that allows, with so many units remaining of the limit
// that was asked for first.
func Allow(remaining int) Answer {
	return Answer{Decision: ratelimit.Decision{Allowed: true, Remaining: remaining}}
}

// Refuse is an Answer that refuses, until so much time has passed.
func Refuse(retryAfter time.Duration) Answer {
	return Answer{Decision: ratelimit.Decision{RetryAfter: retryAfter, Reset: retryAfter}}
}

// Fail is an Answer that is an error.
func Fail(err error) Answer { return Answer{Err: err} }

// Scripted is a [ratelimit.Store] that answers by script, and remembers what
// it was asked. The zero value allows everything. It is used by pointer and
// safe for simultaneous use.
type Scripted struct {
	// Answers are given in order; when they are used up, the last is given
	// again and again. A Decision that names no limit gets the first one
	// that was asked for.
	Answers []Answer
	// Before, where it is set, is called at the start of each Take: it may
	// wait, to play a store that is slow.
	Before func(ctx context.Context)

	mu    sync.Mutex
	takes [][]ratelimit.Limit
}

// Take gives the next answer.
func (s *Scripted) Take(ctx context.Context, limits ...ratelimit.Limit) (ratelimit.Decision, error) {
	if s.Before != nil {
		s.Before(ctx)
	}
	a := s.next(limits)
	if a.Err != nil {
		return ratelimit.Decision{}, a.Err
	}
	if a.Decision.Limit == (ratelimit.Limit{}) && len(limits) > 0 {
		a.Decision.Limit = limits[0]
	}
	return a.Decision, nil
}

// Takes is what was asked so far: the limits of each Take.
func (s *Scripted) Takes() [][]ratelimit.Limit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.takes)
}

func (s *Scripted) next(limits []ratelimit.Limit) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	turn := min(len(s.takes), len(s.Answers)-1)
	s.takes = append(s.takes, slices.Clone(limits))
	if turn < 0 {
		return Answer{Decision: ratelimit.Decision{Allowed: true}}
	}
	return s.Answers[turn]
}
