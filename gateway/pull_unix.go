//go:build unix

package gateway

import (
	"io"
	"syscall"
)

// descriptorPuller reads from a socket once it is readable.
type descriptorPuller struct {
	raw  syscall.RawConn
	once func(fd uintptr) bool
	buf  *[]byte
	n    int
	err  error
}

func rawPuller(from io.Reader) puller {
	conn, ok := from.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	p := &descriptorPuller{raw: raw}
	p.once = p.read
	return p
}

func (p *descriptorPuller) pull() (*[]byte, int, error) {
	if err := p.raw.Read(p.once); err != nil {
		return nil, 0, err
	}
	buf, n, err := p.buf, p.n, p.err
	p.buf = nil
	if n == 0 && err == nil {
		err = io.EOF
	}
	return buf, n, err
}

// read reports false where there is nothing to read yet: then it is called
// again when there is.
func (p *descriptorPuller) read(fd uintptr) bool {
	buf := tunnelBuffers.Get().(*[]byte)
	n, err := syscall.Read(int(fd), *buf)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), *buf)
	}
	if err == syscall.EAGAIN {
		tunnelBuffers.Put(buf)
		return false
	}
	p.buf, p.n, p.err = buf, max(n, 0), err
	return true
}
