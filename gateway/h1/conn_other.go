//go:build !unix

package h1

import "errors"

// rawReads is false where RawConn.Read cannot try without waiting; every
// reuse then costs a short wait (see conn.silent).
const rawReads = false

var errAgain = errors.New("h1: would wait")

func tryRead(uintptr, []byte) (int, error)  { return 0, errAgain }
func tryWrite(uintptr, []byte) (int, error) { return 0, errAgain }
