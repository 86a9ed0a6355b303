package ratelimit

import (
	"context"
	"errors"
	"net/http"
)

// A Limiter is middleware that gives each request its limits. Used by
// pointer; safe for simultaneous use. The zero Limiter limits nothing.
type Limiter struct {
	// Store keeps the buckets; nil means a [Memory] of its own.
	Store Store
	// Limits says which limits r takes from; all of them, or none. Nil, or no
	// limits, lets r through. It must not consume the body.
	Limits func(r *http.Request) []Limit
	// Headers says how clients are told; the zero style is [Both].
	Headers HeaderStyle
	// ErrorHandler answers a request that is not let through: err is an
	// [*ExceededError], or what the Store failed with. The header fields,
	// Retry-After among them, are set already. nil means a plain text answer
	// with the status [Status] gives.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	own Memory
}

// Take takes from the limits of r. The error is nil when r is let through, an
// [*ExceededError] when it is not, and what the Store failed with when
// nothing is known.
func (l *Limiter) Take(r *http.Request) (Decision, error) {
	if l.Limits == nil {
		return Decision{Allowed: true}, nil
	}
	d, err := l.store().Take(r.Context(), l.Limits(r)...)
	if err != nil {
		return Decision{}, err
	}
	return d, d.Err()
}

// Wrap lets through to next what Take lets through. Of a Store that fails it
// is careful: the request is not let through. Who would rather count locally
// meanwhile puts a [Fallback] before the Store.
func (l *Limiter) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := l.Take(r)
		if err == nil {
			SetHeaders(w.Header(), d, l.Headers)
			next.ServeHTTP(w, r)
			return
		}
		SetHeaders(w.Header(), d, l.Headers) // a Decision that failed is a refusal without a limit: Retry-After alone
		refuse(w, r, err, l.ErrorHandler)
	})
}

func (l *Limiter) store() Store {
	if l.Store == nil {
		return &l.own
	}
	return l.Store
}

// Status is the HTTP status of an error of this package: 429 for
// [ErrExceeded], 503 for [ErrOverloaded] and for a store that failed, 500 for
// [ErrLimit], and 499, which is for the log since nobody reads it, when the
// client went away.
func Status(err error) int {
	switch {
	case errors.Is(err, ErrExceeded):
		return http.StatusTooManyRequests
	case errors.Is(err, ErrLimit):
		return http.StatusInternalServerError
	case errors.Is(err, context.Canceled):
		return statusClientClosedRequest
	}
	return http.StatusServiceUnavailable
}

const statusClientClosedRequest = 499

// refuse answers by the handler, or plainly: the client learns the status, not
// the cause.
func refuse(w http.ResponseWriter, r *http.Request, err error, handler func(http.ResponseWriter, *http.Request, error)) {
	if handler != nil {
		handler(w, r, err)
		return
	}
	status := Status(err)
	text := http.StatusText(status)
	if text == "" {
		text = "Client Closed Request"
	}
	http.Error(w, text, status)
}
