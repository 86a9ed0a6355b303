package h1

import (
	"io"
	"net"
	"sync"
)

// Tunnel is the Body of a 101 (Switching Protocols) answer: the connection,
// with whatever the service had already sent after its header read first. It
// is an io.ReadWriteCloser, as http.Transport's is, so httputil.ReverseProxy
// can use it too. It holds no buffer and no goroutine.
//
// With the 101 the connection is the caller's: the request's context, the
// timeouts and the pool are done with it, and it must be closed. Read and
// Write may be used at the same time by one reader and one writer, Close by
// anybody.
type Tunnel struct {
	conn net.Conn

	mu    sync.Mutex
	early []byte // what came with the header; guarded by mu
}

var _ io.ReadWriteCloser = (*Tunnel)(nil)

// Read reads from the service.
func (t *Tunnel) Read(p []byte) (int, error) {
	if n := t.readEarly(p); n > 0 {
		return n, nil
	}
	return t.conn.Read(p)
}

func (t *Tunnel) readEarly(p []byte) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := copy(p, t.early)
	if t.early = t.early[n:]; len(t.early) == 0 {
		t.early = nil
	}
	return n
}

// Write writes to the service.
func (t *Tunnel) Write(p []byte) (int, error) { return t.conn.Write(p) }

// Close closes the connection.
func (t *Tunnel) Close() error { return t.conn.Close() }

// CloseWrite ends the direction to the service and leaves the other open; it
// closes the whole connection when that cannot be half closed.
func (t *Tunnel) CloseWrite() error {
	if c, ok := t.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return t.conn.Close()
}

// Detach hands over the connection itself and the bytes that must be read
// before what it says next. Afterwards the Tunnel has no early bytes left and
// need not be used again.
func (t *Tunnel) Detach() (conn net.Conn, early []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	early, t.early = t.early, nil
	return t.conn, early
}
