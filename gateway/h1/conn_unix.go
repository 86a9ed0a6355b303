//go:build unix

package h1

import "syscall"

// rawReads: on Unix, RawConn.Read lets us read and write the descriptor
// without waiting.
const rawReads = true

var errAgain error = syscall.EAGAIN

func tryRead(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

func tryWrite(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
