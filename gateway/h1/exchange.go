package h1

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// exchange is one request and its answer. It is one allocation, the Response
// and its Body included.
type exchange struct {
	res  http.Response
	body body

	t      *Transport
	req    *http.Request
	ctx    context.Context
	trace  *httptrace.ClientTrace
	limits Timeouts
	out    outgoing
	addr   string

	conn atomic.Pointer[conn] // whoever swaps it out closes it or puts it back
	c    *conn                // the same, for reading and writing
	in   *buffer
	stop func() bool // ends the watch on ctx; nil without
	up   *upload     // nil without

	launched bool
	sent     bool // without upload: a byte has been handed to the kernel
	before   bool // the same, of the attempt before this one
	answered bool // a byte has been read
	writeErr error
	deadline deadline
	headers  int // bytes of the 1xx headers
	infos    int
}

// deadline says what the read deadline of the connection stands for.
type deadline uint8

const (
	deadlineNone   deadline = iota
	deadlineHeader          // ResponseHeaderTimeout
	deadlineGrace           // headGrace, see upload
	deadlineExpect          // ExpectContinueTimeout
	deadlineLast            // lastWords, after a failed write
)

// run makes attempts until one is answered or must not be repeated.
func (x *exchange) run() (*http.Response, error) {
	defer x.freeWire()
	if err := x.out.prepare(x.req); err != nil {
		x.closeBody()
		return nil, x.fault(PhaseRequest, err)
	}
	for fresh := false; ; fresh = true {
		err := x.attempt(fresh)
		if err == nil {
			return &x.res, nil
		}
		if fresh || !x.rewind(err) {
			x.closeBody()
			return nil, err
		}
		x.t.count.Repeated.Add(1)
	}
}

func (x *exchange) freeWire() {
	putOut(x.out.wire)
	x.out.wire = nil
}

// closeBody closes the request's body unless the sender does.
func (x *exchange) closeBody() {
	if x.out.body != nil && x.up == nil {
		x.out.body.Close()
	}
}

// rewind makes ready for a second attempt, if err allows one: a connection
// that had been used before died before any answer, and either nothing was
// sent or the method is idempotent, and the body can be had again.
func (x *exchange) rewind(err error) bool {
	var e *Error
	if !errors.As(err, &e) || !broken(e.Err) {
		return false
	}
	if e.Sent && !idempotent(x.out.method) {
		return false
	}
	if x.up != nil {
		if x.req.GetBody == nil {
			return false
		}
		body, err := x.req.GetBody()
		if err != nil {
			return false
		}
		x.out.body, x.up = body, nil
	}
	x.before = e.Sent
	x.c, x.launched, x.sent, x.writeErr, x.deadline = nil, false, false, nil, deadlineNone
	return true
}

// broken tells whether the connection itself was what failed.
func broken(err error) bool { return errors.Is(err, ErrStale) || errors.Is(err, errBroken) }

// errBroken marks a failed write on a kept-alive connection of which nothing was sent.
var errBroken = errors.New("h1: kept-alive connection was dead")

// attempt has the exchange on one connection. Idle ones that turn out dead
// before anything was written are passed over.
func (x *exchange) attempt(fresh bool) error {
	for {
		c, err := x.connect(fresh)
		if err != nil {
			return err
		}
		err = x.converse(c)
		if err != errDead {
			return err
		}
		if !c.used {
			return x.fault(PhaseWrite, errDead)
		}
		x.t.count.Stale.Add(1)
	}
}

func (x *exchange) connect(fresh bool) (*conn, error) {
	if x.trace != nil && x.trace.GetConn != nil {
		x.trace.GetConn(address(x.req.URL.Host))
	}
	if x.ctx.Err() != nil {
		return nil, x.fault(PhaseWait, context.Cause(x.ctx))
	}
	c, err := x.t.connect(x.ctx, x.req.URL.Host, fresh)
	if err != nil {
		x.addr = address(x.req.URL.Host)
		var dial *DialError
		if errors.As(err, &dial) {
			return nil, x.fault(PhaseDial, err)
		}
		return nil, x.fault(PhaseWait, err)
	}
	if x.trace != nil && x.trace.GotConn != nil {
		x.trace.GotConn(httptrace.GotConnInfo{Conn: c.nc, Reused: c.used, WasIdle: c.used, IdleTime: c.idleTime()})
	}
	return c, nil
}

// converse sends the request on c and reads the answer's header. Unless it
// returns nil, c is gone.
func (x *exchange) converse(c *conn) error {
	x.c, x.addr = c, c.host.addr
	x.conn.Store(c)
	x.stop = c.watch(x.ctx)
	x.in = newBuffer()
	err := x.readAnswer()
	if err == nil {
		return nil
	}
	if x.up != nil {
		x.up.stop()
	}
	if err != errDead || x.ctx.Err() != nil {
		err = x.explain(PhaseHeader, err)
	}
	x.end(false)
	x.freeBuffer()
	return err
}

// setDeadline sets the first deadline of the exchange.
func (x *exchange) setDeadline() {
	switch {
	case x.out.expects && x.t.continueTimeout() > 0:
		x.deadlineIn(deadlineExpect, x.t.continueTimeout())
	case !x.out.inline:
		x.deadlineIn(deadlineGrace, headGrace)
	case x.limits.ResponseHeader > 0:
		x.deadlineIn(deadlineHeader, x.limits.ResponseHeader)
	}
}

func (x *exchange) deadlineIn(what deadline, after time.Duration) {
	x.deadline = what
	x.c.nc.SetReadDeadline(time.Now().Add(after))
}

// launch is called by conn.start once the connection is known to be alive: it
// writes the request, or starts the sender.
func (x *exchange) launch(fd uintptr) {
	x.launched = true
	if x.c.used {
		x.t.count.Reused.Add(1)
	}
	x.setDeadline()
	if x.out.inline || x.deadline == deadlineExpect {
		x.writeWire(fd)
	} else {
		x.startUpload(false)
	}
}

func (x *exchange) writeWire(fd uintptr) {
	n, err := x.c.write(fd, *x.out.wire, x.limits.Write)
	x.sent = n > 0
	if err != nil {
		// What the service said before it stopped listening is still to be read.
		x.writeErr = err
		x.deadlineIn(deadlineLast, lastWords)
	}
	if x.trace != nil {
		x.traceWritten(err)
	}
}

func (x *exchange) traceWritten(err error) {
	if x.trace.WroteHeaders != nil && err == nil {
		x.trace.WroteHeaders()
	}
	if x.deadline == deadlineExpect {
		if x.trace.Wait100Continue != nil {
			x.trace.Wait100Continue()
		}
		return
	}
	x.traceRequest(err)
}

func (x *exchange) traceRequest(err error) {
	if x.trace.WroteRequest != nil {
		x.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

func (x *exchange) startUpload(headSent bool) {
	u := newUpload(x.c, *x.out.wire)
	u.body, u.size, u.trailer, u.limits = x.out.body, x.out.size, x.req.Trailer, x.limits
	if headSent {
		u.header, u.headSent, u.waiting = nil, true, true
		u.sent.Store(true)
	}
	if x.trace != nil {
		u.wrote = x.traceRequest
	}
	x.up = u
	go u.run()
}

// end is the end of the exchange on its connection, which goes back to the
// pool if reuse holds and it stands between two messages.
func (x *exchange) end(reuse bool) {
	c := x.conn.Swap(nil)
	if c == nil {
		return
	}
	if x.stop != nil && !x.stop() {
		reuse = false
	}
	if reuse && int64(len(x.in.data())) > x.body.buffered() {
		x.t.count.Unsolicited.Add(1)
		reuse = false
	}
	if x.up != nil {
		mine, reusable := x.up.over(reuse)
		if !mine {
			return
		}
		reuse = reusable
	}
	if reuse {
		c.host.put(c)
	} else {
		c.host.discard(c)
	}
}

func (x *exchange) freeBuffer() {
	x.in.free()
	x.in = nil
}

func (x *exchange) unwatch() {
	if x.stop != nil {
		x.stop()
	}
}
