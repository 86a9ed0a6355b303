package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway/h1"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/ratelimit"
)

// via is our name in Via (RFC 9110 section 7.6.3), a pseudonym.
const via = "tta-gateway"

// maxVia is how many of us a request may have passed before it is a loop.
const maxVia = 8

// forward is the last stage of a route with a Service: it asks an instance,
// another one if that may be done, and copies the answer.
func (rt *route) forward(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	if looped(r) {
		rt.state.refuse(w, r, problemLoop, nil)
		return
	}
	if rt.Upgrade && isHandshake(r) {
		rt.socket(w, r, x)
		return
	}
	if r.Method == http.MethodOptions && rt.answersOptions(w, r) {
		return
	}
	header := headers.Get().(http.Header)
	j := &job{rt: rt, w: w, r: r, x: x, header: rt.fillHeader(header, r, x)}
	defer x.body.cut()
	j.openBody()
	j.run()
	if j.lean { // h1 keeps nothing of it
		clear(header)
		headers.Put(header)
	}
}

// headers are maps for what services are told: large, short-lived, and alike.
var headers = sync.Pool{New: func() any { return make(http.Header, 24) }}

// looped reports a request that has been through us too often.
func looped(r *http.Request) bool {
	n := 0
	for _, line := range r.Header["Via"] {
		n += strings.Count(line, via)
	}
	return n >= maxVia
}

// job is one request on its way to a service, over all its tries.
type job struct {
	rt     *route
	w      http.ResponseWriter
	r      *http.Request
	x      *exchange
	header http.Header // for the service
	isHeld bool        // the guard has the whole body
	tried  []*discovery.Endpoint
	last   failure // of the last try
	heard  failure // of the last try that may have reached a service
	lean   bool    // all tries went by h1
	one    attempt // the first, which mostly is the only one
}

func (j *job) run() {
	svc := j.rt.service
	svc.budget.earn(j.x.start)
	for {
		ep, ticket, err := j.pick()
		if err != nil {
			j.noInstance(err)
			return
		}
		j.x.attempts++
		j.x.service, j.x.instance = svc.name, ep.ID
		a := j.attempt(ep, ticket)
		resp, err := a.roundTrip()
		if err == nil {
			a.answer(resp)
			return
		}
		a.end()
		if !j.again(ep) {
			j.giveUp()
			return
		}
	}
}

// giveUp says why there is no answer. "Nothing was delivered" is only said
// where that is so: a try that may have been heard weighs more than a later one
// that was not.
func (j *job) giveUp() {
	f := j.last
	if f.unsent && j.heard.problem != nil {
		f = j.heard
	}
	j.rt.state.refuse(j.w, j.r, f.problem, f.err)
}

// pick chooses somebody who has not been asked yet. Where nobody is left, those
// who were asked are asked again, unless they were too slow.
func (j *job) pick() (*discovery.Endpoint, health.Ticket, error) {
	svc, force := j.rt.service, j.x.lane >= ratelimit.Crisis
	ep, ticket, err := svc.pick(j.r, j.tried, force)
	if errors.Is(err, errAllTried) && j.last.problem != problemTimeout {
		return svc.pick(j.r, nil, force)
	}
	return ep, ticket, err
}

// again decides whether another instance is asked, and waits a moment before:
// only what may be repeated, only so often, only while the caller is there,
// and only within the service's budget.
func (j *job) again(ep *discovery.Endpoint) bool {
	svc := j.rt.service
	if !j.repeatable() || j.x.attempts > svc.Retries || j.x.Err() != nil {
		return false
	}
	if left, bounded := j.left(); bounded && left <= 0 {
		return false
	}
	if !svc.budget.spend(time.Now()) {
		return false
	}
	svc.metrics.Retry(svc.name)
	j.tried = append(j.tried, ep)
	return j.x.lane >= ratelimit.Crisis || backoff(j.x, j.x.attempts)
}

// repeatable reports whether sending the request once more can do no harm, and
// whether it can still be sent: a fault of the instance's, a service that has
// not seen it or must not mind, and a body that is still to be had.
func (j *job) repeatable() bool {
	if blameless(j.last.problem) || !j.last.unsent && !idempotent(j.r.Method) {
		return false
	}
	return j.isHeld || j.x.body == nil || j.streams() && j.x.body.repeatable()
}

// left is what remains of the time in which the answer must begin.
func (j *job) left() (left time.Duration, bounded bool) {
	o := j.rt.Timeouts.Overall
	if o <= 0 {
		return 0, false
	}
	return o - time.Since(j.x.start), true
}

// noInstance answers when nobody is left to ask.
func (j *job) noInstance(err error) {
	switch {
	case j.last.problem != nil: // somebody was asked: his failure says more
		j.giveUp()
	case errors.Is(err, errBreakerOpen):
		setRetryAfter(j.w.Header(), j.rt.service.retryAfter(j.r))
		j.rt.state.refuse(j.w, j.r, problemBreaker, err)
	default:
		setRetryAfter(j.w.Header(), 5*time.Second)
		j.rt.state.refuse(j.w, j.r, problemUnavailable, err)
	}
}

// attempt is one try, with everything that must be given back after it. It is
// the context of what is sent, so that limits and identity cost no layer each.
type attempt struct {
	context.Context // the exchange, or what ends before it

	j      *job
	ep     *discovery.Endpoint
	inst   *instance
	ticket health.Ticket
	relay  informed
	trace  httptrace.ClientTrace

	limits   h1.Timeouts // where h1 keeps the time
	cancel   context.CancelCauseFunc
	timer    *time.Timer // where we do; nil otherwise
	patience time.Duration

	began   time.Time
	latency time.Duration
	ok      bool
	headed  atomic.Bool // the head of the answer is here
}

// Value answers for h1's limits.
func (a *attempt) Value(key any) any {
	if key == h1.TimeoutsKey {
		return &a.limits
	}
	return a.Context.Value(key)
}

// attempt prepares a try.
func (j *job) attempt(ep *discovery.Endpoint, ticket health.Ticket) *attempt {
	a := &j.one
	if a.j != nil {
		a = &attempt{}
	}
	j.lean = j.rt.service.carrier.lean(j.rt.service.of(ep).base.Scheme) && (a == &j.one || j.lean)
	a.Context, a.j, a.ep, a.inst, a.ticket = j.x, j, ep, j.rt.service.of(ep), ticket
	a.relay.w = j.w
	a.trace.Got1xxResponse = a.relay.got
	a.limit()
	return a
}

// limit sets the clocks of a try. Where h1 carries it, its deadlines do, unless
// connecting could outlast the whole exchange: that costs neither timer nor
// context.
func (a *attempt) limit() {
	t := a.j.rt.Timeouts
	header := t.Header
	left, bounded := a.j.left()
	if bounded && (header <= 0 || left < header) {
		header = max(left, time.Millisecond)
	}
	c := &a.j.rt.service.carrier
	if c.lean(a.inst.base.Scheme) && (!bounded || left >= header+c.own.connectTimeout()) {
		a.limits = h1.Timeouts{ResponseHeader: orNone(header), ResponseBody: orNone(t.Idle)}
		return
	}
	a.limits = h1.Timeouts{ResponseHeader: -1, ResponseBody: -1}
	a.Context, a.cancel = context.WithCancelCause(a.j.x)
	if a.patience = header; header <= 0 {
		header = never
	}
	a.timer = time.AfterFunc(header, a.late)
}

// never is longer than any process lives.
const never = 100 * 365 * 24 * time.Hour

// orNone says "no limit" as h1 wants to hear it.
func orNone(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}

// late is called by the clock that ran out. http.Transport does not notice the
// end of a context while it waits for more of the body, so that has to end too.
func (a *attempt) late() {
	switch {
	case a.headed.Load():
		a.cancel(errIdleTimeout)
		a.j.x.body.cut()
	case a.j.x.body.awaited(): // it is the caller who is slow; his own clocks run
		a.timer.Reset(a.patience)
	default:
		a.cancel(errHeaderTimeout)
	}
}

// progress is called when the transport asks for more of the body: what is
// still being sent is not yet late.
func (a *attempt) progress() {
	if a.timer != nil && a.patience > 0 && !a.headed.Load() {
		a.timer.Reset(a.patience)
	}
}

// roundTrip asks the instance. Without an answer the job's last failure says
// why.
func (a *attempt) roundTrip() (*http.Response, error) {
	j := a.j
	out := a.request()
	a.ep.Enter()
	a.began = time.Now()
	resp, err := j.rt.service.carrier.RoundTrip(out)
	a.latency = time.Since(a.began)
	j.x.upstream = a.latency
	a.relay.close()
	if err != nil {
		if j.last = j.classify(a, err); !j.last.unsent {
			j.heard = j.last
		}
		a.failed(j.last)
		return nil, err
	}
	a.headed.Store(true)
	a.answered(resp.StatusCode)
	return resp, nil
}

// failed tells breaker, comparison and balancer of a try that gave no answer.
// What is the caller's fault is nobody else's.
func (a *attempt) failed(f failure) {
	if blameless(f.problem) {
		a.ticket.Ignore()
		a.ep.Leave(-1, true)
	} else {
		a.ticket.Done(f.err)
		a.inst.member.Done(f.err)
		a.ep.Leave(a.latency, false)
	}
	a.ep = nil
}

// answered tells the breaker what the head of the answer says. How long the
// body takes is between the caller and the service.
func (a *attempt) answered(status int) {
	if a.ok = !faulty(status); a.ok {
		a.ticket.Done(nil)
		return
	}
	a.ticket.Done(errUpstreamStatus)
	a.inst.member.Done(errUpstreamStatus)
}

// broke tells of an answer that broke off: the comparison with the other
// instances hears of it, although the head was well.
func (a *attempt) broke(err error) {
	if a.ok && a.j.x.Err() == nil {
		a.ok = false
		a.inst.member.Done(err)
	}
}

// end gives everything back.
func (a *attempt) end() {
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.ep != nil {
		a.ep.Leave(a.latency, a.ok)
		if a.ok {
			a.inst.member.Done(nil)
		}
		a.ep = nil
	}
	if a.cancel != nil {
		a.cancel(nil)
	}
}
