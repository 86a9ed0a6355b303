package h1_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// TestRepeat: when a kept-alive connection dies under a request, is it sent
// again? "How" is what the service does to it.
func TestRepeat(t *testing.T) {
	const (
		none   = "no body"
		memory = "body in memory"
		stream = "body from a stream"
		lazy   = "stream with GetBody"
	)
	for _, tc := range []struct {
		method, body string
		again        bool
	}{
		{"GET", none, true}, {"HEAD", none, true}, {"OPTIONS", none, true}, {"DELETE", none, true}, {"TRACE", none, true},
		{"PUT", memory, true}, {"PUT", stream, false}, {"PUT", lazy, true}, {"DELETE", stream, false},
		{"POST", none, false}, {"POST", memory, false}, {"POST", stream, false}, {"POST", lazy, false},
		{"PATCH", memory, false}, {"PURGE", none, false}, {"get", none, false},
	} {
		for how, kill := range map[string]func(*peer){
			"closed after reading": func(p *peer) { p.request() },
			"reset after reading":  func(p *peer) { p.request(); p.reset() },
		} {
			t.Run(fmt.Sprintf("%s, %s, %s", tc.method, tc.body, how), func(t *testing.T) {
				b := play(t, func(p *peer) {
					if p.request(); p.N > 0 {
						p.say(ok)
						p.gone()
						return
					}
					p.say(ok)
					kill(p)
				})
				tr := transport(t)
				exchange(t, tr, request(t, "GET", b.URL, ""))

				req := request(t, tc.method, b.URL, "")
				closed := streamOf(strings.NewReader("hello"))
				switch tc.body {
				case memory:
					req = request(t, tc.method, b.URL, "hello")
				case stream:
					req.Body, req.ContentLength = closed, 5
				case lazy:
					req.Body, req.ContentLength = closed, -1
					req.GetBody = func() (io.ReadCloser, error) { return streamOf(strings.NewReader("hello")), nil }
				}
				req.Header.Set("Idempotency-Key", "k")
				res, err := tr.RoundTrip(req)
				if tc.body == stream || tc.body == lazy {
					assert.True(t, closed.wasClosed())
				}
				if tc.again {
					require.NoError(t, err)
					read(t, res)
					assert.EqualValues(t, 1, tr.Stats().Repeated)
					assert.Len(t, b.seen(), 3)
					return
				}
				require.ErrorIs(t, err, h1.ErrStale)
				assert.False(t, h1.NothingSent(err))
				assert.Len(t, b.seen(), 2, "sent once")
				assert.Zero(t, tr.Stats().Repeated)
			})
		}
	}
}

// A write that fails before its first byte has certainly done nothing: then
// even a POST goes out again, if its body is at hand.
func TestRepeatWhatWasNotSent(t *testing.T) {
	for _, tc := range []struct {
		name  string
		body  io.Reader
		again bool
	}{
		{"in memory", strings.NewReader("x"), true},
		{"stream", struct{ io.Reader }{strings.NewReader("x")}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := play(t, always(ok))
			var made []*failingWrites
			tr := transport(t)
			tr.DialContext = dialer(func(c net.Conn) net.Conn {
				made = append(made, &failingWrites{Conn: c})
				return made[len(made)-1]
			})
			exchange(t, tr, request(t, "GET", b.URL, ""))
			made[0].failing = true
			req := request(t, "POST", b.URL, "")
			req.Body, req.ContentLength = io.NopCloser(tc.body), 1
			if r, ok := tc.body.(*strings.Reader); ok {
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
			}
			_, err := tr.RoundTrip(req)
			if tc.again {
				assert.NoError(t, err)
				assert.Len(t, b.seen(), 2)
				return
			}
			require.Error(t, err)
			assert.NotErrorIs(t, err, h1.ErrStale)
			assert.True(t, h1.NothingSent(err))
		})
	}
}

// What the first attempt sent counts, even if the second could not be made.
func TestSentIsNotForgotten(t *testing.T) {
	b := play(t, func(p *peer) {
		p.request()
		p.say(ok)
		p.request()
		p.back.stop()
	})
	tr := transport(t)
	exchange(t, tr, request(t, "GET", b.URL, ""))
	_, err := tr.RoundTrip(request(t, "GET", b.URL, ""))
	var dial *h1.DialError
	require.ErrorAs(t, err, &dial)
	assert.False(t, h1.NothingSent(err))
	assert.EqualValues(t, 1, tr.Stats().Repeated)
}

type failingWrites struct {
	net.Conn
	failing bool
}

func (c *failingWrites) Write(p []byte) (int, error) {
	if c.failing {
		c.Conn.Close()
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

func TestErrors(t *testing.T) {
	b := play(t, always(ok))
	gone := play(t, always(ok))
	gone.stop()
	closing := play(t, func(p *peer) { p.request() })
	cutting := play(t, answers("HTTP/1.1 2"))
	garbage := play(t, answers("secret\r\n"))
	for _, tc := range []struct {
		name        string
		req         *http.Request
		phase       h1.Phase
		nothingSent bool
		text        string
	}{
		{"https", request(t, "GET", "https://service/", ""), h1.PhaseRequest, true,
			"h1: checking the request: https is not spoken here: use http.Transport for TLS services"},
		{"another scheme", request(t, "GET", "ftp://service/", ""), h1.PhaseRequest, true,
			`h1: checking the request: scheme "ftp" is not spoken here`},
		{"CONNECT", request(t, "CONNECT", b.URL, ""), h1.PhaseRequest, true, "h1: checking the request: CONNECT is not spoken here"},
		{"no URL", &http.Request{}, h1.PhaseRequest, true, "h1: checking the request: request without URL"},
		{"no host", request(t, "GET", "http:///a", ""), h1.PhaseRequest, true, "h1: checking the request: request URL without host"},
		{"a path without slash", opaque(request(t, "GET", b.URL, ""), "", "a"), h1.PhaseRequest, true,
			"h1: checking the request: path of the URL must begin with a slash"},
		{"a body that fails", withBody(request(t, "POST", b.URL, ""), failing{errors.New("too late")}), h1.PhaseWrite, true,
			"h1: writing the request (" + b.URL[7:] + "): reading the request's body: too late"},
		{"nobody there", request(t, "GET", gone.URL, ""), h1.PhaseDial, true,
			"h1: connecting (" + gone.URL[7:] + "): dial tcp " + gone.URL[7:] + ": connect: connection refused"},
		{"no answer", request(t, "GET", closing.URL, ""), h1.PhaseHeader, false,
			"h1: reading the answer's header (" + closing.URL[7:] + "): connection closed without an answer"},
		{"half an answer", request(t, "GET", cutting.URL, ""), h1.PhaseHeader, false,
			"h1: reading the answer's header (" + cutting.URL[7:] + "): unexpected EOF"},
		{"garbage is not repeated in the text", request(t, "GET", garbage.URL, ""), h1.PhaseHeader, false,
			"h1: reading the answer's header (" + garbage.URL[7:] + "): malformed answer: does not begin with HTTP/1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := transport(t).RoundTrip(tc.req)
			var own *h1.Error
			require.ErrorAs(t, err, &own)
			assert.Equal(t, tc.phase, own.Phase)
			assert.Equal(t, tc.nothingSent, h1.NothingSent(err))
			assert.EqualError(t, err, tc.text)
			assert.False(t, own.Timeout())
		})
	}
	assert.False(t, h1.NothingSent(nil))
	assert.False(t, h1.NothingSent(errors.New("another package's")))
	assert.Equal(t, "phase 9", h1.Phase(9).String())
}

func opaque(r *http.Request, opaque, path string) *http.Request {
	r.URL.Opaque, r.URL.Path = opaque, path
	return r
}

func withBody(r *http.Request, body io.Reader) *http.Request {
	r.Body, r.ContentLength = io.NopCloser(body), 10
	return r
}

// A body that fails is the client's fault and keeps its type.
func TestBodyErrorKeepsItsType(t *testing.T) {
	b := play(t, func(p *peer) { p.request() })
	req := withBody(request(t, "POST", b.URL, ""), http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("too much")), 3))
	_, err := transport(t).RoundTrip(req)
	var tooLarge *http.MaxBytesError
	require.ErrorAs(t, err, &tooLarge)
	var body *h1.BodyError
	assert.ErrorAs(t, err, &body)
}

func TestTunnel(t *testing.T) {
	b := play(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
		io.Copy(p, p.r)
		p.say(" and out")
	})
	tr := transport(t)
	tr.MaxPerHost = 1
	open := func() *h1.Tunnel {
		req := request(t, "GET", b.URL, "")
		req.Header.Set("Connection", "upgrade")
		req.Header.Set("Upgrade", "echo")
		res, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.IsType(t, &h1.Tunnel{}, res.Body)
		return res.Body.(*h1.Tunnel)
	}
	one := open()
	two := open() // tunnels do not count for MaxPerHost
	io.WriteString(one, "over")
	require.NoError(t, one.CloseWrite())
	all, err := io.ReadAll(one)
	assert.NoError(t, err)
	assert.Equal(t, "earlyover and out", string(all))
	assert.NoError(t, one.Close())

	conn, early := two.Detach()
	assert.Equal(t, "early", string(early))
	assert.IsType(t, &net.TCPConn{}, conn)
	io.WriteString(conn, "x")
	got := make([]byte, 1)
	_, err = io.ReadFull(two, got)
	assert.NoError(t, err)
	assert.Equal(t, "x", string(got))
	assert.NoError(t, two.Close())
	assert.Zero(t, tr.Stats().Open)
}

func TestTrace(t *testing.T) {
	b := play(t, always(ok))
	tr := transport(t)
	var got []string
	note := func(s string) func() { return func() { got = append(got, s) } }
	trace := &httptrace.ClientTrace{
		GetConn:              func(hostPort string) { got = append(got, "get "+hostPort) },
		GotConn:              func(i httptrace.GotConnInfo) { got = append(got, fmt.Sprint("got, reused ", i.Reused)) },
		WroteHeaders:         note("headers"),
		WroteRequest:         func(i httptrace.WroteRequestInfo) { got = append(got, fmt.Sprint("request ", i.Err)) },
		GotFirstResponseByte: note("answer"),
	}
	for range 2 {
		exchange(t, tr, traced(request(t, "POST", b.URL, "x"), trace))
	}
	addr := b.URL[7:]
	assert.Equal(t, []string{
		"get " + addr, "got, reused false", "headers", "request <nil>", "answer",
		"get " + addr, "got, reused true", "headers", "request <nil>", "answer",
	}, got)
}

// A connection that hides its descriptor works too, and is looked at as well
// before it is used again.
func TestHiddenDescriptor(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"hidden":    func(c net.Conn) net.Conn { return struct{ net.Conn }{c} },
		"unwrapped": func(c net.Conn) net.Conn { return unwrappable{struct{ net.Conn }{c}, c} },
	} {
		t.Run(name, func(t *testing.T) {
			b := play(t, answers(ok, ok, ok))
			tr := transport(t)
			tr.DialContext = dialer(wrap)
			for i := range 6 {
				if i == 3 {
					<-b.last().over
				}
				exchange(t, tr, request(t, "POST", b.URL, "x"))
			}
			assert.Equal(t, 2, b.connections())
			assert.EqualValues(t, 1, tr.Stats().Stale)
		})
	}
}

// What is around a descriptor is not gone past: here a cipher of a kind, on
// which bytes that went past it would be noise.
func TestWrappedDescriptor(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"NetConn":     func(c net.Conn) net.Conn { return unwrappable{cipher{c}, c} },
		"SyscallConn": func(c net.Conn) net.Conn { return embedded{c.(*net.TCPConn), cipher{c}} },
	} {
		t.Run(name, func(t *testing.T) {
			b := play(t, func(p *peer) {
				p.r = bufio.NewReader(cipher{p.Conn})
				for p.request() != "" {
					io.WriteString(cipher{p.Conn}, ok)
				}
			})
			tr := transport(t)
			tr.DialContext = dialer(wrap)
			for range 3 {
				exchange(t, tr, request(t, "POST", b.URL, "x"))
			}
			assert.Equal(t, 1, b.connections())
		})
	}
}

type cipher struct{ net.Conn }

func (c cipher) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for i := range p[:n] {
		p[i] ^= 0x55
	}
	return n, err
}

func (c cipher) Write(p []byte) (int, error) {
	q := make([]byte, len(p))
	for i := range p {
		q[i] = p[i] ^ 0x55
	}
	return c.Conn.Write(q)
}

type embedded struct {
	*net.TCPConn
	c cipher
}

func (e embedded) Read(p []byte) (int, error)  { return e.c.Read(p) }
func (e embedded) Write(p []byte) (int, error) { return e.c.Write(p) }

func TestDialerThatReturnsNothing(t *testing.T) {
	tr := &h1.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}
	_, err := tr.RoundTrip(request(t, "GET", "http://service", ""))
	var dial *h1.DialError
	assert.ErrorAs(t, err, &dial)
	assert.True(t, h1.NothingSent(err))
}

type unwrappable struct {
	net.Conn
	inner net.Conn
}

func (u unwrappable) NetConn() net.Conn { return u.inner }

func dialer(wrap func(net.Conn) net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wrap(c), nil
	}
}
