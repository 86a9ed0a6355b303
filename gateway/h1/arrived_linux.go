package h1

import (
	"syscall"
	"unsafe"
)

// arrivedOn asks the kernel how many bytes wait to be read: FIONREAD of
// tcp(7), which Linux also calls SIOCINQ and TIOCINQ.
func arrivedOn(fd uintptr) int64 {
	var n int32
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int64(n)
}
