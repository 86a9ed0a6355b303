package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/safety"
)

// lease is a live connection's right to go on: it lasts as long as a new
// connection with the same credential would be let in. Somebody whose session
// is in crisis is not cut by a clock, only by a credential that was withdrawn.
type lease struct {
	rt      *route // under which the connection came
	r       *http.Request
	subject string
	expires time.Time // of the credential, zero for never

	end  func(code int, reason string)
	help func(safety.Help) // shows it to the person; nil where nothing can be shown
}

const (
	// defaultRecheck is how often a credential is shown to the authenticator
	// again.
	defaultRecheck = 2 * time.Minute
	// recheckPatience is how long that may take.
	recheckPatience = 10 * time.Second
	// expiryMargin lets a credential that is just expiring expire for everybody.
	expiryMargin = time.Second
	// overtimeStep is how often one that has expired is looked at, while its
	// holder is in crisis or the authenticator still takes it.
	overtimeStep = 10 * time.Second
)

// Why a connection ends; the client reads it beside the code 1008, and the
// metrics have it beside the event "live".
const (
	endExpired   = "token expired"
	endWithdrawn = "signed out"
	endForbidden = "not allowed any more"
)

// newLease is the lease of a connection, nil for nobody's: it needs none.
func newLease(rt *route, r *http.Request, x *exchange, end func(int, string)) *lease {
	if !x.identity.Known() {
		return nil
	}
	return &lease{rt: rt, r: r, subject: x.identity.Subject, expires: x.identity.Expires, end: end}
}

// keep watches over the connection until ctx ends, or ends it.
func (l *lease) keep(ctx context.Context) {
	if l == nil {
		return
	}
	for pause(ctx, l.next(time.Now())) {
		reason := l.lost(ctx, time.Now())
		if ctx.Err() != nil {
			return
		}
		if reason == "" {
			continue
		}
		level := l.level(ctx)
		if reason == endExpired && level >= safety.High {
			continue
		}
		l.rt.state.metrics.Auth("live", strings.ReplaceAll(reason, " ", "_"))
		if l.help != nil && level >= safety.Moderate {
			l.help(l.rt.now().guard.Help(l.r, level))
		}
		l.end(closePolicy, reason)
		return
	}
}

// next is how long nothing needs to be looked at.
func (l *lease) next(now time.Time) time.Duration {
	next := l.recheck()
	if next > 0 { // not all at once, although they may have come all at once
		next = next/2 + rand.N(next/2+1)
	} else {
		next = never
	}
	switch left := l.expires.Sub(now) + expiryMargin; {
	case l.expires.IsZero():
	case left > 0:
		next = min(next, left)
	default:
		next = overtimeStep
	}
	return next
}

// recheck is how often the authenticator is asked, 0 for never.
func (l *lease) recheck() time.Duration { return l.rt.now().state.webSocket.Recheck }

// lost says why the connection may not go on, "" if it may.
func (l *lease) lost(ctx context.Context, now time.Time) string {
	if l.recheck() > 0 {
		if reason := l.withdrawn(ctx); reason != "" {
			return reason
		}
	}
	if l.expired(now.Add(-l.grace())) {
		return endExpired
	}
	return ""
}

// grace is how long an expired credential is put up with as long as the
// authenticator does, whose clock may differ.
func (l *lease) grace() time.Duration {
	if l.recheck() > 0 {
		return auth.MaxLeeway
	}
	return 0
}

// withdrawn shows the credential to the authenticator as it is now, and the
// identity to the route's policy. Where it cannot be told, what was good a
// moment ago is.
func (l *lease) withdrawn(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, recheckPatience)
	defer cancel()
	rt, r := l.rt.now(), l.r.WithContext(ctx)
	if rt.state.authenticator == nil {
		return endWithdrawn
	}
	id, err := rt.state.authenticator.Authenticate(r)
	switch {
	case errors.Is(err, auth.ErrUnavailable), ctx.Err() != nil:
		return ""
	case errors.Is(err, auth.ErrExpired), err != nil && l.expired(time.Now()):
		return endExpired
	case err != nil || id.Subject != l.subject:
		return endWithdrawn
	case !rt.public && rt.Allow.Check(r, id) != nil:
		return endForbidden
	}
	l.expires = id.Expires
	return ""
}

func (l *lease) expired(now time.Time) bool { return !l.expires.IsZero() && !now.Before(l.expires) }

// level is that of the session now, whether or not this route is inspected.
func (l *lease) level(ctx context.Context) safety.Severity {
	return l.rt.now().state.guard.Level(l.r.WithContext(ctx))
}
