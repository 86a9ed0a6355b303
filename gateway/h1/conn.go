package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// errDead is a connection that was closed, or on which something had already
// been said, before a request was written on it.
var errDead = errors.New("h1: connection closed by the service, or with unasked-for bytes on it")

// conn is one connection. No goroutine belongs to it: whoever has an exchange
// on it writes and reads. Between exchanges nobody reads it, so what happened
// meanwhile is found out when the next one starts (see start).
type conn struct {
	nc   net.Conn
	raw  syscall.RawConn // nil where the descriptor cannot be had
	bare bool            // nc is the descriptor and nothing around it
	host *host
	used bool // has carried an exchange

	idleSince time.Time
	abort     func()             // closes nc; made once, handed to context.AfterFunc
	onReady   func(uintptr) bool // c.ready; made once

	// The first read of an exchange, while RawConn.Read runs ready:
	x        *exchange
	into     []byte
	launched bool
	n        int
	err      error
}

func newConn(nc net.Conn, h *host) *conn {
	c := &conn{nc: nc, host: h}
	c.abort = func() { nc.Close() }
	c.look()
	return c
}

// look finds the file descriptor, through a NetConn method if the connection
// is wrapped in something that has one. To be read and written past nc it must
// be bare: something around it (a counter, a cipher) has its own Read and Write.
func (c *conn) look() {
	inner := c.nc
	switch inner.(type) {
	case *net.TCPConn, *net.UnixConn:
		c.bare = true
		c.onReady = c.ready
	}
	if w, ok := inner.(interface{ NetConn() net.Conn }); ok {
		inner = w.NetConn()
	}
	if s, ok := inner.(syscall.Conn); ok && rawReads {
		c.raw, _ = s.SyscallConn()
	}
}

// start begins an exchange: it makes sure that the connection is alive and
// silent, launches the request, and reads the first bytes of the answer into
// p. It returns errDead, with nothing launched, when it was not.
//
// On a bare connection all three happen in one RawConn.Read. The look (a read
// that must find nothing) costs one system call, and none on balance: the
// runtime's own read would first try in vain too, then wait.
func (c *conn) start(x *exchange, p []byte) (int, error) {
	if c.bare && c.raw != nil {
		return c.startRaw(x, p)
	}
	if c.used && !c.silent() {
		return 0, errDead
	}
	x.launch(noDescriptor)
	return c.nc.Read(p)
}

func (c *conn) startRaw(x *exchange, p []byte) (int, error) {
	c.x, c.into, c.launched, c.n, c.err = x, p, false, 0, nil
	err := c.raw.Read(c.onReady)
	c.x, c.into = nil, nil
	if err == nil {
		err = c.err
	}
	return c.n, err
}

// ready is called by RawConn.Read at once, and again each time the connection
// has become readable after a false. It must have looked in vain before it
// answers false the first time, for the runtime tells of a change only once.
func (c *conn) ready(fd uintptr) bool {
	n, err := tryRead(fd, c.into)
	if !c.launched {
		c.launched = true
		if err != errAgain {
			c.err = errDead
			return true
		}
		c.x.launch(fd)
		return false
	}
	if err == errAgain {
		return false
	}
	if c.n, c.err = n, err; n == 0 && err == nil {
		c.err = io.EOF
	}
	return true
}

// silent tells whether there is nothing to read: by a look at the descriptor,
// or, where there is none, by waiting a moment for a byte that should not come.
func (c *conn) silent() bool {
	var b [1]byte
	if c.raw != nil {
		err := error(nil)
		return c.raw.Control(func(fd uintptr) { _, err = tryRead(fd, b[:]) }) == nil && err == errAgain
	}
	c.nc.SetReadDeadline(time.Now().Add(listenTime))
	n, err := c.nc.Read(b[:])
	c.nc.SetReadDeadline(time.Time{})
	return n == 0 && isTimeout(err)
}

const listenTime = 100 * time.Microsecond

// write writes all of p, beginning on fd without waiting if there is one. The
// limit counts only when the service does not take p at once.
func (c *conn) write(fd uintptr, p []byte, limit time.Duration) (n int, err error) {
	if fd != noDescriptor {
		if n, err = tryWrite(fd, p); n == len(p) || err != nil && err != errAgain {
			return n, err
		}
	}
	if limit > 0 {
		c.nc.SetWriteDeadline(time.Now().Add(limit))
		defer c.nc.SetWriteDeadline(time.Time{})
	}
	m, err := c.nc.Write(p[n:])
	if isTimeout(err) {
		err = &TimeoutError{Phase: PhaseWrite, After: limit}
	}
	return n + m, err
}

const noDescriptor = ^uintptr(0)

func isTimeout(err error) bool {
	if err == nil {
		return false
	}
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// watch has the connection closed as soon as ctx ends. A stop that returns
// false means that it is being closed, now or any moment: it must not be used
// again.
func (c *conn) watch(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return nil
	}
	return context.AfterFunc(ctx, c.abort)
}

// arrived is how many bytes can be read without waiting, 0 if that is not known.
func (c *conn) arrived() (n int64) {
	if c.raw != nil {
		c.raw.Control(func(fd uintptr) { n = arrivedOn(fd) })
	}
	return n
}

// broken tells, after an error of something that both read from c and wrote
// elsewhere, whether c was at fault. c is of no use afterwards.
func (c *conn) broken() bool {
	var b [1]byte
	n, err := 0, errAgain
	if e := c.raw.Control(func(fd uintptr) { n, err = tryRead(fd, b[:]) }); e != nil {
		return true
	}
	return n == 0 && err != errAgain
}

// idleTime is how long c has waited in the pool.
func (c *conn) idleTime() time.Duration {
	if !c.used {
		return 0
	}
	return time.Since(c.idleSince)
}
