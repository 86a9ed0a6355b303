package h1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// What the zero fields of a [Transport] mean.
const (
	DefaultDialTimeout            = 10 * time.Second
	DefaultMaxIdlePerHost         = 256
	DefaultIdleTimeout            = 60 * time.Second
	DefaultWriteTimeout           = 30 * time.Second
	DefaultExpectContinueTimeout  = time.Second
	DefaultMaxResponseHeaderBytes = 1 << 20
)

// Transport sends HTTP/1.1 requests to http:// URLs over connections that it
// keeps. The zero value is ready to use. It is safe for simultaneous use; its
// fields must not be changed, nor the Transport copied, after first use.
//
// It keeps the contract of http.RoundTripper and obeys the request's context
// (Request.Cancel, long deprecated, it does not look at). It adds to a request
// Host and what frames the body, and nothing else: no User-Agent, no
// Accept-Encoding. It reads no environment, knows no proxies, follows no
// redirects, decompresses nothing.
type Transport struct {
	// DialContext makes the connections, with "tcp" and host:port. Nil means
	// a net.Dialer's. A *net.TCPConn or *net.UnixConn costs least; another
	// that is a syscall.Conn, or has a NetConn method that leads to one, a
	// little more; the rest are slower to reuse, by 0.1 ms.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// DialTimeout bounds making a connection. 0 means 10 s, negative no limit
	// but the request's context.
	DialTimeout time.Duration

	// MaxIdlePerHost is how many unused connections are kept for each host.
	// 0 means 256, negative none.
	MaxIdlePerHost int

	// MaxPerHost is how many connections to one host may exist, tunnels not
	// counted. A request beyond that waits, in order of arrival, until its
	// context ends. 0 means no limit.
	MaxPerHost int

	// IdleTimeout is how long an unused connection is kept; it had better be
	// shorter than the service's own. 0 means 60 s, negative for ever. With
	// [Transport.Run] it is kept to everywhere, without at hosts in use.
	IdleTimeout time.Duration

	// ResponseHeaderTimeout bounds the time from the end of the request to
	// the end of the answer's header. 0 means none; see also [Timeouts].
	ResponseHeaderTimeout time.Duration

	// ResponseBodyTimeout bounds a silence in the answer's body. 0 means
	// none; see also [Timeouts].
	ResponseBodyTimeout time.Duration

	// WriteTimeout bounds how long a service may refuse to take one write of
	// at most 32 KiB (of a request header, if that is larger). 0 means 30 s,
	// negative no limit; see also [Timeouts].
	WriteTimeout time.Duration

	// ExpectContinueTimeout is how long a body announced with "Expect:
	// 100-continue" waits for the service's 100 before it is sent all the
	// same. 0 means 1 s, negative not at all.
	ExpectContinueTimeout time.Duration

	// MaxResponseHeaderBytes bounds an answer's header, the 1xx answers
	// before it included. 0 and less mean 1 MiB.
	MaxResponseHeaderBytes int

	mu    sync.Mutex // guards changes of hosts
	hosts atomic.Pointer[map[string]*host]
	count counters
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip sends req and returns the answer once its header has come; the
// body is read from the connection as Response.Body is. An answer may come
// while the request's body is still being sent, and end before: then the rest
// of it is not sent.
//
// The request's body is always closed, perhaps after RoundTrip has returned.
// A body of at most 32 KiB that is in memory (it has a method Len() int, or
// the request has GetBody) goes out with the header in one write; other bodies
// are sent by a goroutine that lives as long as it takes. Request.Trailer is
// sent after a body, which is then chunked.
//
// On a 101 the Response.Body is a [*Tunnel].
//
// A request on a kept-alive connection that dies before a byte of the answer
// is sent once more, on a new connection, if the body can be had again (it was
// in memory, or there is GetBody) and if nothing had been sent or the method
// is idempotent. No header makes a POST repeatable. What is not repeated
// comes back as [ErrStale].
//
// Every error is an [*Error].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	x := &exchange{t: t, req: req, ctx: ctx, trace: httptrace.ContextClientTrace(ctx)}
	limits, _ := ctx.Value(TimeoutsKey).(*Timeouts)
	x.limits = limits.over(t.timeouts())
	return x.run()
}

// CloseIdleConnections closes the connections that nobody is using.
func (t *Transport) CloseIdleConnections() {
	for _, h := range t.table() {
		h.closeIdle()
	}
	t.forget()
}

// Run closes connections that have been unused for IdleTimeout, and forgets
// hosts to which there are none, until ctx ends; then it closes all unused
// ones and returns nil. A Transport works without it.
func (t *Transport) Run(ctx context.Context) error {
	defer t.CloseIdleConnections()
	every := time.Minute
	if limit := t.idleTimeout(); limit > 0 {
		every = max(limit/4, 10*time.Millisecond)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			t.sweep(now)
		case <-ctx.Done():
			return nil
		}
	}
}

// Stats counts since the Transport was made, but for Open and Idle, which are
// of this moment.
type Stats struct {
	Dialed      int64 // connections made
	DialFailed  int64 // connections that could not be made
	Reused      int64 // exchanges begun on a kept-alive connection
	Waited      int64 // requests that had to wait for MaxPerHost
	Stale       int64 // kept-alive connections found dead, or with unasked-for bytes, before use
	Repeated    int64 // requests sent a second time, see RoundTrip
	Unsolicited int64 // connections dropped because more than the answer came
	Open        int64 // connections in use, idle, or being made
	Idle        int64 // connections unused
}

type counters struct {
	Dialed, DialFailed, Reused, Waited, Stale, Repeated, Unsolicited atomic.Int64
}

// Stats returns the counts.
func (t *Transport) Stats() Stats {
	c := &t.count
	s := Stats{
		Dialed: c.Dialed.Load(), DialFailed: c.DialFailed.Load(), Reused: c.Reused.Load(), Waited: c.Waited.Load(),
		Stale: c.Stale.Load(), Repeated: c.Repeated.Load(), Unsolicited: c.Unsolicited.Load(),
	}
	for _, h := range t.table() {
		idle, open := h.size()
		s.Idle += int64(idle)
		s.Open += int64(open)
	}
	return s
}

var errNoConn = errors.New("h1: DialContext returned neither connection nor error")

// errGone is a pool that was forgotten between being found and being used.
var errGone = errors.New("h1: pool is gone")

func (t *Transport) connect(ctx context.Context, name string, fresh bool) (*conn, error) {
	for {
		if c, err := t.hostOf(name).get(ctx, fresh); err != errGone {
			return c, err
		}
	}
}

func (t *Transport) dial(ctx context.Context, addr string) (net.Conn, error) {
	limit := orDefault(t.DialTimeout, DefaultDialTimeout)
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		bounded, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	c, err := t.dialer()(bounded, "tcp", addr)
	if c == nil && err == nil {
		err = errNoConn
	}
	if err == nil {
		t.count.Dialed.Add(1)
		return c, nil
	}
	t.count.DialFailed.Add(1)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case bounded.Err() != nil:
		err = &TimeoutError{Phase: PhaseDial, After: limit}
	}
	return nil, &DialError{Addr: addr, Err: err}
}

func (t *Transport) dialer() func(context.Context, string, string) (net.Conn, error) {
	if t.DialContext != nil {
		return t.DialContext
	}
	var d net.Dialer
	return d.DialContext
}

func (t *Transport) timeouts() Timeouts {
	return Timeouts{
		ResponseHeader: t.ResponseHeaderTimeout,
		ResponseBody:   t.ResponseBodyTimeout,
		Write:          orDefault(t.WriteTimeout, DefaultWriteTimeout),
	}
}

func (t *Transport) idleTimeout() time.Duration { return orDefault(t.IdleTimeout, DefaultIdleTimeout) }

func (t *Transport) continueTimeout() time.Duration {
	return orDefault(t.ExpectContinueTimeout, DefaultExpectContinueTimeout)
}

func (t *Transport) maxIdle() int {
	return max(orDefault(t.MaxIdlePerHost, DefaultMaxIdlePerHost), 0)
}

func (t *Transport) maxHeader() int {
	return orDefault(max(t.MaxResponseHeaderBytes, 0), DefaultMaxResponseHeaderBytes)
}

func orDefault[T ~int | ~int64](v, zero T) T {
	if v == 0 {
		return zero
	}
	return v
}
