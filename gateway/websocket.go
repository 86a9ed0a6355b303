package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway/h1"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/ratelimit"
)

// socket is the last stage of a handshake: who may not open a connection is
// refused; on an inspected route its messages are relayed, one by one, on
// another its bytes are tunnelled.
func (rt *route) socket(w http.ResponseWriter, r *http.Request, x *exchange) {
	s := rt.state
	if p := rt.mayOpen(r, x); p != nil {
		rt.state.refuse(w, r, p, nil)
		return
	}
	slot, err := s.gateway.sockets.enter(rt, quotaKey(x), x.lane)
	if err != nil {
		rt.state.refuse(w, r, socketProblem(err), err)
		return
	}
	defer func() { slot.leave(); s.showSockets() }()
	s.showSockets()
	leave, err := rt.admitHandshake(x)
	if err != nil {
		setRetryAfter(w.Header(), time.Second)
		rt.state.refuse(w, r, problemOverloaded, err)
		return
	}
	defer leave() // on every way out; the handshake gives it back when it is through
	if rt.tunnels() {
		rt.tunnel(w, r, x, slot, leave)
		return
	}
	rt.relay(w, r, x, slot, leave)
}

// tunnels reports that nobody reads the messages of the route's sockets: no
// guard, and no chat, whose pings are answered whether or not anybody listens.
func (rt *route) tunnels() bool { return rt.guard == nil && !rt.Chat }

// now is the route as it stands after the last reload, or as it was if it has
// gone.
func (rt *route) now() *route {
	s := rt.state.gateway.state.Load()
	if s == rt.state {
		return rt
	}
	if fresh := s.upgradeRoute(rt.Pattern); fresh != nil {
		return fresh
	}
	return rt
}

// admitHandshake waits for room like a request. A live socket takes none: it
// is counted among its own.
func (rt *route) admitHandshake(x *exchange) (leave func(), err error) {
	if rt.state.admission == nil {
		return func() {}, nil
	}
	return rt.state.admission.Enter(x, x.lane)
}

// showSockets keeps the gauges of live conversations.
func (s *state) showSockets() {
	s.gateway.sockets.tell(func(conversations, people int) {
		s.metrics.SessionsActive(conversations)
		s.metrics.UsersActive(people)
	})
}

func (rt *route) mayOpen(r *http.Request, x *exchange) *problem {
	switch {
	case rt.state.webSocket.Disabled:
		return problemDisabled
	case !validHandshake(r):
		return problemHandshake
	case !originMayConnect(r, x.scheme, rt.state.origins):
		return problemOrigin
	}
	return nil
}

func socketProblem(err error) *problem {
	if errors.Is(err, errDraining) {
		return problemDraining
	}
	return problemSockets
}

// validHandshake checks the fields of RFC 6455 section 4.2.1.
func validHandshake(r *http.Request) bool {
	key := r.Header["Sec-Websocket-Key"]
	version := r.Header["Sec-Websocket-Version"]
	if len(key) != 1 || len(version) != 1 || version[0] != "13" {
		return false
	}
	nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key[0]))
	return err == nil && len(nonce) == 16
}

// tokenFromQuery moves the token of a browser's handshake, which cannot set
// headers, into the Authorization field, and out of the query: there it would
// end up in the logs of everybody behind us. The query's token wins, as the
// chat protocol has it.
func tokenFromQuery(r *http.Request) {
	if r.URL.RawQuery == "" {
		return
	}
	token := r.URL.Query().Get("token")
	own := *r.URL // the host's own request keeps what it came with
	own.RawQuery = withoutParam(own.RawQuery, "token")
	r.URL = &own
	if token != "" {
		r.Header = maps.Clone(r.Header)
		r.Header["Authorization"] = []string{"Bearer " + token}
	}
}

// offered are the subprotocols that the client named.
func offered(r *http.Request) []string {
	var out []string
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}

// dialService opens the socket to an instance; another one is tried where the
// first could not be reached. A handshake changes nothing, so it may be
// repeated.
func (rt *route) dialService(r *http.Request, x *exchange) (*peer, *problem, error) {
	header := rt.dialHeader(r, x)
	var conn *peer
	p, err := rt.overInstances(r, x, func(ep *discovery.Endpoint, ticket health.Ticket) (p *problem, err error) {
		conn, p, err = rt.dialOne(r, x, ep, ticket, header)
		return p, err
	})
	return conn, p, err
}

// overInstances dials one instance after the other, within the budget, until
// one answers or it is the caller's fault. It returns the last problem.
func (rt *route) overInstances(r *http.Request, x *exchange, dial func(*discovery.Endpoint, health.Ticket) (*problem, error)) (*problem, error) {
	svc := rt.service
	svc.budget.earn(x.start)
	var tried []*discovery.Endpoint
	var last *problem
	var cause error
	for {
		ep, ticket, err := svc.pick(r, tried, x.lane >= ratelimit.Crisis)
		if err != nil && last == nil {
			return pickProblem(err), err
		}
		if err != nil {
			return last, cause
		}
		x.attempts++
		x.service, x.instance = svc.name, ep.ID
		last, cause = dial(ep, ticket)
		if last == nil || x.attempts > svc.Retries || last.status < 500 || !svc.budget.spend(time.Now()) {
			return last, cause
		}
		svc.metrics.Retry(svc.name)
		tried = append(tried, ep)
	}
}

func pickProblem(err error) *problem {
	if errors.Is(err, errBreakerOpen) {
		return problemBreaker
	}
	return problemUnavailable
}

// dialHeader is outHeader without what the client's own handshake says.
func (rt *route) dialHeader(r *http.Request, x *exchange) http.Header {
	h := rt.outHeader(r, x)
	for name := range h {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			delete(h, name)
		}
	}
	return h
}

func (rt *route) dialOne(r *http.Request, x *exchange, ep *discovery.Endpoint, ticket health.Ticket, header http.Header) (*peer, *problem, error) {
	ctx, cancel := context.WithCancel(x)
	defer cancel()
	if d := rt.Timeouts.Header; d > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, d, errHeaderTimeout)
		defer cancel()
	}
	way := &handshake{carrier: rt.service.carrier.upgrade, target: rt.target(r, x, rt.service.of(ep).base), host: r.Host}
	ep.Enter()
	began := time.Now()
	conn, resp, err := websocket.Dial(ctx, "ws://service", &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: way, CheckRedirect: stayHere},
		HTTPHeader:   header,
		Subprotocols: offered(r),
	})
	elapsed := time.Since(began)
	if err == nil {
		ticket.Done(nil)
		ep.Leave(elapsed, true) // a live socket is no request in flight
		return &peer{conn, way.wire}, nil, nil
	}
	p := dialProblem(ctx, x, resp, err)
	if blameless(p) {
		ticket.Ignore()
		ep.Leave(-1, true)
	} else {
		ticket.Done(err)
		ep.Leave(elapsed, false)
	}
	return nil, p, err
}

// handshake carries a handshake to its target. websocket.Dial takes a URL as
// text, and a path with letters that net/url would escape has none that comes
// back as it was; so it is given another, and the target is set here.
type handshake struct {
	carrier http.RoundTripper
	target  *url.URL
	host    string    // as the client named it
	wire    io.Closer // the connection, once it is a socket
}

func (h *handshake) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.WithContext(r.Context())
	out.URL, out.Host = h.target, h.host
	resp, err := h.carrier.RoundTrip(out)
	if err == nil {
		h.wire = resp.Body
	}
	return resp, err
}

func stayHere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// dialProblem tells why a service did not take the socket. What it said itself
// decides: who may not come in there, may not come in here.
func dialProblem(ctx context.Context, x *exchange, resp *http.Response, err error) *problem {
	if resp == nil {
		return unanswered(ctx, x, err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1024))
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return problemUnauthenticated
	case http.StatusForbidden:
		return problemForbidden
	case http.StatusNotFound:
		return problemNotFound
	case http.StatusTooManyRequests:
		return problemQuota
	case http.StatusServiceUnavailable:
		return problemUnavailable
	}
	return problemProtocol
}

// unanswered tells why there was no answer to a handshake. Whatever the reason,
// nothing was delivered.
func unanswered(ctx context.Context, x *exchange, err error) *problem {
	var request *h1.RequestError
	switch {
	case errors.Is(context.Cause(ctx), errHeaderTimeout):
		return problemTimeout
	case x.Err() != nil:
		return problemGone
	case errors.As(err, &request):
		return problemRequest
	}
	return problemConnect
}
