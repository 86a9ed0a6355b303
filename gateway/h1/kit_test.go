package h1_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// patience is for what should come at once; a test that reaches it has failed.
const patience = 10 * time.Second

// backend is a service played by a script, byte for byte, on real sockets.
type backend struct {
	URL string
	ln  net.Listener

	mu       sync.Mutex
	requests []string
	peers    []*peer
}

// peer is one connection as the service sees it.
type peer struct {
	net.Conn
	N    int           // 0 for the first connection
	over chan struct{} // closed when the script has ended and the connection is closed
	back *backend
	r    *bufio.Reader
}

// play starts a backend; script is run for every connection, which is closed
// when it returns.
func play(t testing.TB, script func(p *peer)) *backend {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &backend{URL: "http://" + ln.Addr().String(), ln: ln}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p := &peer{Conn: c, N: n, over: make(chan struct{}), back: b, r: bufio.NewReader(c)}
			b.mu.Lock()
			b.peers = append(b.peers, p)
			b.mu.Unlock()
			all.Go(func() {
				defer close(p.over)
				defer c.Close()
				script(p)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		b.mu.Lock()
		for _, p := range b.peers {
			p.Close()
		}
		b.mu.Unlock()
		all.Wait()
	})
	return b
}

// answers is a script that gives these answers on every connection, one for
// each request, and then closes.
func answers(all ...string) func(*peer) {
	return func(p *peer) {
		for _, a := range all {
			if p.request() == "" {
				return
			}
			p.say(a)
		}
	}
}

// always is a script that gives the same answer for ever.
func always(answer string) func(*peer) {
	return func(p *peer) {
		for p.request() != "" {
			p.say(answer)
		}
	}
}

// head reads a request's header, "" at the end of the connection.
func (p *peer) head() string {
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return ""
		}
		if b.WriteString(line); line == "\r\n" {
			return b.String()
		}
	}
}

// request reads a request as it stands on the wire, and records it.
func (p *peer) request() string {
	head := p.head()
	if head == "" {
		return ""
	}
	body, err := p.body(head)
	if err != nil {
		return ""
	}
	p.back.mu.Lock()
	defer p.back.mu.Unlock()
	p.back.requests = append(p.back.requests, head+body)
	return head + body
}

func (p *peer) body(head string) (string, error) {
	var b strings.Builder
	if _, length, ok := strings.Cut(head, "Content-Length: "); ok {
		var n int64
		fmt.Sscan(length, &n)
		_, err := io.CopyN(&b, p.r, n)
		return b.String(), err
	}
	if !strings.Contains(head, "Transfer-Encoding: chunked") {
		return "", nil
	}
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		var n int64
		fmt.Sscanf(line, "%x", &n)
		if n == 0 {
			break
		}
		if _, err := io.CopyN(&b, p.r, n+2); err != nil {
			return "", err
		}
	}
	for {
		line, err := p.r.ReadString('\n')
		if b.WriteString(line); err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}

func (p *peer) say(s string) { io.WriteString(p, s) }

// reset ends the connection with RST instead of FIN.
func (p *peer) reset() {
	if c, ok := p.Conn.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	p.Close()
}

// gone waits until the client has closed the connection.
func (p *peer) gone() bool {
	p.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, p.r)
	return !isDeadline(err)
}

func isDeadline(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func (b *backend) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.requests...)
}

// last is the newest connection.
func (b *backend) last() *peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peers[len(b.peers)-1]
}

// stop ends the listener.
func (b *backend) stop() { b.ln.Close() }

func (b *backend) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.peers)
}

// request makes a request or fails.
func request(t require.TestingT, method, url, body string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, r)
	require.NoError(t, err)
	return req
}

// stream is a request body that does not tell that it is in memory, and
// remembers that it was closed.
type stream struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func streamOf(r io.Reader) *stream { return &stream{Reader: r, closed: make(chan struct{})} }

func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *stream) wasClosed() bool {
	select {
	case <-s.closed:
		return true
	case <-time.After(patience):
		return false
	}
}

// read reads the answer's body to its end.
func read(t require.TestingT, res *http.Response) string {
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return string(b)
}

// exchange is RoundTrip and read in one.
func exchange(t require.TestingT, rt http.RoundTripper, req *http.Request) (*http.Response, string) {
	res, err := rt.RoundTrip(req)
	require.NoError(t, err)
	return res, read(t, res)
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// transport is a new h1.Transport that is cleared away with the test.
func transport(t testing.TB) *h1.Transport {
	tr := &h1.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}
