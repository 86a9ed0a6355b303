package h1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// body is the Body of an answer. As net/http promises, Close may be called
// while a Read is waiting.
type body struct {
	x *exchange
	framing
	left   int64 // of the body, or of the current chunk
	chunks chunks

	closed atomic.Bool
	mu     sync.Mutex // held while reading; guards what follows and the exchange's buffer
	err    error      // what every later Read says
	armed  time.Time  // when the read deadline was last set
}

// buffered is how many of the bytes in the exchange's buffer are the body's.
func (b *body) buffered() int64 {
	if b.extent == extentLength {
		return b.left
	}
	return 0
}

// Read returns what is there; io.EOF comes with the last bytes if their end
// is known by then.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	return b.decode(p)
}

// decode requires that mu is held.
func (b *body) decode(p []byte) (n int, err error) {
	switch b.extent {
	case extentLength:
		n, err = b.readLength(p)
	case extentChunked:
		n, err = b.readChunked(p)
	default:
		n, err = b.pull(p)
	}
	if err != nil {
		err = b.finish(err)
	}
	return n, err
}

func (b *body) readLength(p []byte) (int, error) {
	n, err := b.pull(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.left == 0 {
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// pull takes from the buffer, or reads: straight into p when it is large.
func (b *body) pull(p []byte) (int, error) {
	in := b.x.in
	if in.r < in.w {
		return in.take(p), nil
	}
	if len(p) >= readSize/2 {
		return b.read(p)
	}
	if err := b.fill(); err != nil {
		return 0, err
	}
	return in.take(p), nil
}

func (b *body) fill() error {
	in := b.x.in
	n, err := b.read(in.room(len(in.b)))
	in.w += n
	if n > 0 {
		return nil
	}
	return err
}

func (b *body) read(p []byte) (int, error) {
	limit := b.x.limits.ResponseBody
	if limit > 0 {
		b.arm(limit)
	}
	n, err := b.x.c.nc.Read(p)
	if n == 0 && err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = &TimeoutError{Phase: PhaseBody, After: limit}
	}
	return n, err
}

// arm moves the deadline on, not for every read but often enough that it is
// never early and at most an eighth late.
func (b *body) arm(limit time.Duration) {
	now := time.Now()
	if now.Sub(b.armed) < limit/8 {
		return
	}
	b.armed = now
	b.x.c.nc.SetReadDeadline(now.Add(limit + limit/8))
}

// finish requires that mu is held; err is why nothing more can be read.
func (b *body) finish(err error) error {
	switch {
	case err == io.EOF:
		if !b.armed.IsZero() && !b.close {
			b.x.c.nc.SetReadDeadline(time.Time{})
		}
		b.x.end(!b.close)
	case err == io.ErrUnexpectedEOF && b.x.ctx.Err() == nil && !b.failedUpload():
		b.x.end(false)
	default:
		err = b.x.explain(PhaseBody, err)
		b.x.end(false)
	}
	b.err = err
	b.x.freeBuffer()
	return err
}

// failedUpload tells whether the answer was cut because the request was.
func (b *body) failedUpload() bool {
	var e *BodyError
	return b.x.up != nil && errors.As(b.x.up.failure(), &e)
}

// WriteTo writes the rest of the body to w. Where the kernel can move what
// has arrived from one connection to the other it does (see splice), else the
// bytes go by way of a pooled buffer.
func (b *body) WriteTo(w io.Writer) (written int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.err == nil && b.extent == extentLength {
		if written, err = b.writeBuffered(w); err != nil {
			return written, err
		}
	}
	if b.err != nil {
		return written, unlessEOF(b.err)
	}
	pooled := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(pooled)
	for err == nil {
		var n int64
		n, err = b.writeSome(w, *pooled)
		written += n
	}
	return written, unlessEOF(err)
}

// writeSome requires that mu is held; io.EOF is the end of the body.
func (b *body) writeSome(w io.Writer, buf []byte) (int64, error) {
	if n, ok, err := b.splice(w); ok {
		return n, err
	}
	n, err := b.decode(buf)
	if n > 0 {
		if m, werr := w.Write(buf[:n]); werr != nil {
			return int64(m), werr
		}
	}
	return int64(n), err
}

// spliceMin is when moving pages costs less than copying bytes.
const spliceMin = 16 << 10

// splice lets w take what has arrived straight from the connection, which for
// a server's ResponseWriter with a Content-Length means the splice system call
// on Linux. It takes only what is there already, so that no wait of w's is for
// the service and ResponseBodyTimeout stays ours to keep.
func (b *body) splice(w io.Writer) (n int64, ok bool, err error) {
	if b.extent != extentLength || b.left < spliceMin {
		return 0, false, nil
	}
	to, ok := splicing(w)
	from, tcp := b.x.c.nc.(*net.TCPConn)
	if !ok || !tcp || len(b.x.in.data()) > 0 {
		return 0, false, nil
	}
	arrived := min(b.x.c.arrived(), b.left)
	if arrived < spliceMin {
		return 0, false, nil
	}
	n, err = to.ReadFrom(&io.LimitedReader{R: from, N: arrived})
	if b.left -= n; b.left == 0 {
		return n, true, b.finish(io.EOF)
	}
	if err != nil && b.x.c.broken() {
		return n, true, b.finish(err)
	}
	if n == 0 && err == nil {
		err = io.ErrShortWrite
	}
	return n, true, err
}

// splicing finds a writer that is, or leads to, a connection. Others with a
// ReadFrom would only copy, by smaller pieces than ours.
func splicing(w io.Writer) (to io.ReaderFrom, ok bool) {
	switch w.(type) {
	case http.ResponseWriter, *net.TCPConn:
		to, ok = w.(io.ReaderFrom)
	}
	return to, ok
}

// writeBuffered writes what is in the buffer without copying it first.
func (b *body) writeBuffered(w io.Writer) (int64, error) {
	data := b.x.in.data()
	data = data[:min(int64(len(data)), b.left)]
	n, err := w.Write(data)
	b.x.in.r += n
	b.left -= int64(n)
	if b.left == 0 {
		b.finish(io.EOF)
	}
	return int64(n), err
}

func unlessEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// Close ends the exchange. A body not read to its end costs the connection,
// unless its end is in the buffer.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	if !b.mu.TryLock() { // somebody reads: take the connection from under them
		if c := b.x.conn.Swap(nil); c != nil {
			b.x.unwatch()
			c.host.discard(c)
		}
		return nil
	}
	defer b.mu.Unlock()
	if b.err == nil {
		b.abandon()
	}
	return nil
}

// abandon requires that mu is held.
func (b *body) abandon() {
	in := b.x.in
	reuse := false
	if b.extent == extentLength && int64(len(in.data())) >= b.left {
		in.r += int(b.left)
		b.left = 0
		reuse = !b.close
	}
	b.x.end(reuse)
	b.err = http.ErrBodyReadAfterClose
	b.x.freeBuffer()
}
