package config

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/redisrevocation"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/redisregistry"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/audit"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

// Host is what a program lends to the parts.
type Host struct {
	// Version and Revision say what is running. Empty means "dev".
	Version, Revision string
	// Log gets the log, usually os.Stderr. Nil means that nothing is logged.
	Log io.Writer
	// Inspector judges texts. Nil means the built-in detector. The settings
	// decide whether it is used.
	Inspector safety.Inspector
	// Escalator tells a human of a crisis. Nil: nobody is told.
	Escalator safety.Escalator
	// Options follow those of the parts, and override them.
	Options []gateway.Option
}

// Parts are what settings have become: everything that a gateway is made of,
// and what has to be watched and closed beside it.
type Parts struct {
	// Logger writes what the settings say.
	Logger *slog.Logger
	// Registry is Prometheus' registry, nil without metrics.
	Registry *prometheus.Registry
	// Warnings are what Load and Build noticed and let pass. They are not
	// logged yet.
	Warnings []string

	config    atomic.Pointer[Config]
	reloading sync.Mutex // one at a time
	host      Host
	keys      *auth.Rotating
	jwt       *auth.JWT
	redis     redis.UniversalClient
	quotas    *ratelimit.Fallback
	store     ratelimit.Store
	registry  discovery.Registry
	register  discovery.Registrar
	metrics   *metrics.Metrics
	monitor   *health.Monitor
	ready     *health.Ready
	admit     *ratelimit.Admission
	trail     *audit.Trail
	auditor   safety.Auditor
	guard     *safety.Guard
	selfTest  *selfTest
	pair      atomic.Pointer[tls.Certificate]
	gates     *gates
	runs      []run
	admin     net.Listener
}

type run struct {
	name string
	do   func(context.Context) error
}

// Build makes the parts. It opens the audit file and dials nothing: a Redis
// that is not there is found out later, and reported. The error is an *[Error]
// with every complaint.
func (c *Config) Build(host Host) (*Parts, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if host.Version == "" {
		host.Version = "dev"
	}
	p := &Parts{host: host, Logger: c.logger(host.Log), Warnings: append([]string(nil), c.Warnings...)}
	p.config.Store(c)
	var found complaints
	for _, step := range []func(*Config) error{
		p.buildMetrics, p.buildRedis, p.buildAuth, p.buildQuotas, p.buildRegistry,
		p.buildHealth, p.buildAudit, p.buildGuard, p.buildTLS,
	} {
		found.join(step(c))
	}
	if err := found.err(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Parts) buildMetrics(c *Config) error {
	if !c.MetricsEnabled {
		return nil
	}
	p.Registry = prometheus.NewRegistry()
	m, err := metrics.New(p.Registry, metrics.WithRuntime(), metrics.WithEnvironment(strings.ToLower(c.Environment)))
	if err != nil {
		return err
	}
	m.BuildInfo(p.host.Version, p.host.Revision)
	p.metrics = m
	return nil
}

func (p *Parts) buildRedis(c *Config) error {
	if c.RedisURL == "" {
		return nil
	}
	options, err := redisstore.Options(string(c.RedisURL), c.RedisDB, string(c.RedisPassword))
	if err != nil {
		return err
	}
	user, password := options.Username, options.Password
	options.CredentialsProvider = func() (string, string) { // a password from a file may change
		if now := p.config.Load().RedisPassword; now != "" {
			return user, string(now)
		}
		return user, password
	}
	p.redis = redis.NewUniversalClient(options)
	return nil
}

func (p *Parts) buildAuth(c *Config) error {
	p.keys = auth.NewRotating(hmac(c))
	p.jwt = &auth.JWT{Keys: p.keys, Methods: []string{c.JWTAlgorithm}, Revocations: p.revocations()}
	return p.jwt.Validate()
}

// revocations are shared by Redis where there is one.
func (p *Parts) revocations() auth.Revocations {
	local := &auth.MemoryRevocations{}
	if p.redis == nil {
		return local
	}
	return &revocations{shared: &redisrevocation.List{Client: p.redis}, local: local}
}

func hmac(c *Config) auth.Keys {
	secrets := c.jwtSecrets()
	if len(secrets) == 0 {
		return auth.HMAC(nil)
	}
	return auth.HMAC(secrets[0], secrets[1:]...)
}

func (p *Parts) buildQuotas(c *Config) error {
	p.admit = &ratelimit.Admission{Limit: max(c.MaxInFlight, 0)}
	local := &ratelimit.Memory{}
	p.store = local
	if p.redis == nil {
		return p.admit.Validate()
	}
	breaker := &health.Breaker{Threshold: 3, Timeout: redisPause, Trials: 1, Successes: 1, Ramp: -1, FailureRate: -1}
	p.quotas = &ratelimit.Fallback{
		Store: redisstore.New(p.redis), Local: local, Allow: breaker.Allow,
		OnChange: func(degraded bool) {
			if degraded {
				p.Logger.Warn("quotas are counted in this process alone: Redis does not answer")
				return
			}
			p.Logger.Info("quotas are shared again: Redis answers")
		},
	}
	p.store = p.quotas
	return p.admit.Validate()
}

// redisPause is how long a Redis that fails is left alone by quotas.
const redisPause = time.Second

func (p *Parts) buildRegistry(c *Config) error {
	static, err := discovery.NewStatic(c.services())
	if err != nil {
		return err
	}
	var dynamic discovery.Registry
	switch c.RegistryBackend() {
	case "memory":
		memory := &discovery.Memory{}
		dynamic, p.register = memory, memory
		p.run("registry leases", memory.Run)
	case "redis":
		shared := redisregistry.New(p.redis)
		shared.OnSkip = func(key string, err error) {
			p.Logger.Warn("an entry of the registry cannot be read", slog.String("key", key), slog.Any("error", err))
		}
		dynamic, p.register = shared, shared
		p.run("registry leases", shared.Run)
	}
	p.registry = withAliases(combined(static, dynamic, c.Services != nil), aliases)
	return nil
}

// combined puts those who registered beside those whom the settings name. The
// default service is no more than a guess: whoever registers goes before it.
func combined(static, dynamic discovery.Registry, named bool) discovery.Registry {
	switch {
	case dynamic == nil:
		return static
	case named:
		return discovery.Merge(static, dynamic)
	}
	return discovery.First(withAliases(dynamic, aliases), static)
}

func (p *Parts) buildHealth(c *Config) error {
	p.ready = &health.Ready{}
	p.gates = newGates(c, p.ready)
	p.monitor = &health.Monitor{
		Interval: c.HealthCheckInterval,
		Timeout:  c.HealthCheckTimeout,
		Version:  p.host.Version,
		OnChange: p.changed,
	}
	if p.redis == nil {
		return nil
	}
	return p.monitor.Add("redis", p.redisWell, health.Optional)
}

// changed hears of every check that changes, one at a time.
func (p *Parts) changed(name, from, to string) {
	p.gates.changed(name, to)
	level := slog.LevelInfo
	if !well(to) {
		level = slog.LevelWarn
	}
	p.Logger.Log(context.Background(), level, "health changed", slog.String("check", name), slog.String("from", from), slog.String("to", to))
}

func (p *Parts) redisWell(ctx context.Context) error {
	if err := p.redis.Ping(ctx).Err(); err != nil {
		return errors.New("config: redis does not answer") // its own words may name an address
	}
	return p.quotas.Check(ctx)
}

func (p *Parts) buildAudit(c *Config) error {
	if c.AuditFile == "" {
		p.auditor = &audit.Memory{}
		return nil
	}
	trail, err := audit.Open(c.AuditFile, audit.Options{Key: []byte(c.AuditKey), Overflow: p.host.Log})
	if err != nil {
		return &Complaint{Setting: "TTA_GATEWAY_AUDIT_FILE", Value: c.AuditFile, Problem: fileProblem(err),
			Remedy: settingNamed("TTA_GATEWAY_AUDIT_FILE").remedy}
	}
	p.trail, p.auditor = trail, trail
	p.run("audit trail", trail.Run)
	return p.monitor.Add("audit", p.auditWell, health.Optional)
}

func (p *Parts) auditWell(ctx context.Context) error {
	err := p.trail.Healthy(ctx)
	p.metrics.AuditHealth(err == nil)
	return err
}

func (p *Parts) buildGuard(c *Config) error {
	p.selfTest = &selfTest{parts: p, off: c.safetyOff(), interval: c.SafetyMonitoringInterval}
	if c.TherapeuticSafetyEnabled {
		p.guard = &safety.Guard{
			Auditor:   p.auditor,
			Escalator: p.host.Escalator,
			MaxBody:   int64(c.MaxBody),
		}
		if c.CrisisDetectionEnabled {
			p.guard.Inspector = p.inspector()
		}
	}
	p.run("safety self-test", p.selfTest.Run)
	if p.selfTest.off == "" {
		p.ready.Require(selfTestGate, false)
	}
	if p.selfTest.off == "" || c.Production() {
		if err := p.monitor.Add("safety", p.selfTest.Check, health.Optional); err != nil {
			return err
		}
	}
	return p.guard.Check()
}

func (p *Parts) inspector() safety.Inspector {
	if p.host.Inspector != nil {
		return p.host.Inspector
	}
	return detect.Default()
}

func (p *Parts) buildTLS(c *Config) error {
	pair, err := c.certificate()
	p.pair.Store(pair)
	return err
}

func (p *Parts) run(name string, do func(context.Context) error) {
	p.runs = append(p.runs, run{name, do})
}

// Options are what gateway.New and, after a change, gateway.Reload get.
func (p *Parts) Options() []gateway.Option {
	c := p.config.Load()
	options := []gateway.Option{
		gateway.WithLogger(p.Logger),
		gateway.WithAuthenticator(p.jwt),
		gateway.WithRegistry(p.registry),
		gateway.WithGuard(p.guard),
		gateway.WithQuotas(p.limits(c)),
		gateway.WithAdmission(p.admit),
		gateway.WithMonitor(p.monitor),
		gateway.WithReady(p.ready),
		gateway.WithMetrics(p.metrics),
		gateway.WithTrustedProxies(c.TrustedProxies...),
		gateway.WithTrustedHosts(c.TrustedHosts...),
		gateway.WithCORS(gateway.CORS{Origins: c.CORSOrigins}),
		gateway.WithWebSocket(webSocket(c)),
		gateway.WithShutdown(gateway.Shutdown{Grace: c.ShutdownGrace(), Timeout: c.ShutdownTimeout}),
		gateway.WithServer(gateway.Server{TLS: p.tls(c), Admin: p.admin}),
		gateway.WithEndpoints(c.endpoints(p.host, p.register)),
		gateway.WithRoutes(c.Table.routes(c, middleware{jwt: p.jwt})...),
	}
	for _, name := range c.Table.serviceNames() {
		options = append(options, gateway.WithService(name, p.service(c, name)))
	}
	for _, r := range p.runs {
		options = append(options, gateway.WithBackground(r.name, r.do))
	}
	return append(options, p.host.Options...)
}

func (p *Parts) limits(c *Config) gateway.Quotas {
	q := gateway.Quotas{Store: p.store}
	if c.RateLimitingEnabled {
		q.Default, q.Therapeutic, q.Address = c.DefaultRateLimit, c.TherapeuticRateLimit, c.AddressRate()
	}
	return q
}

func webSocket(c *Config) gateway.WebSocket {
	idle := c.WebSocketTimeout
	if idle == 0 {
		idle = -1
	}
	return gateway.WebSocket{Disabled: !c.WebSocketEnabled, Idle: idle}
}

func (c *Config) endpoints(host Host, register discovery.Registrar) gateway.Endpoints {
	return gateway.Endpoints{
		Version:        host.Version,
		Debug:          c.Debug,
		Allow:          c.AdminAllow,
		Token:          string(c.MetricsToken),
		PrometheusPath: c.PrometheusMetricsPath,
		Registrations:  register,
		RegistryToken:  string(c.RegistryToken),
		RateLimiting:   c.RateLimitingEnabled,
		Safety:         c.safetyOff() == "",
		Discovery:      c.ServiceDiscoveryEnabled,
	}
}

// tls is the listener's side of TLS, nil without a pair. The pair is looked up
// at each handshake, so that it can be replaced.
func (p *Parts) tls(c *Config) *tls.Config {
	if c.TLSCertFile == "" {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.pair.Load(), nil },
	}
}

// service is how one service is treated.
func (p *Parts) service(c *Config, name string) gateway.Service {
	said := c.Table.Services[name]
	return gateway.Service{
		HealthPath: said.healthPath(),
		Balancer:   balancer(c, said.Balancer),
		Breaker:    p.breaker(c),
		Retries:    said.Retries,
		Critical:   said.Critical,
		Protocol:   said.Protocol,
		SlowStart:  said.SlowStart,
	}
}

// balancing is the name of the balancer where a service names none.
func (c *Config) balancing() string {
	if c.LoadBalancingAlgorithm == "" {
		return "least_loaded"
	}
	return strings.ToLower(c.LoadBalancingAlgorithm)
}

// balancer makes a service's own; names have been checked.
func balancer(c *Config, name string) discovery.Balancer {
	if name == "" {
		name = c.balancing()
	}
	b, err := discovery.ParseBalancer(name)
	if err != nil {
		return discovery.NewLeastLoaded()
	}
	if hash, ok := b.(*discovery.Hash); ok {
		hash.Key = subjectOf
	}
	return b
}

// subjectOf keeps a known caller with one instance; others go where there is
// room.
func subjectOf(r *http.Request) string { return auth.FromContext(r.Context()).Subject }

func (p *Parts) breaker(c *Config) func(string) *health.Breaker {
	if !c.CircuitBreakerEnabled {
		return func(string) *health.Breaker { return nil }
	}
	return func(string) *health.Breaker {
		return &health.Breaker{Threshold: c.CircuitBreakerFailureThreshold, Timeout: c.CircuitBreakerTimeout}
	}
}

// Listen opens the gateway's listener, and the admin one if there is one. Call
// it before Options are given to gateway.New, so that the gateway gets both.
func (p *Parts) Listen(ctx context.Context) (net.Listener, error) {
	c := p.config.Load()
	var lc net.ListenConfig
	if c.AdminAddr != "" && p.admin == nil {
		admin, err := lc.Listen(ctx, "tcp", c.AdminAddr)
		if err != nil {
			return nil, fmt.Errorf("config: cannot listen on TTA_GATEWAY_ADMIN_ADDR=%q: %w", c.AdminAddr, err)
		}
		p.admin = admin
	}
	ln, err := lc.Listen(ctx, "tcp", c.Addr())
	if err != nil {
		return nil, fmt.Errorf("config: cannot listen on %s: %w", c.Addr(), err)
	}
	return ln, nil
}

// Close ends what the parts hold open: the Redis client, the audit trail, the
// admin listener. Call it when the gateway has ended.
func (p *Parts) Close() error {
	var errs []error
	if p.trail != nil {
		errs = append(errs, p.trail.Close())
	}
	if p.redis != nil {
		errs = append(errs, p.redis.Close())
	}
	if p.admin != nil {
		if err := p.admin.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
