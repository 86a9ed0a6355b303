package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

const (
	// replyFactor is how much longer a message from the service may be.
	replyFactor = 16
	// writeTimeout bounds the delivery of one message: who does not read is cut.
	writeTimeout = 30 * time.Second
)

// relay stands between two sockets and hands on each message: its type, its
// bytes and the close code as they came, unless the guard says otherwise. It
// does so in order, one message of a direction after the other.
type relay struct {
	rt      *route                 // under which the handshake came
	rules   atomic.Pointer[ruling] // see now
	x       *exchange
	r       *http.Request
	slot    *socket
	client  *peer
	service *peer
	ctx     context.Context
	cancel  context.CancelFunc
	limiter *rate.Limiter // of messages
	pings   *rate.Limiter // of pings that are answered
	idle    *time.Timer
	idleFor time.Duration
	ending  atomic.Bool  // by our will: end sees to both sides
	code    atomic.Int32 // with which it ended, for the count; 0 while it lasts
}

// ruling is what holds for a connection's messages.
type ruling struct {
	*route
	said safety.Message // what all messages of the connection have in common
}

func (rt *route) relay(w http.ResponseWriter, r *http.Request, x *exchange, slot *socket, through func()) {
	service, p, err := rt.dialService(r, x)
	through()
	if p != nil {
		rt.state.refuse(w, r, p, err)
		return
	}
	defer service.CloseNow()
	var agreed []string
	if sub := service.Subprotocol(); sub != "" {
		agreed = []string{sub}
	}
	client, err := accept(x, r, agreed)
	if err != nil {
		x.problem, x.cause = problemHandshake, err
		return
	}
	defer client.CloseNow()
	newRelay(rt, r, x, slot, client, service).run()
}

func newRelay(rt *route, r *http.Request, x *exchange, slot *socket, client, service *peer) *relay {
	limits := &rt.state.webSocket
	client.SetReadLimit(limits.MaxMessage)
	service.SetReadLimit(limits.MaxMessage * replyFactor)
	// The request's context ends with the handler, and with it the connection
	// must not: the relay has one of its own.
	ctx, cancel := context.WithCancel(context.WithoutCancel(x))
	re := &relay{
		rt: rt, x: x, r: r, slot: slot, client: client, service: service, ctx: ctx, cancel: cancel,
		limiter: rate.NewLimiter(rate.Limit(float64(limits.Rate.N)/limits.Rate.Per.Seconds()), max(limits.Rate.Burst, limits.Rate.N)),
		pings:   rate.NewLimiter(pingRate, pingBurst),
		idleFor: orDefault(rt.Timeouts.Socket, limits.Idle),
	}
	re.rules.Store(&ruling{rt, messageFor(rt.guard, rt, r)})
	return re
}

// run relays both ways until one side ends it, the gateway, or the credential
// with which it came.
func (re *relay) run() {
	m := re.rt.state.metrics
	m.WebSocketOpened(re.rt.Pattern, re.slot.currentLane().String())
	var all sync.WaitGroup
	if re.idleFor > 0 {
		re.idle = time.AfterFunc(re.idleFor, func() { re.slot.close(closeGoingAway, "idle") })
		defer re.idle.Stop()
	}
	re.slot.begin(re.rt.state.gateway, re.end, re.cut)
	if lease := newLease(re.rt, re.r, re.x, re.slot.close); lease != nil {
		lease.help = re.show
		all.Go(func() { lease.keep(re.ctx) })
	}
	all.Go(func() { re.pump(re.service, re.client, re.fromService) })
	re.pump(re.client, re.service, re.fromClient)
	all.Wait()
	m.WebSocketClosed(re.rt.Pattern, re.slot.currentLane().String(), int(re.code.Load()))
}

// now is what holds now: a live session takes new rules at its next message.
func (re *relay) now() *ruling {
	rules := re.rules.Load()
	if rules.state == re.rt.state.gateway.state.Load() {
		return rules
	}
	if fresh := rules.route.now(); fresh != rules.route {
		rules = &ruling{fresh, messageFor(fresh.guard, fresh, re.r)}
		re.rules.Store(rules)
	}
	return rules
}

// end closes both sides with a code of ours.
func (re *relay) end(code int, reason string) {
	re.ending.Store(true)
	re.ended(code)
	var all sync.WaitGroup
	all.Go(func() { re.service.leave(closeGoingAway, reason, closePatience) })
	re.client.leave(code, reason, closePatience)
	all.Wait()
	re.cancel()
}

// cut ends both sides without a word.
func (re *relay) cut() {
	re.cancel()
	re.client.cut()
	re.service.cut()
}

// ended notes with which code the connection ended. The first counts.
func (re *relay) ended(code int) { re.code.CompareAndSwap(0, int32(code)) }

// pump reads one side until it ends, and then ends the other side in the same
// way.
func (re *relay) pump(from, to *peer, handle func(websocket.MessageType, []byte) error) {
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
		if re.ending.Load() { // the other side is told why by end
			return
		}
		code, reason := re.closing(from, err)
		re.ended(code)
		to.leave(code, reason, closePatience)
		// The other pump may be waiting for a message that does not come, and the
		// lease for its day.
		re.cancel()
		return
	}
}

var errNotUTF8 = errors.New("gateway: a text message is not UTF-8")

// closing says with which code the other side is closed. A side that vanished
// is 1001 to the service and 1011 to the client, so that a client tries again.
func (re *relay) closing(from *peer, err error) (int, string) {
	var ce websocket.CloseError
	switch {
	case errors.As(err, &ce):
		return int(ce.Code), ce.Reason
	case errors.Is(err, errNotUTF8): // RFC 6455 section 8.1
		from.leave(int(websocket.StatusInvalidFramePayloadData), "not UTF-8", closePatience)
		return int(websocket.StatusInvalidFramePayloadData), "not UTF-8"
	case errors.Is(err, websocket.ErrMessageTooBig):
		return closeTooBig, "message too big"
	case from == re.service:
		return closeInternal, "service lost"
	}
	return closeGoingAway, ""
}

// fromClient takes a message of the person's: judged, answered with help where
// that is due, and delivered, whatever it says. One in crisis does not wait, as
// far as one caller may have of that; past it he waits like everybody.
func (re *relay) fromClient(kind websocket.MessageType, data []byte) error {
	rules := re.now()
	if err := checkText(kind, data); err != nil {
		return err
	}
	if rules.Chat && kind == websocket.MessageText {
		if stamp, ok := parsePing(data); ok {
			return re.answerPing(stamp)
		}
	}
	out := re.judge(rules, safety.Request, kind, data)
	if out.Level < safety.High || !re.inCrisis(rules) {
		if err := re.limiter.Wait(re.ctx); err != nil {
			return err
		}
	}
	return re.write(re.service, kind, out.Data)
}

// inCrisis moves the connection to the crisis lane and reports whether the
// caller has anything left of it.
func (re *relay) inCrisis(rules *ruling) bool {
	if from, moved := re.slot.raise(ratelimit.Crisis); moved {
		rules.state.metrics.WebSocketMoved(re.rt.Pattern, from.String(), ratelimit.Crisis.String())
	}
	return rules.state.takeCrisis(re.ctx, re.x)
}

// answerPing answers so many pings, and no more.
func (re *relay) answerPing(stamp json.RawMessage) error {
	if !re.pings.Allow() {
		return nil
	}
	return re.write(re.client, websocket.MessageText, pong(stamp))
}

// fromService takes a message of the story's: what harms is replaced.
func (re *relay) fromService(kind websocket.MessageType, data []byte) error {
	if err := checkText(kind, data); err != nil {
		return err
	}
	return re.write(re.client, kind, re.judge(re.now(), safety.Response, kind, data).Data)
}

func checkText(kind websocket.MessageType, data []byte) error {
	if kind == websocket.MessageText && !utf8.Valid(data) {
		return errNotUTF8
	}
	return nil
}

// judge asks the guard and delivers the help that it wants shown, at once and
// before anything else.
func (re *relay) judge(rules *ruling, d safety.Direction, kind websocket.MessageType, data []byte) safety.Outcome {
	rules.state.metrics.Message(re.rt.Pattern, d.String(), len(data))
	if rules.guard == nil { // since a reload nothing is inspected here
		return safety.Outcome{Data: data}
	}
	m := rules.said
	m.Direction, m.Data, m.Binary = d, data, kind == websocket.MessageBinary
	out := rules.guard.Message(re.ctx, m)
	if out.Help != nil {
		_ = re.write(re.client, websocket.MessageText, out.Help.Frame(sessionOf(data), time.Now()))
	}
	return out
}

// show delivers help that belongs to no message.
func (re *relay) show(h safety.Help) {
	_ = re.write(re.client, websocket.MessageText, h.Frame("", time.Now()))
}

func (re *relay) write(to *peer, kind websocket.MessageType, data []byte) error {
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
