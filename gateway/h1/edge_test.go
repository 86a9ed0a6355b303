package h1_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// A header larger than the sender's buffer goes out whole, and first.
func TestLargeRequestHeader(t *testing.T) {
	for _, size := range []int64{5, -1} {
		b := play(t, always(ok))
		req := request(t, "POST", b.URL, "")
		req.Body, req.ContentLength = streamOf(strings.NewReader("hello")), size
		req.Header.Set("X-Large", strings.Repeat("x", 60_000))
		exchange(t, transport(t), req)
		head, body, _ := strings.Cut(b.seen()[0], "\r\n\r\n")
		assert.Contains(t, head, "X-Large: "+strings.Repeat("x", 60_000))
		assert.Contains(t, body, "hello")
	}
}

// The header that has gone out by itself is not sent again with the body.
func TestHeaderGoesOutOnce(t *testing.T) {
	for _, large := range []int{1, 60_000} {
		bubble(t, always(ok), func(t *testing.T, tr *h1.Transport, m *inMemory) {
			req := request(t, "POST", service, "")
			r, w := io.Pipe()
			req.Body, req.ContentLength = r, -1
			req.Header.Set("X-Large", strings.Repeat("x", large))
			go func() {
				time.Sleep(time.Second)
				io.WriteString(w, "hello")
				w.Close()
			}()
			exchange(t, tr, req)
			assert.Equal(t, 1, strings.Count(m.back.seen()[0], "POST /"))
			assert.Equal(t, "hello", dechunk(t, m.back.seen()[0]))
		})
	}
}

// Nor is it when the answer takes its time.
func TestHeaderGoesOutOnceForASlowService(t *testing.T) {
	slow := func(p *peer) {
		for p.request() != "" {
			time.Sleep(time.Second)
			p.say(ok)
		}
	}
	bubble(t, slow, func(t *testing.T, tr *h1.Transport, m *inMemory) {
		for range 2 {
			req := request(t, "POST", service, "")
			req.Body, req.ContentLength = streamOf(strings.NewReader("hello")), 5
			exchange(t, tr, req)
		}
		assert.Len(t, m.back.seen(), 2)
		assert.Len(t, m.back.peers, 1)
	})
}

// A service that answers before it has read the last piece, and reads it then,
// keeps its connection: the sender gives it back.
func TestSenderGivesTheConnectionBack(t *testing.T) {
	const size = 90_000 // two full pieces, and one of which the service leaves some for later
	toTheEnd := func(p *peer) bool { _, err := io.CopyN(io.Discard, p.r, 10_000); return err == nil }
	for name, tc := range map[string]struct {
		answer string
		after  func(p *peer) bool
		kept   int64
	}{
		"read to the end": {ok, toTheEnd, 1},
		"cut":             {ok, func(p *peer) bool { return false }, 0},
		"last answer":     {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", toTheEnd, 0},
	} {
		t.Run(name, func(t *testing.T) {
			script := func(p *peer) {
				p.head()
				io.CopyN(io.Discard, p.r, size-10_000)
				p.say(tc.answer)
				time.Sleep(time.Second)
				if tc.after(p) {
					always(ok)(p)
				}
			}
			bubble(t, script, func(t *testing.T, tr *h1.Transport, m *inMemory) {
				req := request(t, "POST", service, "")
				req.Body, req.ContentLength = streamOf(io.LimitReader(endless{}, size)), size
				exchange(t, tr, req)
				assert.Zero(t, tr.Stats().Idle, "the last write is still under way")
				time.Sleep(2 * time.Second)
				synctest.Wait()
				assert.Equal(t, tc.kept, tr.Stats().Idle)
				assert.Equal(t, tc.kept, tr.Stats().Open)
			})
		})
	}
}

func TestBodiesThatMisbehave(t *testing.T) {
	b := play(t, func(p *peer) { p.request() })
	for name, tc := range map[string]struct {
		body io.Reader
		size int64
		want string
	}{
		"never gives a byte":           {idle{}, 10, "multiple Read calls return no data or error"},
		"shorter, in memory":           {strings.NewReader("abc"), 10, "shorter"},
		"longer, in memory":            {strings.NewReader("abc"), 2, "longer"},
		"failing, in memory":           {known{failing{errors.New("torn")}, 10}, 10, "torn"},
		"shorter, stream":              {struct{ io.Reader }{strings.NewReader("abc")}, 10, "shorter"},
		"trailer with a line break":    {strings.NewReader("abc"), -1, "trailer"},
		"failing after the last bytes": {io.MultiReader(strings.NewReader("abc"), failing{errors.New("torn")}), -1, "torn"},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, "POST", b.URL, "")
			req.Body, req.ContentLength = readCloser{tc.body, io.NopCloser(nil)}, tc.size
			if k, ok := tc.body.(known); ok {
				req.Body = k
			}
			if s, ok := tc.body.(*strings.Reader); ok && tc.size > 0 {
				req.Body = known{s, int(tc.size)}
			}
			if strings.HasPrefix(name, "trailer") {
				req.Trailer = http.Header{"X-A": {"b\r\nEvil: 1"}}
			}
			_, err := transport(t).RoundTrip(req)
			var body *h1.BodyError
			require.ErrorAs(t, err, &body)
			assert.ErrorContains(t, err, tc.want)
		})
	}
	for _, seen := range b.seen() {
		assert.NotContains(t, seen, "Evil")
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

type readCloser struct {
	io.Reader
	io.Closer
}

// known is a body that says how much of it is in memory.
type known struct {
	io.Reader
	n int
}

func (k known) Len() int     { return k.n }
func (k known) Close() error { return nil }

// A body of length 0 that is in memory is no body, whatever its type.
func TestEmptyBodyInMemory(t *testing.T) {
	b := play(t, always(ok))
	req := request(t, "GET", b.URL, "")
	req.Body, req.ContentLength = known{strings.NewReader(""), 0}, -1
	exchange(t, transport(t), req)
	assert.NotContains(t, b.seen()[0], "chunked")
}

func TestTrailerNames(t *testing.T) {
	b := play(t, always(ok))
	req := request(t, "POST", b.URL, "x")
	req.Trailer = http.Header{"Content-Length": nil}
	_, err := transport(t).RoundTrip(req)
	var refused *h1.RequestError
	assert.ErrorAs(t, err, &refused)
}

// Fields that frame a message are not taken from a trailer section, and
// empty elements of its announcement are passed over.
func TestTrailerCannotFrame(t *testing.T) {
	b := play(t, always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: , x-a,,\r\n\r\n0\r\nContent-Length: 5\r\nHost: evil\r\nX-A: b\r\n\r\n"))
	res, err := transport(t).RoundTrip(request(t, "GET", b.URL, ""))
	require.NoError(t, err)
	read(t, res)
	assert.Equal(t, http.Header{"X-A": {"b"}}, res.Trailer)
}

func TestHost(t *testing.T) {
	b := play(t, always(ok))
	for given, want := range map[string]string{
		"[fe80::1%25eth0]:80": "[fe80::1]:80", "[::1]:80": "[::1]:80", "a.example": "a.example", "%41": "%41",
	} {
		req := request(t, "GET", b.URL, "")
		req.Host = given
		exchange(t, transport(t), req)
		seen := b.seen()
		assert.Contains(t, seen[len(seen)-1], "\r\nHost: "+want+"\r\n")
	}
}

func TestExpectIsTraced(t *testing.T) {
	b := play(t, func(p *peer) {
		head := p.head()
		p.say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
		p.body(head)
		p.say(ok)
	})
	var mu sync.Mutex
	var got []string
	note := func(s string) func() {
		return func() { mu.Lock(); defer mu.Unlock(); got = append(got, s) }
	}
	wrote := make(chan bool, 1)
	req := traced(request(t, "POST", b.URL, "x"), &httptrace.ClientTrace{
		WroteHeaders: note("headers"), Wait100Continue: note("wait"), Got100Continue: note("100"),
		WroteRequest: func(httptrace.WroteRequestInfo) { wrote <- true }})
	req.Header.Set("Expect", "100-continue")
	exchange(t, transport(t), req)
	<-wrote
	assert.Equal(t, []string{"headers", "wait", "100"}, got)
}

// The pool forgets hosts while requests look for them.
func TestForgettingWhileInUse(t *testing.T) {
	b := play(t, always(ok))
	tr := transport(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			tr.CloseIdleConnections()
			tr.Stats()
		}
	})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 100 {
				res, err := tr.RoundTrip(request(t, "GET", b.URL, ""))
				if assert.NoError(t, err) {
					read(t, res)
				}
			}
		})
	}
	clients.Wait()
	cancel()
	all.Wait()
	tr.CloseIdleConnections()
	assert.Zero(t, tr.Stats().Open)
}

// A 101 for a request that was cancelled is not handed over.
func TestTunnelOfACancelledRequest(t *testing.T) {
	b := play(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		p.gone()
	})
	ctx, cancel := context.WithCancel(t.Context())
	req := request(t, "GET", b.URL, "").WithContext(ctx)
	req.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"echo"}}
	req = traced(req, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { cancel(); return nil }})
	tr := transport(t)
	_, err := tr.RoundTrip(req)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, tr.Stats().Open)
}

// An upgrade that carries a streamed body cannot be granted.
func TestTunnelWithBody(t *testing.T) {
	b := play(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		p.gone()
	})
	req := request(t, "POST", b.URL, "")
	req.Body, req.ContentLength = streamOf(strings.NewReader("hello")), 5
	req.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"echo"}}
	_, err := transport(t).RoundTrip(req)
	var protocol *h1.ProtocolError
	assert.ErrorAs(t, err, &protocol)
}

// The client's fault breaks an answer that has already begun, at once.
func TestBodyErrorAfterTheAnswer(t *testing.T) {
	script := func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		io.Copy(io.Discard, p.r)
	}
	bubble(t, script, func(t *testing.T, tr *h1.Transport, _ *inMemory) {
		start := time.Now()
		r, w := io.Pipe()
		res, err := tr.RoundTrip(withBody(request(t, "POST", service, ""), r))
		require.NoError(t, err)
		fault := errors.New("client went away")
		w.CloseWithError(fault)
		_, err = io.ReadAll(res.Body)
		assert.ErrorIs(t, err, fault)
		assert.Less(t, time.Since(start), time.Second)
		res.Body.Close()
	})
}

// A context that ends when the answer has come whole costs the connection,
// not the answer, and not the next request.
func TestContextEndsWithTheAnswer(t *testing.T) {
	b := play(t, always(ok))
	tr := transport(t)
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		req := traced(request(t, "POST", b.URL, "x").WithContext(ctx), &httptrace.ClientTrace{GotFirstResponseByte: cancel})
		_, body := exchange(t, tr, req)
		assert.Equal(t, "ok", body)
		assert.Zero(t, tr.Stats().Open)
	}
}

// A 204 that speaks of a body is the last on its connection, though the body
// may not have come yet.
func TestNoContentThatLies(t *testing.T) {
	for _, field := range []string{"Content-Length: 6", "Transfer-Encoding: chunked"} {
		b := play(t, always("HTTP/1.1 204 No Content\r\n"+field+"\r\n\r\n"))
		tr := transport(t)
		res, _ := exchange(t, tr, request(t, "GET", b.URL, ""))
		assert.NotContains(t, res.Header, "Content-Length")
		assert.Zero(t, tr.Stats().Open)
	}
}

func TestBounds(t *testing.T) {
	hints := func(n int) string { return strings.Repeat("HTTP/1.1 103 Hint\r\n\r\n", n) + ok }
	fields := func(n int) string { return okHead + strings.Repeat("a:\r\n", n-1) + "Content-Length: 0\r\n\r\n" }
	for _, tc := range []struct {
		answer string
		passes bool
	}{
		{hints(100), true}, {hints(101), false},
		{fields(2000), true}, {fields(2001), false},
	} {
		b := play(t, always(tc.answer))
		res, err := transport(t).RoundTrip(request(t, "GET", b.URL, ""))
		if tc.passes && assert.NoError(t, err) {
			read(t, res)
		}
		var protocol *h1.ProtocolError
		assert.Equal(t, !tc.passes, errors.As(err, &protocol))
	}
}

// A deadline that one body needed is not left to the next exchange.
func TestDeadlineIsNotLeftBehind(t *testing.T) {
	more := make(chan bool)
	b := play(t, func(p *peer) {
		for p.request() != "" {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			<-more
			p.say("k")
		}
	})
	tr := transport(t)
	const limit = 50 * time.Millisecond
	ctx := h1.WithTimeouts(t.Context(), h1.Timeouts{ResponseBody: limit})
	res, err := tr.RoundTrip(request(t, "GET", b.URL, "").WithContext(ctx))
	require.NoError(t, err)
	go func() { more <- true }()
	require.Equal(t, "ok", read(t, res))
	time.Sleep(2 * limit)
	res, err = tr.RoundTrip(request(t, "POST", b.URL, "x"))
	require.NoError(t, err)
	more <- true
	assert.Equal(t, "ok", read(t, res))
	assert.Equal(t, 1, b.connections())
}
