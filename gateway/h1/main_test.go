package h1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if size, err := strconv.Atoi(os.Getenv(backendEnv)); err == nil {
		runBackend(size)
		return
	}
	// h1 has no goroutines to leak but senders; those of http.Transport may
	// outlive a case that it does not pass.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// backendEnv turns the test binary into a backend that answers every request
// with that many bytes, doing as little as it can.
const backendEnv = "H1_TEST_BACKEND"

func runBackend(size int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 2026 15:04:05 GMT\r\nContent-Type: application/json\r\nServer: backend\r\nX-Upstream: 1\r\nContent-Length: " +
		strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size))
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go benchServe(c, answer)
	}
}

func benchServe(c net.Conn, answer []byte) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		length := 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
			}
		}
		r.Discard(length)
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}
