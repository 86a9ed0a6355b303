package gateway

import (
	"io"
	"sync"
)

// puller reads what comes next into a buffer of the pool, which must be given
// back. A tunnel is silent most of the time, and holds nothing while it is.
type puller interface {
	pull() (buf *[]byte, n int, err error)
}

// tunnelBuffers are small: a chat's messages are.
var tunnelBuffers = sync.Pool{New: func() any { b := make([]byte, 4<<10); return &b }}

// newPuller reads from the descriptor where there is one, so that it can wait
// for something to read without a buffer to read it into.
func newPuller(from io.Reader) puller {
	if raw := rawPuller(from); raw != nil {
		return raw
	}
	return plainPuller{from}
}

// plainPuller is for what has no descriptor (TLS, memory): the buffer is taken
// first.
type plainPuller struct{ from io.Reader }

func (p plainPuller) pull() (*[]byte, int, error) {
	buf := tunnelBuffers.Get().(*[]byte)
	n, err := p.from.Read(*buf)
	return buf, n, err
}
