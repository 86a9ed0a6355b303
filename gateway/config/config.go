package config

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// Config is a gateway's settings as plain data. [Load] fills it from an
// environment; a program may as well begin with [Default] and set what it
// likes. The zero Config is valid for none of the fields that have a default,
// so that nobody is served without limits by accident: [Config.Check] says so.
type Config struct {
	// Environment names the deployment; "production" (in any case) is strict.
	Environment string `env:"TTA_ENVIRONMENT"`

	Host            string         `env:"TTA_GATEWAY_HOST"`             // address or name to listen on
	Port            int            `env:"TTA_GATEWAY_PORT"`             // 0 takes a free one
	TLSCertFile     string         `env:"TTA_GATEWAY_TLS_CERT_FILE"`    // PEM, read again when it changes
	TLSKeyFile      string         `env:"TTA_GATEWAY_TLS_KEY_FILE"`     // PEM
	TrustedHosts    []string       `env:"TTA_GATEWAY_TRUSTED_HOSTS"`    // none: every Host is served
	TrustedProxies  []netip.Prefix `env:"TTA_GATEWAY_TRUSTED_PROXIES"`  // none: X-Forwarded-* is believed of nobody
	CORSOrigins     []string       `env:"TTA_GATEWAY_CORS_ORIGINS"`     // none: CORS is not handled here
	MaxBody         Size           `env:"TTA_GATEWAY_MAX_BODY"`         // of a request, where a route says nothing
	MaxInFlight     int            `env:"TTA_GATEWAY_MAX_IN_FLIGHT"`    // requests at once; negative: not bounded
	ShutdownTimeout time.Duration  `env:"TTA_GATEWAY_SHUTDOWN_TIMEOUT"` // everything included

	JWTSecretKey     Secret `env:"TTA_GATEWAY_JWT_SECRET_KEY"`     // one secret a line: the current one, then older ones that still count
	JWTAlgorithm     string `env:"TTA_GATEWAY_JWT_ALGORITHM"`      // HS256, HS384 or HS512
	JWTExpireMinutes int    `env:"TTA_GATEWAY_JWT_EXPIRE_MINUTES"` // of tokens that a demo mints; never of those that are verified

	Services                map[string][]string `env:"TTA_GATEWAY_SERVICES"` // nil: player-experience on localhost:8080
	RoutesFile              string              `env:"TTA_GATEWAY_ROUTES_FILE"`
	ServiceDiscoveryEnabled bool                `env:"TTA_GATEWAY_SERVICE_DISCOVERY_ENABLED"`
	ServiceRegistryBackend  string              `env:"TTA_GATEWAY_SERVICE_REGISTRY_BACKEND"` // "": redis with RedisURL, else memory
	LoadBalancingAlgorithm  string              `env:"TTA_GATEWAY_LOAD_BALANCING_ALGORITHM"` // "": least_loaded

	RedisURL      Secret `env:"TTA_GATEWAY_REDIS_URL"` // "": no Redis
	RedisDB       int    `env:"TTA_GATEWAY_REDIS_DB"`
	RedisPassword Secret `env:"TTA_GATEWAY_REDIS_PASSWORD"`

	RateLimitingEnabled  bool            `env:"TTA_GATEWAY_RATE_LIMITING_ENABLED"` // false: no quota of any kind
	DefaultRateLimit     ratelimit.Rate  `env:"TTA_GATEWAY_DEFAULT_RATE_LIMIT"`
	TherapeuticRateLimit ratelimit.Rate  `env:"TTA_GATEWAY_THERAPEUTIC_RATE_LIMIT"`
	AddressRateLimit     *ratelimit.Rate `env:"TTA_GATEWAY_ADDRESS_RATE_LIMIT"` // nil: 20 times the larger of the two; zero: none

	HealthCheckInterval            time.Duration `env:"TTA_GATEWAY_HEALTH_CHECK_INTERVAL"`
	HealthCheckTimeout             time.Duration `env:"TTA_GATEWAY_HEALTH_CHECK_TIMEOUT"`
	ReadyRequires                  []string      `env:"TTA_GATEWAY_READY_REQUIRES"`
	CircuitBreakerEnabled          bool          `env:"TTA_GATEWAY_CIRCUIT_BREAKER_ENABLED"`
	CircuitBreakerFailureThreshold int           `env:"TTA_GATEWAY_CIRCUIT_BREAKER_FAILURE_THRESHOLD"`
	CircuitBreakerTimeout          time.Duration `env:"TTA_GATEWAY_CIRCUIT_BREAKER_TIMEOUT"`

	TherapeuticSafetyEnabled bool          `env:"TTA_GATEWAY_THERAPEUTIC_SAFETY_ENABLED"`
	CrisisDetectionEnabled   bool          `env:"TTA_GATEWAY_CRISIS_DETECTION_ENABLED"`
	SafetyMonitoringInterval time.Duration `env:"TTA_GATEWAY_SAFETY_MONITORING_INTERVAL"`
	AuditFile                string        `env:"TTA_GATEWAY_AUDIT_FILE"` // "": in memory
	AuditKey                 Secret        `env:"TTA_GATEWAY_AUDIT_KEY"`  // "": a random one for this process

	MetricsEnabled        bool           `env:"TTA_GATEWAY_METRICS_ENABLED"`
	PrometheusMetricsPath string         `env:"TTA_GATEWAY_PROMETHEUS_METRICS_PATH"`
	MetricsToken          Secret         `env:"TTA_GATEWAY_METRICS_TOKEN"`  // "": no bearer sees detail by it
	RegistryToken         Secret         `env:"TTA_GATEWAY_REGISTRY_TOKEN"` // "": no bearer registers instances by it
	AdminAddr             string         `env:"TTA_GATEWAY_ADMIN_ADDR"`     // "": no listener of their own for the endpoints
	AdminAllow            []netip.Prefix `env:"TTA_GATEWAY_ADMIN_ALLOW"`    // none: detail for direct loopback callers only
	LogLevel              string         `env:"TTA_GATEWAY_LOG_LEVEL"`
	StructuredLogging     bool           `env:"TTA_GATEWAY_STRUCTURED_LOGGING"`
	Debug                 bool           `env:"TTA_GATEWAY_DEBUG"` // /docs and /openapi.json

	WebSocketEnabled bool          `env:"TTA_GATEWAY_WEBSOCKET_ENABLED"`
	WebSocketTimeout time.Duration `env:"TTA_GATEWAY_WEBSOCKET_TIMEOUT"` // silence in both directions; 0: no bound

	// Demo lets a missing JWTSecretKey be a random one, listens on loopback
	// only, and is refused in production.
	Demo bool
	// Table is the route table. Nil means that of RoutesFile, else
	// [DefaultRoutes]; Load fills it in.
	Table *Table
	// ReadFile reads the files that settings name. Nil means os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// Warnings are what Load noticed and let pass.
	Warnings []string

	reread  func() (*Config, error) // Load once more; a func, since what is printed must not hold an environment
	origins map[string]string       // setting → where its value came from; "" = default
	watched []string                // secrets' files
	sums    map[string]sum          // what was in the files when they were read
}

// Default returns the settings that hold where nobody says otherwise. It lacks
// a JWTSecretKey, for which there is no default.
func Default() *Config {
	c := &Config{}
	if err := c.parse(nil); err != nil {
		panic("config: a default cannot be read: " + err.Error()) // the table is ours, and a test reads it all
	}
	return c
}

// Production reports whether the strict rules hold.
func (c *Config) Production() bool { return strings.EqualFold(c.Environment, "production") }

// Addr is the address to listen on.
func (c *Config) Addr() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// Loopback reports whether only this machine can reach the listener.
func (c *Config) Loopback() bool { return isLoopback(c.Host) }

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// AddressRate is the quota of one address: AddressRateLimit, or 20 times the
// larger of the other two rates. The zero Rate means none.
func (c *Config) AddressRate() ratelimit.Rate {
	switch {
	case !c.RateLimitingEnabled:
		return ratelimit.Rate{}
	case c.AddressRateLimit != nil:
		return *c.AddressRateLimit
	}
	larger := c.DefaultRateLimit
	if perSecond(c.TherapeuticRateLimit) > perSecond(larger) {
		larger = c.TherapeuticRateLimit
	}
	if c.DefaultRateLimit.Unlimited() || c.TherapeuticRateLimit.Unlimited() {
		return ratelimit.Rate{} // it must not be stricter than what it is derived from
	}
	r := ratelimit.Rate{N: addressShare * larger.N, Per: larger.Per, Burst: addressShare * larger.Burst}
	if r.Validate() != nil {
		return ratelimit.Rate{} // beyond what can be counted: as good as none
	}
	return r
}

// addressShare is how many callers at full speed one address may hold: a
// clinic's network is one address.
const addressShare = 20

func perSecond(r ratelimit.Rate) float64 {
	if r.Per <= 0 {
		return 0
	}
	return float64(r.N) / r.Per.Seconds()
}

// RegistryBackend is where services register: "redis", "memory", or "" where
// discovery is off and the list of Services is all there is.
func (c *Config) RegistryBackend() string {
	switch {
	case !c.ServiceDiscoveryEnabled:
		return ""
	case c.ServiceRegistryBackend != "":
		return strings.ToLower(c.ServiceRegistryBackend)
	case c.RedisURL != "":
		return "redis"
	}
	return "memory"
}

// ShutdownGrace is how long load balancers get to notice that readiness is
// off: 5 seconds in production, none elsewhere.
func (c *Config) ShutdownGrace() time.Duration {
	if c.Production() {
		return 5 * time.Second
	}
	return 0
}

// readFile reads a file that settings name, and notes what was in it.
func (c *Config) readFile(name string) ([]byte, error) {
	content, err := c.peek(name)
	if c.sums == nil {
		c.sums = map[string]sum{}
	}
	c.sums[name] = sumOf(content, err)
	return content, err
}

// peek is readFile that notes nothing.
func (c *Config) peek(name string) ([]byte, error) {
	if c.ReadFile != nil {
		return c.ReadFile(name)
	}
	return os.ReadFile(name)
}

type sum = [sha256.Size]byte

// sumOf tells contents apart. Why a file cannot be read does not matter.
func sumOf(content []byte, err error) sum {
	if err != nil {
		return sum{}
	}
	return sha256.Sum256(content)
}
