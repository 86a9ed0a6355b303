package h1

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errShortBody = errors.New("body is shorter than its ContentLength")
	errLongBody  = errors.New("body is longer than its ContentLength")
)

// headGrace is how long the request's header waits for the first piece of the
// body, so that both go out in one write. A service that may answer by the
// header alone gets it after that.
const headGrace = 5 * time.Millisecond

// lastWords is how long an answer is awaited after the service has stopped
// taking the request: one that refuses a body often says why first.
const lastWords = time.Second

// upload sends a body from a goroutine of its own, the sender, while the
// caller's goroutine, the reader, already waits for the answer.
type upload struct {
	c       *conn
	buf     *[]byte
	body    io.ReadCloser
	size    int64 // -1: chunked
	trailer http.Header
	limits  Timeouts
	wrote   func(error)

	sent atomic.Bool // a byte has been handed to the kernel, or may just be

	head     sync.Mutex // held while the header is written; guards the next two
	header   []byte
	headSent bool

	mu       sync.Mutex // guards the fields below
	last     bool       // nothing is left to read from body: only the last write, if that
	done     bool
	err      error // with done
	waiting  bool  // the reader is past headGrace and has no deadline yet
	answered bool  // the reader has the answer's header
	left     bool  // the reader is through and leaves the connection to the sender
	reuse    bool  // with left
}

// run is the sender.
func (u *upload) run() {
	err := u.send()
	u.freeBuffer()
	u.end(err)
	u.body.Close()
	if u.wrote != nil {
		u.wrote(err)
	}
}

// freeBuffer gives the buffer back; a header that still lies in it, because
// the body failed before its first piece, is not sent any more.
func (u *upload) freeBuffer() {
	u.head.Lock()
	defer u.head.Unlock()
	u.header, u.headSent = nil, true
	copyBuffers.Put(u.buf)
}

func (u *upload) end(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done, u.err = true, err
	var broken *BodyError
	switch {
	case u.left && u.reuse && err == nil:
		u.c.host.put(u.c)
	case u.left:
		u.c.host.discard(u.c)
	case errors.As(err, &broken):
		u.c.nc.Close() // so that the service never takes the half for the whole
	case !u.answered:
		u.await()
	}
}

// await requires that mu is held: from now on the answer is due.
func (u *upload) await() {
	switch {
	case u.err != nil:
		u.c.nc.SetReadDeadline(time.Now().Add(lastWords))
	case u.waiting && u.limits.ResponseHeader > 0:
		u.c.nc.SetReadDeadline(time.Now().Add(u.limits.ResponseHeader))
	}
}

// graceOver is the reader's: headGrace has passed. The header goes out now,
// unless the sender is at it, and the time for the answer starts when the
// body has been sent.
func (u *upload) graceOver() error {
	var err error
	if u.head.TryLock() {
		err = u.sendHead()
		u.head.Unlock()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = true
	u.c.nc.SetReadDeadline(time.Time{})
	if u.done {
		u.await()
	}
	return err
}

// stop is the reader's: it has failed. Once stop returns, sent is final.
func (u *upload) stop() {
	u.c.nc.Close()
	u.head.Lock() // a first write that was under way ends now
	defer u.head.Unlock()
}

// sendHead requires that head is held.
func (u *upload) sendHead() error {
	if u.headSent {
		return nil
	}
	u.headSent = true
	return u.hand(u.header)
}

// late tells, of a deadline that ran out, whether it was headGrace.
func (u *upload) late() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.waiting && u.err == nil
}

// failure is why the sender ended, if it did.
func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// settle is the reader's: the header of the answer is there.
func (u *upload) settle() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answered = true
	u.c.nc.SetReadDeadline(time.Time{})
}

// over is the reader's: the answer has ended. It reports whether the reader
// still has the connection; if the sender is in its last write, the sender
// has it. A body that is not yet sent by then will not be: the answer has been
// given without it, and the connection cannot be used again.
func (u *upload) over(reuse bool) (mine, reusable bool) {
	u.giveWay()
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.done:
		return true, reuse && u.err == nil
	case u.last:
		u.left, u.reuse = true, reuse
		return false, false
	}
	return true, false
}

// giveWay gives a sender that has written everything, and has only not come
// to say so, a moment to do it: the next request may then have the connection.
func (u *upload) giveWay() {
	for range 10 {
		u.mu.Lock()
		nearly := u.last && !u.done
		u.mu.Unlock()
		if !nearly {
			return
		}
		runtime.Gosched()
	}
}

// ending tells whether the body has been read to its end.
func (u *upload) ending() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last && u.err == nil
}

func (u *upload) markLast() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = true
}

// hand writes p.
func (u *upload) hand(p []byte) error {
	before := u.sent.Swap(true)
	n, err := u.c.write(noDescriptor, p, u.limits.Write)
	if n == 0 && !before {
		u.sent.Store(false)
	}
	return err
}

// The sender's buffer holds, in one stretch, the request's header (before the
// first piece only), a chunk's size line, and data. sizeLine is room for the
// line of a chunk as long as the buffer.
const sizeLine = len("8000\r\n")

// newUpload makes ready to send body after the header in wire, which is copied.
func newUpload(c *conn, wire []byte) *upload {
	u := &upload{c: c, buf: copyBuffers.Get().(*[]byte)}
	if len(wire) < copySize/2 {
		u.header = (*u.buf)[:copy(*u.buf, wire)]
	} else {
		u.header = slices.Clone(wire)
	}
	return u
}

func (u *upload) send() error {
	if u.size >= 0 {
		return u.sendSized(*u.buf)
	}
	return u.sendChunked(*u.buf)
}

func (u *upload) sendSized(b []byte) error {
	for left := u.size; left > 0; {
		start := u.start()
		n, err := u.read(b[start:min(int64(len(b)), int64(start)+left)])
		if left -= int64(n); left == 0 {
			u.markLast()
		}
		if n > 0 {
			if err := u.write(b[:start+n], start); err != nil {
				return err
			}
		}
		if left > 0 && err != nil {
			return shortened(err)
		}
	}
	return nil
}

func shortened(err error) error {
	if err == io.EOF {
		err = errShortBody
	}
	return &BodyError{Err: err}
}

func (u *upload) sendChunked(b []byte) error {
	const after = len("\r\n0\r\n\r\n")
	for {
		start := u.start() + sizeLine
		n, err := u.read(b[start : len(b)-after])
		if err != nil && err != io.EOF {
			return &BodyError{Err: err}
		}
		from, out := start, b[:start+n]
		if n > 0 {
			from = prefixSize(b, start, n)
			out = append(out, "\r\n"...)
		}
		if err == io.EOF {
			u.markLast()
			if out, err = u.appendEnd(out); err != nil {
				return &BodyError{Err: err}
			}
			return u.write(out, from)
		}
		if err := u.write(out, from); err != nil {
			return err
		}
	}
}

// prefixSize puts the size line of n bytes right before start.
func prefixSize(b []byte, start, n int) (from int) {
	var line [sizeLine]byte
	s := append(strconv.AppendUint(line[:0], uint64(n), 16), "\r\n"...)
	from = start - len(s)
	copy(b[from:], s)
	return from
}

// appendEnd ends a chunked body. The trailer's values are read now: the body
// has set them by the time it says EOF.
func (u *upload) appendEnd(b []byte) ([]byte, error) {
	b = append(b, "0\r\n"...)
	for name, values := range u.trailer {
		for _, v := range values {
			if !validToken(name) || framingField(name) || !validValue(v) {
				return b, errors.New("invalid trailer field")
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	return append(b, "\r\n"...), nil
}

// start is where data may begin: behind the header as long as it may go along.
func (u *upload) start() int {
	if len(u.header) < copySize/2 {
		return len(u.header)
	}
	return 0
}

// read reads from the body, which may not return nothing for ever.
func (u *upload) read(data []byte) (int, error) {
	for range 100 {
		if n, err := u.body.Read(data); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// write writes b[from:], with the header in front if it has not gone yet.
func (u *upload) write(b []byte, from int) error {
	if u.header == nil {
		return u.hand(b[from:])
	}
	u.head.Lock()
	defer u.head.Unlock()
	header := u.header
	u.header = nil
	switch {
	case u.headSent:
		return u.hand(b[from:])
	case from < len(header):
		u.headSent = true
		if err := u.hand(header); err != nil {
			return err
		}
		return u.hand(b[from:])
	}
	u.headSent = true
	from -= len(header)
	copy(b[from:], header)
	return u.hand(b[from:])
}
