// Package ratelimittest helps to test what limits.
package ratelimittest

import (
	"context"
	"testing"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// TestStore checks a Store.
func TestStore(t *testing.T, open func(t *testing.T) ratelimit.Store) {}

// An Answer is what a [Scripted] store says to one Take.
type Answer struct {
	Decision ratelimit.Decision
	Err      error
}

// Scripted is a Store that answers by script.
type Scripted struct{ Answers []Answer }

// Take answers.
func (s *Scripted) Take(context.Context, ...ratelimit.Limit) (ratelimit.Decision, error) {
	return ratelimit.Decision{Allowed: true}, nil
}
