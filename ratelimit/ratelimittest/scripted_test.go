package ratelimittest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/ratelimittest"
)

func TestScripted(t *testing.T) {
	down := errors.New("down")
	waited := 0
	s := &ratelimittest.Scripted{
		Answers: []ratelimittest.Answer{ratelimittest.Allow(7), ratelimittest.Fail(down), ratelimittest.Refuse(time.Second)},
		Before:  func(context.Context) { waited++ },
	}
	l := ratelimit.Limit{Name: "n", Key: "k", Rate: ratelimit.Rate{N: 9, Per: time.Minute}}

	d, err := s.Take(t.Context(), l)
	require.NoError(t, err)
	assert.Equal(t, ratelimit.Decision{Allowed: true, Limit: l, Remaining: 7}, d)

	d, err = s.Take(t.Context(), l, l)
	require.ErrorIs(t, err, down)
	assert.Equal(t, ratelimit.Decision{}, d)

	for range 3 { // the last answer stays
		d, err = s.Take(t.Context(), l)
		require.NoError(t, err)
		assert.Equal(t, ratelimit.Decision{Limit: l, RetryAfter: time.Second, Reset: time.Second}, d)
	}
	d, err = s.Take(t.Context())
	require.NoError(t, err)
	assert.False(t, d.Allowed)
	assert.Equal(t, [][]ratelimit.Limit{{l}, {l, l}, {l}, {l}, {l}, nil}, s.Takes())
	assert.Equal(t, 6, waited)
}

func TestZeroScriptedAllows(t *testing.T) {
	var s ratelimittest.Scripted
	d, err := s.Take(t.Context(), ratelimit.Limit{Name: "n"})
	require.NoError(t, err)
	assert.True(t, d.Allowed)
}

// A store whose clock can be moved need not wait.
func TestAdvance(t *testing.T) {
	slept := time.Duration(0)
	ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store { return new(ratelimit.Memory) },
		ratelimittest.Advance(func(d time.Duration) { slept += d; time.Sleep(d) }))
	assert.Positive(t, slept)
}
