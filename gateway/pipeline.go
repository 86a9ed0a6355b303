package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// The way of a request. Each stage is one method below, in the order in which
// a request meets them; what a stage learns goes into the exchange.

// ServeHTTP takes one request through the pipeline. It is safe for
// simultaneous use.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := g.state.Load()
	x := &exchange{Context: r.Context(), state: s, start: time.Now()}
	x.w.ResponseWriter, x.w.h2, x.w.stall = w, r.ProtoMajor >= 2, defaultIdleTimeout
	r = r.WithContext(x) // a copy: what follows is not done to the host's own
	s.name(x, r)
	x.watchBody(r)
	defer s.record(x, r)
	s.rescue(x, r)
}

// name gives the exchange its id, its address, its route and its trace, so
// that everything after it can speak of them.
func (s *state) name(x *exchange, r *http.Request) {
	x.origin = s.proxies.origin(r)
	x.raw = rawPath(r)
	x.match = s.table.lookup(r.Method, r.Host, x.raw)
	if rt := x.match.route; rt != nil {
		x.take(rt.Lane)
		x.w.stall = max(rt.Timeouts.Idle, 0)
		r.Pattern = rt.Pattern
		for i, name := range rt.names {
			r.SetPathValue(name, x.match.values[i])
		}
	}
	s.tracing.begin(x, r)
	x.stamp(trustedID(r, x.viaProxy))
}

// trustedID is a well-formed id from a trusted proxy, "" for everybody else.
func trustedID(r *http.Request, trusted bool) string {
	if v := r.Header["X-Request-Id"]; trusted && len(v) == 1 && wellFormedID(v[0]) {
		return v[0]
	}
	return ""
}

func wellFormedID(id string) bool {
	if len(id) < 8 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// rescue turns a panic into the 500 that it is, inside the record so that it
// is counted. http.ErrAbortHandler passes: it means that the answer must break
// off so that nobody takes half of it for the whole.
func (s *state) rescue(x *exchange, r *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.logPanic(r, v)
		if x.w.started() {
			panic(http.ErrAbortHandler)
		}
		s.refuse(&x.w, r, problemInternal, errPanic)
	}()
	s.edge(x, r)
}

var errPanic = errors.New("a handler panicked")

// edge is the same for every request, even a 404 or a preflight.
func (s *state) edge(x *exchange, r *http.Request) {
	w := &x.w
	h := w.Header()
	s.headers.apply(h, x.scheme)
	h["X-Request-Id"] = x.field(fieldID, x.id)
	if s.cors != nil {
		if isPreflight(r) {
			s.cors.HandlerFunc(w, r)
			return
		}
		s.cors.HandlerFunc(w, r)
	}
	if p, err := s.malformed(x, r); p != nil {
		s.refuse(w, r, p, err)
		return
	}
	if !s.addressQuota(w, r, x) {
		return
	}
	s.afterEdge.ServeHTTP(w, r)
}

// malformed refuses what must not be routed at all.
func (s *state) malformed(x *exchange, r *http.Request) (*problem, error) {
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		x.w.Header()["Allow"] = []string{strings.Join(forwardedMethods, ", ")}
		return problemMethod, nil
	}
	if malformedStream(r) {
		return problemRequest, nil
	}
	if !wellFormedHost(r.Host) {
		return problemHost, nil
	}
	if err, lenient := checkPath(x.raw); err != nil && !(lenient && x.match.route != nil && x.match.route.RawPath) {
		return problemPath, err
	}
	if len(s.trustedHosts) > 0 && !x.internal() && !s.trustedHosts.has(hostname(r.Host)) {
		return problemHost, nil
	}
	if p := checkUpgrade(x, r); p != nil {
		return p, nil
	}
	return nil, nil
}

// probe reports an endpoint that must answer whatever goes on: health and help.
func (x *exchange) probe() bool { return x.internal() && x.match.route.quiet }

func (x *exchange) internal() bool { return x.match.route != nil && x.match.route.internal }

// checkUpgrade refuses every upgrade that its route did not opt into, and
// every protocol but websocket: what is tunnelled is out of our hands.
func checkUpgrade(x *exchange, r *http.Request) *problem {
	if r.Header["Upgrade"] == nil {
		return nil
	}
	rt := x.match.route
	if rt == nil || x.internal() {
		return nil // nothing will be forwarded
	}
	if !rt.Upgrade || !isHandshake(r) {
		return problemUpgrade
	}
	return nil
}

// isHandshake reports a WebSocket opening handshake (RFC 6455 section 4.1).
func isHandshake(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Method == http.MethodGet &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(strings.TrimSpace(r.Header["Upgrade"][0]), "websocket")
}

// addressQuota shields what is costly from floods, coarsely.
func (s *state) addressQuota(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	if s.quotas.Address.N == 0 || x.probe() || !x.client.IsValid() {
		return true
	}
	d, err := s.addresses.Take(r.Context(), ratelimit.Limit{Name: "address", Key: ratelimit.ByAddress(x.client), Rate: s.quotas.Address})
	if err != nil || d.Allowed {
		return true
	}
	setRetryAfter(w.Header(), d.RetryAfter)
	s.metrics.RateLimited("address", x.endpoint())
	s.refuse(w, r, problemAddress, nil)
	return false
}

// dispatch hands a request to its route.
func (s *state) dispatch(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	rt := x.match.route
	switch {
	case rt != nil:
		rt.enter(w, r, x)
	case len(x.match.allow) > 0:
		w.Header()["Allow"] = []string{strings.Join(x.match.allow, ", ")}
		s.refuse(w, r, problemMethod, nil)
	case !isForwarded(r.Method):
		s.refuse(w, r, problemMethodUnknown, nil)
	default:
		s.refuse(w, r, problemNotFound, nil)
	}
}

func isForwarded(method string) bool {
	for _, m := range forwardedMethods {
		if m == method {
			return true
		}
	}
	return false
}

// route is a Route compiled: its settings closed over, its stages joined.
type route struct {
	Route
	state       *state
	pattern     pattern
	names       []string // of the {name} segments
	methods     []string
	guard       *safety.Guard // nil where nothing is inspected
	uninspected string        // why nothing is, for the count of what passed by
	counts      routeCounts
	allowed     http.Handler // what follows AfterAllow
	last        http.Handler // what follows AfterAdmit
	service     *service     // nil for a Handler
	public      bool         // anyone may come: a bad credential is dropped, not refused
}

// enter begins the stages that belong to a route.
func (rt *route) enter(w http.ResponseWriter, r *http.Request, x *exchange) {
	if rt.internal { // the gateway's own endpoints decide for themselves who sees what
		rt.last.ServeHTTP(w, r)
		return
	}
	if !rt.limitBody(w, r, x) || !rt.identify(w, r, x) || !rt.allow(w, r, x) {
		return
	}
	rt.allowed.ServeHTTP(w, r)
}

// watchBody keeps an eye on the body of a request, whoever reads it or does
// not.
func (x *exchange) watchBody(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	b := &clientBody{
		rc: r.Body, control: http.NewResponseController(x.w.ResponseWriter), h1: r.ProtoMajor == 1,
		idle: x.w.stall, expects: r.Header["Expect"] != nil,
	}
	x.body, x.w.body, r.Body = b, b, b
}

// limitBody bounds what is read of the body, and how slowly, and refuses at
// once what says itself that it is longer; where somebody listens, once the
// beginning of it has been heard.
func (rt *route) limitBody(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	if rt.MaxBody > 0 && r.ContentLength > rt.MaxBody {
		w.Header()["Connection"] = connectionClose // the rest will not be read
		if rt.guard == nil {
			rt.state.refuse(w, r, problemTooLarge, nil)
			return false
		}
		x.oversized = true
	}
	if b := x.body; b != nil {
		b.limit, b.rate = max(rt.MaxBody, 0), max(rt.Timeouts.BodyRate, 0)
	}
	return true
}

var connectionClose = []string{"close"}

// identify learns who is asking. Nobody is an answer. A bad credential is
// refused, except where the route lets anyone in: there it is dropped and not
// forwarded, so that a browser with a dead token still reaches login and help.
func (rt *route) identify(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	s := rt.state
	if rt.Upgrade {
		tokenFromQuery(r)
	}
	if s.authenticator == nil {
		return true
	}
	id, err := s.authenticator.Authenticate(r)
	if err == nil {
		x.identity = id
		s.countIdentity(x)
		return true
	}
	s.metrics.Auth("identify", authStatus(err))
	s.metrics.TokenVerified(metrics.VerifyFailure)
	if rt.public {
		r.Header = r.Header.Clone() // the host's own stays as it is
		r.Header.Del("Authorization")
		return true
	}
	return rt.denied(w, r, err)
}

// allow asks the route's policy: 401 if the caller is unknown, 403 if he is
// known.
func (rt *route) allow(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	if rt.public {
		return true
	}
	err := rt.Allow.Check(r, x.identity)
	if err == nil {
		return true
	}
	rt.state.metrics.Auth("allow", authStatus(err))
	return rt.denied(w, r, err)
}

func (rt *route) denied(w http.ResponseWriter, r *http.Request, err error) bool {
	if c := auth.Challenge(rt.state.realm, err); c != "" {
		w.Header()["Www-Authenticate"] = []string{c}
	}
	rt.state.refuse(w, r, authProblem(err), err)
	return false
}

// protect is inspect, quota and admit in one piece: no middleware lies between
// them, so that the order that protects a crisis cannot be broken.
func (rt *route) protect(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	decision, within := rt.askQuota(r, x)
	if !rt.inspect(w, r, x, within) {
		return
	}
	if x.passage != nil {
		defer x.passage.Close() // on every way out; a panic is noticed, too
	}
	rt.raise(r, x)
	if x.oversized {
		rt.state.refuse(w, r, problemTooLarge, nil)
		return
	}
	if !within && x.lane < ratelimit.Crisis {
		rt.overQuota(w, r, decision)
		return
	}
	rt.state.showQuota(w.Header(), decision)
	rt.admit(w, r, x)
}

// inspect judges the message. A caller over quota has the beginning of his
// message looked at, a bounded number of times, so that a crisis is heard.
func (rt *route) inspect(w http.ResponseWriter, r *http.Request, x *exchange, within bool) bool {
	if rt.state.guard == nil {
		return true
	}
	x.level = rt.state.guard.Level(r)
	if rt.guard == nil {
		return true
	}
	if rt.Upgrade && isHandshake(r) {
		return true // its messages are judged, one by one
	}
	max := int64(0)
	if !within {
		if !rt.mayPeek(r, x) {
			rt.skipped(r, "over quota")
			return true
		}
		max = peek
	}
	if x.oversized {
		max = peek
	}
	p, err := rt.guard.Open(r, max)
	if err != nil {
		x.heard(err)
		rt.state.refuse(w, r, bodyProblem(err), err)
		return false
	}
	x.passage = p
	x.verdict, x.level = p.Verdict(), p.Level()
	return true
}

// peek is how much is looked at of a message that will be refused unless it
// tells of a crisis, or in any case.
const peek = 16 << 10

// admit waits for room, by lane, and hands on.
func (rt *route) admit(w http.ResponseWriter, r *http.Request, x *exchange) {
	s := rt.state
	if rt.Upgrade && isHandshake(r) { // live sockets are counted by themselves
		if p := rt.mayOpen(r, x); p != nil {
			s.refuse(w, r, p, nil)
			return
		}
		rt.last.ServeHTTP(w, r)
		return
	}
	if s.admission != nil {
		room := waiting{Context: x, patience: rt.left(x)}
		err := s.admission.Acquire(&room, x.lane)
		room.stop()
		if err != nil {
			setRetryAfter(w.Header(), time.Second)
			s.refuse(w, r, problemOverloaded, err)
			return
		}
		defer s.admission.Release(x.lane)
	}
	if x.passage == nil {
		rt.last.ServeHTTP(w, r)
		return
	}
	rt.last.ServeHTTP(x.passage.Writer(w), r)
}

// left is what remains of the time in which an answer must begin, never
// without a bound.
func (rt *route) left(x *exchange) time.Duration {
	if rt.Timeouts.Overall <= 0 {
		return never
	}
	return max(rt.Timeouts.Overall-time.Since(x.start), time.Nanosecond)
}

// waiting is a context that ends after a while. Unlike those of package context
// it costs nothing until somebody waits for its end, and mostly nobody does:
// there is room.
type waiting struct {
	context.Context
	patience time.Duration
	bounded  context.Context
	cancel   context.CancelFunc
}

func (w *waiting) Done() <-chan struct{} {
	if w.bounded == nil {
		w.bounded, w.cancel = context.WithTimeout(w.Context, w.patience)
	}
	return w.bounded.Done()
}

func (w *waiting) Err() error {
	if w.bounded != nil {
		return w.bounded.Err()
	}
	return w.Context.Err()
}

func (w *waiting) stop() {
	if w.cancel != nil {
		w.cancel()
	}
}
