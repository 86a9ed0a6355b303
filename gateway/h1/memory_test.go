package h1_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// inMemory is a service on pipes, for tests in which time is not real.
type inMemory struct {
	script func(p *peer)
	back   backend
	all    sync.WaitGroup
}

func (m *inMemory) dial(context.Context, string, string) (net.Conn, error) {
	client, service := net.Pipe()
	m.back.mu.Lock()
	defer m.back.mu.Unlock()
	p := &peer{Conn: service, N: len(m.back.peers), back: &m.back, r: bufio.NewReader(service)}
	m.back.peers = append(m.back.peers, p)
	m.all.Go(func() { defer service.Close(); m.script(p) })
	return client, nil
}

// bubble runs test with a Transport on a service in memory, in fake time.
func bubble(t *testing.T, script func(*peer), test func(t *testing.T, tr *h1.Transport, m *inMemory)) {
	synctest.Test(t, func(t *testing.T) {
		m := &inMemory{script: script}
		tr := &h1.Transport{DialContext: m.dial}
		test(t, tr, m)
		tr.CloseIdleConnections()
		m.all.Wait()
		assert.Zero(t, tr.Stats().Open, "every connection is accounted for")
	})
}

const service = "http://service/"

// silent reads a request and waits for the client to go.
func silent(p *peer) { p.request(); io.Copy(io.Discard, p.r) }

func timeoutOf(t *testing.T, err error) *h1.TimeoutError {
	var timeout *h1.TimeoutError
	require.ErrorAs(t, err, &timeout)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.True(t, isDeadline(err))
	return timeout
}

func TestResponseHeaderTimeout(t *testing.T) {
	for name, tc := range map[string]struct {
		transport time.Duration
		context   *h1.Timeouts
		want      time.Duration
	}{
		"the Transport's":           {2 * time.Second, nil, 2 * time.Second},
		"the request's goes before": {2 * time.Second, &h1.Timeouts{ResponseHeader: time.Minute}, time.Minute},
		"the request's alone":       {0, &h1.Timeouts{ResponseHeader: 3 * time.Second}, 3 * time.Second},
		"the request says nothing":  {2 * time.Second, &h1.Timeouts{Write: time.Second}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, silent, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
				tr.ResponseHeaderTimeout = tc.transport
				ctx := t.Context()
				if tc.context != nil {
					ctx = h1.WithTimeouts(ctx, *tc.context)
				}
				start := time.Now()
				_, err := tr.RoundTrip(request(t, "GET", service, "").WithContext(ctx))
				assert.Equal(t, &h1.TimeoutError{Phase: h1.PhaseHeader, After: tc.want}, timeoutOf(t, err))
				assert.Equal(t, tc.want, time.Since(start))
				assert.False(t, h1.NothingSent(err))
			})
		})
	}
}

// "No limit" from a request's context undoes the Transport's limit.
func TestNoResponseHeaderTimeout(t *testing.T) {
	late := func(p *peer) { p.request(); time.Sleep(time.Hour); p.say(ok) }
	bubble(t, late, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		tr.ResponseHeaderTimeout = time.Second
		ctx := h1.WithTimeouts(t.Context(), h1.Timeouts{ResponseHeader: -1})
		_, body := exchange(t, tr, request(t, "GET", service, "").WithContext(ctx))
		assert.Equal(t, "ok", body)
	})
}

// 1xx answers do not prolong the wait, and the upload does not shorten it.
func TestResponseHeaderTimeoutIsFromTheEndOfTheRequest(t *testing.T) {
	script := func(p *peer) {
		p.request()
		for {
			if _, err := io.WriteString(p, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
				return
			}
			time.Sleep(400 * time.Millisecond)
		}
	}
	bubble(t, script, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		tr.ResponseHeaderTimeout = time.Second
		req := request(t, "POST", service, "")
		req.ContentLength = -1
		req.Body = streamOf(io.MultiReader(strings.NewReader("a"), atEOF(func() { time.Sleep(time.Minute) })))
		start := time.Now()
		_, err := tr.RoundTrip(req)
		assert.Equal(t, h1.PhaseHeader, timeoutOf(t, err).Phase)
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
	})
}

func TestResponseBodyTimeoutIsRolling(t *testing.T) {
	script := func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
		for range 50 {
			time.Sleep(900 * time.Millisecond)
			p.say("x")
		}
		io.Copy(io.Discard, p.r)
	}
	bubble(t, script, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		tr.ResponseBodyTimeout = time.Second
		start := time.Now()
		res, err := tr.RoundTrip(request(t, "GET", service, ""))
		require.NoError(t, err)
		got, err := io.ReadAll(res.Body)
		assert.Equal(t, h1.PhaseBody, timeoutOf(t, err).Phase)
		assert.Len(t, got, 50)
		silence := time.Since(start) - 50*900*time.Millisecond
		assert.GreaterOrEqual(t, silence, time.Second)
		assert.LessOrEqual(t, silence, time.Second+time.Second/8)
		res.Body.Close()
	})
}

// A reader that takes its time is not the service's silence.
func TestResponseBodyTimeoutIsNotTheReaders(t *testing.T) {
	script := func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
		p.say("a")
		p.say("b")
		p.say("c")
		io.Copy(io.Discard, p.r)
	}
	bubble(t, script, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		tr.ResponseBodyTimeout = time.Second
		res, err := tr.RoundTrip(request(t, "GET", service, ""))
		require.NoError(t, err)
		for range 3 {
			time.Sleep(time.Hour)
			_, err := io.ReadFull(res.Body, make([]byte, 1))
			require.NoError(t, err)
		}
		res.Body.Close()
		time.Sleep(time.Second)
		assert.EqualValues(t, 1, tr.Stats().Idle)
	})
}

func TestWriteTimeout(t *testing.T) {
	deaf := func(p *peer) { io.CopyN(io.Discard, p.Conn, 100); time.Sleep(time.Hour) }
	for name, body := range map[string]io.Reader{
		"inline":     nil,
		"known size": io.LimitReader(endless{}, 1<<20),
		"chunked":    endless{},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, deaf, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
				tr.WriteTimeout = 5 * time.Second
				req := request(t, "POST", service, strings.Repeat("x", 20_000))
				if body != nil {
					req.Body, req.GetBody = streamOf(body), nil
					req.ContentLength = map[string]int64{"known size": 1 << 20, "chunked": -1}[name]
				}
				_, err := tr.RoundTrip(req)
				assert.Equal(t, &h1.TimeoutError{Phase: h1.PhaseWrite, After: 5 * time.Second}, timeoutOf(t, err))
				assert.False(t, h1.NothingSent(err))
			})
		})
	}
}

func TestDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &h1.Transport{DialTimeout: 3 * time.Second}
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := tr.RoundTrip(request(t, "GET", service, ""))
		assert.Equal(t, h1.PhaseDial, timeoutOf(t, err).Phase)
		assert.Equal(t, 3*time.Second, time.Since(start))
		var dial *h1.DialError
		require.ErrorAs(t, err, &dial)
		assert.Equal(t, "service:80", dial.Addr)
		assert.True(t, h1.NothingSent(err))
		assert.Zero(t, tr.Stats().Open)
	})
}

// The deadline of a request is the context's, not a TimeoutError.
func TestContextDeadline(t *testing.T) {
	bubble(t, silent, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		why := errors.New("the try took too long")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		_, err := tr.RoundTrip(request(t, "GET", service, "").WithContext(ctx))
		assert.ErrorIs(t, err, why)
		var timeout *h1.TimeoutError
		assert.NotErrorAs(t, err, &timeout)
	})
}

// The pool is a stack, and what lies at its bottom grows old and goes.
func TestIdleConnections(t *testing.T) {
	slow := func(p *peer) {
		for p.request() != "" {
			time.Sleep(time.Second)
			p.say(ok)
		}
	}
	bubble(t, slow, func(t *testing.T, tr *h1.Transport, m *inMemory) {
		tr.IdleTimeout = time.Minute
		together(t, tr, 3)
		assert.EqualValues(t, 3, tr.Stats().Idle)
		for range 3 { // one at a time: the warmest serves all, the others expire
			time.Sleep(25 * time.Second)
			exchange(t, tr, request(t, "GET", service, ""))
		}
		assert.EqualValues(t, 3, tr.Stats().Dialed)
		assert.EqualValues(t, 1, tr.Stats().Idle)
		time.Sleep(time.Minute)
		exchange(t, tr, request(t, "GET", service, ""))
		assert.EqualValues(t, 4, tr.Stats().Dialed, "an expired connection is not used")
		assert.Zero(t, tr.Stats().Stale)
	})
}

// together runs n requests at once.
func together(t *testing.T, tr http.RoundTripper, n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { exchange(t, tr, request(t, "GET", service, "")) })
	}
	all.Wait()
}

func TestMaxIdlePerHost(t *testing.T) {
	for limit, want := range map[int]int64{0: 5, 2: 2, -1: 0} {
		slow := func(p *peer) {
			for p.request() != "" {
				time.Sleep(time.Second)
				p.say(ok)
			}
		}
		bubble(t, slow, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
			tr.MaxIdlePerHost = limit
			together(t, tr, 5)
			assert.Equal(t, want, tr.Stats().Idle)
			assert.Equal(t, want, tr.Stats().Open)
		})
	}
}

func TestRunSweeps(t *testing.T) {
	bubble(t, always(ok), func(t *testing.T, tr *h1.Transport, m *inMemory) {
		tr.IdleTimeout = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- tr.Run(ctx) }()
		exchange(t, tr, request(t, "GET", service, ""))
		time.Sleep(59 * time.Second)
		assert.EqualValues(t, 1, tr.Stats().Idle)
		time.Sleep(17 * time.Second)
		assert.Zero(t, tr.Stats().Open)
		m.all.Wait() // the service has seen it closed
		exchange(t, tr, request(t, "GET", service, ""))
		cancel()
		assert.NoError(t, <-ended)
		assert.Zero(t, tr.Stats().Open, "Run closes what is unused when it ends")
	})
}

// Requests beyond MaxPerHost are served in the order in which they came, by
// connections that become free, also by those that break.
func TestMaxPerHostQueue(t *testing.T) {
	script := func(p *peer) {
		for n := 0; ; n++ {
			if p.request() == "" {
				return
			}
			time.Sleep(time.Second)
			if n == 1 {
				return
			}
			p.say(ok)
		}
	}
	bubble(t, script, func(t *testing.T, tr *h1.Transport, m *inMemory) {
		tr.MaxPerHost = 2
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if res, err := tr.RoundTrip(request(t, "POST", service, "x")); err == nil {
					io.Copy(io.Discard, res.Body)
				} else {
					assert.ErrorIs(t, err, h1.ErrStale)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i/2)
			})
			synctest.Wait()
		}
		all.Wait()
		assert.Equal(t, []int{0, 0, 1, 1, 2, 2, 3, 3}, order)
		stats := tr.Stats()
		assert.EqualValues(t, 6, stats.Waited)
		assert.EqualValues(t, 4, stats.Dialed)
		assert.Len(t, m.back.peers, 4)
	})
}

// A turn that comes at the moment in which its request gives up is passed on.
func TestMaxPerHostGivingUp(t *testing.T) {
	slow := func(p *peer) {
		for p.request() != "" {
			time.Sleep(time.Second)
			p.say(ok)
		}
	}
	bubble(t, slow, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		tr.MaxPerHost = 1
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				res, err := tr.RoundTrip(request(t, "GET", service, "").WithContext(ctx))
				if err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		}
		all.Wait()
		stats := tr.Stats()
		assert.Equal(t, stats.Open, stats.Idle)
		_, body := exchange(t, tr, request(t, "GET", service, ""))
		assert.Equal(t, "ok", body)
	})
}

// A body that does not come at once does not hold the header back for long,
// so that a service which can answer by the header alone may.
func TestHeaderDoesNotWaitForTheBody(t *testing.T) {
	var after time.Duration
	start := time.Now()
	script := func(p *peer) {
		p.head()
		after = time.Since(start)
		p.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, p.r)
	}
	bubble(t, script, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		start = time.Now()
		r, w := io.Pipe()
		req := request(t, "POST", service, "")
		req.Body, req.ContentLength = r, 10
		res, err := tr.RoundTrip(req)
		require.NoError(t, err)
		assert.Equal(t, 401, res.StatusCode)
		assert.Equal(t, 5*time.Millisecond, after)
		w.CloseWithError(io.ErrUnexpectedEOF)
	})
}

// Header and first piece of the body go out in one write when both are there.
func TestOneWrite(t *testing.T) {
	for name, req := range map[string]*http.Request{
		"in memory": request(t, "POST", service, "body"),
		"stream":    {Method: "POST", ContentLength: 4, Body: io.NopCloser(strings.NewReader("body"))},
		"chunked":   {Method: "POST", ContentLength: -1, Body: io.NopCloser(struct{ io.Reader }{strings.NewReader("body")})},
	} {
		t.Run(name, func(t *testing.T) {
			first := make(chan string, 1)
			script := func(p *peer) {
				b := make([]byte, 4096)
				n, _ := p.Conn.Read(b)
				first <- string(b[:n])
				go io.Copy(io.Discard, p.Conn)
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
				time.Sleep(time.Second)
				p.say("ok")
			}
			bubble(t, script, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
				req.URL = request(t, "GET", service, "").URL
				exchange(t, tr, req)
				assert.Contains(t, <-first, "body")
			})
		})
	}
}
