package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// Protocol is what a service is spoken to in.
type Protocol int

const (
	// ProtocolAuto, the zero Protocol, is HTTP/1.1 to http URLs, and to https
	// URLs what the TLS handshake agrees on: HTTP/2 or HTTP/1.1.
	ProtocolAuto Protocol = iota
	// HTTP1 is HTTP/1.1, with TLS and without.
	HTTP1
	// HTTP2 is HTTP/2 to https URLs, and to http URLs HTTP/2 without TLS, by
	// prior knowledge ("h2c"). There is no upgrade from one to the other.
	HTTP2
)

var protocolNames = [...]string{"auto", "http1", "http2"}

// String is the name that [ParseProtocol] reads.
func (p Protocol) String() string {
	if p < 0 || int(p) >= len(protocolNames) {
		return fmt.Sprintf("Protocol(%d)", int(p))
	}
	return protocolNames[p]
}

// ParseProtocol reads "auto" (or ""), "http1" and "http2".
func ParseProtocol(s string) (Protocol, error) {
	if s == "" {
		return ProtocolAuto, nil
	}
	for i, name := range protocolNames {
		if s == name {
			return Protocol(i), nil
		}
	}
	return 0, fmt.Errorf("gateway: protocol %q; use auto, http1 or http2", s)
}

// Transport carries requests to services: by [h1.Transport] to http URLs, and
// by [http.Transport] where TLS or HTTP/2 is spoken. It takes no proxy from
// the environment, decodes nothing, and bounds the head of an answer. The zero
// value is ready. It is safe for simultaneous use; its fields must not be
// changed, nor the Transport copied, after first use.
type Transport struct {
	// DialContext makes connections. Nil means a [net.Dialer]'s.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// ConnectTimeout bounds making a connection. 0 means 3 seconds.
	ConnectTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept: less than services
	// keep theirs for, or requests meet connections that are just being closed,
	// and a POST that does is lost. 0 means 4 seconds, because uvicorn waits for
	// 5; where services wait longer, a longer time saves connections.
	IdleTimeout time.Duration
	// MaxPerHost bounds the HTTP/1.1 connections to one instance; a request
	// beyond it waits. 0 means no bound.
	MaxPerHost int
	// TLS is for https URLs. Nil means the system's roots. Its NextProtos are
	// not used.
	TLS *tls.Config
	// Standard carries HTTP/1.1 by http.Transport everywhere, at twice the
	// cost: for the day on which something is wrong with h1.
	Standard bool

	once sync.Once
	lean *h1.Transport
	std  [len(protocolNames)]*http.Transport
}

// Bounds of a Transport that need no setting.
const (
	defaultConnectTimeout = 3 * time.Second
	defaultUpstreamIdle   = 4 * time.Second
	maxAnswerHeader       = 256 << 10
	idlePerHost           = 256
)

// NewTransport returns the transport that a gateway uses unless it is given
// another.
func NewTransport() *Transport { return &Transport{} }

// RoundTrip implements [http.RoundTripper] with [ProtocolAuto].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.speak(ProtocolAuto, r)
}

// Speaking is t with a protocol. Both share their connections.
func (t *Transport) Speaking(p Protocol) http.RoundTripper {
	if p == ProtocolAuto {
		return t
	}
	return &speaker{t, p}
}

// speaker is a Transport that speaks one protocol.
type speaker struct {
	t *Transport
	p Protocol
}

func (s *speaker) RoundTrip(r *http.Request) (*http.Response, error) { return s.t.speak(s.p, r) }

// CloseIdleConnections lets http.Client's method of that name through.
func (s *speaker) CloseIdleConnections() { s.t.CloseIdleConnections() }

func (t *Transport) speak(p Protocol, r *http.Request) (*http.Response, error) {
	t.once.Do(t.build)
	if t.isLean(p, r.URL.Scheme) {
		return t.lean.RoundTrip(r)
	}
	return t.std[p].RoundTrip(r)
}

// isLean reports whether h1 carries what goes to a scheme.
func (t *Transport) isLean(p Protocol, scheme string) bool {
	return p != HTTP2 && scheme == "http" && !t.Standard
}

// CloseIdleConnections closes the connections that nobody is using.
func (t *Transport) CloseIdleConnections() {
	t.once.Do(t.build)
	t.lean.CloseIdleConnections()
	for _, std := range t.std {
		std.CloseIdleConnections()
	}
}

// Run closes connections that have been unused for too long until ctx ends.
// [Gateway.Run] calls it. A Transport works without it.
func (t *Transport) Run(ctx context.Context) error {
	t.once.Do(t.build)
	return t.lean.Run(ctx)
}

func (t *Transport) connectTimeout() time.Duration {
	return orDefault(t.ConnectTimeout, defaultConnectTimeout)
}

func (t *Transport) build() {
	dial := t.DialContext
	if dial == nil {
		dial = (&net.Dialer{Timeout: t.connectTimeout(), KeepAlive: 30 * time.Second}).DialContext
	}
	t.lean = &h1.Transport{
		DialContext:            dial,
		DialTimeout:            t.connectTimeout(),
		MaxIdlePerHost:         idlePerHost,
		MaxPerHost:             t.MaxPerHost,
		IdleTimeout:            orDefault(t.IdleTimeout, defaultUpstreamIdle),
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
	for p := range t.std {
		t.std[p] = t.standard(Protocol(p), dial)
	}
}

// standard is http.Transport with what a gateway needs changed.
func (t *Transport) standard(p Protocol, dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	std := &http.Transport{
		Proxy:                  nil, // an environment variable must not redirect people's words
		DialContext:            t.bounded(dial),
		TLSClientConfig:        t.TLS.Clone(),
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConnsPerHost:    idlePerHost,
		MaxConnsPerHost:        t.MaxPerHost,
		IdleConnTimeout:        orDefault(t.IdleTimeout, defaultUpstreamIdle),
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true, // what the service encodes goes on as it is
		MaxResponseHeaderBytes: maxAnswerHeader,
		Protocols:              &http.Protocols{},
		// A connection that many calls share is asked whether it lives.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	if std.TLSClientConfig != nil {
		std.TLSClientConfig.NextProtos = nil
	}
	std.Protocols.SetHTTP1(p != HTTP2)
	std.Protocols.SetHTTP2(p != HTTP1)
	std.Protocols.SetUnencryptedHTTP2(p == HTTP2)
	return std
}

// bounded keeps a host's own dialler within ConnectTimeout too.
func (t *Transport) bounded(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, t.connectTimeout())
		defer cancel()
		return dial(ctx, network, addr)
	}
}

// carrier is who carries requests to a service, and what is known of it.
type carrier struct {
	http.RoundTripper                   // for requests
	upgrade           http.RoundTripper // for what becomes a socket: HTTP/1.1
	own               *Transport        // nil for a host's own RoundTripper
	protocol          Protocol
}

// newCarrier makes the carrier of a service.
func newCarrier(rt http.RoundTripper, p Protocol) carrier {
	own, ok := rt.(*Transport)
	if !ok {
		return carrier{RoundTripper: rt, upgrade: rt}
	}
	return carrier{RoundTripper: own.Speaking(p), upgrade: own.Speaking(HTTP1), own: own, protocol: p}
}

// lean reports whether requests to a scheme go by h1, which keeps the time
// itself and says exactly what went wrong.
func (c *carrier) lean(scheme string) bool { return c.own != nil && c.own.isLean(c.protocol, scheme) }
