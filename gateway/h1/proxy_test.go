package h1_test

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReverseProxy puts a Transport behind httputil.ReverseProxy, which knows
// nothing of it, and real servers on both sides.
func TestReverseProxy(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(behindProxy))
	defer behind.Close()
	target, err := url.Parse(behind.URL)
	require.NoError(t, err)
	tr := transport(t)
	front := httptest.NewServer(&httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0), Transport: tr, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }})
	defer front.Close()
	client := front.Client()

	t.Run("echo", func(t *testing.T) {
		for _, size := range []int{0, 1, 1000, 100_000, 5_000_000} {
			body := strings.Repeat("abcdefghij", size/10+1)[:size]
			res, err := client.Post(front.URL+"/echo", "text/plain", strings.NewReader(body))
			require.NoError(t, err)
			require.True(t, body == read(t, res), "%d bytes", size)
		}
	})
	t.Run("events come one by one", func(t *testing.T) {
		res, err := client.Get(front.URL + "/events")
		require.NoError(t, err)
		lines := bufio.NewScanner(res.Body)
		for range 3 {
			require.True(t, lines.Scan())
			next <- true
		}
		res.Body.Close()
	})
	t.Run("hints and trailers", func(t *testing.T) {
		var hints []int
		req := traced(request(t, "GET", front.URL+"/hints", ""), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = append(hints, code); return nil }})
		res, err := client.Do(req)
		require.NoError(t, err)
		assert.Equal(t, "done", read(t, res))
		assert.Equal(t, []int{103}, hints)
		assert.Equal(t, "42", res.Trailer.Get("X-Sum"))
	})
	t.Run("upgrade", func(t *testing.T) {
		c, err := net.Dial("tcp", front.Listener.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		io.WriteString(c, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Equal(t, 101, res.StatusCode)
		io.WriteString(c, "hello")
		got := make([]byte, 5)
		_, err = io.ReadFull(r, got)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(got))
	})
	t.Run("an aborted answer is aborted for the client", func(t *testing.T) {
		res, err := client.Get(front.URL + "/abort")
		require.NoError(t, err)
		_, err = io.ReadAll(res.Body)
		assert.Equal(t, io.ErrUnexpectedEOF, err)
		res.Body.Close()
	})
}

var next = make(chan bool)

func behindProxy(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Upgrade") != "":
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		if c, rw, err := http.NewResponseController(w).Hijack(); err == nil {
			defer c.Close()
			io.Copy(c, rw)
		}
	case r.URL.Path == "/echo":
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	case r.URL.Path == "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			io.WriteString(w, "data: x\n")
			http.NewResponseController(w).Flush()
			<-next
		}
	case r.URL.Path == "/hints":
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "done")
		w.Header().Set("X-Sum", "42")
	case r.URL.Path == "/abort":
		io.WriteString(w, strings.Repeat("x", 10_000))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}
