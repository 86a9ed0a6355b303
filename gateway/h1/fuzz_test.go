package h1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// tape is a connection on which everything the service will say is known, and
// what is written is kept.
type tape struct {
	said  []byte
	piece int           // how many bytes one Read gives; 0 for all
	after chan struct{} // if not nil: nothing is said before it is closed
	wrote bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error) {
	if c.after != nil {
		<-c.after
	}
	if len(c.said) == 0 {
		return 0, io.EOF
	}
	if c.piece > 0 && len(p) > c.piece {
		p = p[:c.piece]
	}
	n := copy(p, c.said)
	c.said = c.said[n:]
	return n, nil
}
func (c *tape) Write(p []byte) (int, error)      { return c.wrote.Write(p) }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// transport plays the tape to every request.
func (c *tape) transport() *h1.Transport {
	return &h1.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
}

// heard is what a client makes of an answer.
type heard struct {
	Status, Proto  string
	Code           int
	Length         int64
	Close          bool
	Header         http.Header
	Body           string
	Trailer        http.Header
	Err            error // before the answer
	BodyErr        error
	Reason, Broken string // of a ProtocolError
}

func hear(res *http.Response, err error) (h heard) {
	var protocol *h1.ProtocolError
	if h.Err = err; err != nil {
		if errors.As(err, &protocol) {
			h.Reason = protocol.Reason
		}
		return h
	}
	h.Status, h.Proto, h.Code, h.Length, h.Close = res.Status, res.Proto, res.StatusCode, res.ContentLength, res.Close
	h.Header = res.Header
	if h.Code != http.StatusSwitchingProtocols {
		var body []byte
		body, h.BodyErr = io.ReadAll(res.Body)
		h.Body = string(body)
		res.Body.Close()
	}
	if errors.As(h.BodyErr, &protocol) {
		h.Broken = protocol.Reason
	}
	if h.BodyErr == nil && len(res.Trailer) > 0 {
		h.Trailer = res.Trailer
	}
	return h
}

// oracle is what net/http makes of it: 1xx skipped, and without what it does
// beyond parsing.
func oracle(req *http.Request, data []byte) heard {
	r := bufio.NewReaderSize(bytes.NewReader(data), 1<<17)
	for {
		res, err := http.ReadResponse(r, req)
		if err == nil && res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		return hear(res, err)
	}
}

// level takes out what is known to differ in accepted answers: net/http takes
// Connection away with close, turns Pragma into Cache-Control, leaves
// Content-Length on a 204, closes where a 204 has a body only later, and has
// framing fields in trailers.
func (h *heard) level() {
	for _, name := range []string{"Connection", "Cache-Control"} {
		h.Header.Del(name)
	}
	if h.Code == http.StatusNoContent {
		h.Header.Del("Content-Length")
		h.Close = false
	}
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"} {
		h.Trailer.Del(name)
	}
	if len(h.Trailer) == 0 {
		h.Trailer = nil
	}
}

// stricter lists what h1 refuses though net/http accepts it: the reason it
// gives, and what must then be in the answer. All of it is either forbidden
// to a sender, or read differently by different recipients.
var stricter = map[string]string{
	"a line ends without carriage return":          `(^|[^\r])\n`, // RFC 9112, 2.2: may be accepted, need not
	"folded header line":                           `\n[ \t]`,     // 5.2: obsolete
	"does not begin with HTTP/1":                   `(?m)^(HTTP/[^1]|\r?$)|^HTTP/1[^.]`,
	"status line":                                  `HTTP/1\.\d[^\r\n]*`,
	"status code":                                  `HTTP/1\.\d +([+-]|\d*\D)`,
	"header field name":                            `(?m)^[^:\r\n]*[^!#$%&'*+\-.^_\x60|~0-9A-Za-z:\r\n][^:\r\n]*:|^:`, // 5.1
	"both Content-Length and Transfer-Encoding":    `(?i)transfer-encoding`,                                           // 6.1: ought to be an error
	"Transfer-Encoding in HTTP/1.0":                `HTTP/1\.0`,                                                       // 6.1: faulty framing
	"Transfer-Encoding other than chunked":         `HTTP/1\.0`,
	"differing Content-Length fields":              `(?i)content-length`,
	"Content-Length":                               `(?i)content-length`,
	"101 that was not asked for":                   `HTTP/1\.\d 101`,
	"too many header fields":                       ``,
	"too many informational answers":               ``,
	"header is larger than MaxResponseHeaderBytes": ``,
	"control byte in a header value":               `[\x00-\x08\x0b-\x1f\x7f]`,
	"Trailer names a field that cannot be one":     `(?i)\ntrailer:`,
	"chunk size":                                   ``, // blanks; see FuzzChunks
	"chunk size line ends without carriage return": `\n`,
	"chunk is longer than its size":                `\n`,
	"chunk size line is too long":                  `;`,
	"chunks are mostly not data":                   ``,
	"trailer section is too large":                 ``,
}

// laxer is what h1 accepts though net/http does not: blanks before a chunk
// extension, which a recipient must accept (RFC 9112, 7.1.1).
var laxer = regexp.MustCompile(`[ \t];`)

func justified(t *testing.T, reason string, data []byte) {
	pattern, listed := stricter[reason]
	require.True(t, listed, "refused for a reason that is not listed: %q", reason)
	require.Regexp(t, regexp.MustCompile(pattern), string(data), reason)
}

// FuzzResponse: what h1 accepts, net/http accepts and understands in the same
// way; what only h1 refuses is listed; how the bytes are cut does not matter.
func FuzzResponse(f *testing.F) {
	for _, tc := range hostile {
		if said := scripted(tc.play); said != "" {
			f.Add([]byte(said), false)
			f.Add([]byte(said), true)
		}
	}
	for _, said := range []string{ok, "HTTP/1.1 200\r\n\r\nbody", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
		okHead + "Transfer-Encoding: chunked\r\nTrailer: A, b\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
		"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + ok, "HTTP/1.1 304 Not Modified\r\nETag: x\r\ncontent-length: 3\r\n\r\n"} {
		f.Add([]byte(said), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		req := request(t, method, "http://service", "")
		got := hear((&tape{said: data}).transport().RoundTrip(req))
		cut := hear((&tape{said: data, piece: 1}).transport().RoundTrip(req))
		require.Equal(t, got.Reason == "", cut.Reason == "")
		require.Equal(t, got.Err == nil, cut.Err == nil)
		require.Equal(t, got.BodyErr == nil, cut.BodyErr == nil)
		cut.Err, cut.BodyErr, cut.Reason, cut.Broken = got.Err, got.BodyErr, got.Reason, got.Broken
		require.Equal(t, got, cut)

		want := oracle(req, data)
		switch {
		case got.Err != nil && want.Err != nil:
			return
		case got.Reason != "":
			justified(t, got.Reason, data)
			return
		}
		require.NoError(t, got.Err, "net/http accepts it")
		require.NoError(t, want.Err, "net/http refuses it")
		if got.BodyErr == nil && want.BodyErr != nil {
			require.Regexp(t, laxer, string(data), "%v", want.BodyErr)
			return
		}
		if got.Broken != "" && want.BodyErr == nil {
			justified(t, got.Broken, data)
			return
		}
		got.level()
		want.level()
		if got.BodyErr != nil {
			require.Error(t, want.BodyErr)
			got.BodyErr, want.BodyErr, want.Broken = nil, nil, got.Broken
			got.Body, want.Body = "", "" // how much comes before the error may differ
		}
		require.Equal(t, want, got)
	})
}

// scripted is what a hostile service says to its first request, as far as
// that is fixed.
func scripted(play func(*peer)) string {
	client, service := net.Pipe()
	defer client.Close()
	go io.WriteString(client, "GET / HTTP/1.1\r\n\r\n")
	go func() {
		defer service.Close()
		play(&peer{Conn: service, back: &backend{}, r: bufio.NewReader(service)})
	}()
	client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	said, _ := io.ReadAll(io.LimitReader(client, 4096))
	return string(said)
}

// FuzzChunks: a chunked body is decoded as net/http's decoder does, or
// refused; and whatever is encoded comes back, however it was cut.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), 3)
	f.Add([]byte("5;a=\"b\"\r\nhello\r\n00\r\nX-A: b\r\n\r\n"), 1)
	f.Add([]byte("ffffffffffffff\r\n"), 100)
	f.Add([]byte("2 ;x\r\nok\r\n2\t\r\nok\r\n0\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		const head = okHead + "Transfer-Encoding: chunked\r\n\r\n"
		req := request(t, "GET", "http://service", "")
		piece = max(piece, 0)
		got := hear((&tape{said: append([]byte(head), data...), piece: piece}).transport().RoundTrip(req))
		require.NoError(t, got.Err)
		if got.BodyErr == nil && !laxer.Match(data) {
			want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
			require.NoError(t, err)
			require.Equal(t, string(want), got.Body)
		}

		var coded bytes.Buffer
		w := httputil.NewChunkedWriter(&coded)
		for rest, size := data, 1+piece%50; len(rest) > 0; size++ {
			n := min(size, len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		w.Close()
		coded.WriteString("\r\n")
		got = hear((&tape{said: append([]byte(head), coded.Bytes()...), piece: piece}).transport().RoundTrip(req))
		require.NoError(t, got.BodyErr)
		require.Equal(t, string(data), got.Body)
	})
}

// FuzzRequest: whatever the request, what goes out is refused or is exactly
// one message, and says what was meant.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/a%2fb", "x=y", "host", "X-Name", "value", []byte("body"), true)
	f.Add("GET", "/", "", "", "Content-Length", "5", []byte(""), false)
	f.Add("GET", "//", "a b", "[::1%25lo]:80", "transfer-encoding", "chunked\r\nX: y", []byte("0\r\n\r\n"), true)
	f.Add("PURGE", "/\"", ";&%", "ex:1", "Connection", "close, x", []byte("\r\nGET / HTTP/1.1\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, method, path, query, host, name, value string, body []byte, sized bool) {
		req := request(t, "GET", "http://service", "")
		req.Method, req.Host = method, host
		req.URL.Path, req.URL.RawQuery = path, query
		req.Header[name] = []string{value}
		stream := streamOf(bytes.NewReader(body))
		req.Body, req.ContentLength = stream, -1
		if sized {
			req.ContentLength = int64(len(body))
			req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("not asked for") }
		}
		c := &tape{said: []byte(ok), after: stream.closed}
		res, err := c.transport().RoundTrip(req)
		if err != nil {
			require.Zero(t, c.wrote.Len(), "refused, but sent")
			return
		}
		res.Body.Close()
		wire := bufio.NewReader(bytes.NewReader(c.wrote.Bytes()))
		sent, err := http.ReadRequest(wire)
		require.NoError(t, err, "%q", c.wrote.String())
		require.Equal(t, orElse(method, "GET"), sent.Method)
		require.Equal(t, query, sent.URL.RawQuery)
		if !framing.MatchString(name) {
			require.Equal(t, strings.Trim(value, " \t"), sent.Header.Get(name))
		}
		got, err := io.ReadAll(sent.Body)
		require.NoError(t, err)
		require.Equal(t, string(body), string(got))
		_, err = wire.ReadByte()
		require.Equal(t, io.EOF, err, "a second message on the wire")
	})
}

var framing = regexp.MustCompile(`(?i)^(host|content-length|transfer-encoding|trailer)$`)

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
