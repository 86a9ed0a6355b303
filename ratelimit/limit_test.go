package ratelimit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

func TestBadLimits(t *testing.T) {
	rate := ratelimit.Rate{N: 5, Per: time.Minute}
	for complaint, l := range map[string]ratelimit.Limit{
		"can never pass a burst of 5":     {Name: "export", Rate: rate, Cost: 6},
		"the cost -1 is negative":         {Name: "export", Rate: rate, Cost: -1},
		"must be printable ASCII":         {Name: "ex\r\nport", Rate: rate},
		"at most 64 bytes":                {Name: strings.Repeat("x", 65), Rate: rate},
		"N is 0":                          {Name: "export", Rate: ratelimit.Rate{Burst: 3}},
		"N is -1":                         {Name: "export", Rate: ratelimit.Rate{N: -1, Per: time.Second}},
		"Per is 0s":                       {Name: "export", Rate: ratelimit.Rate{N: 1}},
		"Burst is -2; it must be 1 to 10": {Name: "export", Rate: ratelimit.Rate{N: 1, Per: time.Second, Burst: -2}},
	} {
		err := l.Validate()
		assert.ErrorIs(t, err, ratelimit.ErrLimit)
		assert.ErrorContains(t, err, complaint)
	}
	assert.NoError(t, ratelimit.Limit{}.Validate())
	assert.NoError(t, ratelimit.Limit{Cost: 1000}.Validate(), "where there is no limit, no cost is too much")
}

func TestDecisionAsError(t *testing.T) {
	assert.NoError(t, ratelimit.Decision{Allowed: true}.Err())
	err := ratelimit.Decision{Limit: perMinute(5, "login", "ada@example.org"), RetryAfter: time.Second}.Err()
	assert.ErrorIs(t, err, ratelimit.ErrExceeded)
	var exceeded *ratelimit.ExceededError
	assert.True(t, errors.As(err, &exceeded))
	assert.Equal(t, time.Second, exceeded.RetryAfter)
	assert.EqualError(t, err, `ratelimit: limit exceeded: "login" allows 5/minute, retry after 1s`)
	assert.Error(t, ratelimit.Decision{}.Err(), "the zero Decision refuses")
}

func TestStrictest(t *testing.T) {
	allow := func(name string, remaining int, reset time.Duration) ratelimit.Decision {
		return ratelimit.Decision{Allowed: true, Limit: perMinute(5, name, ""), Remaining: remaining, Reset: reset}
	}
	refuse := func(name string, after time.Duration) ratelimit.Decision {
		return ratelimit.Decision{Limit: perMinute(5, name, ""), RetryAfter: after}
	}
	free := ratelimit.Decision{Allowed: true}
	for want, all := range map[string][]ratelimit.Decision{
		"":            {},
		"fewer":       {free, allow("more", 5, 0), allow("fewer", 3, 0), free},
		"slower":      {allow("fast", 3, 1), allow("slower", 3, 2)},
		"first":       {allow("first", 3, 1), allow("second", 3, 1)},
		"refuses":     {allow("allows", 0, 9), refuse("refuses", 1)},
		"long":        {refuse("short", 1), refuse("long", 2), refuse("medium", 1)},
		"refuses too": {refuse("refuses too", 1), allow("allows", 0, 9)},
	} {
		assert.Equal(t, want, ratelimit.Strictest(all...).Limit.Name)
	}
	assert.True(t, ratelimit.Strictest().Allowed)
	assert.True(t, ratelimit.Strictest(free).Allowed)
	assert.False(t, ratelimit.Strictest(free, ratelimit.Decision{}).Allowed)
}
