//go:build !linux

package h1

// arrivedOn is 0, for unknown, where there is no splice that it would be for.
func arrivedOn(uintptr) int64 { return 0 }
