package gatewaytest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Network connects what runs in one process. Names are "host:port"; nothing of
// it leaves the process. The zero Network is ready; it must not be copied.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

var errRefused = errors.New("connection refused")

// Listen takes a name. Closing the listener gives it back; connections that it
// accepted live on.
func (n *Network) Listen(name string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	if n.listeners[name] != nil {
		return nil, &net.OpError{Op: "listen", Net: "memory", Addr: addr(name), Err: errors.New("name is taken")}
	}
	l := &listener{network: n, name: name, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[name] = l
	return l, nil
}

// DialContext connects to a name, for http.Transport and the like. Where
// nobody listens it fails as a refused connection does.
func (n *Network) DialContext(ctx context.Context, _, name string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[name]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: addr(name), Err: errRefused}
	}
	ours, theirs := pipe(clientAddr, addr(name))
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: addr(name), Err: errRefused}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: addr(name), Err: ctx.Err()}
	}
}

// clientAddr is where callers come from: an address that is documented to be
// nobody's (RFC 5737), and not loopback, which gateways trust with more.
const clientAddr = addr("192.0.2.1:1234")

type addr string

func (addr) Network() string  { return "memory" }
func (a addr) String() string { return string(a) }

type listener struct {
	network *Network
	name    string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.name)
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return addr(l.name) }

// pipe makes the two ends of a connection. Unlike net.Pipe it has a buffer, as
// sockets do: two peers that say good-bye at once must not wait for each other.
func pipe(a, b net.Addr) (atA, atB *conn) {
	there, back := newStream(), newStream()
	atA = &conn{in: back, out: there, local: a, remote: b}
	atB = &conn{in: there, out: back, local: b, remote: a}
	atA.read.init()
	atA.write.init()
	atB.read.init()
	atB.write.init()
	return atA, atB
}

type conn struct {
	in, out       *stream
	local, remote net.Addr
	read, write   deadline
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.take(p, c.read.passed()) }
func (c *conn) Write(p []byte) (int, error) { return c.out.put(p, c.write.passed()) }

func (c *conn) Close() error {
	c.in.close(net.ErrClosed, io.ErrClosedPipe)
	c.out.close(io.EOF, net.ErrClosed)
	c.read.set(time.Time{})
	c.write.set(time.Time{})
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return nil
}
func (c *conn) SetReadDeadline(t time.Time) error  { c.read.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }

// streamSize is how much one direction holds before a writer waits.
const streamSize = 64 << 10

// stream is one direction: bytes, and why there are no more.
type stream struct {
	mu      sync.Mutex
	buf     []byte
	readErr error // for the reader, once buf is empty
	putErr  error // for the writer
	changed chan struct{}
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// news tells everybody who waits that something is different. s.mu is held.
func (s *stream) news() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) close(readErr, putErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.putErr != nil && s.readErr != nil {
		return
	}
	s.readErr, s.putErr = readErr, putErr
	if readErr == net.ErrClosed {
		s.buf = nil
	}
	s.news()
}

func (s *stream) take(p []byte, late <-chan struct{}) (int, error) {
	for {
		if isClosed(late) {
			return 0, os.ErrDeadlineExceeded
		}
		s.mu.Lock()
		if len(s.buf) > 0 || len(p) == 0 {
			n := copy(p, s.buf)
			s.buf = s.buf[n:]
			s.news()
			s.mu.Unlock()
			return n, nil
		}
		err, changed := s.readErr, s.changed
		s.mu.Unlock()
		if err != nil {
			return 0, err
		}
		select {
		case <-changed:
		case <-late:
		}
	}
}

func (s *stream) put(p []byte, late <-chan struct{}) (n int, err error) {
	for {
		if isClosed(late) {
			return n, os.ErrDeadlineExceeded
		}
		s.mu.Lock()
		if s.putErr != nil {
			defer s.mu.Unlock()
			return n, s.putErr
		}
		if room := min(streamSize-len(s.buf), len(p)); room > 0 {
			s.buf = append(s.buf, p[:room]...)
			p, n = p[room:], n+room
			s.news()
		}
		changed := s.changed
		s.mu.Unlock()
		if len(p) == 0 {
			return n, nil
		}
		select {
		case <-changed:
		case <-late:
		}
	}
}

// deadline is a channel that closes when the time has come.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	late  chan struct{}
}

func (d *deadline) init() { d.late = make(chan struct{}) }

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.late
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.late // it is firing: let it
	}
	d.timer = nil
	over := isClosed(d.late)
	switch {
	case t.IsZero() || time.Until(t) > 0:
		if over {
			d.late = make(chan struct{})
		}
		if !t.IsZero() {
			late := d.late
			d.timer = time.AfterFunc(time.Until(t), func() { close(late) })
		}
	case !over:
		close(d.late)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
