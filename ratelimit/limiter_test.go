package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/ratelimittest"
)

func one(r *http.Request) []ratelimit.Limit {
	return []ratelimit.Limit{perMinute(2, "default", r.Header.Get("Subject"))}
}

func serve(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w
}

var teapot = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func TestLimiterWrap(t *testing.T) {
	limiter := &ratelimit.Limiter{Limits: one}
	h := limiter.Wrap(teapot)
	for remaining := 1; remaining >= 0; remaining-- {
		w := serve(h)
		assert.Equal(t, http.StatusTeapot, w.Code)
		assert.Equal(t, fmt.Sprint(remaining), w.Header().Get("X-RateLimit-Remaining"))
		assert.Empty(t, w.Header().Get("Retry-After"))
	}
	w := serve(h)
	assert.Equal(t, http.StatusTooManyRequests, w.Code)
	assert.Equal(t, "Too Many Requests\n", w.Body.String())
	assert.Equal(t, "2", w.Header().Get("X-RateLimit-Limit"))
	assert.NotEmpty(t, w.Header().Get("X-RateLimit-Reset"))
	assert.Contains(t, w.Header().Get("RateLimit"), `"default";r=0;`)
	assert.NotEmpty(t, w.Header().Get("Retry-After"))
}

func TestZeroLimiterLimitsNothing(t *testing.T) {
	for _, l := range []*ratelimit.Limiter{{}, {Limits: func(*http.Request) []ratelimit.Limit { return nil }}} {
		for range 10 {
			w := serve(l.Wrap(teapot))
			assert.Equal(t, http.StatusTeapot, w.Code)
			assert.Empty(t, w.Header())
		}
	}
}

// The handler of errors finds the fields set, and the cause.
func TestLimiterErrorHandler(t *testing.T) {
	down := errors.New("down")
	for _, c := range []struct {
		desc   string
		answer ratelimittest.Answer
		is     error
		status int
		plain  string
		fields map[string]string
	}{
		{"refused", ratelimittest.Refuse(90 * time.Second), ratelimit.ErrExceeded, 429, "Too Many Requests", map[string]string{"Retry-After": "90", "X-RateLimit-Limit": "2"}},
		{"store down", ratelimittest.Fail(down), down, 503, "Service Unavailable", map[string]string{"Retry-After": "1", "X-RateLimit-Limit": ""}},
		{"bad limit", ratelimittest.Fail(ratelimit.ErrLimit), ratelimit.ErrLimit, 500, "Internal Server Error", nil},
		{"client gone", ratelimittest.Fail(context.Canceled), context.Canceled, 499, "Client Closed Request", nil},
	} {
		t.Run(c.desc, func(t *testing.T) {
			limiter := &ratelimit.Limiter{Store: &ratelimittest.Scripted{Answers: []ratelimittest.Answer{c.answer}}, Limits: one}
			h := limiter.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let through") }))
			w := serve(h)
			assert.Equal(t, c.status, w.Code)
			assert.Equal(t, c.plain+"\n", w.Body.String())

			var got error
			limiter.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
				got = err
				for name, value := range c.fields {
					assert.Equal(t, value, w.Header().Get(name), name)
				}
				w.WriteHeader(ratelimit.Status(err))
			}
			w = serve(h)
			assert.ErrorIs(t, got, c.is)
			assert.Equal(t, c.status, w.Code)
		})
	}
	assert.Equal(t, 503, ratelimit.Status(ratelimit.ErrOverloaded))
}

func TestLimiterTake(t *testing.T) {
	store := &ratelimittest.Scripted{Answers: []ratelimittest.Answer{ratelimittest.Allow(1), ratelimittest.Refuse(time.Second)}}
	limiter := &ratelimit.Limiter{Store: store, Limits: one}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Subject", "ada")
	d, err := limiter.Take(r)
	require.NoError(t, err)
	assert.True(t, d.Allowed)
	d, err = limiter.Take(r)
	require.ErrorIs(t, err, ratelimit.ErrExceeded)
	assert.False(t, d.Allowed)
	assert.Equal(t, time.Second, d.RetryAfter, "the Decision comes with the refusal")
	assert.Equal(t, "ada", store.Takes()[1][0].Key)
}
