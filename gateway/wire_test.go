package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
)

// backend is a service made of nothing but a socket: it records the bytes of
// each request and answers with bytes.
type backend struct {
	ln     net.Listener
	answer func(n int, request string) string // n counts from 1

	mu   sync.Mutex
	seen []string
	all  sync.WaitGroup
	open map[net.Conn]bool
}

func newBackend(t *testing.T, answer func(n int, request string) string) *backend {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &backend{ln: ln, answer: answer, open: map[net.Conn]bool{}}
	b.all.Go(b.accept)
	t.Cleanup(b.close)
	return b
}

func (b *backend) close() {
	_ = b.ln.Close()
	b.mu.Lock()
	for c := range b.open {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.all.Wait()
}

func (b *backend) accept() {
	for {
		conn, err := b.ln.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.open[conn] = true
		b.mu.Unlock()
		b.all.Go(func() { b.serve(conn) })
	}
}

// serve reads messages as they are framed, byte for byte, and no more leniently
// than that.
func (b *backend) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		request, err := readMessage(r)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.seen = append(b.seen, request)
		n := len(b.seen)
		b.mu.Unlock()
		answer, cut := strings.CutSuffix(b.answer(n, request), cutHere)
		if _, err := io.WriteString(conn, answer); err != nil || cut {
			return
		}
	}
}

// cutHere at the end of an answer closes the connection after it.
const cutHere = "\x00cut here"

// readMessage returns one message as it stood on the wire.
func readMessage(r *bufio.Reader) (string, error) {
	var raw bytes.Buffer
	length, chunked := 0, false
	for {
		line, err := r.ReadString('\n')
		raw.WriteString(line)
		if err != nil {
			return "", err
		}
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(line)), ":")
		switch {
		case line == "\r\n" && chunked:
			return raw.String(), readChunks(r, &raw)
		case line == "\r\n":
			_, err := io.CopyN(&raw, r, int64(length))
			return raw.String(), err
		case name == "content-length":
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		case name == "transfer-encoding":
			chunked = true
		}
	}
}

func readChunks(r *bufio.Reader, raw *bytes.Buffer) error {
	for last := false; ; {
		line, err := r.ReadString('\n')
		raw.WriteString(line)
		if err != nil {
			return err
		}
		if last {
			if line == "\r\n" {
				return nil
			}
			continue
		}
		size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 32)
		if err != nil {
			return err
		}
		if last = size == 0; !last {
			if _, err := io.CopyN(raw, r, size+2); err != nil {
				return err
			}
		}
	}
}

// requests are what has arrived so far.
func (b *backend) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.seen...)
}

// lines are the lines of the n-th request's head, counted from 1.
func (b *backend) lines(n int) []string {
	head, _, _ := strings.Cut(b.requests()[n-1], "\r\n\r\n")
	return strings.Split(head, "\r\n")
}

// fields are the values of one field of the n-th request, as they came.
func (b *backend) fields(n int, name string) []string {
	var out []string
	for _, line := range b.lines(n)[1:] {
		if key, value, _ := strings.Cut(line, ":"); strings.EqualFold(key, name) {
			out = append(out, strings.TrimSpace(value))
		}
	}
	return out
}

// transports are the two ways in which HTTP/1.1 is spoken to services.
var transports = map[string]func() *gateway.Transport{
	"h1":       func() *gateway.Transport { return &gateway.Transport{} },
	"net/http": func() *gateway.Transport { return &gateway.Transport{Standard: true} },
}

// onBoth runs a test with either transport.
func onBoth(t *testing.T, test func(t *testing.T, carrier gateway.Option)) {
	for name, make := range transports {
		t.Run(name, func(t *testing.T) {
			if name != "h1" { // which writes to the standard logger what it finds on idle connections
				log.SetOutput(io.Discard)
				defer log.SetOutput(os.Stderr)
			}
			transport := make()
			t.Cleanup(transport.CloseIdleConnections)
			test(t, gateway.WithTransport(transport))
		})
	}
}

// listen serves a gateway on a real socket, with "s" at url, and returns its
// address.
func listen(t *testing.T, url string, opts ...gateway.Option) string {
	t.Helper()
	registry, err := discovery.NewStatic(map[string][]string{"s": {url}})
	require.NoError(t, err)
	g, err := gateway.New(append([]gateway.Option{gateway.WithRegistry(registry), gateway.WithAccessLog(false), gateway.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return ln.Addr().String()
}

func (b *backend) url() string { return "http://" + b.ln.Addr().String() }

// talk writes bytes to an address and returns a reader of what comes back.
func talk(t *testing.T, addr, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn, bufio.NewReader(conn)
}

// replies reads answers until the connection ends or n have come.
func replies(r *bufio.Reader, n int) []string {
	var out []string
	for len(out) < n {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return append(out, "end")
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return append(out, fmt.Sprint(resp.StatusCode, " cut"))
		}
		text := string(body)
		if resp.Header.Get("Proxy-Status") != "" {
			text = "refused"
		}
		out = append(out, fmt.Sprint(resp.StatusCode, " ", text))
	}
	return out
}

// ok is an answer that says which request it answers.
func ok(n int, request string) string {
	_, target, _ := strings.Cut(request, " ")
	target, _, _ = strings.Cut(target, " ")
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(target), target)
}

func TestWhatIsForwarded(t *testing.T) {
	tests := []struct {
		desc, request string
		has           map[string][]string // fields as the service must get them; nil = absent
		line          string              // the request line, if it matters
	}{
		{desc: "query byte for byte", request: "GET /a?x=%2f;b=1&&c=%zz+ HTTP/1.1\r\n", line: "GET /a?x=%2f;b=1&&c=%zz+ HTTP/1.1"},
		{desc: "an empty query stays", request: "GET /a? HTTP/1.1\r\n", line: "GET /a? HTTP/1.1"},
		{desc: "path byte for byte", request: "GET /a//b|c%7Ed/~;v=1/ HTTP/1.1\r\n", line: "GET /a//b|c%7Ed/~;v=1/ HTTP/1.1"},
		{desc: "hop-by-hop fields end here", request: "GET / HTTP/1.1\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\nProxy-Authorization: secret\r\nTrailer: X\r\n",
			has: map[string][]string{"X-Mine": nil, "Keep-Alive": nil, "Proxy-Connection": nil, "Te": nil, "Proxy-Authorization": nil, "Trailer": nil, "Connection": nil}},
		{desc: "our own cannot be listed away", request: "GET / HTTP/1.1\r\nConnection: X-Forwarded-For, Via, X-Request-Id, Traceparent, Host\r\n",
			has: map[string][]string{"X-Forwarded-For": {"127.0.0.1"}, "Via": {"1.1 tta-gateway"}, "Host": {"gateway.test"}}},
		{desc: "claims of identity and safety are dropped", request: "GET / HTTP/1.1\r\nX-User-Id: root\r\nX_User_Id: root\r\nX-User_Role: admin\r\nX-Safety-Severity: high\r\nX_Priority: crisis\r\nX-Gateway-Lane: crisis\r\nX-Original-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\nAuthorization_: x\r\n",
			has: map[string][]string{"X-User-Id": nil, "X_User_Id": nil, "X-User_Role": nil, "X-Safety-Severity": nil, "X_Priority": nil, "X-Gateway-Lane": nil, "X-Original-Url": nil, "X-Http-Method-Override": nil}},
		{desc: "claims of address are dropped", request: "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-Server: x\r\nX-Forwarded-Proto: https\r\nX_Forwarded_For: 6.6.6.6\r\n",
			has: map[string][]string{"X-Forwarded-For": {"127.0.0.1"}, "X-Real-Ip": nil, "True-Client-Ip": nil, "Cf-Connecting-Ip": nil, "Forwarded": nil, "X-Forwarded-Port": nil, "X-Forwarded-Prefix": nil, "X-Forwarded-Server": nil, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"gateway.test"}, "X_Forwarded_For": nil}},
		{desc: "cookie crumbs are joined", request: "GET / HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2; c=3\r\n", has: map[string][]string{"Cookie": {"a=1; b=2; c=3"}}},
		{desc: "what gRPC needs of TE goes on", request: "GET / HTTP/1.1\r\nConnection: TE\r\nTE: trailers, deflate;q=0.5\r\n", has: map[string][]string{"Te": {"trailers"}}},
		{desc: "nothing is added", request: "GET / HTTP/1.1\r\n", has: map[string][]string{"User-Agent": nil, "Accept-Encoding": nil, "Content-Length": nil, "Transfer-Encoding": nil}},
		{desc: "Via is appended", request: "GET / HTTP/1.1\r\nVia: 1.0 fred\r\n", has: map[string][]string{"Via": {"1.0 fred", "1.1 tta-gateway"}}},
		{desc: "HTTP/1.0 is told so", request: "GET / HTTP/1.0\r\n", has: map[string][]string{"Via": {"1.0 tta-gateway"}}},
		{desc: "absolute form: the name in the target is the Host", request: "GET http://gateway.test/p?q HTTP/1.1\r\nX-Ignored: y\r\n", line: "GET /p?q HTTP/1.1", has: map[string][]string{"Host": {"gateway.test"}}},
		{desc: "OPTIONS goes one hop less far", request: "OPTIONS / HTTP/1.1\r\nMax-Forwards: 3\r\n", has: map[string][]string{"Max-Forwards": {"2"}}},
		{desc: "an obsolete fold becomes a space", request: "GET / HTTP/1.1\r\nX-Folded: a\r\n b\r\n", has: map[string][]string{"X-Folded": {"a b"}}},
	}
	onBoth(t, func(t *testing.T, carrier gateway.Option) {
		b := newBackend(t, ok)
		addr := listen(t, b.url(), carrier, open("s"))
		for _, tt := range tests {
			t.Run(tt.desc, func(t *testing.T) {
				_, answers := talk(t, addr, tt.request+"Host: gateway.test\r\n\r\n")
				resp, err := http.ReadResponse(answers, nil)
				require.NoError(t, err)
				_ = resp.Body.Close()
				require.Equal(t, http.StatusOK, resp.StatusCode)
				n := len(b.requests())
				if tt.line != "" {
					assert.Equal(t, tt.line, b.lines(n)[0])
				}
				for name, want := range tt.has {
					got := b.fields(n, name)
					if name == "Connection" || name == "Te" && want != nil {
						got = without(got, "TE", "close")
					}
					assert.Equal(t, want, got, name)
				}
			})
		}
	})
}

func without(values []string, drop ...string) []string {
	var out []string
	for _, v := range values {
		kept := true
		for _, d := range drop {
			kept = kept && v != d
		}
		if kept {
			out = append(out, v)
		}
	}
	return out
}

// TestSmuggling: whatever two readings a message has, the service gets one of
// them, framed by us, and the caller as many answers as requests were taken.
func TestSmuggling(t *testing.T) {
	const host = "Host: gateway.test\r\n"
	const prefix = "GET /smuggled HTTP/1.1\r\n" + host + "\r\n"
	tests := []struct {
		desc, bytes string
		seen        []string // targets that reach the service
		answers     []string
	}{
		{"CL.TE", "POST /a HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n", 5+len(prefix)) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + prefix,
			[]string{"/a", "/smuggled"}, []string{"200 /a", "200 /smuggled"}}, // one reading for both sides: two requests, two answers
		{"TE.CL", "POST /a HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(prefix), prefix),
			[]string{"/a"}, []string{"200 /a"}},
		{"TE.TE", "POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + prefix,
			nil, []string{"501 Unsupported transfer encoding", "end"}},
		{"TE with an odd blank", "POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + prefix,
			nil, []string{"400 ", "end"}},
		{"a blank before the colon", "POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + prefix,
			nil, []string{"400 ", "end"}},
		{"two lengths", "POST /a HTTP/1.1\r\n" + host + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + prefix, nil, []string{"400 ", "end"}},
		{"a list of lengths", "POST /a HTTP/1.1\r\n" + host + "Content-Length: 0, 44\r\n\r\n" + prefix, nil, []string{"400 ", "end"}},
		{"a length in hexadecimal", "POST /a HTTP/1.1\r\n" + host + "Content-Length: 0x2\r\n\r\nab", nil, []string{"400 ", "end"}},
		{"a negative length", "POST /a HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n" + prefix, nil, []string{"400 ", "end"}},
		{"a chunk size that overflows", "POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nab\r\n0\r\n\r\n" + prefix,
			[]string{}, []string{"400 refused", "end"}},
		{"a chunk extension is not passed on", "POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;x=\"\r\n\"\r\nz\r\n0\r\n\r\n", []string{}, []string{"400 refused", "end"}},
		{"a bare LF in a chunk size", "POST /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\nz\r\n0\r\n\r\n" + prefix, []string{}, []string{"400 refused", "end"}},
		{"a CR in a value", "GET /a HTTP/1.1\r\n" + host + "X: a\rTransfer-Encoding: chunked\r\n\r\n", nil, []string{"400 ", "end"}},
		{"a NUL in a value", "GET /a HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", nil, []string{"400 ", "end"}},
		{"a request in the target", "GET /a\tHTTP/1.1\r\n" + host + "\r\n", nil, []string{"400 ", "end"}},
		{"a Host that may be two", "GET /a HTTP/1.1\r\nHost: gateway.test,evil\r\n\r\n", nil, []string{"400 refused"}},
		{"two pipelined requests are two", "GET /a HTTP/1.1\r\n" + host + "\r\nGET /b HTTP/1.1\r\n" + host + "\r\n", []string{"/a", "/b"}, []string{"200 /a", "200 /b"}},
		{"a body of GET is framed", "GET /a HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(prefix)) + prefix, []string{"/a"}, []string{"200 /a"}},
		{"h2c by upgrade", "GET /a HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", nil, []string{"400 refused"}},
	}
	onBoth(t, func(t *testing.T, carrier gateway.Option) {
		for _, tt := range tests {
			t.Run(tt.desc, func(t *testing.T) {
				b := newBackend(t, ok)
				addr := listen(t, b.url(), carrier, open("s"))
				_, r := talk(t, addr, tt.bytes)
				got := replies(r, len(tt.answers))
				for i, want := range tt.answers {
					if strings.HasSuffix(want, " ") && i < len(got) { // what follows is net/http's own words
						got[i] = got[i][:min(len(want), len(got[i]))]
					}
				}
				assert.Equal(t, tt.answers, got)
				if tt.seen == nil || len(tt.seen) > 0 {
					assert.Equal(t, tt.seen, targets(b))
				}
				for n := range b.requests() {
					framings := len(b.fields(n+1, "Content-Length")) + len(b.fields(n+1, "Transfer-Encoding"))
					assert.LessOrEqual(t, framings, 1, "one framing, ours")
				}
			})
		}
	})
}

func targets(b *backend) []string {
	var out []string
	for n := range b.requests() {
		_, target, _ := strings.Cut(b.lines(n + 1)[0], " ")
		target, _, _ = strings.Cut(target, " ")
		out = append(out, target)
	}
	return out
}

// TestNextRequestGetsItsOwnAnswer: whatever a service leaves behind on a
// connection, the next request is answered with its own answer.
func TestNextRequestGetsItsOwnAnswer(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	tests := []struct{ desc, answer string }{
		{"a second answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + poison},
		{"a body after 204", "HTTP/1.1 204 No Content\r\n\r\n" + poison},
		{"a body after 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok" + poison},
		{"more than the length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"},
		{"after the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + poison},
		{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + poison},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nok" + poison},
		{"a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok" + poison},
		{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n" + poison},
		{"a status of three nines", "HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok" + poison},
		{"an interim answer too many", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 60) + poison},
		{"cut in the head", "HTTP/1.1 200 OK\r\nContent-Le" + cutHere},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok" + cutHere},
		{"switches unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + poison},
	}
	// Only h1 promises this: http.Transport looks for what was left behind on a
	// goroutine of its own, and may hand the connection on before it has looked.
	t.Run("h1", func(t *testing.T) {
		transport := gateway.NewTransport()
		t.Cleanup(transport.CloseIdleConnections)
		carrier := gateway.WithTransport(transport)
		for _, tt := range tests {
			t.Run(tt.desc, func(t *testing.T) {
				b := newBackend(t, func(n int, request string) string {
					if strings.Contains(request, "/bad") {
						return tt.answer
					}
					return ok(n, request)
				})
				addr := listen(t, b.url(), carrier, open("s"), gateway.WithService("s", gateway.Service{Breaker: noBreaker, Retries: -1}))
				for i := range 5 {
					_, r := talk(t, addr, "GET /bad HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n")
					first := replies(r, 1)
					assert.NotContains(t, first[0], "poison")
					path := fmt.Sprintf("/good%d", i)
					_, r = talk(t, addr, "GET "+path+" HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n")
					assert.Equal(t, []string{"200 " + path}, replies(r, 1))
				}
			})
		}
	})
}

// TestWhatServicesMayNotSay: fields of the service's own connection, and those
// that the gateway speaks for, do not reach the caller.
func TestWhatServicesMayNotSay(t *testing.T) {
	onBoth(t, func(t *testing.T, carrier gateway.Option) {
		b := newBackend(t, func(int, string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Request-Id: theirs\r\nX-Safety-Severity: none\r\nX-Kept: 1\r\nProxy-Status: deeper; error=dns_error\r\n\r\nok"
		})
		addr := listen(t, b.url(), carrier, open("s"))
		_, r := talk(t, addr, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		_ = resp.Body.Close()
		for _, name := range []string{"X-Internal", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "Connection", "X-Safety-Severity"} {
			assert.Empty(t, resp.Header[name], name)
		}
		assert.NotEqual(t, "theirs", resp.Header.Get("X-Request-Id"))
		assert.Equal(t, "1", resp.Header.Get("X-Kept"))
		assert.Equal(t, "deeper; error=dns_error", resp.Header.Get("Proxy-Status"), "what a service says of its own services passes")
	})
}

func TestForwardedStyles(t *testing.T) {
	tests := []struct {
		style     gateway.ForwardedStyle
		forwarded []string
		x         []string
	}{
		{gateway.ForwardedX, nil, []string{"127.0.0.1"}},
		{gateway.ForwardedStandard, []string{`for=127.0.0.1;proto=http;host="gateway.test:8080"`}, nil},
		{gateway.ForwardedBoth, []string{`for=127.0.0.1;proto=http;host="gateway.test:8080"`}, []string{"127.0.0.1"}},
		{gateway.ForwardedNone, nil, nil},
	}
	for _, tt := range tests {
		b := newBackend(t, ok)
		addr := listen(t, b.url(), open("s"), gateway.WithForwarded(tt.style))
		_, r := talk(t, addr, "GET / HTTP/1.1\r\nHost: gateway.test:8080\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n")
		replies(r, 1)
		assert.Equal(t, tt.forwarded, b.fields(1, "Forwarded"))
		assert.Equal(t, tt.x, b.fields(1, "X-Forwarded-For"))
	}
}

func TestMaxForwardsZeroIsAnsweredHere(t *testing.T) {
	b := newBackend(t, ok)
	addr := listen(t, b.url(), gateway.WithRoutes(gateway.Route{Pattern: "/", Methods: []string{"GET", "OPTIONS"}, Service: "s", Allow: auth.Anyone}))
	_, r := talk(t, addr, "OPTIONS / HTTP/1.1\r\nHost: gateway.test\r\nMax-Forwards: 0\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusNoContent, resp.StatusCode)
	assert.Equal(t, "GET, HEAD, OPTIONS", resp.Header.Get("Allow"))
	assert.Empty(t, b.requests())
}

// TestTunnelOnSockets: what either side says too early is not lost, nothing is
// changed, and much goes through.
func TestTunnelOnSockets(t *testing.T) {
	const handshake = "GET /ws HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	onBoth(t, func(t *testing.T, carrier gateway.Option) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nearly from the service;")
			_, _ = io.Copy(conn, r) // an echo
		}()
		addr := listen(t, "http://"+ln.Addr().String(), carrier, gateway.WithRoutes(gateway.Route{Pattern: "/ws", Service: "s", Allow: auth.Anyone, Upgrade: true}))
		conn, r := talk(t, addr, handshake+"early from the client;")
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
		want := "early from the service;early from the client;"
		got := make([]byte, len(want))
		_, err = io.ReadFull(r, got)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))

		sent := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		go func() { _, _ = conn.Write(sent) }()
		echoed := make([]byte, len(sent))
		_, err = io.ReadFull(r, echoed)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(sent, echoed))
	})
}
