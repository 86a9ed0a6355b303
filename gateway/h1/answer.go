package h1

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"os"
	"time"
)

// maxInformational bounds the 1xx answers before the final one.
const maxInformational = 100

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
