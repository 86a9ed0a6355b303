package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

const (
	// replyFactor is how much longer a message from the service may be.
	replyFactor = 16
	// writeTimeout bounds the delivery of one message: who does not read is cut.
	writeTimeout = 30 * time.Second
	// closePatience is how long a peer may take to answer our close.
	closePatience = 2 * time.Second
)

// socket is the last stage of a handshake: who may not open a connection is
// refused; on an inspected route its messages are relayed, one by one, on
// another its bytes are tunnelled.
func (rt *route) socket(w http.ResponseWriter, r *http.Request, x *exchange) {
	s := rt.state
	if p := rt.mayOpen(r, x); p != nil {
		rt.fail(w, r, p, nil)
		return
	}
	slot, err := s.gateway.sockets.enter(quotaKey(x), rt.Pattern, x.lane, s.webSocket)
	if err != nil {
		rt.fail(w, r, socketProblem(err), err)
		return
	}
	defer func() { slot.leave(); s.showSockets() }()
	s.showSockets()
	if rt.guard == nil && !rt.Chat { // the chat's pings are answered whether or not anybody listens
		rt.tunnel(w, r, x, slot)
		return
	}
	rt.relay(w, r, x, slot)
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
	r.URL.RawQuery = withoutParam(r.URL.RawQuery, "token")
	if token != "" {
		r.Header["Authorization"] = []string{"Bearer " + token}
	}
}

// refuseByClose tells a browser why it may not come in: it cannot read the
// answer to a failed handshake, but it can read a close code. The help that
// belongs to the refusal goes first. It reports whether that was possible.
func (s *state) refuseByClose(_ http.ResponseWriter, r *http.Request, x *exchange, p *problem) bool {
	if !validHandshake(r) || x.w.hijacked {
		return false
	}
	conn, err := websocket.Accept(&x.w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: offered(r)})
	if err != nil {
		return false
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x), closePatience)
	defer cancel()
	if x.therapeutic() && p != problemOrigin {
		_ = conn.Write(ctx, websocket.MessageText, s.helpFor(r, x).Frame("", time.Now()))
	}
	closeWithin(conn, p.close, p.code)
	return true
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

// closeWithin ends a connection politely, but not for longer than
// closePatience.
func closeWithin(c *websocket.Conn, code int, reason string) {
	t := time.AfterFunc(closePatience, func() { _ = c.CloseNow() })
	defer t.Stop()
	_ = c.Close(websocket.StatusCode(code), reason)
}

// relay stands between two sockets and hands on each message: its type, its
// bytes and the close code as they came, unless the guard says otherwise.
type relay struct {
	rt      *route                // under which the handshake came
	route   atomic.Pointer[route] // as it stands now
	x       *exchange
	r       *http.Request
	slot    *socket
	client  *websocket.Conn
	service *websocket.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	limiter *rate.Limiter
	idle    *time.Timer
	idleFor time.Duration
	said    safety.Message // what all messages of this connection have in common
	code    int            // with which it ended, for the count
}

func (rt *route) relay(w http.ResponseWriter, r *http.Request, x *exchange, slot *socket) {
	service, p, err := rt.dialService(r, x)
	if p != nil {
		rt.fail(w, r, p, err)
		return
	}
	defer service.CloseNow()
	options := &websocket.AcceptOptions{InsecureSkipVerify: true} // the Origin has been checked
	if sub := service.Subprotocol(); sub != "" {
		options.Subprotocols = []string{sub}
	}
	client, err := websocket.Accept(&x.w, r, options)
	if err != nil {
		x.problem, x.cause = problemHandshake, err
		return
	}
	defer client.CloseNow()
	newRelay(rt, r, x, slot, client, service).run()
}

func newRelay(rt *route, r *http.Request, x *exchange, slot *socket, client, service *websocket.Conn) *relay {
	limits := &rt.state.webSocket
	client.SetReadLimit(limits.MaxMessage)
	service.SetReadLimit(limits.MaxMessage * replyFactor)
	// The request's context ends with the handler, and with it the connection
	// must not: the relay has one of its own.
	ctx, cancel := context.WithCancel(context.WithoutCancel(x))
	re := &relay{
		rt: rt, x: x, r: r, slot: slot, client: client, service: service, ctx: ctx, cancel: cancel,
		limiter: rate.NewLimiter(rate.Limit(float64(limits.Rate.N)/limits.Rate.Per.Seconds()), max(limits.Rate.Burst, limits.Rate.N)),
		idleFor: orDefault(rt.Timeouts.Socket, limits.Idle),
		said:    messageFor(rt.guard, rt, r),
	}
	re.route.Store(rt)
	return re
}

// run relays both ways until one side ends it.
func (re *relay) run() {
	defer re.cancel()
	if re.idleFor > 0 {
		re.idle = time.AfterFunc(re.idleFor, func() { re.end(closeGoingAway, "idle") })
		defer re.idle.Stop()
	}
	m := re.rt.state.metrics
	lane := re.x.lane.String()
	m.WebSocketOpened(re.rt.Pattern, lane)
	re.slot.onEnd(re.end)
	done := make(chan struct{})
	go func() {
		defer close(done)
		re.pump(re.service, re.client, re.fromService)
	}()
	re.pump(re.client, re.service, re.fromClient)
	<-done
	m.WebSocketClosed(re.rt.Pattern, lane, re.code)
}

// rules is the guard of the route as it stands now: a live session takes new
// rules at its next message.
func (re *relay) rules() *safety.Guard {
	now := re.rt.state.gateway.state.Load()
	rt := re.route.Load()
	if rt.state != now {
		if fresh := now.upgradeRoute(rt.Pattern); fresh != nil {
			re.route.Store(fresh)
			rt = fresh
		}
	}
	return rt.guard
}

// end closes both sides with a code of ours.
func (re *relay) end(code int, reason string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		closeWithin(re.service, closeGoingAway, reason)
	}()
	closeWithin(re.client, code, reason)
	<-done
}

// pump reads one side until it ends, and then ends the other side in the same
// way.
func (re *relay) pump(from, to *websocket.Conn, handle func(websocket.MessageType, []byte) error) {
	for {
		kind, data, err := from.Read(re.ctx)
		if err == nil {
			err = handle(kind, data)
		}
		if err == nil {
			if re.idle != nil {
				re.idle.Reset(re.idleFor)
			}
			continue
		}
		code, reason := re.closing(from, err)
		if from == re.client {
			re.code = code
		}
		closeWithin(to, code, reason)
		if from == re.service { // the client's pump may be waiting for a message that does not come
			re.cancel()
		}
		return
	}
}

var errNotUTF8 = errors.New("gateway: a text message is not UTF-8")

// closing says with which code the other side is closed. A side that vanished
// is 1001 to the service and 1011 to the client, so that a client tries again.
func (re *relay) closing(from *websocket.Conn, err error) (int, string) {
	var ce websocket.CloseError
	switch {
	case errors.As(err, &ce):
		return int(ce.Code), ce.Reason
	case errors.Is(err, errNotUTF8): // RFC 6455 section 8.1
		closeWithin(from, int(websocket.StatusInvalidFramePayloadData), "not UTF-8")
		return int(websocket.StatusInvalidFramePayloadData), "not UTF-8"
	case errors.Is(err, websocket.ErrMessageTooBig):
		return closeTooBig, "message too big"
	case from == re.service:
		return closeInternal, "service lost"
	}
	return closeGoingAway, ""
}

// fromClient takes a message of the person's: judged, answered with help where
// that is due, and delivered, whatever it says.
func (re *relay) fromClient(kind websocket.MessageType, data []byte) error {
	if err := re.checkText(kind, data); err != nil {
		return err
	}
	if re.rt.Chat && kind == websocket.MessageText {
		if stamp, ok := parsePing(data); ok {
			return re.write(re.client, kind, pong(stamp))
		}
	}
	out := re.judge(safety.Request, kind, data)
	if out.Level >= safety.High {
		re.slot.raise(ratelimit.Crisis)
	} else if err := re.limiter.Wait(re.ctx); err != nil {
		return err
	}
	return re.write(re.service, kind, out.Data)
}

// fromService takes a message of the story's: what harms is replaced.
func (re *relay) fromService(kind websocket.MessageType, data []byte) error {
	if err := re.checkText(kind, data); err != nil {
		return err
	}
	return re.write(re.client, kind, re.judge(safety.Response, kind, data).Data)
}

func (re *relay) checkText(kind websocket.MessageType, data []byte) error {
	if kind == websocket.MessageText && !utf8.Valid(data) {
		return errNotUTF8
	}
	return nil
}

// judge asks the guard and delivers the help that it wants shown, at once and
// before anything else.
func (re *relay) judge(d safety.Direction, kind websocket.MessageType, data []byte) safety.Outcome {
	guard := re.rules()
	re.rt.state.metrics.Message(re.rt.Pattern, d.String(), len(data))
	if guard == nil { // since a reload nothing is inspected here
		return safety.Outcome{Data: data}
	}
	m := re.said
	m.Direction, m.Data, m.Binary = d, data, kind == websocket.MessageBinary
	out := guard.Message(re.ctx, m)
	if out.Help != nil {
		_ = re.write(re.client, websocket.MessageText, out.Help.Frame(sessionOf(data), time.Now()))
	}
	return out
}

func (re *relay) write(to *websocket.Conn, kind websocket.MessageType, data []byte) error {
	ctx, cancel := context.WithTimeout(re.ctx, writeTimeout)
	defer cancel()
	return to.Write(ctx, kind, data)
}

// sessionOf is the session that a chat message names, so that the help frame
// stands in the same conversation. A client's claim; used for nothing else.
func sessionOf(data []byte) string {
	var m struct {
		Session string `json:"session_id"`
	}
	if json.Unmarshal(data, &m) != nil || len(m.Session) > 128 {
		return ""
	}
	return m.Session
}

// maxPing bounds what can be a ping, so that long messages are not read twice.
const maxPing = 256

// parsePing recognises the chat protocol's {"type":"ping"}.
func parsePing(data []byte) (timestamp json.RawMessage, ok bool) {
	if len(data) > maxPing {
		return nil, false
	}
	var m struct {
		Type      string          `json:"type"`
		Timestamp json.RawMessage `json:"timestamp"`
	}
	if json.Unmarshal(data, &m) != nil || m.Type != "ping" {
		return nil, false
	}
	return m.Timestamp, true
}

// pong answers a ping, with the client's own timestamp if it sent one.
func pong(stamp json.RawMessage) []byte {
	out := struct {
		Type      string          `json:"type"`
		Timestamp json.RawMessage `json:"timestamp,omitempty"`
	}{"pong", stamp}
	b, err := json.Marshal(out)
	if err != nil {
		return []byte(`{"type":"pong"}`)
	}
	return b
}

// dialService opens the socket to an instance; another one is tried where the
// first could not be reached. A handshake changes nothing, so it may be
// repeated.
func (rt *route) dialService(r *http.Request, x *exchange) (*websocket.Conn, *problem, error) {
	header := rt.dialHeader(r, x)
	var conn *websocket.Conn
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

func (rt *route) dialOne(r *http.Request, x *exchange, ep *discovery.Endpoint, ticket health.Ticket, header http.Header) (*websocket.Conn, *problem, error) {
	ctx, cancel := context.WithCancel(x)
	defer cancel()
	if d := rt.Timeouts.Header; d > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, d, errHeaderTimeout)
		defer cancel()
	}
	ep.Enter()
	began := time.Now()
	conn, resp, err := websocket.Dial(ctx, rt.target(r, x, rt.service.of(ep).base).String(), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: rt.service.carrier.upgrade, CheckRedirect: stayHere},
		HTTPHeader:   header,
		Host:         r.Host,
		Subprotocols: offered(r),
	})
	elapsed := time.Since(began)
	if err == nil {
		ticket.Done(nil)
		ep.Leave(elapsed, true) // a live socket is no request in flight
		return conn, nil, nil
	}
	p := dialProblem(ctx, x, resp)
	if p.status < 500 {
		ticket.Ignore()
		ep.Leave(-1, true)
	} else {
		ticket.Done(err)
		ep.Leave(elapsed, false)
	}
	return nil, p, err
}

func stayHere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// dialProblem tells why a service did not take the socket. What it said itself
// decides: who may not come in there, may not come in here.
func dialProblem(ctx context.Context, x *exchange, resp *http.Response) *problem {
	switch {
	case errors.Is(context.Cause(ctx), errHeaderTimeout):
		return problemTimeout
	case x.Err() != nil:
		return problemGone
	case resp == nil:
		return problemConnect
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
