package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// clientBody is the body of a caller's request on its way in. It keeps to the
// route's bounds of size and time, remembers why it could not be read (that is
// the caller's fault, and no service's), and keeps a copy of what may have to
// be sent a second time.
//
// The goroutine of a transport may read it while the handler writes the
// answer; the handler ends that by cut before it returns.
type clientBody struct {
	rc      io.ReadCloser
	control *http.ResponseController
	h1      bool          // HTTP/1: the connection is read itself, not a stream of it
	limit   int64         // of bytes; 0 = none
	idle    time.Duration // between two bytes; 0 = no bound
	rate    int64         // bytes per second, once slowStart is over; 0 = any
	expects bool          // Expect: 100-continue: reading makes the server write

	ended    atomic.Bool // io.EOF has been read
	answered atomic.Bool // the answer has begun: from now on this is a conversation
	begun    atomic.Bool // somebody has read
	over     atomic.Bool // cut: nobody may read any more

	mu    sync.Mutex // held while reading; guards what follows
	read  int64
	first time.Time // when reading began
	until time.Time // the deadline that is set
	kept  []byte    // what has been read, while it is kept
	keeps int64     // how much may be kept; 0 = nothing is

	failure atomic.Pointer[bodyFailure] // set once
}

type bodyFailure struct{ err error }

// What callers are granted who are slow.
const (
	defaultBodyRate = 240              // bytes per second: slower than the slowest modem
	bodyGrace       = 10 * time.Second // before the rate counts
	bodyDeadlineAim = 500 * time.Millisecond
	linger          = time.Second // for the rest of a body that nobody wants
)

// errCut is what reading says after the exchange is over.
var errCut = errors.New("gateway: the exchange is over")

// Read reads as much as there is. At the end of the body it returns io.EOF.
func (b *clientBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pull(p)
}

// pull requires that mu is held.
func (b *clientBody) pull(p []byte) (int, error) {
	switch f := b.failure.Load(); {
	case f != nil:
		return 0, f.err
	case b.over.Load():
		return 0, errCut
	case b.ended.Load():
		return 0, io.EOF
	}
	b.arm(time.Now())
	if b.limit > 0 && int64(len(p)) > b.limit-b.read+1 {
		p = p[:b.limit-b.read+1] // one more tells whether it is too long
	}
	n, err := b.rc.Read(p)
	return b.took(p[:n], err)
}

// took requires that mu is held. It notes what was read.
func (b *clientBody) took(p []byte, err error) (int, error) {
	n := len(p)
	b.read += int64(n)
	if b.limit > 0 && b.read > b.limit {
		n -= int(b.read - b.limit)
		err = &http.MaxBytesError{Limit: b.limit}
	}
	if b.keeps > 0 {
		b.keep(p[:n])
	}
	switch {
	case err == io.EOF:
		b.ended.Store(true)
	case err != nil && b.over.Load():
		err = errCut
	case err != nil:
		b.failure.Store(&bodyFailure{err})
	}
	return n, err
}

// keep requires that mu is held. What turns out too long is kept no longer.
func (b *clientBody) keep(p []byte) {
	if int64(len(b.kept)+len(p)) > b.keeps {
		b.kept, b.keeps = nil, 0
		return
	}
	b.kept = append(b.kept, p...)
}

// arm requires that mu is held. It moves the deadline on: a body that keeps
// coming may take for ever, one that stands still or trickles may not. It is
// moved in steps, because moving it costs more than reading.
func (b *clientBody) arm(now time.Time) {
	if b.idle <= 0 && b.rate <= 0 {
		return
	}
	if b.first.IsZero() {
		b.first = now
		if b.expects { // the server is about to write "100 Continue"
			_ = b.control.SetWriteDeadline(now.Add(max(b.idle, bodyGrace)))
		}
	}
	until := b.deadline(now)
	if d := until.Sub(b.until); d > bodyDeadlineAim || d < 0 {
		b.until = until
		_ = b.control.SetReadDeadline(until) // without deadlines (a recorder) there is no slow caller either
	}
}

// deadline requires that mu is held.
func (b *clientBody) deadline(now time.Time) time.Time {
	until := now.Add(100 * 365 * 24 * time.Hour)
	if b.idle > 0 {
		until = now.Add(b.idle + bodyDeadlineAim)
	}
	if b.rate > 0 && !b.answered.Load() {
		earned := time.Duration(float64(b.read) / float64(b.rate) * float64(time.Second))
		if floor := b.first.Add(bodyGrace + earned); floor.Before(until) {
			until = floor
		}
	}
	return until
}

// Close does nothing: the server closes the body, when the handler is done.
func (b *clientBody) Close() error { return nil }

// err is why the body could not be read, nil if it could.
func (b *clientBody) err() error {
	if b == nil {
		return nil
	}
	if f := b.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// begins is called when the head of the answer is about to go out while the
// body is still coming. It reports whether the connection must close after the
// answer: on HTTP/1 what is left of the body would be taken for the next
// request.
func (b *clientBody) begins(duplex bool) (closing bool) {
	b.answered.Store(true)
	if !b.h1 || b.ended.Load() {
		return false
	}
	if duplex || b.err() != nil {
		return true
	}
	// net/http now reads what is left, to keep the connection; not for long.
	_ = b.control.SetReadDeadline(time.Now().Add(linger))
	return false
}

// cut ends all reading before the handler returns, and on HTTP/1 waits for it:
// after that the body belongs to the server. It may be called more than once.
func (b *clientBody) cut() {
	if b == nil || b.ended.Load() || b.over.Swap(true) {
		return
	}
	if !b.h1 {
		_ = b.rc.Close() // a stream's reader wakes up
		return
	}
	if !b.mu.TryLock() { // somebody waits for the caller
		if b.control.SetReadDeadline(time.Unix(1, 0)) != nil {
			return // a host's writer hides the connection's: net/http has to wait, not we
		}
		b.mu.Lock()
	}
	b.mu.Unlock()
	if !b.ended.Load() { // the server reads a little more, lest a reset destroys the answer
		_ = b.control.SetReadDeadline(time.Now().Add(linger))
	}
}

// awaited reports that somebody is waiting for the caller to send more.
func (b *clientBody) awaited() bool {
	if b == nil || !b.begun.Load() || b.ended.Load() {
		return false
	}
	if b.mu.TryLock() {
		b.mu.Unlock()
		return false
	}
	return true
}

// received is how many bytes have been read, 0 without a body. It is for the
// end of the exchange.
func (b *clientBody) received() int64 {
	if b == nil || !b.mu.TryLock() {
		return 0
	}
	defer b.mu.Unlock()
	return b.read
}

// keepUpTo has the body kept as it is read, so that it can be sent again. It
// must be called before anybody reads.
func (b *clientBody) keepUpTo(n int64) {
	b.mu.Lock()
	b.keeps = n
	b.mu.Unlock()
}

// repeatable reports whether a reader from the beginning can still be had.
func (b *clientBody) repeatable() bool {
	if !b.begun.Load() {
		return true
	}
	if b.err() != nil || !b.mu.TryLock() { // the last try's sender still reads
		return false
	}
	defer b.mu.Unlock()
	return b.keeps > 0
}

// sending is the body as one try sends it: from the beginning, then on as it
// comes.
type sending struct {
	b        *clientBody
	at       int         // in kept
	progress func()      // called before each read, if set
	from, to http.Header // trailers: the caller's, and those that are sent
	closed   atomic.Bool
}

func (s *sending) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if s.progress != nil {
		s.progress()
	}
	s.b.begun.Store(true)
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.at < len(s.b.kept) {
		n := copy(p, s.b.kept[s.at:])
		s.at += n
		return n, nil
	}
	n, err := s.b.pull(p)
	s.at += n
	if err == io.EOF {
		for name := range s.to {
			s.to[name] = s.from[name]
		}
	}
	return n, err
}

// Close lets nothing more be read by this try.
func (s *sending) Close() error {
	s.closed.Store(true)
	return nil
}
