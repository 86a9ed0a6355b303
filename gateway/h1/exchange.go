package h1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync/atomic"
	"time"
)

// maxInformational bounds the 1xx answers before the final one.
const maxInformational = 100

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

// readAnswer reads headers until a final one.
func (x *exchange) readAnswer() error {
	for {
		n, err := x.readSection()
		if err != nil {
			return err
		}
		s := &x.in.section
		if s.code >= 200 || s.code == http.StatusSwitchingProtocols {
			return x.accept(n)
		}
		if err := x.inform(n); err != nil {
			return err
		}
		x.in.r += n
		x.in.reset(false)
	}
}

func (x *exchange) readSection() (int, error) {
	for {
		if x.in.r < x.in.w {
			if n, err := x.in.parse(x.in.data()); n > 0 || err != nil {
				return n, err
			}
		}
		if err := x.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more of the header.
func (x *exchange) fill() error {
	room := x.in.room(x.t.maxHeader() - x.headers)
	if len(room) == 0 {
		return malformed("header is larger than MaxResponseHeaderBytes")
	}
	n, err := x.read(room)
	x.in.w += n
	if n > 0 && !x.answered {
		x.answered = true
		if x.trace != nil && x.trace.GotFirstResponseByte != nil {
			x.trace.GotFirstResponseByte()
		}
	}
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return x.deadlineOver()
	}
	if n > 0 {
		return nil
	}
	return err
}

func (x *exchange) read(p []byte) (int, error) {
	if !x.launched {
		return x.c.start(x, p)
	}
	return x.c.nc.Read(p)
}

// deadlineOver returns nil when it only was time for the next step.
func (x *exchange) deadlineOver() error {
	switch {
	case x.deadline == deadlineLast:
		return x.writeErr
	case x.deadline == deadlineExpect: // a silent service gets the body all the same (RFC 9110, 10.1.1)
		x.proceed()
		return nil
	case x.up != nil && x.up.failure() != nil:
		return x.up.failure()
	case x.up != nil && x.up.late():
		return x.up.graceOver()
	}
	return &TimeoutError{Phase: PhaseHeader, After: x.limits.ResponseHeader}
}

// proceed sends the body that waited for 100 (Continue).
func (x *exchange) proceed() {
	x.deadline = deadlineNone
	x.c.nc.SetReadDeadline(time.Time{})
	x.startUpload(true)
}

// inform passes on a 1xx answer of n bytes.
func (x *exchange) inform(n int) error {
	s := &x.in.section
	x.headers += n
	if x.infos++; x.infos > maxInformational {
		return malformed("too many informational answers")
	}
	if s.code == http.StatusContinue {
		if x.trace != nil && x.trace.Got100Continue != nil {
			x.trace.Got100Continue()
		}
		if x.deadline == deadlineExpect {
			x.proceed()
		}
	}
	if x.trace == nil || x.trace.Got1xxResponse == nil {
		return nil
	}
	h := s.header(string(x.in.data()[:n]))
	return x.trace.Got1xxResponse(s.code, textproto.MIMEHeader(h))
}

// accept makes the Response from a final header of n bytes.
func (x *exchange) accept(n int) error {
	s := &x.in.section
	text := string(x.in.data()[:n])
	x.in.r += n
	h := s.header(text)
	x.res = http.Response{
		Status: text[len("HTTP/1.1 "):s.status], StatusCode: s.code,
		Proto: text[:len("HTTP/1.1")], ProtoMajor: 1, ProtoMinor: s.minor,
		Header: h, Request: x.req,
	}
	if s.code == http.StatusSwitchingProtocols {
		return x.switchProtocols()
	}
	f, err := frame(x.out.method, s.code, s.minor, h)
	if err != nil {
		return err
	}
	if f.chunked {
		x.res.TransferEncoding = []string{"chunked"}
		if x.res.Trailer, err = takeTrailer(h); err != nil {
			return err
		}
	}
	x.res.ContentLength, x.res.Close = f.length, f.close
	x.settle(&f)
	x.giveBody(f)
	return nil
}

// settle ends the part of the exchange in which the answer is awaited.
func (x *exchange) settle(f *framing) {
	switch {
	case x.up != nil:
		x.up.settle()
	case x.deadline != deadlineNone:
		x.c.nc.SetReadDeadline(time.Time{})
	}
	if x.up == nil && !x.out.inline { // a body that waited for 100 (Continue) in vain
		x.out.body.Close()
		f.close = true
	}
	f.close = f.close || x.out.close || x.writeErr != nil
}

// giveBody attaches the body. A message that is complete, or complete in the
// buffer, gives its connection back at once.
func (x *exchange) giveBody(f framing) {
	x.body = body{x: x, framing: f, left: max(f.length, 0)}
	x.res.Body = &x.body
	switch {
	case f.extent == extentNone:
		x.end(!f.close)
		x.freeBuffer()
		x.res.Body = http.NoBody
	case f.extent == extentLength && x.complete():
		x.end(!f.close)
	}
}

// complete tells whether the whole body has come, and no sender is busy that
// the caller's reading might give time to end well.
func (x *exchange) complete() bool {
	return int64(len(x.in.data())) >= x.body.left && (x.up == nil || x.up.ending())
}

// switchProtocols hands the connection over.
func (x *exchange) switchProtocols() error {
	if !x.out.upgrade {
		return malformed("101 that was not asked for")
	}
	if !x.out.inline { // the sender may still be at work
		return malformed("101 to a request with a body under way")
	}
	x.settle(&framing{})
	if x.stop != nil && !x.stop() {
		return context.Cause(x.ctx)
	}
	c := x.conn.Swap(nil)
	early := append([]byte(nil), x.in.data()...)
	x.freeBuffer()
	c.host.vacate()
	x.res.Body = &Tunnel{conn: c.nc, early: early}
	return nil
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

// explain turns what reading or writing said into an Error.
func (x *exchange) explain(phase Phase, err error) error {
	var own *BodyError
	switch {
	case x.up != nil && errors.As(x.up.failure(), &own):
		phase, err = PhaseWrite, own
	case x.up != nil && !x.answered && x.up.failure() != nil:
		phase, err = PhaseWrite, x.up.failure()
	case !x.answered && x.writeErr != nil:
		phase, err = PhaseWrite, x.writeErr
	}
	if err == io.EOF {
		if err = ErrNoAnswer; x.answered {
			err = io.ErrUnexpectedEOF
		}
	}
	return x.fault(phase, err)
}

// fault wraps err with the circumstances.
func (x *exchange) fault(phase Phase, err error) error {
	e := &Error{Phase: phase, Addr: x.addr, Answered: x.answered, Err: err}
	e.Sent = x.before || x.sent || x.up != nil && x.up.sent.Load()
	if x.c != nil {
		e.Reused = x.c.used
	}
	switch {
	case phase > PhaseRequest && x.ctx.Err() != nil:
		e.Err = context.Cause(x.ctx)
	case e.Reused && !e.Answered && phase > PhaseDial && connectionFault(err):
		e.Err = fmt.Errorf("%w: %w", staleness(e.Sent), err)
	}
	return e
}

func staleness(sent bool) error {
	if sent {
		return ErrStale
	}
	return errBroken
}

// connectionFault tells a broken connection from a timeout, a malformed
// answer, or a body that could not be read.
func connectionFault(err error) bool {
	var protocol *ProtocolError
	var body *BodyError
	return !isTimeout(err) && !errors.As(err, &protocol) && !errors.As(err, &body)
}

func (x *exchange) unwatch() {
	if x.stop != nil {
		x.stop()
	}
}
