package h1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

func ExampleTransport() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s", r.URL.EscapedPath())
	}))
	defer service.Close()

	tr := &h1.Transport{MaxPerHost: 100, ResponseHeaderTimeout: 30 * time.Second}
	defer tr.CloseIdleConnections()

	for range 3 {
		req, _ := http.NewRequest("GET", service.URL+"/worlds/1%2F2", nil)
		res, err := tr.RoundTrip(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(string(body))
	}
	fmt.Println("connections:", tr.Stats().Dialed)
	// Output:
	// hello from /worlds/1%2F2
	// hello from /worlds/1%2F2
	// hello from /worlds/1%2F2
	// connections: 1
}

// A request that certainly did not reach the service may go to another
// instance, even a POST.
func ExampleNothingSent() {
	dead, _ := net.Listen("tcp", "127.0.0.1:0")
	dead.Close()
	alive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "done")
	}))
	defer alive.Close()

	tr := &h1.Transport{}
	defer tr.CloseIdleConnections()
	for _, instance := range []string{"http://" + dead.Addr().String(), alive.URL} {
		req, _ := http.NewRequest("POST", instance, strings.NewReader("message"))
		res, err := tr.RoundTrip(req)
		if h1.NothingSent(err) {
			fmt.Println("not there, next one")
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(string(body))
	}
	// Output:
	// not there, next one
	// done
}

// The mistake: to repeat a POST because its connection broke. The service may
// have acted on it before. ErrStale says just that, and NothingSent is false.
func ExampleNothingSent_incorrect() {
	var received atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			received.Add(1)
			panic(http.ErrAbortHandler) // after the deed, before the answer
		}
	}))
	defer service.Close()

	tr := &h1.Transport{}
	defer tr.CloseIdleConnections()
	get, _ := http.NewRequest("GET", service.URL, nil)
	if res, err := tr.RoundTrip(get); err == nil {
		res.Body.Close()
	}
	for range 2 { // wrong: the second round does it again
		req, _ := http.NewRequest("POST", service.URL, strings.NewReader("one session, please"))
		_, err := tr.RoundTrip(req)
		fmt.Println(errors.Is(err, h1.ErrStale), h1.NothingSent(err))
	}
	fmt.Println("received:", received.Load())
	// Output:
	// true false
	// false false
	// received: 2
}

// A route that streams slowly gets other limits than the rest.
func ExampleWithTimeouts() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	defer service.Close()

	tr := &h1.Transport{ResponseHeaderTimeout: time.Hour}
	defer tr.CloseIdleConnections()
	ctx := h1.WithTimeouts(context.Background(), h1.Timeouts{ResponseHeader: 20 * time.Millisecond})
	req, _ := http.NewRequestWithContext(ctx, "GET", service.URL, nil)
	_, err := tr.RoundTrip(req)
	var timeout *h1.TimeoutError
	if errors.As(err, &timeout) {
		fmt.Println(timeout)
	}
	// Output: h1: timeout of 20ms reading the answer's header
}

// Run closes connections that nobody has used for a while. A Transport works
// without it too.
func ExampleTransport_Run() {
	tr := &h1.Transport{IdleTimeout: time.Minute}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- tr.Run(ctx) }()

	// … requests …

	cancel()
	fmt.Println(<-ended)
	// Output: <nil>
}

// A 101 turns the connection into a tunnel that belongs to the caller.
func ExampleTunnel() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "shout")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, _ := http.NewResponseController(w).Hijack()
		defer conn.Close()
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, strings.ToUpper(line))
	}))
	defer service.Close()

	tr := &h1.Transport{}
	req, _ := http.NewRequest("GET", service.URL, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "shout")
	res, err := tr.RoundTrip(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	tunnel := res.Body.(*h1.Tunnel)
	defer tunnel.Close()
	io.WriteString(tunnel, "hello\n")
	answer, _ := io.ReadAll(tunnel)
	fmt.Print(res.Status, ": ", string(answer))
	// Output: 101 Switching Protocols: HELLO
}
