package h1_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// benchBackend answers every request on a kept-alive connection with size
// bytes, doing as little as it can, so that the client's cost shows.
func benchBackend(b *testing.B, size int) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 2026 15:04:05 GMT\r\nContent-Type: application/json\r\nServer: backend\r\nX-Upstream: 1\r\nContent-Length: " +
		strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go benchServe(c, answer)
		}
	}()
	return "http://" + ln.Addr().String()
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

// BenchmarkRoundTrip compares the two transports, request by request, over
// loopback. The request's context can be cancelled, as a server's is.
func BenchmarkRoundTrip(b *testing.B) {
	transports := []struct {
		name string
		make func() http.RoundTripper
	}{
		{"h1", func() http.RoundTripper { return &h1.Transport{} }},
		{"http", func() http.RoundTripper {
			return &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
		}},
	}
	loads := []struct {
		name, method string
		size         int
		body         int
		hidden       bool // the body does not say that it is in memory
	}{
		{"GET 1KiB", "GET", 1 << 10, 0, false},
		{"POST 300B", "POST", 1 << 10, 300, false},
		{"POST 300B stream", "POST", 1 << 10, 300, true},
		{"GET 64KiB", "GET", 64 << 10, 0, false},
	}
	for _, load := range loads {
		for _, tr := range transports {
			b.Run(fmt.Sprintf("%s/%s", load.name, tr.name), func(b *testing.B) {
				benchLoad(b, tr.make(), benchBackend(b, load.size), load.method, load.body, load.hidden)
			})
		}
	}
}

func benchLoad(b *testing.B, tr http.RoundTripper, url, method string, body int, hidden bool) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	payload := strings.Repeat("y", body)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		reader := strings.NewReader(payload)
		req, _ := http.NewRequestWithContext(ctx, method, url, reader)
		if hidden {
			req.GetBody = nil
			req.Body = io.NopCloser(struct{ io.Reader }{reader})
		}
		req.Header.Set("Authorization", "Bearer something")
		req.Header.Set("X-Request-Id", "0123456789")
		for pb.Next() {
			reader.Reset(payload)
			res, err := tr.RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				b.Fatal(err)
			}
			res.Body.Close()
		}
	})
}
