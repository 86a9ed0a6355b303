package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// Option hands a part to [New]. A later option overrides an earlier one; those
// that accumulate say so.
type Option func(*parts)

// parts is what options fill in; assemble turns it into an immutable state.
type parts struct {
	routes        []Route
	authenticator auth.Authenticator
	registry      discovery.Registry
	services      map[string]Service
	guard         *safety.Guard
	quotas        Quotas
	admission     *ratelimit.Admission
	monitor       *health.Monitor
	ready         *health.Ready
	metrics       *metrics.Metrics
	logger        *slog.Logger
	accessLog     bool
	proxies       trustedProxies
	forwarded     ForwardedStyle
	trustedHosts  hostList
	cors          CORS
	headers       SecurityHeaders
	tracer        trace.TracerProvider
	transport     http.RoundTripper
	slots         [slotCount][]Middleware
	webSocket     WebSocket
	endpoints     *Endpoints
	shutdown      Shutdown
	server        Server
	background    []background
	realm         string
}

type background struct {
	name string
	run  func(context.Context) error
}

// WithRoutes adds routes to the table. It accumulates. Without routes the
// gateway answers 404.
func WithRoutes(routes ...Route) Option {
	return func(p *parts) { p.routes = append(p.routes, routes...) }
}

// WithAuthenticator sets who establishes identities. By default, and with nil,
// nobody is known: routes that need a known caller answer 401.
func WithAuthenticator(a auth.Authenticator) Option {
	return func(p *parts) { p.authenticator = a }
}

// WithRegistry sets who knows the instances of services. By default there are
// none, and routes that name a Service answer 503. A registry that is also a
// [discovery.Watcher] is watched while the gateway runs; another one is asked
// every few seconds. A gateway that is not run asks for each request.
func WithRegistry(r discovery.Registry) Option {
	return func(p *parts) { p.registry = r }
}

// Service says how the instances of one service are treated.
type Service struct {
	// HealthPath is asked on every instance while the gateway runs and has a
	// monitor; any 2xx is well. Empty means that instances are not asked.
	HealthPath string
	// Balancer chooses among the instances. Nil means least loaded of two.
	Balancer discovery.Balancer
	// Breaker makes the breaker of each instance. Nil means that of
	// [health.Breaker]'s zero value; a func that returns nil means none. It is
	// told of heads of answers only: how long a body takes, or that it broke off,
	// it does not see.
	Breaker func(instance string) *health.Breaker
	// Outlier makes what compares the instances with each other; it hears of
	// answers that broke off too. Nil means [health.Outlier]'s zero value; a func
	// that returns nil means that they are not compared.
	Outlier func() *health.Outlier
	// SlowStart is how long an instance takes to get its full share of the work
	// that joins others, comes back to them, or has recovered. Zero means none.
	SlowStart time.Duration
	// Protocol is what the service is spoken to in; sockets always begin as
	// HTTP/1.1. The zero value is HTTP/1.1, or with TLS what is agreed on. It
	// needs a Transport that is nil or a [*Transport].
	Protocol Protocol
	// Transport carries requests to the service. Nil means the gateway's.
	Transport http.RoundTripper
	// Retries is how many times a request that may be repeated is tried again,
	// on another instance first. 0 means 2, a negative value none.
	Retries int
	// RetryShare bounds retries to a share of the service's requests, so that an
	// outage is not answered by a storm; 3 a second are always allowed. 0 means
	// 0.2, a negative value none beside those 3.
	RetryShare float64
	// Critical says that the gateway as a whole is reported degraded while no
	// instance of the service is well. It never makes the gateway unready.
	Critical bool
}

// WithService sets how one service is treated. It accumulates over names.
// Services that routes name and nobody sets get the zero Service.
func WithService(name string, s Service) Option {
	return func(p *parts) { p.services[name] = s }
}

// WithGuard sets what listens to requests and replies. By default, and with
// nil, nothing is inspected, and refusals carry the built-in help.
func WithGuard(g *safety.Guard) Option {
	return func(p *parts) { p.guard = g }
}

// Quotas are the gateway's own limits. A zero rate is no limit.
type Quotas struct {
	// Store counts. Nil means a [ratelimit.Memory] of the gateway's own.
	Store ratelimit.Store
	// Default holds for each caller on routes below the therapeutic lane.
	Default ratelimit.Rate
	// Therapeutic holds for each caller on routes of the therapeutic lane.
	Therapeutic ratelimit.Rate
	// Address holds for each address (IPv6 by /64) before anything costly is
	// done. It is always counted in this process.
	Address ratelimit.Rate
	// Crisis caps how often one caller may pass quotas because of a crisis. The
	// zero Rate means 120 a minute: nobody in need writes that much, and a
	// program that plays in need must not get the place of those who are.
	Crisis ratelimit.Rate
	// OverQuota is how often the message of a caller over quota is still looked
	// at, so that a crisis is heard. The zero Rate means 30 a minute.
	OverQuota ratelimit.Rate
	// Headers chooses the fields that tell the caller of his quota.
	Headers ratelimit.HeaderStyle
}

// WithQuotas sets the gateway's own limits. By default there are none.
func WithQuotas(q Quotas) Option {
	return func(p *parts) { p.quotas = q }
}

// WithAdmission bounds how many requests are under way at once, by lane. By
// default, and with nil, nothing is bounded.
func WithAdmission(a *ratelimit.Admission) Option {
	return func(p *parts) { p.admission = a }
}

// WithMonitor sets who watches what the gateway depends on. The gateway adds
// a check for each service that has a HealthPath and runs the monitor. By
// default nothing is watched.
func WithMonitor(m *health.Monitor) Option {
	return func(p *parts) { p.monitor = m }
}

// WithReady sets the gates of readiness. The gateway adds its own: "table" and
// "draining". By default it keeps gates of its own.
func WithReady(r *health.Ready) Option {
	return func(p *parts) { p.ready = r }
}

// WithMetrics sets where things are counted. By default, and with nil, they
// are not.
func WithMetrics(m *metrics.Metrics) Option {
	return func(p *parts) { p.metrics = m }
}

// WithLogger sets where the gateway logs. By default, and with nil, it is
// [slog.Default]. Never a token, a message or a query is logged.
func WithLogger(l *slog.Logger) Option {
	return func(p *parts) { p.logger = l }
}

// WithAccessLog sets whether one line is written for each request. It is on by
// default.
func WithAccessLog(on bool) Option {
	return func(p *parts) { p.accessLog = on }
}

// WithTrustedProxies names the peers whose X-Forwarded-*, Forwarded and request
// ids are believed. By default nobody is, not even loopback. Where a trusted
// proxy sends both kinds of field, and they name different clients, neither is
// believed: one of them may be the client's own.
func WithTrustedProxies(nets ...netip.Prefix) Option {
	return func(p *parts) { p.proxies = nets }
}

// WithTrustedHosts names the hosts that are served, "*.example.com" for all
// below example.com; others get 400. By default every host is. The gateway's
// own endpoints are served under any name, since probes come by address.
func WithTrustedHosts(hosts ...string) Option {
	return func(p *parts) {
		p.trustedHosts = nil
		for _, h := range hosts {
			p.trustedHosts = append(p.trustedHosts, hostname(h))
		}
	}
}

// WithTracerProvider sets who records spans. By default none are recorded, and
// the W3C trace context is passed on all the same.
func WithTracerProvider(tp trace.TracerProvider) Option {
	return func(p *parts) { p.tracer = tp }
}

// WithTransport sets how services are reached. By default it is [NewTransport].
// A Service may have its own.
func WithTransport(rt http.RoundTripper) Option {
	return func(p *parts) { p.transport = rt }
}

// Slot is a place on the way of a request where a host puts its own
// middleware. There is none between inspection and admission, so that the
// order that protects a person in crisis cannot be broken.
type Slot int

const (
	// AfterEdge: the request has an id, an address and a route; nobody is
	// known yet. What refuses here is recorded like everything else.
	AfterEdge Slot = iota
	// AfterAllow: the caller is known and may call; nothing of the body has been
	// read.
	AfterAllow
	// AfterAdmit: the message has been judged, quota and admission are passed;
	// next comes the service.
	AfterAdmit

	slotCount
)

// WithMiddleware puts middleware into a slot. It accumulates; the first is the
// outermost.
func WithMiddleware(at Slot, mw ...Middleware) Option {
	return func(p *parts) {
		if at >= 0 && at < slotCount {
			p.slots[at] = append(p.slots[at], mw...)
		}
	}
}

// WithBackground adds work that [Gateway.Run] does beside its own. It
// accumulates. run blocks until ctx ends; if it ends earlier with an error,
// Run ends with that.
func WithBackground(name string, run func(context.Context) error) Option {
	return func(p *parts) { p.background = append(p.background, background{name, run}) }
}

// WithRealm sets the realm that a challenge names. The default is "tta".
func WithRealm(realm string) Option {
	return func(p *parts) { p.realm = realm }
}

// CORS says which pages may read answers.
type CORS struct {
	// Origins are exact ("https://play.example.com"). None means that CORS is
	// not handled here, and what services say about it passes.
	Origins []string
	// MaxAge is how long a browser may keep a preflight's answer. 0 means 10
	// minutes.
	MaxAge time.Duration
}

// WithCORS sets which pages may read answers. The origins may also open
// WebSockets.
func WithCORS(c CORS) Option {
	return func(p *parts) { p.cors = c }
}

// WithSecurityHeaders sets the security headers of every answer. By default
// they are those of [DefaultSecurityHeaders].
func WithSecurityHeaders(h SecurityHeaders) Option {
	return func(p *parts) { p.headers = h }
}

// WebSocket bounds live connections.
//
// A connection lasts no longer than the credential that opened it: when that
// expires ([auth.Identity].Expires, and at most a minute more if the
// authenticator has such a leeway), is withdrawn, or is not enough for the route
// any more, the connection is closed with 1008, on inspected routes with help
// before it if the session is raised. Who is in crisis is not cut by a clock: the
// connection stays until the session's level has fallen below high. A credential
// that was withdrawn ends it all the same.
//
// Where messages are not inspected, bytes pass unread: Idle, PerCaller, Total
// and the credential bound such a connection, MaxMessage and Rate do not.
type WebSocket struct {
	// Disabled refuses every upgrade.
	Disabled bool
	// MaxMessage is how long one message may be, in bytes. 0 means 64 KiB.
	MaxMessage int64
	// Rate is how fast one connection's messages are passed on; a faster sender
	// is slowed down, and nothing is dropped. The zero Rate means 10 in 2 seconds.
	// It holds on inspected routes.
	//
	// A message in crisis does not wait for its own turn, up to what Quotas.Crisis
	// gives one caller on all connections and requests together; but messages are
	// judged and passed on in order, so it waits behind those that the same
	// connection sent before it and that are being slowed down.
	Rate ratelimit.Rate
	// Idle is how long a connection may be silent in both directions. 0 means
	// 5 minutes, a negative value no bound.
	Idle time.Duration
	// PerCaller is how many connections one caller may have; one in crisis may
	// have twice as many. 0 means 5, a negative value no bound.
	PerCaller int
	// Total is how many connections there may be; a tenth more is kept for callers
	// in crisis. 0 means 10,000, a negative value no bound.
	Total int
	// Recheck is how often the credential of a live connection is shown to the
	// authenticator again, and the identity to the route's policy, so that a
	// logout counts. While the authenticator cannot tell, the connection stays. 0
	// means 2 minutes. A negative value means never, for credentials that are good
	// only once; expiry holds even then.
	Recheck time.Duration
	// Origins may open connections beside the gateway's own host and the CORS
	// origins. An absent Origin (no browser) may always.
	Origins []string
}

// WithWebSocket bounds live connections. Without it the defaults hold.
func WithWebSocket(ws WebSocket) Option {
	return func(p *parts) { p.webSocket = ws }
}

// Shutdown is the plan for the end: readiness off, Grace for load balancers to
// notice, no new upgrades, requests finished, sockets closed over Spread with
// the crisis lane last, audit flushed, all within Timeout.
type Shutdown struct {
	Grace   time.Duration // 0 means none
	Spread  time.Duration // 0 means a second
	Timeout time.Duration // 0 means 25 seconds: below the 30 that Kubernetes gives
}

// WithShutdown sets the plan for the end.
func WithShutdown(s Shutdown) Option {
	return func(p *parts) { p.shutdown = s }
}

func newParts(opts []Option) *parts {
	p := &parts{
		services:  map[string]Service{},
		headers:   DefaultSecurityHeaders(),
		logger:    slog.Default(),
		accessLog: true,
		realm:     "tta",
	}
	for _, opt := range opts {
		if opt != nil {
			opt(p)
		}
	}
	p.fillDefaults()
	return p
}

func (p *parts) fillDefaults() {
	if p.logger == nil {
		p.logger = slog.Default()
	}
	if p.registry == nil {
		p.registry = discovery.RegistryFunc(func(_ context.Context, service string) ([]discovery.Instance, error) {
			return nil, discovery.UnknownService(service)
		})
	}
	if p.transport == nil {
		p.transport = NewTransport()
	}
	p.quotas.fillDefaults()
	p.webSocket.fillDefaults()
	p.shutdown.fillDefaults()
	p.server.fillDefaults()
}

func (q *Quotas) fillDefaults() {
	if q.Crisis.N == 0 {
		q.Crisis = ratelimit.Rate{N: 120, Per: time.Minute}
	}
	if q.OverQuota.N == 0 {
		q.OverQuota = ratelimit.Rate{N: 30, Per: time.Minute}
	}
}

func (ws *WebSocket) fillDefaults() {
	if ws.MaxMessage == 0 {
		ws.MaxMessage = 64 << 10
	}
	if ws.Rate.N == 0 {
		ws.Rate = ratelimit.Rate{N: 10, Per: 2 * time.Second}
	}
	ws.Idle = orDefault(ws.Idle, 5*time.Minute)
	ws.Recheck = orDefault(ws.Recheck, defaultRecheck)
	if ws.PerCaller == 0 {
		ws.PerCaller = 5
	}
	if ws.Total == 0 {
		ws.Total = 10_000
	}
}

func (s *Shutdown) fillDefaults() {
	s.Spread = orDefault(s.Spread, time.Second)
	s.Timeout = orDefault(s.Timeout, 25*time.Second)
}

// check returns every complaint about the parts, routes apart.
func (p *parts) check() error {
	var errs []error
	for _, o := range slices.Concat(p.cors.Origins, p.webSocket.Origins) {
		if err := checkOrigin(o); err != nil {
			errs = append(errs, err)
		}
	}
	for name, s := range p.services {
		if _, own := cmp.Or[any](s.Transport, p.transport).(*Transport); !own && s.Protocol != ProtocolAuto {
			errs = append(errs, fmt.Errorf("gateway: service %q: Protocol %s needs a *gateway.Transport; its Transport is a %T", name, s.Protocol, cmp.Or[any](s.Transport, p.transport)))
		}
		if s.Protocol < 0 || int(s.Protocol) >= len(protocolNames) {
			errs = append(errs, fmt.Errorf("gateway: service %q: %s is not a protocol; use ProtocolAuto, HTTP1 or HTTP2", name, s.Protocol))
		}
		if s.HealthPath != "" && !strings.HasPrefix(s.HealthPath, "/") {
			errs = append(errs, fmt.Errorf("gateway: service %q: HealthPath %q must begin with a slash", name, s.HealthPath))
		}
	}
	if p.shutdown.Grace >= p.shutdown.Timeout {
		errs = append(errs, fmt.Errorf("gateway: shutdown grace %s leaves nothing of the timeout %s; lower it", p.shutdown.Grace, p.shutdown.Timeout))
	}
	if p.endpoints != nil {
		errs = append(errs, p.endpoints.check()...)
	}
	return errors.Join(errs...)
}

func checkOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != o {
		return fmt.Errorf("gateway: origin %q must be scheme://host[:port], without a path or a wildcard, as browsers send it", o)
	}
	return nil
}
