package h1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// settings are what both transports know.
type settings struct {
	responseHeader, expectContinue time.Duration
	maxPerHost, maxHeader          int
}

var transports = map[string]func(testing.TB, settings) http.RoundTripper{
	"h1": func(t testing.TB, s settings) http.RoundTripper {
		tr := transport(t)
		tr.ResponseHeaderTimeout, tr.ExpectContinueTimeout = s.responseHeader, s.expectContinue
		tr.MaxPerHost, tr.MaxResponseHeaderBytes = s.maxPerHost, s.maxHeader
		return tr
	},
	"http.Transport": func(t testing.TB, s settings) http.RoundTripper {
		tr := &http.Transport{
			DisableCompression:    true,
			ResponseHeaderTimeout: s.responseHeader, ExpectContinueTimeout: s.expectContinue,
			MaxConnsPerHost: s.maxPerHost, MaxResponseHeaderBytes: int64(s.maxHeader),
		}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	},
}

// judge collects the failures of one case instead of failing the test.
type judge struct {
	real     *testing.T
	failures []string
}

type judged struct{}

func (j *judge) Errorf(format string, args ...any) {
	j.failures = append(j.failures, fmt.Sprintf(format, args...))
}
func (j *judge) FailNow() { panic(judged{}) }

func (j *judge) run(test func(*judge, maker), client maker) {
	defer func() {
		if p := recover(); p != nil && p != (judged{}) {
			panic(p)
		}
	}()
	test(j, client)
}

type maker = func(settings) http.RoundTripper

// conformance is what a proxy asks of its transport. lacks says why
// http.Transport does not pass; an entry that is no longer true fails, unless
// it says "sometimes".
var conformance = []struct {
	name  string
	lacks string
	test  func(t *judge, client maker)
}{
	{"a request is sent as given, with Host and nothing else", "adds User-Agent", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		exchange(t, client(settings{}), request(t, "GET", b.URL+"/a?b=c", ""))
		require.Equal(t, []string{"GET /a?b=c HTTP/1.1\r\nHost: " + b.URL[7:] + "\r\n\r\n"}, b.seen())
	}},
	{"Host is Request.Host", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		req := request(t, "GET", b.URL, "")
		req.Host = "chat.example:8080"
		exchange(t, client(settings{}), req)
		require.Contains(t, b.seen()[0], "\r\nHost: chat.example:8080\r\n")
	}},
	{"one connection serves one request after the other", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		for range 5 {
			exchange(t, rt, request(t, "GET", b.URL, ""))
		}
		require.Equal(t, 1, b.connections())
	}},
	{"targets go out byte for byte", `escapes a raw path anew where it holds '"', '<', '^' and the like`, func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		targets := []string{
			"/", "//", "/a//b", "/a/./b/../c", "/a%2Fb", "/a%2fb", "/%41", "/a;b=c,d", "/a+b", "/a|b",
			"/%E2%82%AC", "/?", "/?a=1;b=2&%zz", "/x?q=%20+%2B&=&&", `/a"b`, "/a^b`c{d}", "/a<b>",
			"/:80@x", "/*", "/%00", "/..%2f..", "/x?a=b?c/d",
		}
		for _, target := range targets {
			u, err := url.ParseRequestURI(target)
			require.NoError(t, err)
			req := request(t, "GET", b.URL, "")
			u.Scheme, u.Host = req.URL.Scheme, req.URL.Host
			req.URL = u
			exchange(t, rt, req)
			seen := b.seen()
			require.Equal(t, "GET "+target+" HTTP/1.1", firstLine(seen[len(seen)-1]))
		}
	}},
	{"OPTIONS * and Opaque targets", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		req := request(t, "OPTIONS", b.URL, "")
		req.URL.Path = "*"
		exchange(t, rt, req)
		req = request(t, "GET", b.URL, "")
		req.URL.Opaque = "//other.example/a%2fb"
		exchange(t, rt, req)
		require.Equal(t, "OPTIONS * HTTP/1.1", firstLine(b.seen()[0]))
		require.Equal(t, "GET http://other.example/a%2fb HTTP/1.1", firstLine(b.seen()[1]))
	}},
	{"the request is not changed", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		req := request(t, "POST", b.URL+"/a%2Fb", "x")
		req.Header = http.Header{"X-A": {" padded "}, "Connection": {"close"}, "content-length": {"7"}}
		header, target := req.Header.Clone(), *req.URL
		exchange(t, client(settings{}), req)
		require.Equal(t, header, req.Header)
		require.Equal(t, target, *req.URL)
		require.EqualValues(t, 1, req.ContentLength)
	}},
	{"the caller's fields cannot frame the message, however they are spelt", "writes non-canonical framing names as they are", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		req := request(t, "POST", b.URL, "body")
		req.Header = http.Header{"content-length": {"1"}, "TRANSFER-ENCODING": {"chunked"}, "hOST": {"evil"}, "traileR": {"X"}}
		exchange(t, client(settings{}), req)
		require.Equal(t, 1, strings.Count(strings.ToLower(b.seen()[0]), "content-length"))
		require.NotContains(t, strings.ToLower(b.seen()[0]), "transfer-encoding")
		require.NotContains(t, strings.ToLower(b.seen()[0]), "evil")
		require.NotContains(t, strings.ToLower(b.seen()[0]), "trailer")
	}},
	{"a request that would break the wire is refused, and its body closed", "sends a blank in the query", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		for name, spoil := range map[string]func(*http.Request){
			"value":  func(r *http.Request) { r.Header.Set("X-A", "b\r\nEvil: 1") },
			"nul":    func(r *http.Request) { r.Header.Set("X-A", "b\x00") },
			"name":   func(r *http.Request) { r.Header["X A"] = []string{"b"} },
			"colon":  func(r *http.Request) { r.Header["X:A"] = []string{"b"} },
			"empty":  func(r *http.Request) { r.Header[""] = []string{"b"} },
			"method": func(r *http.Request) { r.Method = "GET /evil HTTP/1.1\r\n" },
			"query":  func(r *http.Request) { r.URL.RawQuery = "a b" },
			"break":  func(r *http.Request) { r.URL.RawQuery = "a\r\nEvil: 1" },
			"opaque": func(r *http.Request) { r.URL.Opaque = "/a\nb" },
		} {
			req := request(t, "POST", b.URL, "")
			body := streamOf(strings.NewReader("x"))
			req.Body, req.ContentLength = body, 1
			spoil(req)
			_, err := rt.RoundTrip(req)
			require.Error(t, err, name)
			require.True(t, body.wasClosed(), name)
		}
		require.Empty(t, b.seen())
	}},
	{"a Host that would break the wire is refused", "cuts it at the first odd byte and goes on", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		req := request(t, "GET", b.URL, "")
		req.Host = "a b"
		_, err := client(settings{}).RoundTrip(req)
		require.Error(t, err)
	}},
	{"a body of known size is sent with its length", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		for _, size := range []int{1, 300, 32 << 10, 32<<10 + 1, 200_000} {
			for _, hidden := range []bool{false, true} {
				body := strings.Repeat("x", size)
				req := request(t, "POST", b.URL, body)
				if hidden {
					req.Body, req.GetBody = streamOf(strings.NewReader(body)), nil
				}
				exchange(t, rt, req)
				seen := b.seen()
				require.Contains(t, seen[len(seen)-1], fmt.Sprintf("\r\nContent-Length: %d\r\n", size))
				require.True(t, strings.HasSuffix(seen[len(seen)-1], "\r\n\r\n"+body))
			}
		}
	}},
	{"no body: only methods that usually have one say so", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		for _, method := range []string{"POST", "PUT", "PATCH", "GET", "DELETE", "OPTIONS", "REPORT"} {
			req := request(t, method, b.URL, "")
			req.Body = http.NoBody
			exchange(t, rt, req)
		}
		for i, want := range []bool{true, true, true, false, false, false, false} {
			require.Equal(t, want, strings.Contains(b.seen()[i], "\r\nContent-Length: 0\r\n"), b.seen()[i])
			require.NotContains(t, b.seen()[i], "chunked")
		}
	}},
	{"a body of unknown size is chunked, and its end comes with its last bytes or after", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		for _, size := range []int{0, 1, 15, 16, 4096, 100_000} {
			req := request(t, "POST", b.URL, "")
			req.Body, req.ContentLength = streamOf(strings.NewReader(strings.Repeat("x", size))), -1
			exchange(t, rt, req)
			seen := b.seen()
			last := seen[len(seen)-1]
			require.Equal(t, size, len(dechunk(t, last)))
			require.True(t, strings.HasSuffix(last, "0\r\n\r\n"))
		}
	}},
	{"every piece of a streamed body goes out at once", "", func(t *judge, client maker) {
		got := make(chan string, 10)
		b := play(t.real, func(p *peer) {
			p.head()
			for range 3 {
				line, _ := p.r.ReadString('\n')
				data, _ := p.r.ReadString('\n')
				got <- line + data
			}
			p.r.ReadString('\n')
			p.r.ReadString('\n')
			p.say(ok)
		})
		r, w := io.Pipe()
		req := request(t, "POST", b.URL, "")
		req.Body, req.ContentLength = r, -1
		go func() {
			for _, s := range []string{"one", "three", "five!"} {
				io.WriteString(w, s)
				<-got
			}
			w.Close()
		}()
		exchange(t, client(settings{}), req)
	}},
	{"request trailers: announced, and sent with the values they have at the end", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		req := request(t, "POST", b.URL, "")
		req.Trailer = http.Header{"X-Sum": nil}
		req.ContentLength = -1
		req.Body = streamOf(io.MultiReader(strings.NewReader("data"), atEOF(func() { req.Trailer.Set("X-Sum", "42") })))
		exchange(t, client(settings{}), req)
		require.Contains(t, b.seen()[0], "\r\nTrailer: X-Sum\r\n")
		require.True(t, strings.HasSuffix(b.seen()[0], "0\r\nX-Sum: 42\r\n\r\n"), b.seen()[0])
	}},
	{"response trailers, announced and not", "", func(t *judge, client maker) {
		b := play(t.real, always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\nX-More: 1\r\n\r\n"))
		rt := client(settings{})
		for range 2 {
			res, err := rt.RoundTrip(request(t, "GET", b.URL, ""))
			require.NoError(t, err)
			require.Equal(t, http.Header{"X-Sum": nil}, res.Trailer)
			require.NotContains(t, res.Header, "Trailer")
			require.Equal(t, "ok", read(t, res))
			require.Equal(t, http.Header{"X-Sum": {"42"}, "X-More": {"1"}}, res.Trailer)
		}
		require.Equal(t, 1, b.connections())
	}},
	{"chunked answers, however they are cut", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			for p.request() != "" {
				p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n")
				for i := range "5;name=value\r\nhello\r\n" {
					p.say("5;name=value\r\nhello\r\n"[i : i+1])
				}
				p.say("00A\r\n0123456789\r\n0;x\r\n\r\n")
			}
		})
		rt := client(settings{})
		for range 2 {
			res, body := exchange(t, rt, request(t, "GET", b.URL, ""))
			require.Equal(t, "hello0123456789", body)
			require.EqualValues(t, -1, res.ContentLength)
			require.Equal(t, []string{"chunked"}, res.TransferEncoding)
			require.NotContains(t, res.Header, "Transfer-Encoding")
		}
		require.Equal(t, 1, b.connections())
	}},
	{"answers without body leave the connection clean", "", func(t *judge, client maker) {
		b := play(t.real, answers(
			"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ok))
		rt := client(settings{})
		for i, method := range []string{"GET", "GET", "HEAD", "HEAD", "GET"} {
			res, body := exchange(t, rt, request(t, method, b.URL, ""))
			require.Empty(t, body)
			require.EqualValues(t, []int64{0, 0, 10, -1, 0}[i], res.ContentLength, i)
		}
		_, body := exchange(t, rt, request(t, "GET", b.URL, ""))
		require.Equal(t, "ok", body)
		require.Equal(t, 1, b.connections())
	}},
	{"an answer that ends with the connection", "", func(t *judge, client maker) {
		b := play(t.real, answers("HTTP/1.1 200 OK\r\n\r\nthe end"))
		rt := client(settings{})
		for range 2 {
			res, body := exchange(t, rt, request(t, "GET", b.URL, ""))
			require.Equal(t, "the end", body)
			require.EqualValues(t, -1, res.ContentLength)
			require.True(t, res.Close)
		}
		require.Equal(t, 2, b.connections())
	}},
	{"HTTP/1.0: kept alive only when it says so", "", func(t *judge, client maker) {
		b := play(t.real, answers(
			"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
			"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		rt := client(settings{})
		for range 4 {
			res, _ := exchange(t, rt, request(t, "GET", b.URL, ""))
			require.Equal(t, "HTTP/1.0", res.Proto)
		}
		require.Equal(t, 2, b.connections())
	}},
	{"Connection: close is obeyed and left to be read", "takes the Connection field away when close is in it", func(t *judge, client maker) {
		b := play(t.real, always("HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok"))
		rt := client(settings{})
		for range 2 {
			res, _ := exchange(t, rt, request(t, "GET", b.URL, ""))
			require.True(t, res.Close)
			require.Equal(t, []string{"close, X-Hop"}, res.Header["Connection"])
		}
		require.Equal(t, 2, b.connections())
	}},
	{"Request.Close ends the connection", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		rt := client(settings{})
		for range 2 {
			req := request(t, "GET", b.URL, "")
			req.Close = true
			exchange(t, rt, req)
		}
		require.Contains(t, b.seen()[0], "\r\nConnection: close\r\n")
		require.Equal(t, 2, b.connections())
	}},
	{"1xx answers are passed on, in order, then the final one", "", func(t *judge, client maker) {
		b := play(t.real, always("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n"+ok))
		var got []string
		req := traced(request(t, "GET", b.URL, ""), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			got = append(got, fmt.Sprint(code, h["Link"]))
			return nil
		}})
		rt := client(settings{})
		_, body := exchange(t, rt, req)
		require.Equal(t, "ok", body)
		require.Equal(t, []string{"102 []", "103 [</a> </b>]"}, got)
		exchange(t, rt, request(t, "GET", b.URL, ""))
		require.Equal(t, 1, b.connections())
	}},
	{"an error of Got1xxResponse ends the exchange", "", func(t *judge, client maker) {
		b := play(t.real, always("HTTP/1.1 103 Early Hints\r\n\r\n"+ok))
		enough := errors.New("enough")
		req := traced(request(t, "GET", b.URL, ""), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { return enough }})
		_, err := client(settings{}).RoundTrip(req)
		require.ErrorIs(t, err, enough)
	}},
	{"Expect: the body waits for 100", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			head := p.head()
			if p.r.Buffered() > 0 {
				p.say("HTTP/1.1 500 body came too early\r\n\r\n")
				return
			}
			p.say("HTTP/1.1 100 Continue\r\n\r\n")
			body, _ := p.body(head)
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
		})
		req := request(t, "POST", b.URL, "hello")
		req.Header.Set("Expect", "100-continue")
		_, body := exchange(t, client(settings{expectContinue: patience}), req)
		require.Equal(t, "hello", body)
	}},
	{"Expect: a refusal saves the body", "sends the body after a refusal all the same, to keep the connection", func(t *judge, client maker) {
		gone := make(chan bool, 1)
		b := play(t.real, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
			gone <- p.gone()
		})
		req := request(t, "POST", b.URL, "")
		body := streamOf(strings.NewReader("hello"))
		req.Body, req.ContentLength = body, 5
		req.Header.Set("Expect", "100-continue")
		res, _ := exchange(t, client(settings{expectContinue: patience}), req)
		require.Equal(t, 417, res.StatusCode)
		require.True(t, body.wasClosed())
		left, _ := io.ReadAll(body.Reader)
		require.Equal(t, "hello", string(left), "not a byte was read")
		require.True(t, <-gone, "the service waits for the body: this connection is of no use")
	}},
	{"Expect: a silent service gets the body after a while", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		req := request(t, "POST", b.URL, "hello")
		req.Header.Set("Expect", "100-continue")
		exchange(t, client(settings{expectContinue: time.Millisecond}), req)
		require.True(t, strings.HasSuffix(b.seen()[0], "hello"))
	}},
	{"an answer may come before the body", "", func(t *judge, client maker) {
		for _, size := range []int64{5, 1 << 30, -1} {
			b := play(t.real, func(p *peer) {
				p.head()
				p.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
				p.gone()
			})
			r, w := io.Pipe()
			req := request(t, "POST", b.URL, "")
			body := streamOf(r)
			req.Body, req.ContentLength = body, size
			res, text := exchange(t, client(settings{}), req)
			require.Equal(t, 401, res.StatusCode)
			require.Equal(t, "no", text)
			w.CloseWithError(errors.New("client gone"))
			require.True(t, body.wasClosed())
		}
	}},
	{"an answer may come while the body goes up, and both go on", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				line, err := p.r.ReadString('\n')
				if err != nil || line == "0\r\n" {
					break
				}
				data, _ := p.r.ReadString('\n')
				p.say(line + data)
			}
			p.r.ReadString('\n')
			p.say("0\r\n\r\n")
			p.gone()
		})
		r, w := io.Pipe()
		req := request(t, "POST", b.URL, "")
		req.Body, req.ContentLength = r, -1
		go io.WriteString(w, "first")
		res, err := client(settings{}).RoundTrip(req)
		require.NoError(t, err)
		buf := make([]byte, 100)
		for _, word := range []string{"first", "second", "third"} {
			if word != "first" {
				io.WriteString(w, word)
			}
			n, err := io.ReadFull(res.Body, buf[:len(word)])
			require.NoError(t, err)
			require.Equal(t, word, string(buf[:n]))
		}
		w.Close()
		rest, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Empty(t, rest)
		res.Body.Close()
	}},
	{"a refusal in mid-upload is heard though the service stops reading", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.head()
			io.CopyN(io.Discard, p.r, 1000)
			p.say("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
			p.gone()
		})
		req := request(t, "POST", b.URL, "")
		req.Body, req.ContentLength = streamOf(io.LimitReader(endless{}, 1<<30)), 1<<30
		res, text := exchange(t, client(settings{}), req)
		require.Equal(t, 413, res.StatusCode)
		require.Equal(t, "big", text)
	}},
	{"a cut body is never a tidy short one, and says io.ErrUnexpectedEOF", "has an error of its own for a trailer section that is cut", func(t *judge, client maker) {
		for _, answer := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n",
		} {
			b := play(t.real, answers(answer))
			res, err := client(settings{}).RoundTrip(request(t, "GET", b.URL, ""))
			require.NoError(t, err)
			_, err = io.ReadAll(res.Body)
			require.Equal(t, io.ErrUnexpectedEOF, err, answer)
			res.Body.Close()
		}
	}},
	{"a reset body is broken, even one that ends with the connection", "", func(t *judge, client maker) {
		for _, answer := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
			"HTTP/1.1 200 OK\r\n\r\nhello",
		} {
			half := make(chan bool, 1)
			b := play(t.real, func(p *peer) {
				p.request()
				p.say(answer)
				<-half
				p.reset()
			})
			res, err := client(settings{}).RoundTrip(request(t, "GET", b.URL, ""))
			require.NoError(t, err)
			io.ReadFull(res.Body, make([]byte, 3))
			half <- true
			_, err = io.ReadAll(res.Body)
			require.Error(t, err, answer)
			res.Body.Close()
		}
	}},
	{"101 hands the connection over, early bytes first", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nwelcome ")
			io.Copy(p, p.r)
		})
		req := request(t, "GET", b.URL, "")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		ctx, cancel := context.WithCancel(t.real.Context())
		res, err := client(settings{}).RoundTrip(req.WithContext(ctx))
		require.NoError(t, err)
		require.Equal(t, 101, res.StatusCode)
		tunnel, ok := res.Body.(io.ReadWriteCloser)
		require.True(t, ok)
		cancel() // the tunnel is the caller's and outlives the request
		_, err = io.WriteString(tunnel, "friend")
		require.NoError(t, err)
		got := make([]byte, len("welcome friend"))
		_, err = io.ReadFull(tunnel, got)
		require.NoError(t, err)
		require.Equal(t, "welcome friend", string(got))
		require.NoError(t, tunnel.Close())
	}},
	{"a connection that the service closed while idle is not used again, whatever the method", "sometimes uses it: it knows only when a goroutine has got round to reading", func(t *judge, client maker) {
		b := play(t.real, answers(ok))
		rt := client(settings{})
		for _, method := range []string{"GET", "POST", "POST"} {
			_, body := exchange(t, rt, request(t, method, b.URL, "x"))
			require.Equal(t, "ok", body)
			<-b.last().over
		}
	}},
	{"unasked-for bytes never answer the next request", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			for n := 0; p.request() != ""; n++ {
				p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%d/%d", p.N, n) + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			}
		})
		rt := client(settings{})
		for i := range 3 {
			_, body := exchange(t, rt, request(t, "GET", b.URL, ""))
			require.Equal(t, fmt.Sprintf("%d/0", i), body)
		}
	}},
	{"a connection that dies under an idempotent request: repeated once, elsewhere", "repeats neither PUT nor DELETE", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.request()
			p.say(ok)
			if p.request() != "" && p.N > 0 {
				p.say(ok)
			}
		})
		rt := client(settings{})
		exchange(t, rt, request(t, "GET", b.URL, ""))
		_, body := exchange(t, rt, request(t, "PUT", b.URL, "again"))
		require.Equal(t, "ok", body)
		require.Len(t, b.seen(), 3)
		require.Equal(t, b.seen()[1], b.seen()[2])
	}},
	{"a connection that dies under a POST: an error, and one POST", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.request()
			p.say(ok)
			p.request()
		})
		rt := client(settings{})
		exchange(t, rt, request(t, "GET", b.URL, ""))
		_, err := rt.RoundTrip(request(t, "POST", b.URL, "once"))
		require.Error(t, err)
		require.Len(t, b.seen(), 2)
	}},
	{"an Idempotency-Key does not make a POST repeatable", "sends it again", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.request()
			p.say(ok)
			p.request()
		})
		rt := client(settings{})
		exchange(t, rt, request(t, "GET", b.URL, ""))
		req := request(t, "POST", b.URL, "once")
		req.Header.Set("Idempotency-Key", "k")
		_, err := rt.RoundTrip(req)
		require.Error(t, err)
		require.Len(t, b.seen(), 2)
	}},
	{"a new connection that dies is not tried twice", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) { p.request() })
		_, err := client(settings{}).RoundTrip(request(t, "GET", b.URL, ""))
		require.Error(t, err)
		require.Len(t, b.seen(), 1)
	}},
	{"the end of the context ends the wait for the answer, and the service knows", "", func(t *judge, client maker) {
		gone := make(chan bool, 1)
		b := play(t.real, func(p *peer) {
			p.request()
			gone <- p.gone()
		})
		ctx, cancel := context.WithCancel(t.real.Context())
		req := traced(request(t, "GET", b.URL, "").WithContext(ctx), &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }})
		_, err := client(settings{}).RoundTrip(req)
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, <-gone)
	}},
	{"the end of the context ends the body", "", func(t *judge, client maker) {
		gone := make(chan bool, 1)
		b := play(t.real, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			gone <- p.gone()
		})
		ctx, cancel := context.WithCancel(t.real.Context())
		res, err := client(settings{}).RoundTrip(request(t, "GET", b.URL, "").WithContext(ctx))
		require.NoError(t, err)
		_, err = io.ReadFull(res.Body, make([]byte, 5))
		require.NoError(t, err)
		cancel()
		_, err = io.ReadAll(res.Body)
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, <-gone)
		res.Body.Close()
	}},
	{"the end of the context ends an upload", "waits until the body's Read returns", func(t *judge, client maker) {
		gone := make(chan bool, 1)
		ctx, cancel := context.WithCancel(t.real.Context())
		b := play(t.real, func(p *peer) {
			p.head()
			cancel()
			gone <- p.gone()
		})
		r, w := io.Pipe()
		body := streamOf(r)
		req := request(t, "POST", b.URL, "").WithContext(ctx)
		req.Body, req.ContentLength = body, 100
		ended := make(chan error, 1)
		rt := client(settings{})
		go func() { _, err := rt.RoundTrip(req); ended <- err }()
		defer w.CloseWithError(context.Canceled)
		select {
		case err := <-ended:
			require.ErrorIs(t, err, context.Canceled)
		case <-time.After(time.Second):
			require.Fail(t, "still waiting")
		}
		require.True(t, <-gone)
		w.CloseWithError(context.Canceled)
		require.True(t, body.wasClosed())
	}},
	{"a context that has ended sends nothing", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		ctx, cancel := context.WithCancel(t.real.Context())
		cancel()
		body := streamOf(strings.NewReader("x"))
		req := request(t, "POST", b.URL, "").WithContext(ctx)
		req.Body, req.ContentLength = body, 1
		_, err := client(settings{}).RoundTrip(req)
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, body.wasClosed())
		require.Empty(t, b.seen())
	}},
	{"a silent service runs into ResponseHeaderTimeout", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) { p.request(); p.gone() })
		rt := client(settings{responseHeader: 10 * time.Millisecond})
		for _, body := range []io.ReadCloser{nil, io.NopCloser(strings.NewReader("x")), streamOf(io.LimitReader(endless{}, 100_000))} {
			req := request(t, "POST", b.URL, "")
			if body != nil {
				req.Body, req.ContentLength = body, -1
			}
			_, err := rt.RoundTrip(req)
			require.True(t, isDeadline(err), err)
		}
	}},
	{"ResponseHeaderTimeout does not count the upload, nor the body", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			time.Sleep(60 * time.Millisecond)
			p.say("k")
		})
		req := request(t, "POST", b.URL, "")
		req.ContentLength = -1
		req.Body = streamOf(io.MultiReader(strings.NewReader("a"), atEOF(func() { time.Sleep(60 * time.Millisecond) })))
		_, body := exchange(t, client(settings{responseHeader: 50 * time.Millisecond}), req)
		require.Equal(t, "ok", body)
	}},
	{"a header without end is refused", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nX-A: ")
			for {
				if _, err := io.WriteString(p, strings.Repeat("a", 1000)); err != nil {
					return
				}
			}
		})
		_, err := client(settings{maxHeader: 10_000}).RoundTrip(request(t, "GET", b.URL, ""))
		require.Error(t, err)
	}},
	{"a failing request body breaks the upload and says why", "", func(t *judge, client maker) {
		for _, size := range []int64{100, -1} {
			whole := make(chan bool, 1)
			b := play(t.real, func(p *peer) { whole <- p.request() != "" })
			fault := errors.New("client went away")
			req := request(t, "POST", b.URL, "")
			body := streamOf(io.MultiReader(strings.NewReader("part"), failing{fault}))
			req.Body, req.ContentLength = body, size
			_, err := client(settings{}).RoundTrip(req)
			require.ErrorIs(t, err, fault)
			require.False(t, <-whole)
			require.True(t, body.wasClosed())
		}
	}},
	{"a body shorter than it claims breaks the upload", "", func(t *judge, client maker) {
		for _, hidden := range []bool{false, true} {
			whole := make(chan bool, 1)
			b := play(t.real, func(p *peer) { whole <- p.request() != "" })
			req := request(t, "POST", b.URL, "short")
			if hidden {
				req.Body, req.GetBody = streamOf(strings.NewReader("short")), nil
			}
			req.ContentLength = 100
			_, err := client(settings{}).RoundTrip(req)
			require.Error(t, err)
			if hidden {
				require.False(t, <-whole)
			}
		}
	}},
	{"bodies are closed when no connection can be made", "", func(t *judge, client maker) {
		b := play(t.real, always(ok))
		b.stop()
		body := streamOf(strings.NewReader("x"))
		req := request(t, "POST", b.URL, "")
		req.Body, req.ContentLength = body, 1
		_, err := client(settings{}).RoundTrip(req)
		require.Error(t, err)
		require.True(t, body.wasClosed())
	}},
	{"an answer left unread costs the connection and nothing else", "", func(t *judge, client maker) {
		gone := make(chan bool, 1)
		b := play(t.real, func(p *peer) {
			p.request()
			if p.N > 0 {
				p.say(ok)
				return
			}
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello")
			gone <- p.gone()
		})
		rt := client(settings{})
		res, err := rt.RoundTrip(request(t, "GET", b.URL, ""))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.True(t, <-gone)
		_, err = res.Body.Read(make([]byte, 1))
		require.Error(t, err)
		exchange(t, rt, request(t, "GET", b.URL, ""))
	}},
	{"Close ends a Read that waits", "", func(t *judge, client maker) {
		b := play(t.real, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			p.gone()
		})
		res, err := client(settings{}).RoundTrip(request(t, "GET", b.URL, ""))
		require.NoError(t, err)
		ended := make(chan error, 1)
		started := make(chan bool, 1)
		go func() {
			started <- true
			_, err := res.Body.Read(make([]byte, 1))
			ended <- err
		}()
		<-started
		require.NoError(t, res.Body.Close())
		require.Error(t, <-ended)
	}},
	{"no more connections than allowed; the rest wait, and a context ends the wait", "", func(t *judge, client maker) {
		release := make(chan bool, 1)
		b := play(t.real, func(p *peer) {
			for p.request() != "" {
				<-release
				p.say(ok)
			}
		})
		rt := client(settings{maxPerHost: 1})
		first := make(chan error, 1)
		go func() {
			res, err := rt.RoundTrip(request(t, "GET", b.URL, ""))
			if err == nil {
				_, err = io.ReadAll(res.Body)
			}
			first <- err
		}()
		for len(b.seen()) == 0 {
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.real.Context(), time.Millisecond)
		defer cancel()
		_, err := rt.RoundTrip(request(t, "GET", b.URL, "").WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		release <- true
		require.NoError(t, <-first)
		release <- true
		exchange(t, rt, request(t, "GET", b.URL, ""))
		require.Equal(t, 1, b.connections())
	}},
	{"an answer that can be read in two ways is refused", "takes Transfer-Encoding where both are given, ignores it in HTTP/1.0, trims blanks", func(t *judge, client maker) {
		for _, head := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
			"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n",
			"HTTP/1.1 200 OK\r\nX-A: b\r\n Content-Length: 2\r\n\r\n",
			"HTTP/1.1 200 OK\nContent-Length: 2\n\n",
		} {
			b := play(t.real, answers(head+"2\r\nok\r\n0\r\n\r\n"))
			_, err := client(settings{}).RoundTrip(request(t, "GET", b.URL, ""))
			require.Error(t, err, head)
		}
	}},
	{"WriteTo is as good as Read", "", func(t *judge, client maker) {
		big := strings.Repeat("0123456789", 30_000)
		for _, answer := range []string{
			fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big),
			fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n3\r\nend\r\n0\r\n\r\n", len(big), big),
			"HTTP/1.1 200 OK\r\n\r\n" + big,
		} {
			b := play(t.real, answers(answer))
			res, err := client(settings{}).RoundTrip(request(t, "GET", b.URL, ""))
			require.NoError(t, err)
			var got strings.Builder
			n, err := io.Copy(&got, res.Body)
			require.NoError(t, err)
			require.EqualValues(t, got.Len(), n)
			require.Equal(t, big, strings.TrimSuffix(got.String(), "end"))
			require.NoError(t, res.Body.Close())
		}
	}},
}

// TestConformance runs every case on both transports.
func TestConformance(t *testing.T) {
	for _, tc := range conformance {
		for name, newTransport := range transports {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				j := &judge{real: t}
				j.run(tc.test, func(s settings) http.RoundTripper { return newTransport(t, s) })
				switch expected := name != "h1" && tc.lacks != ""; {
				case expected && len(j.failures) == 0 && !strings.HasPrefix(tc.lacks, "sometimes"):
					t.Errorf("%s passes: it no longer %s; take the remark away", name, tc.lacks)
				case !expected && len(j.failures) > 0:
					t.Error(strings.Join(j.failures, "\n"))
				}
			})
		}
	}
}

var _ http.RoundTripper = (*h1.Transport)(nil)

func firstLine(s string) string { line, _, _ := strings.Cut(s, "\r\n"); return line }

func traced(r *http.Request, trace *httptrace.ClientTrace) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
}

// dechunk returns the body of a recorded chunked request.
func dechunk(t require.TestingT, recorded string) string {
	_, body, ok := strings.Cut(recorded, "\r\n\r\n")
	require.True(t, ok)
	var out strings.Builder
	for {
		line, rest, ok := strings.Cut(body, "\r\n")
		require.True(t, ok)
		var n int
		fmt.Sscanf(line, "%x", &n)
		if n == 0 {
			return out.String()
		}
		out.WriteString(rest[:n])
		body = rest[n+2:]
	}
}

// atEOF is a reader that calls itself and ends.
type atEOF func()

func (f atEOF) Read([]byte) (int, error) { f(); return 0, io.EOF }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
