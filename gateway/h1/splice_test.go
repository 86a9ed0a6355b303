package h1_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// proxy is the smallest one there can be; ended gets how each copy ended.
func proxy(t *testing.T, tr *h1.Transport, target string, ended chan<- error) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := tr.RoundTrip(request(t, "GET", target, "").WithContext(r.Context()))
		if !assert.NoError(t, err) {
			return
		}
		defer res.Body.Close()
		w.Header().Set("Content-Length", fmt.Sprint(res.ContentLength))
		w.WriteHeader(res.StatusCode)
		_, err = io.Copy(w, res.Body)
		ended <- err
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestLargeBodyThroughAProxy(t *testing.T) {
	for _, size := range []int{10_000, 30_000, 65_536, 3_000_000} {
		body := make([]byte, size)
		rand.Read(body)
		b := play(t, always(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body)))
		tr := transport(t)
		ended := make(chan error, 1)
		s := proxy(t, tr, b.URL, ended)
		for range 5 {
			res, err := s.Client().Get(s.URL)
			require.NoError(t, err)
			got := read(t, res)
			require.NoError(t, <-ended)
			require.True(t, string(body) == got, "%d bytes", size)
		}
		assert.Equal(t, 1, b.connections())
	}
}

// A body that the service cuts is cut for the client too, and it is the
// service's fault.
func TestCutBodyThroughAProxy(t *testing.T) {
	for how, cut := range map[string]func(*peer){
		"closed": func(*peer) {},
		"reset":  func(p *peer) { time.Sleep(time.Millisecond); p.reset() },
	} {
		t.Run(how, func(t *testing.T) {
			b := play(t, func(p *peer) {
				p.request()
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + strings.Repeat("x", 1_500_000))
				cut(p)
			})
			ended := make(chan error, 1)
			s := proxy(t, transport(t), b.URL, ended)
			res, err := s.Client().Get(s.URL)
			if err == nil { // else the reset was faster than the header
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			assert.Error(t, err)
			var own *h1.Error
			if err := <-ended; !errors.As(err, &own) {
				assert.Equal(t, io.ErrUnexpectedEOF, err)
			}
		})
	}
}

// A client that goes away is not the service's fault.
func TestClientOfAProxyGone(t *testing.T) {
	b := play(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for err := error(nil); err == nil; _, err = io.WriteString(p, strings.Repeat("x", 100_000)) {
		}
	})
	ended := make(chan error, 1)
	s := proxy(t, transport(t), b.URL, ended)
	res, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	io.CopyN(io.Discard, res.Body, 1_000_000)
	res.Body.Close()
	err = <-ended
	require.Error(t, err)
	assert.NotEqual(t, io.ErrUnexpectedEOF, err)
	var protocol *h1.ProtocolError
	assert.NotErrorAs(t, err, &protocol)
}

// A writer that takes nothing, or fails, ends the copy.
func TestWriteToBadWriter(t *testing.T) {
	fault := errors.New("disk full")
	for _, w := range []io.Writer{badWriter{fault}, badReaderFrom{fault: fault}, badReaderFrom{}} {
		b := play(t, always("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n"+strings.Repeat("x", 500_000)))
		res, err := transport(t).RoundTrip(request(t, "GET", b.URL, ""))
		require.NoError(t, err)
		_, err = io.Copy(w, res.Body)
		assert.Error(t, err)
		assert.NoError(t, res.Body.Close())
		_, err = io.Copy(io.Discard, res.Body)
		assert.Equal(t, http.ErrBodyReadAfterClose, err)
	}
}

type badWriter struct{ err error }

func (w badWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	time.Sleep(time.Millisecond) // so that more arrives meanwhile
	return len(p), nil
}

type badReaderFrom struct {
	http.ResponseWriter
	badWriter
	fault error
}

func (w badReaderFrom) Write(p []byte) (int, error)       { return w.badWriter.Write(p) }
func (w badReaderFrom) ReadFrom(io.Reader) (int64, error) { return 0, w.fault }
