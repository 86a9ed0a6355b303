package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// Every translation between the packages stands here: identity to quota key,
// verdict to lane, errors to refusals. No package reads another's signal.

// quotaKey counts a known caller by who he is, everybody else by address.
func quotaKey(x *exchange) string {
	if x.identity.Known() {
		return "s:" + x.identity.Subject
	}
	if x.client.IsValid() {
		return "a:" + ratelimit.ByAddress(x.client)
	}
	return "a:unknown"
}

// limitsFor lists what a request is counted against.
func (rt *route) limitsFor(x *exchange) []ratelimit.Limit {
	general := ratelimit.Limit{Name: "default", Rate: rt.state.quotas.Default}
	if rt.Lane >= ratelimit.Therapeutic {
		general = ratelimit.Limit{Name: "therapeutic", Rate: rt.state.quotas.Therapeutic}
	}
	limits := x.limits[:0]
	if general.Rate.N == 0 && len(rt.Limits) == 0 {
		return limits
	}
	key := quotaKey(x)
	if general.Key = key; general.Rate.N != 0 {
		limits = append(limits, general)
	}
	for _, own := range rt.Limits {
		limits = append(limits, ratelimit.Limit{Name: own.Name, Key: own.key(x, key), Rate: own.Rate, Cost: own.Cost})
	}
	return limits
}

func (q Quota) key(x *exchange, caller string) string {
	switch q.By {
	case "address":
		return "a:" + ratelimit.ByAddress(x.client)
	case "all":
		return ""
	}
	return caller
}

// askQuota asks before anything of the body is read, and refuses nothing yet.
// A store that cannot tell lets pass: who is lost in a message flood is not
// found by closing the door on everybody.
func (rt *route) askQuota(r *http.Request, x *exchange) (ratelimit.Decision, bool) {
	limits := rt.limitsFor(x)
	if len(limits) == 0 {
		return ratelimit.Decision{Allowed: true}, true
	}
	d, err := rt.state.quotas.Store.Take(r.Context(), limits...)
	if err != nil {
		rt.state.warnQuota(r.Context(), err)
		return ratelimit.Decision{Allowed: true}, true
	}
	return d, d.Allowed
}

// raise moves the request to the crisis lane if its session is in one, unless
// the caller has used up what one caller may have of it.
func (rt *route) raise(r *http.Request, x *exchange) {
	if max(x.level, x.verdict.Severity) < safety.High || x.lane >= ratelimit.Crisis {
		return
	}
	if rt.state.takeCrisis(r.Context(), x) {
		x.take(ratelimit.Crisis)
	}
}

// takeCrisis takes one request or message from what one caller may have of the
// crisis lane, and reports whether there was any left.
func (s *state) takeCrisis(ctx context.Context, x *exchange) bool {
	d, err := s.crisisCap.Take(ctx, ratelimit.Limit{Name: "crisis", Key: quotaKey(x), Rate: s.quotas.Crisis})
	if err == nil && !d.Allowed {
		s.metrics.RateLimited("crisis", x.endpoint())
		return false
	}
	return true
}

// mayPeek reports whether a caller over quota still has his message looked at.
// Somebody whose session is in crisis always has.
func (rt *route) mayPeek(r *http.Request, x *exchange) bool {
	if x.level >= safety.High {
		return true
	}
	d, err := rt.state.crisisCap.Take(r.Context(), ratelimit.Limit{Name: "over-quota", Key: quotaKey(x), Rate: rt.state.quotas.OverQuota})
	return err != nil || d.Allowed
}

// skipped counts a message that nobody looked at.
func (rt *route) skipped(r *http.Request, reason string) {
	rt.state.metrics.Skipped(rt.Pattern, safety.Request.String(), "http", reason, max(r.ContentLength, 0))
}

// heard takes over what the guard made of a body that could not be read to its
// end: the refusal that follows carries the help that is due.
func (x *exchange) heard(err error) {
	var broken *safety.BodyError
	if errors.As(err, &broken) {
		x.verdict, x.level = broken.Verdict, max(x.level, broken.Level)
	}
}

func (rt *route) overQuota(w http.ResponseWriter, r *http.Request, d ratelimit.Decision) {
	x := exchangeOf(r)
	ratelimit.SetHeaders(w.Header(), d, rt.state.quotas.Headers)
	setRetryAfter(w.Header(), d.RetryAfter)
	rt.state.metrics.RateLimited(d.Limit.Name, x.endpoint())
	rt.state.refuse(w, r, problemQuota, d.Err())
}

func (s *state) showQuota(h http.Header, d ratelimit.Decision) {
	if d.Limit.Rate.N > 0 {
		ratelimit.SetHeaders(h, d, s.quotas.Headers)
	}
}

// subject tells the guard who speaks: somebody known, or nobody.
func subject(r *http.Request) string { return auth.FromContext(r.Context()).Subject }

// messageFor is what all messages of one socket have in common.
func messageFor(g *safety.Guard, rt *route, r *http.Request) safety.Message {
	m := safety.Message{Route: rt.Pattern, Language: r.Header.Get("Accept-Language")}
	if g == nil {
		return m
	}
	if g.Subject != nil {
		m.Subject = g.Subject(r)
	}
	if m.Session = m.Subject; g.Session != nil {
		m.Session = orString(g.Session(r), m.Subject)
	}
	if g.Region != nil {
		m.Region = g.Region(r)
	}
	return m
}

// observe counts what the guard saw and did.
func (s *state) observe(o safety.Observation) {
	m := s.metrics
	direction := o.Direction.String()
	switch {
	case o.Inspected:
		m.Inspected(o.Route, direction, o.Transport, o.Bytes)
	case o.Skipped != "":
		m.Skipped(o.Route, direction, o.Transport, o.Skipped, o.Bytes)
	}
	if o.Inspected && o.Verdict.Severity >= safety.High && o.Direction == safety.Request {
		m.Crisis(o.Verdict.Severity.String(), metrics.Detected)
	}
	switch o.Action {
	case "":
	case "help":
		m.Crisis(o.Verdict.Severity.String(), o.Action)
		m.Referral(o.Verdict.Severity.String())
	case "audit failed", "audit lost":
		m.AuditRecord(o.Action)
	default:
		m.Crisis(o.Verdict.Severity.String(), o.Action)
	}
}

func authProblem(err error) *problem {
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return problemKeys
	case errors.Is(err, auth.ErrMalformed):
		return problemCredentials
	case errors.Is(err, auth.ErrInvalidToken):
		return problemToken
	case errors.Is(err, auth.ErrUnauthenticated):
		return problemUnauthenticated
	case errors.Is(err, auth.ErrMFARequired):
		return problemMFA
	case errors.Is(err, auth.ErrForbidden):
		return problemForbidden
	}
	return problemInternal
}

// authStatus is a bounded label for what became of an identity.
func authStatus(err error) string { return authProblem(err).code }

// countIdentity counts a credential that was good.
func (s *state) countIdentity(x *exchange) {
	if !x.identity.Known() || s.metrics == nil {
		return
	}
	s.metrics.Auth("identify", "success")
	named := x.identity.Claims["player_id"] != nil
	s.metrics.PlayerID(x.endpoint(), named)
	if named {
		s.metrics.TokenVerified(metrics.VerifySuccess)
	} else {
		s.metrics.TokenVerified(metrics.VerifyMissingPlayer)
	}
}

// bodyProblem tells the caller's faults while a body is read.
func bodyProblem(err error) *problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problemTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problemSlow
	case errors.Is(err, context.Canceled), errors.Is(err, io.ErrUnexpectedEOF):
		return problemGone
	}
	return problemBody
}

// identityHeaders tells the service who is asking, beside the token that it
// can check for itself.
func (x *exchange) identityHeaders(h http.Header) {
	id := &x.identity
	if !id.Known() {
		return
	}
	x.setIf(h, "X-User-Id", fieldSubject, id.Subject)
	if len(id.Roles) > 0 {
		x.setIf(h, "X-User-Role", fieldRole, id.Roles[0])
	}
}

// setIf sets a field unless its value could not stand in one.
func (x *exchange) setIf(h http.Header, name string, field int, value string) {
	if value == "" {
		return
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] >= 0x7f {
			return
		}
	}
	h[name] = x.field(field, value)
}

// BySubject is a key for [discovery.NewHash]: all requests of one known caller
// go to one instance, those of an unknown one by address. For services that
// keep a player's story in memory. By cookie or header, see
// [discovery.CookieKey] and [discovery.HeaderKey].
func BySubject(r *http.Request) string {
	if x := exchangeOf(r); x != nil {
		return quotaKey(x)
	}
	return ""
}
