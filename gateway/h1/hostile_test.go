package h1_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// outcome is how an exchange with a hostile service ended.
type outcome int

const (
	answered  outcome = iota // with an answer and its whole body
	broken                   // an answer, and a body that ends in an error
	truncated                // the same, with io.ErrUnexpectedEOF
	malformed                // a *ProtocolError before any answer
	brokenOff                // a *ProtocolError in the body
	lost                     // no answer: the connection failed
	timedOut                 // a *TimeoutError before any answer
	stalled                  // a *TimeoutError in the body
)

const okHead = "HTTP/1.1 200 OK\r\n"

// hostile is what a service may do to its first connection.
var hostile = []struct {
	name string
	play func(p *peer)
	want outcome
}{
	{"closes at once", func(p *peer) {}, lost},
	{"closes after the request", func(p *peer) { p.request() }, lost},
	{"resets after the request", func(p *peer) { p.request(); p.reset() }, lost},
	{"closes in the status line", answers("HTTP/1.1 2"), lost},
	{"closes in the header", answers(okHead + "X-A: b\r\n"), lost},
	{"speaks another protocol", answers("SSH-2.0-OpenSSH_9.2\r\n"), malformed},
	{"speaks another protocol without line ends", stays("\x16\x03\x01\x02\x00\x01"), malformed},
	{"says HTTP/0.9", answers("<html>hello</html>"), malformed},
	{"says HTTP/2.0", answers("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"), malformed},
	{"says http/1.1", answers("http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), malformed},
	{"empty line first", answers("\r\n" + ok), malformed},
	{"status of two digits", answers("HTTP/1.1 20 OK\r\n\r\n"), malformed},
	{"status of four digits", answers("HTTP/1.1 2000 OK\r\n\r\n"), malformed},
	{"status with a sign", answers("HTTP/1.1 +20 OK\r\n\r\n"), malformed},
	{"status 099", answers("HTTP/1.1 099 OK\r\n\r\n"), malformed},
	{"two blanks before the status", answers("HTTP/1.1  200 OK\r\n\r\n"), malformed},
	{"NUL in the reason", answers("HTTP/1.1 200 O\x00K\r\n\r\n"), malformed},
	{"carriage return in the reason", answers("HTTP/1.1 200 O\rK\r\n\r\n"), malformed},
	{"bare line feeds", answers("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), malformed},
	{"bare line feed in a value", answers(okHead + "X-A: b\nX-B: c\r\n\r\n"), malformed},
	{"bare carriage return in a value", answers(okHead + "X-A: b\rX-B: c\r\n\r\n"), malformed},
	{"NUL in a value", answers(okHead + "X-A: b\x00\r\n\r\n"), malformed},
	{"folded line", answers(okHead + "X-A: b\r\n c\r\n\r\n"), malformed},
	{"folded first line", answers(okHead + " X-A: b\r\n\r\n"), malformed},
	{"blank before the colon", answers(okHead + "Content-Length : 2\r\n\r\nok"), malformed},
	{"blank in a name", answers(okHead + "X A: b\r\n\r\n"), malformed},
	{"no name", answers(okHead + ": b\r\n\r\n"), malformed},
	{"no colon", answers(okHead + "X-A\r\n\r\n"), malformed},
	{"NUL in a name", answers(okHead + "X\x00A: b\r\n\r\n"), malformed},
	{"name in another script", answers(okHead + "Контент: b\r\n\r\n"), malformed},
	{"both lengths", answers(okHead + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), malformed},
	{"two lengths", answers(okHead + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!"), malformed},
	{"list of lengths", answers(okHead + "Content-Length: 2, 2\r\n\r\nok"), malformed},
	{"negative length", answers(okHead + "Content-Length: -1\r\n\r\n"), malformed},
	{"signed length", answers(okHead + "Content-Length: +2\r\n\r\nok"), malformed},
	{"hexadecimal length", answers(okHead + "Content-Length: 0x2\r\n\r\nok"), malformed},
	{"length of 2^63", answers(okHead + "Content-Length: 9223372036854775808\r\n\r\n"), malformed},
	{"length of 2^64+2", answers(okHead + "Content-Length: 18446744073709551618\r\n\r\nok"), malformed},
	{"unknown coding", answers(okHead + "Transfer-Encoding: xchunked\r\n\r\n"), malformed},
	{"coding with a vertical tab", answers(okHead + "Transfer-Encoding: \x0bchunked\r\n\r\n"), malformed},
	{"two codings", answers(okHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), malformed},
	{"chunked in HTTP/1.0", answers("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), malformed},
	{"announces Content-Length as a trailer", answers(okHead + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n"), malformed},
	{"101 that nobody asked for", stays("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), malformed},
	{"header of two mebibytes", flood(okHead, "X-A: "+strings.Repeat("a", 1000)+"\r\n"), malformed},
	{"line of two mebibytes", flood(okHead+"X-A: ", strings.Repeat("a", 1000)), malformed},
	{"name of two mebibytes", flood(okHead, strings.Repeat("a", 1000)), malformed},
	{"a field too many", flood(okHead, strings.Repeat("a:\r\n", 100)), malformed},
	{"1xx for ever", flood("", "HTTP/1.1 103 Early Hints\r\n\r\n"), malformed},
	{"silence", stays(""), timedOut},
	{"silence in the header", stays(okHead + "X-A:"), timedOut},
	{"1xx and silence", stays("HTTP/1.1 102 Processing\r\n\r\n"), timedOut},
	{"a header byte by byte, for ever", func(p *peer) {
		p.request()
		for _, err := p.Write([]byte(okHead)); err == nil; _, err = p.Write([]byte("a")) {
			time.Sleep(5 * time.Millisecond)
		}
	}, timedOut},

	{"closes in the body", answers(okHead + "Content-Length: 10\r\n\r\nhello"), truncated},
	{"resets in the body", func(p *peer) {
		p.request()
		p.say(okHead + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000))
		p.reset()
	}, broken},
	{"falls silent in the body", stays(okHead + "Content-Length: 10\r\n\r\nhello"), stalled},
	{"falls silent in a chunk size", stays(okHead + "Transfer-Encoding: chunked\r\n\r\n5"), stalled},
	{"falls silent in the trailer", stays(okHead + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A"), stalled},
	{"more than it said", answers(ok + "poison"), answered},
	{"an answer too many", answers(ok + okHead + "Content-Length: 6\r\n\r\npoison"), answered},
	{"body after 204", answers("HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison"), answered},
	{"body after 304", answers("HTTP/1.1 304 Not Modified\r\n\r\npoison"), answered},
	{"chunks after 204", answers("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n"), answered},
	{"body after an empty one", answers(okHead + "Content-Length: 0\r\n\r\npoison"), answered},
	{"bytes after the last chunk", answers(okHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\npoison"), answered},

	{"chunk size that is no number", chunked("g\r\nok\r\n"), brokenOff},
	{"empty chunk size", chunked("\r\nok\r\n"), brokenOff},
	{"chunk size with a sign", chunked("+2\r\nok\r\n"), brokenOff},
	{"negative chunk size", chunked("-2\r\nok\r\n"), brokenOff},
	{"chunk size with 0x", chunked("0x2\r\nok\r\n"), brokenOff},
	{"chunk size beyond 64 bits", chunked("10000000000000002\r\nok\r\n"), brokenOff},
	{"chunk size beyond reason", chunked("ffffffffffffffff\r\nok\r\n"), brokenOff},
	{"many zeros before the chunk size", chunked("00000000000000002\r\nok\r\n"), brokenOff},
	{"blank before the chunk size", chunked(" 2\r\nok\r\n"), brokenOff},
	{"blank after the chunk size", chunked("2 \r\nok\r\n"), brokenOff},
	{"chunk size with a bare line feed", chunked("2\nok\r\n"), brokenOff},
	{"chunk longer than its size", chunked("2\r\nokay\r\n"), brokenOff},
	{"chunk ended by a bare line feed", chunked("2\r\nok\n0\r\n\r\n"), brokenOff},
	{"chunk extension with a carriage return", chunked("2;a\rb\r\nok\r\n"), brokenOff},
	{"chunk extension without end", flood(okHead+"Transfer-Encoding: chunked\r\n\r\n2;", strings.Repeat("a", 100)), brokenOff},
	{"chunks that are mostly extensions", flood(okHead+"Transfer-Encoding: chunked\r\n\r\n", "1;"+strings.Repeat("a", 900)+"\r\nx\r\n"), brokenOff},
	{"folded trailer", chunked("0\r\nX-A: b\r\n c\r\n\r\n"), brokenOff},
	{"trailer without end", flood(okHead+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: "+strings.Repeat("a", 100)+"\r\n"), brokenOff},
	{"trailer with a bare line feed", chunked("0\r\nX-A: b\n\n"), brokenOff},
}

// TestHostile plays each at a Transport, and then a good service on the same
// address: the next request gets its own answer, whatever was left behind.
func TestHostile(t *testing.T) {
	for _, tc := range hostile {
		t.Run(tc.name, func(t *testing.T) {
			b := play(t, func(p *peer) {
				if p.N == 0 {
					tc.play(p)
					return
				}
				p.request()
				p.say(okHead + "Content-Length: 4\r\n\r\nmine")
				p.gone()
			})
			tr := transport(t)
			tr.ResponseHeaderTimeout, tr.ResponseBodyTimeout = 100*time.Millisecond, 100*time.Millisecond
			if tc.want < timedOut {
				tr.ResponseHeaderTimeout, tr.ResponseBodyTimeout = patience, patience
			}
			judgeOutcome(t, tr, b, tc.want)

			_, body := exchange(t, tr, request(t, "POST", b.URL, "x"))
			assert.Equal(t, "mine", body)
			assert.EqualValues(t, 1, tr.Stats().Open)
		})
	}
}

func judgeOutcome(t *testing.T, tr *h1.Transport, b *backend, want outcome) {
	res, err := tr.RoundTrip(request(t, "GET", b.URL, ""))
	var own *h1.Error
	var protocol *h1.ProtocolError
	if err != nil {
		require.ErrorAs(t, err, &own)
		assert.NotContains(t, err.Error(), "poison")
		assert.Equal(t, want == malformed, errors.As(err, &protocol), err)
		assert.Equal(t, want == timedOut, errors.Is(err, os.ErrDeadlineExceeded), err)
		assert.Contains(t, []outcome{malformed, timedOut, lost}, want, err)
		return
	}
	body, err := io.ReadAll(res.Body)
	assert.NotContains(t, string(body), "poison")
	switch want {
	case answered:
		assert.NoError(t, err)
	case truncated:
		assert.Equal(t, io.ErrUnexpectedEOF, err)
	case broken:
		assert.ErrorAs(t, err, &own)
	case brokenOff:
		assert.ErrorAs(t, err, &protocol)
	case stalled:
		var timeout *h1.TimeoutError
		require.ErrorAs(t, err, &timeout)
		assert.Equal(t, h1.PhaseBody, timeout.Phase)
	default:
		assert.Fail(t, "an answer", "%v %v", res.Status, err)
	}
	assert.NoError(t, res.Body.Close())
}

// stays says something and then nothing more, with the connection open.
func stays(s string) func(*peer) {
	return func(p *peer) { p.request(); p.say(s); p.gone() }
}

func chunked(s string) func(*peer) {
	return answers(okHead + "Transfer-Encoding: chunked\r\n\r\n" + s)
}

// flood says first, and then again and again more.
func flood(first, more string) func(*peer) {
	return func(p *peer) {
		p.request()
		for _, err := io.WriteString(p, first); err == nil; _, err = io.WriteString(p, more) {
		}
	}
}

// A service that speaks before it has been spoken to gets no request.
func TestSpeaksFirst(t *testing.T) {
	said := make(chan bool)
	b := play(t, func(p *peer) { p.say(ok); said <- true; p.gone() })
	tr := transport(t)
	tr.DialContext = dialer(func(c net.Conn) net.Conn { <-said; return c })
	_, err := tr.RoundTrip(request(t, "POST", b.URL, "x"))
	require.Error(t, err)
	assert.True(t, h1.NothingSent(err))
	assert.Zero(t, tr.Stats().Open)
}

// Bytes that come while a connection is unused are found before the next
// request goes out on it. (Those that come later, but before the service has
// read that request, nobody can tell from its answer: HTTP/1.1 has no way.)
func TestLateBytes(t *testing.T) {
	read, said := make(chan bool), make(chan bool)
	b := play(t, func(p *peer) {
		p.request()
		p.say(ok)
		if p.N == 0 {
			<-read
			p.say(okHead + "Content-Length: 6\r\n\r\npoison")
			said <- true
		}
		p.gone()
	})
	tr := transport(t)
	exchange(t, tr, request(t, "GET", b.URL, ""))
	read <- true
	<-said
	_, body := exchange(t, tr, request(t, "POST", b.URL, "x"))
	assert.Equal(t, "ok", body)
	assert.EqualValues(t, 1, tr.Stats().Stale)
	assert.EqualValues(t, 2, tr.Stats().Dialed)
}

// Four clients share a Transport and a service that mixes good answers with
// everything above: no answer ever reaches the wrong request.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	b := play(t, func(p *peer) {
		for n := 0; ; n++ {
			req := p.request()
			if req == "" {
				return
			}
			id := strings.Fields(req)[1]
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(id), id)
			switch (n + p.N) % 5 {
			case 1:
				p.say(answer + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			case 2:
				p.say(answer)
				return
			case 3:
				p.say(answer)
				p.reset()
				return
			default:
				p.say(answer)
			}
		}
	})
	tr := transport(t)
	done := make(chan bool)
	for client := range 4 {
		go func() {
			defer func() { done <- true }()
			for i := range 200 {
				id := fmt.Sprintf("/%d/%d", client, i)
				res, err := tr.RoundTrip(request(t, "GET", b.URL+id, ""))
				if err != nil {
					continue
				}
				body, err := io.ReadAll(res.Body)
				if err == nil && res.StatusCode == http.StatusOK {
					assert.Equal(t, id, string(body))
				}
				res.Body.Close()
			}
		}()
	}
	for range 4 {
		<-done
	}
	stats := tr.Stats()
	assert.Positive(t, stats.Reused)
	assert.Equal(t, stats.Open, stats.Idle, "every connection is accounted for")
}
