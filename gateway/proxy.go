package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
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
		rt.fail(w, r, problemLoop, nil)
		return
	}
	if rt.Upgrade && isHandshake(r) {
		rt.socket(w, r, x)
		return
	}
	job := &job{rt: rt, w: w, r: r, x: x, header: rt.outHeader(r, x)}
	job.run()
}

// looped reports a request that has been through us too often.
func looped(r *http.Request) bool {
	n := 0
	for _, line := range r.Header["Via"] {
		n += strings.Count(line, via)
	}
	return n >= maxVia
}

// fail refuses at the last stage: what the passage held is dropped, because
// the refusal carries the help itself.
func (rt *route) fail(w http.ResponseWriter, r *http.Request, p *problem, cause error) {
	if x := exchangeOf(r); x.passage != nil {
		x.passage.Abort()
		w = &x.w
	}
	rt.state.refuse(w, r, p, cause)
}

// job is one request on its way to a service, over all its tries.
type job struct {
	rt     *route
	w      http.ResponseWriter
	r      *http.Request
	x      *exchange
	header http.Header // for the service
	tried  []*discovery.Endpoint
	last   failure // of the last try
}

// failure is why a try gave no answer.
type failure struct {
	problem *problem
	err     error
	repeat  bool // it is certain, or makes no difference, whether it was served
}

func (j *job) run() {
	svc := j.rt.service
	svc.budget.earn()
	force := j.x.lane >= ratelimit.Crisis
	for {
		ep, ticket, err := svc.pick(j.r, j.tried, force)
		if err != nil {
			j.noInstance(err)
			return
		}
		j.x.attempts++
		j.x.service, j.x.instance = svc.name, ep.ID
		resp, a := j.try(ep, ticket)
		if resp != nil {
			j.answer(resp, a)
			return
		}
		a.end()
		if !j.again(ep) {
			j.rt.fail(j.w, j.r, j.last.problem, j.last.err)
			return
		}
	}
}

// again decides whether another instance is asked: only what may be repeated,
// only so often, and only within the service's budget.
func (j *job) again(ep *discovery.Endpoint) bool {
	svc := j.rt.service
	if !j.last.repeat || j.x.attempts > svc.Retries || j.x.Err() != nil {
		return false
	}
	if o := j.rt.Timeouts.Overall; o > 0 && time.Since(j.x.start) > o {
		return false
	}
	if !svc.budget.spend() {
		return false
	}
	svc.metrics.Retry(svc.name)
	j.tried = append(j.tried, ep)
	return true
}

// noInstance answers when nobody is left to ask.
func (j *job) noInstance(err error) {
	switch {
	case j.last.problem != nil: // somebody was asked: his failure says more
		j.rt.fail(j.w, j.r, j.last.problem, j.last.err)
	case errors.Is(err, errBreakerOpen):
		setRetryAfter(j.w.Header(), j.rt.service.retryAfter(j.r))
		j.rt.fail(j.w, j.r, problemBreaker, err)
	default:
		setRetryAfter(j.w.Header(), 5*time.Second)
		j.rt.fail(j.w, j.r, problemUnavailable, err)
	}
}

var errHeaderTimeout = errors.New("gateway: the instance did not begin its answer in time")
var errIdleTimeout = errors.New("gateway: the answer stood still for too long")

// try asks one instance. It returns its answer, or nil with j.last set. The
// attempt ends when its end is called; the answer's body cannot be read after.
func (j *job) try(ep *discovery.Endpoint, ticket health.Ticket) (*http.Response, *attempt) {
	ctx, cancel := context.WithCancelCause(j.x)
	a := &attempt{ep: ep, ticket: ticket, cancel: cancel, relay: informed{w: j.w}}
	if d := j.rt.Timeouts.Header; d > 0 {
		a.timer = time.AfterFunc(d, func() { cancel(a.late()) })
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: a.relay.got})
	out := j.request(ctx, ep)
	ep.Enter()
	began := time.Now()
	resp, err := j.rt.service.Transport.RoundTrip(out)
	a.latency = time.Since(began)
	j.x.upstream = a.latency
	a.relay.close()
	if err != nil {
		j.last = j.classify(ctx, err)
		a.settle(j.last)
		return nil, a
	}
	a.began(resp.StatusCode)
	return resp, a
}

// attempt is one try, with everything that must be given back after it.
type attempt struct {
	ep      *discovery.Endpoint
	ticket  health.Ticket
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	latency time.Duration
	ok      bool
	left    bool
	headed  atomic.Bool // the head of the answer is here
	relay   informed
}

// settle tells breaker and balancer of a try that gave no answer. What is the
// caller's fault is nobody else's.
func (a *attempt) settle(f failure) {
	a.left = true
	if blameless(f.problem) {
		a.ticket.Ignore()
		a.ep.Leave(-1, true)
		return
	}
	a.ticket.Done(f.err)
	a.ep.Leave(a.latency, false)
}

func blameless(p *problem) bool { return p.status < 500 }

var errUpstreamStatus = errors.New("gateway: the instance answered with a server error")

// late says what the clock that ran out was waiting for.
func (a *attempt) late() error {
	if a.headed.Load() {
		return errIdleTimeout
	}
	return errHeaderTimeout
}

// began tells the breaker what the head of the answer says.
func (a *attempt) began(status int) {
	a.headed.Store(true)
	a.ok = !faulty(status)
	if a.ok {
		a.ticket.Done(nil)
	} else {
		a.ticket.Done(errUpstreamStatus)
	}
}

// faulty are the statuses by which an instance says that it cannot do its
// work. 501 and 505 are about the request.
func faulty(status int) bool {
	switch status {
	case 500, 502, 503, 504:
		return true
	}
	return false
}

// end gives everything back.
func (a *attempt) end() {
	if a.timer != nil {
		a.timer.Stop()
	}
	if !a.left {
		a.left = true
		a.ep.Leave(a.latency, a.ok)
	}
	a.cancel(nil)
}

// request builds what is sent to an instance: the caller's request with its
// own path and query byte for byte, on another host.
func (j *job) request(ctx context.Context, ep *discovery.Endpoint) *http.Request {
	out := j.r.WithContext(ctx)
	out.URL = j.rt.target(j.r, j.x, j.rt.service.of(ep).base)
	out.Header = j.header
	out.RequestURI = ""
	out.Close = false
	out.TransferEncoding = nil
	out.Response = nil
	out.Body, out.ContentLength = j.body()
	out.GetBody = nil // who repeats a request is us
	return out
}

// body is what is sent this time: the held message afresh, or the caller's
// stream, which a transport must not close under us.
func (j *job) body() (io.ReadCloser, int64) {
	r := j.r
	if r.Body == nil || r.Body == http.NoBody {
		return j.empty(), 0
	}
	if j.x.passage != nil {
		if held, whole := j.x.passage.Body(); whole {
			if len(held) == 0 {
				return j.empty(), 0
			}
			return io.NopCloser(bytes.NewReader(held)), int64(len(held))
		}
	}
	return unclosed{r.Body}, r.ContentLength
}

// empty is the body of a request without one. http.Transport repeats by
// itself what has an Idempotency-Key and no body that it knows of; a body that
// it must read first stops it, because whether anything is sent twice is
// decided here.
func (j *job) empty() io.ReadCloser {
	if j.r.Header["Idempotency-Key"] != nil || j.r.Header["X-Idempotency-Key"] != nil {
		return io.NopCloser(strings.NewReader(""))
	}
	return http.NoBody
}

type unclosed struct{ io.Reader }

func (unclosed) Close() error { return nil }

// repeatable reports whether the message can be sent once more.
func (j *job) repeatable() bool {
	r := j.r
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	if j.x.passage == nil {
		return false
	}
	_, whole := j.x.passage.Body()
	return whole
}

// target is the address on an instance.
func (rt *route) target(r *http.Request, x *exchange, base *url.URL) *url.URL {
	u := &url.URL{
		Scheme:     base.Scheme,
		Host:       base.Host,
		Path:       r.URL.Path,
		RawPath:    r.URL.RawPath,
		RawQuery:   rt.query(r),
		ForceQuery: r.URL.ForceQuery,
	}
	if rt.Rewrite == "" && (base.Path == "" || base.Path == "/") && u.EscapedPath() == x.raw {
		return u
	}
	setRawPath(u, strings.TrimSuffix(base.EscapedPath(), "/")+rt.rewritten(x))
	return u
}

// setRawPath makes u's request target begin with exactly raw.
func setRawPath(u *url.URL, raw string) {
	u.Path, _ = unescape(raw)
	u.RawPath = raw
	if u.EscapedPath() != raw && !strings.HasPrefix(raw, "//") {
		u.Opaque = raw // has letters that net/url would escape
	}
}

// rewritten is the path with what the pattern spells replaced.
func (rt *route) rewritten(x *exchange) string {
	if rt.Rewrite == "" {
		return x.raw
	}
	to := rt.Rewrite
	for i, name := range rt.names {
		to = strings.ReplaceAll(to, "{"+name+"}", url.PathEscape(x.match.values[i]))
	}
	rest := x.raw[min(x.match.rest, len(x.raw)):]
	if !rt.pattern.prefix {
		return to
	}
	return strings.TrimSuffix(to, "/") + rest
}

// query is the raw query, byte for byte, without the parameters that the route
// keeps to itself.
func (rt *route) query(r *http.Request) string {
	q := r.URL.RawQuery
	for _, name := range rt.StripQuery {
		q = withoutParam(q, name)
	}
	return q
}

// withoutParam takes a parameter out of a raw query and leaves every other
// byte where it was.
func withoutParam(raw, name string) string {
	if !strings.Contains(raw, name) && !strings.Contains(raw, "%") {
		return raw
	}
	kept := make([]string, 0, 8)
	for part := range strings.SplitSeq(raw, "&") {
		key, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(key); err == nil && decoded == name {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}

// outHeader is what the service is told: the caller's fields without those of
// this hop and those that only we may send, and then ours.
func (rt *route) outHeader(r *http.Request, x *exchange) http.Header {
	h := make(http.Header, len(r.Header)+10)
	listed := connectionListed(r.Header)
	for name, values := range r.Header {
		if !stripped(name) {
			h[name] = values
		}
	}
	for _, name := range listed {
		delete(h, name)
	}
	if teTrailers(r) { // what gRPC needs; TE itself is a matter of each hop
		h["Te"] = []string{"trailers"}
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // or http.Transport would add its own
	}
	rt.address(h, r, x)
	h["Via"] = append(r.Header["Via"][:len(r.Header["Via"]):len(r.Header["Via"])], viaValue(r.ProtoMajor))
	inject(x.span, h)
	identityHeaders(h, x.identity)
	if x.passage != nil {
		x.passage.Annotate(h)
	}
	if rt.guard != nil {
		decodableOnly(h)
	}
	return h
}

func viaValue(major int) string {
	if major == 2 {
		return "2.0 " + via
	}
	return "1.1 " + via
}

// address says where the request came from: one hop, ours to vouch for.
func (rt *route) address(h http.Header, r *http.Request, x *exchange) {
	one := make([]string, 4)
	if x.client.IsValid() {
		one[0] = x.client.String()
		h["X-Forwarded-For"] = one[0:1:1]
	}
	one[1], one[2], one[3] = x.scheme, r.Host, x.id
	h["X-Forwarded-Proto"] = one[1:2:2]
	h["X-Forwarded-Host"] = one[2:3:3]
	h["X-Request-Id"] = one[3:4:4]
	h["X-Gateway-Request-Id"] = one[3:4:4]
}

func teTrailers(r *http.Request) bool {
	for _, line := range r.Header["Te"] {
		for token := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(token, ";")
			if strings.EqualFold(strings.TrimSpace(name), "trailers") {
				return true
			}
		}
	}
	return false
}

// decodableOnly asks the service only for codings that the guard can read.
func decodableOnly(h http.Header) {
	for _, line := range h["Accept-Encoding"] {
		for token := range strings.SplitSeq(line, ",") {
			name, q, _ := strings.Cut(token, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && strings.TrimSpace(q) != "q=0" {
				h["Accept-Encoding"] = gzipOnly
				return
			}
		}
	}
	h["Accept-Encoding"] = identityOnly
}

var (
	gzipOnly     = []string{"gzip"}
	identityOnly = []string{"identity"}
)

// classify says whose fault it is that there is no answer, and whether asking
// again can do harm.
func (j *job) classify(ctx context.Context, err error) failure {
	var dial *net.OpError
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errHeaderTimeout):
		return failure{problemTimeout, cause, false}
	case j.x.Err() != nil:
		return failure{problemGone, j.x.Err(), false}
	case j.bodyError() != nil:
		return failure{bodyProblem(j.bodyError()), j.bodyError(), false}
	case errors.As(err, &dial) && dial.Op == "dial":
		return failure{problemConnect, err, true} // nothing was sent
	}
	var protocol textproto.ProtocolError
	p := problemBroken
	if errors.As(err, &protocol) || strings.Contains(err.Error(), "malformed HTTP") {
		p = problemProtocol
	}
	return failure{p, err, idempotent(j.r.Method) && j.repeatable()}
}

func (j *job) bodyError() error {
	if b, ok := j.r.Body.(*clientBody); ok {
		return b.err
	}
	return nil
}

// idempotent methods may be repeated without harm (RFC 9110 section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// informed relays 1xx answers while the final one is awaited. The transport
// calls got on a goroutine of its own.
type informed struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	n    int
	done bool
}

const max1xx = 16

var errTooMany1xx = errors.New("gateway: the instance sent too many interim answers")

func (i *informed) got(code int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.n++; i.n > max1xx {
		return errTooMany1xx
	}
	if i.done || code == http.StatusContinue { // the server says 100 itself, when the body is asked for
		return nil
	}
	h := i.w.Header()
	var added []string
	for name, values := range header {
		if h[name] == nil && !hopByHop[name] && !corsField(name) {
			h[name] = values
			added = append(added, name)
		}
	}
	i.w.WriteHeader(code)
	for _, name := range added {
		delete(h, name)
	}
	return nil
}

func (i *informed) close() {
	i.mu.Lock()
	i.done = true
	i.mu.Unlock()
}

// answer copies an instance's answer to the caller.
func (j *job) answer(resp *http.Response, a *attempt) {
	defer a.end()
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		j.rt.fail(j.w, j.r, problemProtocol, errUnasked)
		return
	}
	j.copyHeader(resp)
	announced := announceTrailers(j.w.Header(), resp.Trailer)
	j.w.WriteHeader(resp.StatusCode)
	if err := j.copyBody(resp, a); err != nil {
		j.x.cause = err
		// What was cut must look cut (RFC 9112 section 8).
		panic(http.ErrAbortHandler)
	}
	copyTrailers(j.w, resp.Trailer, announced)
}

var errUnasked = errors.New("gateway: the instance switched protocols unasked")

// copyHeader takes over what the service says, save the fields of this hop and
// those that the gateway speaks for.
func (j *job) copyHeader(resp *http.Response) {
	s := j.rt.state
	h := j.w.Header()
	listed := connectionListed(resp.Header)
	for name, values := range resp.Header {
		switch {
		case hopByHop[name], s.headers.owns(name), name == "X-Request-Id", s.cors != nil && corsField(name):
			continue
		case name == "Vary" && h["Vary"] != nil:
			h["Vary"] = append(h["Vary"][:len(h["Vary"]):len(h["Vary"])], values...)
			continue
		case claimsSafety(name): // only what the gateway itself has done is claimed
			continue
		}
		h[name] = values
	}
	for _, name := range listed {
		if !s.headers.owns(name) {
			delete(h, name)
		}
	}
	if h["Cache-Control"] == nil && j.x.identity.Known() {
		h["Cache-Control"] = noStore
	}
}

// claimsSafety are response fields by which services say that somebody
// listened. Whether that is so, is the gateway's to say.
func claimsSafety(name string) bool {
	return name == "X-Therapeutic-Safety" || name == "X-Crisis-Support" || strings.HasPrefix(name, "X-Safety-")
}

func announceTrailers(h http.Header, trailer http.Header) int {
	if len(trailer) == 0 {
		return 0
	}
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		names = append(names, name)
	}
	h["Trailer"] = names
	return len(names)
}

// copyTrailers sends the fields after the body; those that were not announced
// need net/http's prefix.
func copyTrailers(w http.ResponseWriter, trailer http.Header, announced int) {
	if len(trailer) == 0 {
		return
	}
	_ = http.NewResponseController(w).Flush() // forces chunking, without which there are none
	prefix := ""
	if len(trailer) != announced {
		prefix = http.TrailerPrefix
	}
	h := w.Header()
	for name, values := range trailer {
		h[prefix+name] = values
	}
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copyBody passes the body on as it comes. What is a stream is flushed at
// once; what stands still for too long is given up.
func (j *job) copyBody(resp *http.Response, a *attempt) error {
	if resp.Body == nil || resp.Body == http.NoBody {
		return nil
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	live := resp.ContentLength < 0
	var flusher *http.ResponseController
	if live {
		flusher = http.NewResponseController(j.w)
		_ = flusher.Flush() // the head of a stream is news too
	}
	for {
		a.wait(j.rt.Timeouts.Idle)
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			if _, werr := j.w.Write((*buf)[:n]); werr != nil {
				return werr
			}
			if live {
				_ = flusher.Flush()
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wait starts the clock anew for the next piece of the answer.
func (a *attempt) wait(idle time.Duration) {
	switch {
	case a.timer != nil && idle > 0:
		a.timer.Reset(idle)
	case a.timer != nil:
		a.timer.Stop()
	}
}
