package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
)

// Check returns every complaint about the settings as an *[Error], or nil. It
// reads the files that they name, fills in Table if there is none, and opens,
// dials and starts nothing.
func (c *Config) Check() error {
	var found complaints
	c.loadTable(&found)
	found.join(c.check(found.named()))
	return found.err()
}

// inspection looks at one Config and collects complaints about it.
type inspection struct {
	*Config
	found complaints
	known map[string]bool // settings with a complaint already: one each is enough
}

func (c *Config) check(known map[string]bool) error {
	in := &inspection{Config: c, known: known}
	in.listener()
	in.secrets()
	in.tls()
	in.callers()
	in.redis()
	in.services()
	in.limits()
	in.health()
	in.safety()
	in.shown()
	in.table()
	return in.found.err()
}

// bad complains about a setting by its short name.
func (in *inspection) bad(short, problem string) {
	s := settingNamed(Prefix + short)
	in.badly(short, problem, s.remedy)
}

func (in *inspection) badly(short, problem, remedy string) {
	s := settingNamed(Prefix + short)
	if in.known[s.Name] {
		return
	}
	value := show(in.field(s.Name))
	if s.Secret {
		value = ""
	}
	in.found.add(s.Name, value, problem, remedy)
}

func (in *inspection) listener() {
	if in.Host == "" || strings.ContainsAny(in.Host, "/ []") || strings.Contains(in.Host, ":") && !isAddr(in.Host) {
		in.bad("HOST", "not an address to listen on")
	}
	if in.Port < 0 || in.Port > 65535 {
		in.bad("PORT", "out of range")
	}
	if in.MaxBody <= 0 || in.MaxBody > 1<<30 {
		in.bad("MAX_BODY", "out of range: from 1 byte to 1GiB")
	}
	if in.MaxInFlight >= 0 && in.MaxInFlight < 10 {
		in.bad("MAX_IN_FLIGHT", "leaves no room for reserves")
	}
	if in.ShutdownTimeout <= in.ShutdownGrace() {
		in.badly("SHUTDOWN_TIMEOUT", fmt.Sprintf("leaves nothing after the grace of %v for load balancers", in.ShutdownGrace()), "write more, such as 25s")
	}
	if in.Demo && in.Production() {
		in.found.add(environmentName, in.Environment, "a demo has no place in production", "run without -demo")
	}
	if in.Demo && !in.Loopback() {
		in.badly("HOST", "a demo listens on this machine only", "leave it unset, or run without -demo")
	}
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// exposed reports that strangers can reach the listener, or that lives depend
// on it.
func (c *Config) exposed() bool { return c.Production() || !c.Loopback() }

// methodBytes is the shortest secret of each algorithm: that of its hash (RFC
// 7518, section 3.2).
var methodBytes = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

func (in *inspection) secrets() {
	if methodBytes[in.JWTAlgorithm] == 0 {
		in.bad("JWT_ALGORITHM", "not among the algorithms for a shared secret")
	}
	if in.JWTExpireMinutes < 1 || in.JWTExpireMinutes > 1440 {
		in.bad("JWT_EXPIRE_MINUTES", "out of range")
	}
	secrets := in.jwtSecrets()
	if len(secrets) == 0 {
		in.bad("JWT_SECRET_KEY", "not set")
	}
	if !in.exposed() {
		return
	}
	for _, s := range secrets {
		if err := weak(s, methodBytes[in.JWTAlgorithm]); err != nil {
			in.bad("JWT_SECRET_KEY", err.Error()+", and "+in.exposure())
			break
		}
	}
	if in.AuditKey != "" && weak([]byte(in.AuditKey), auth.MinSecret) != nil {
		in.bad("AUDIT_KEY", weak([]byte(in.AuditKey), auth.MinSecret).Error())
	}
	for name, token := range map[string]Secret{"METRICS_TOKEN": in.MetricsToken, "REGISTRY_TOKEN": in.RegistryToken} {
		if token != "" && len(token) < 16 {
			in.bad(name, "shorter than 16 bytes, and "+in.exposure())
		}
	}
}

func (c *Config) exposure() string {
	if c.Production() {
		return "this is production"
	}
	return "others than this machine can reach " + c.Host
}

func weak(secret []byte, least int) error {
	if err := auth.WeakSecret(secret); err != nil {
		reason, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "auth: "), ";")
		return errors.New(reason)
	}
	if len(secret) < least {
		return fmt.Errorf("weak secret: shorter than the %d bytes of its algorithm", least)
	}
	return nil
}

// jwtSecrets are the lines of JWTSecretKey.
func (c *Config) jwtSecrets() [][]byte {
	var out [][]byte
	for line := range strings.Lines(string(c.JWTSecretKey)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			out = append(out, []byte(line))
		}
	}
	return out
}

func (in *inspection) tls() {
	if (in.TLSCertFile == "") != (in.TLSKeyFile == "") {
		missing := "TLS_KEY_FILE"
		if in.TLSCertFile == "" {
			missing = "TLS_CERT_FILE"
		}
		in.badly(missing, "not set, but its twin is", "set both or neither")
		return
	}
	if _, err := in.certificate(); err != nil {
		in.badly("TLS_CERT_FILE", err.Error(), "name a PEM certificate chain and its key")
	}
}

// certificate reads the TLS pair; nil where there is none.
func (c *Config) certificate() (*tls.Certificate, error) {
	if c.TLSCertFile == "" || c.TLSKeyFile == "" {
		return nil, nil
	}
	chain, err := c.readFile(c.TLSCertFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be read (%s)", fileProblem(err))
	}
	key, err := c.readFile(c.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("the key %s cannot be read (%s)", c.TLSKeyFile, fileProblem(err))
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate and key %s are no pair: %w", c.TLSKeyFile, err)
	}
	return &pair, nil
}

func (in *inspection) callers() {
	for _, o := range in.CORSOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			in.bad("CORS_ORIGINS", fmt.Sprintf("%q is not an origin as browsers send it", o))
		}
	}
	for _, h := range in.TrustedHosts {
		if strings.ContainsAny(h, "/@ ") || strings.Contains(strings.TrimPrefix(h, "*."), "*") && h != "*" {
			in.badly("TRUSTED_HOSTS", fmt.Sprintf("%q is not a host name", h), "write names such as api.example.com or *.example.com")
		}
	}
}

func (in *inspection) redis() {
	if in.RedisDB < 0 {
		in.bad("REDIS_DB", "out of range")
	}
	if in.RedisURL != "" {
		if _, err := redisstore.Options(string(in.RedisURL), max(in.RedisDB, 0), string(in.RedisPassword)); err != nil {
			in.bad("REDIS_URL", "cannot be read as a Redis URL")
		}
	}
	switch strings.ToLower(in.ServiceRegistryBackend) {
	case "", "memory":
	case "redis":
		if in.RedisURL == "" && in.ServiceDiscoveryEnabled {
			in.bad("SERVICE_REGISTRY_BACKEND", "there is no Redis: TTA_GATEWAY_REDIS_URL is not set")
		}
	case "consul":
		in.badly("SERVICE_REGISTRY_BACKEND", "Consul is not supported",
			"write redis or memory; Consul's DNS can be used by a program of your own (discovery.NewDNS)")
	default:
		in.bad("SERVICE_REGISTRY_BACKEND", "not known")
	}
}

func (in *inspection) services() {
	if _, err := discovery.NewStatic(in.Config.services()); err != nil {
		for _, problem := range discovery.Complaints(err) {
			in.found.add("TTA_GATEWAY_SERVICES", "", problem, "")
		}
	}
	if _, err := discovery.ParseBalancer(strings.ToLower(in.LoadBalancingAlgorithm)); err != nil {
		in.bad("LOAD_BALANCING_ALGORITHM", "not known")
	}
}

func (in *inspection) limits() {
	for short, r := range map[string]interface{ Validate() error }{
		"DEFAULT_RATE_LIMIT":     in.DefaultRateLimit,
		"THERAPEUTIC_RATE_LIMIT": in.TherapeuticRateLimit,
		"ADDRESS_RATE_LIMIT":     in.AddressRate(),
	} {
		if err := r.Validate(); err != nil {
			in.bad(short, "not a rate that can be counted")
		}
	}
}

func (in *inspection) health() {
	for short, d := range map[string]time.Duration{
		"HEALTH_CHECK_INTERVAL":      in.HealthCheckInterval,
		"HEALTH_CHECK_TIMEOUT":       in.HealthCheckTimeout,
		"CIRCUIT_BREAKER_TIMEOUT":    in.CircuitBreakerTimeout,
		"SAFETY_MONITORING_INTERVAL": in.SafetyMonitoringInterval,
	} {
		if d <= 0 {
			in.badly(short, "must be more than nothing", someTime)
		}
	}
	if in.CircuitBreakerFailureThreshold < 1 {
		in.bad("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "out of range")
	}
	if in.WebSocketTimeout < 0 {
		in.bad("WEBSOCKET_TIMEOUT", "out of range")
	}
}

func (in *inspection) safety() {
	if in.Production() && in.TherapeuticSafetyEnabled && in.AuditFile == "" {
		in.bad("AUDIT_FILE", "not set, and this is production with safety on")
	}
}

func (in *inspection) shown() {
	if p := in.PrometheusMetricsPath; p != "" && (p[0] != '/' || strings.ContainsAny(p, "{}?# ")) {
		in.bad("PROMETHEUS_METRICS_PATH", "not a path")
	}
	if _, ok := level(in.LogLevel); !ok {
		in.bad("LOG_LEVEL", "not a level")
	}
	if in.AdminAddr == "" {
		return
	}
	host, port, err := net.SplitHostPort(in.AdminAddr)
	if err != nil || port == "" || strings.ContainsAny(host, "/ ") {
		in.bad("ADMIN_ADDR", "not an address with a port")
	} else if port != "0" && in.AdminAddr == in.Addr() {
		in.bad("ADMIN_ADDR", "is where the gateway itself listens")
	}
}

// table asks the gateway about the routes, together with its own endpoints.
func (in *inspection) table() {
	if in.Table == nil {
		return // that has been complained about
	}
	in.requirements()
	err := in.try("")
	in.found.join(err)
	if p := in.PrometheusMetricsPath; err == nil && p != "" && in.try(p) != nil {
		in.badly("PROMETHEUS_METRICS_PATH", "another route has that path", "choose one of its own, such as /metrics")
	}
}

// try builds a gateway of the routes and its own endpoints.
func (in *inspection) try(prometheusPath string) error {
	endpoints := in.endpoints(Host{}, nil)
	endpoints.PrometheusPath = prometheusPath
	_, err := gateway.New(
		gateway.WithRoutes(in.Table.routes(in.Config, middleware{})...),
		gateway.WithEndpoints(endpoints),
	)
	return err
}

// requirements are what readiness waits for: what is not there is waited for
// in vain.
func (in *inspection) requirements() {
	services := in.Table.serviceNames()
	for _, name := range in.ReadyRequires {
		switch {
		case name == "redis" && in.RedisURL == "":
			in.badly("READY_REQUIRES", "requires redis, and there is none", "set TTA_GATEWAY_REDIS_URL")
		case name == "audit" && in.AuditFile == "":
			in.badly("READY_REQUIRES", "requires audit, and there is no trail", "set TTA_GATEWAY_AUDIT_FILE")
		case name == "safety" && in.safetyOff() != "":
			in.badly("READY_REQUIRES", "requires safety, and "+in.safetyOff(), "switch it on")
		case name == "redis", name == "audit", name == "safety", slices.Contains(services, name):
		default:
			in.bad("READY_REQUIRES", fmt.Sprintf("%q is neither redis, audit, safety nor a service that a route names", name))
		}
	}
}

// advise adds warnings about what is allowed and seldom meant.
func (c *Config) advise() {
	c.adviseEnvironment()
	if !c.exposed() {
		for _, s := range c.jwtSecrets() {
			if err := weak(s, methodBytes[c.JWTAlgorithm]); err != nil && !c.Demo {
				c.warn("TTA_GATEWAY_JWT_SECRET_KEY: %v; it would be refused in production and on any address but loopback", err)
				break
			}
		}
	}
	if c.Production() && c.Debug {
		c.warn("TTA_GATEWAY_DEBUG is on in production: /docs and /openapi.json tell everybody the routes")
	}
	if host, _, err := net.SplitHostPort(c.AdminAddr); err == nil && !isLoopback(host) {
		c.warn("TTA_GATEWAY_ADMIN_ADDR=%q: whoever can reach it sees crisis counts and service errors; keep it on a private network", c.AdminAddr)
	}
	c.adviseSafety()
	c.adviseTLS()
	c.adviseServices()
}

var environments = []string{"production", "staging", "test", "testing", "development"}

func (c *Config) adviseEnvironment() {
	if !slices.Contains(environments, strings.ToLower(c.Environment)) {
		c.warn("TTA_ENVIRONMENT=%q is not production, and none of %s: the strict rules of production do not hold",
			c.Environment, strings.Join(environments[1:], ", "))
	}
}

// safetyOff says which switch turns safety off, "" if none does.
func (c *Config) safetyOff() string {
	switch {
	case !c.TherapeuticSafetyEnabled:
		return "TTA_GATEWAY_THERAPEUTIC_SAFETY_ENABLED=false"
	case !c.CrisisDetectionEnabled:
		return "TTA_GATEWAY_CRISIS_DETECTION_ENABLED=false"
	}
	return ""
}

func (c *Config) adviseSafety() {
	switch off := c.safetyOff(); {
	case off != "" && c.Production():
		c.warn("%s IN PRODUCTION: nobody listens for people in crisis; health is degraded as long as it is so", off)
	case off != "":
		c.warn("%s: nobody listens for people in crisis", off)
	case c.AuditFile == "":
		c.warn("TTA_GATEWAY_AUDIT_FILE is not set: what the guard finds and does is kept in memory, and lost when the process ends")
	case c.AuditKey == "":
		c.warn("TTA_GATEWAY_AUDIT_KEY is not set: pseudonyms in the audit trail change at every start")
	}
}

func (c *Config) adviseTLS() {
	pair, err := c.certificate()
	if err != nil || pair == nil {
		return
	}
	leaf := pair.Leaf
	if leaf == nil {
		leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err == nil && time.Now().After(leaf.NotAfter) {
		c.warn("TTA_GATEWAY_TLS_CERT_FILE=%q has expired on %s", c.TLSCertFile, leaf.NotAfter.Format(time.DateOnly))
	}
}

func (c *Config) adviseServices() {
	if c.Table == nil {
		return
	}
	used := c.Table.serviceNames()
	for name := range c.Services {
		if slices.Contains(used, name) || slices.ContainsFunc(used, func(u string) bool { return slices.Contains(aliases[u], name) }) {
			continue
		}
		c.warn("TTA_GATEWAY_SERVICES: no route leads to %q", name)
	}
}
