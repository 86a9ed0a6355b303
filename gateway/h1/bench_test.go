//go:build unix

package h1_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// benchBackend starts the backend in a process of its own, so that the
// client's share of the CPU time can be told.
func benchBackend(b testing.TB, size int) (url string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), backendEnv+"="+strconv.Itoa(size))
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(addr)
}

// BenchmarkRoundTrip compares the two transports, request by request, over
// loopback. The request's context can be cancelled, as a server's is.
func BenchmarkRoundTrip(b *testing.B) {
	transports := []struct {
		name string
		make func() http.RoundTripper
	}{
		{"h1", func() http.RoundTripper { return &h1.Transport{} }},
		{"h1 with limits", func() http.RoundTripper {
			return &h1.Transport{ResponseHeaderTimeout: time.Minute, ResponseBodyTimeout: time.Minute}
		}},
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

// cpuTime is the CPU time this process has used, in ns.
func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkBareConnection is the floor: the same bytes on a connection, with
// nothing around them.
func BenchmarkBareConnection(b *testing.B) {
	addr := strings.TrimPrefix(benchBackend(b, 1<<10), "http://")
	request := []byte("GET / HTTP/1.1\r\nHost: " + addr + "\r\nAuthorization: Bearer something\r\nX-Request-Id: 0123456789\r\n\r\n")
	b.SetParallelism(16)
	before := cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-before)/1e3/float64(b.N), "cpu-us/op") }()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		answer := make([]byte, 8<<10)
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			if n, err := c.Read(answer); n < 1<<10 {
				b.Fatal(n, err)
			}
		}
	})
}

func benchLoad(b *testing.B, tr http.RoundTripper, url, method string, body int, hidden bool) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	payload := strings.Repeat("y", body)
	b.ReportAllocs()
	b.SetParallelism(16)
	before := cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-before)/1e3/float64(b.N), "cpu-us/op") }()
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

// TestAllocations: a round trip on a kept-alive connection, with a context that
// can be cancelled and its body read, costs at most 12 allocations.
func TestAllocations(t *testing.T) {
	url := benchBackend(t, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for method, payload := range map[string]string{"GET": "", "POST": strings.Repeat("y", 300)} {
		tr := transport(t)
		reader := strings.NewReader(payload)
		req, err := http.NewRequestWithContext(ctx, method, url, reader)
		require.NoError(t, err)
		cost := testing.AllocsPerRun(1000, func() {
			reader.Reset(payload)
			res, err := tr.RoundTrip(req)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
			}
			if err != nil {
				t.Error(err)
			}
		})
		assert.LessOrEqual(t, cost, 12.0, method)
		t.Log(method, cost)
	}
}
