//go:build !unix

package gateway

import "io"

func rawPuller(io.Reader) puller { return nil }
