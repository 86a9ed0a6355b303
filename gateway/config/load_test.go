package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/config"
	"github.com/theinterneti/tta-gateway/ratelimit"
)

func TestDefaultsAreGood(t *testing.T) {
	c := load(t)
	assert.Equal(t, "127.0.0.1:8000", c.Addr())
	assert.False(t, c.Production())
	assert.Equal(t, "memory", c.RegistryBackend())
	assert.Equal(t, ratelimit.Rate{N: 4000, Per: time.Minute}, c.AddressRate())
	assert.Equal(t, 25*time.Second, c.ShutdownTimeout)
	assert.Nil(t, c.Services)

	own := config.Default()
	own.JWTSecretKey = strong
	assert.NoError(t, own.Check(), "what Default returns lacks nothing but a secret")
}

func TestTheZeroConfigServesNobody(t *testing.T) {
	err := (&config.Config{}).Check()
	var settings *config.Error
	require.ErrorAs(t, err, &settings)
	assert.Greater(t, len(settings.Complaints), 5, "a forgotten Default is noticed")
}

func TestListsAreReadBothWays(t *testing.T) {
	for _, written := range []string{`["https://a.example","https://b.example"]`, "https://a.example,https://b.example", " https://a.example , https://b.example,"} {
		c := load(t, "TTA_GATEWAY_CORS_ORIGINS="+written)
		assert.Equal(t, []string{"https://a.example", "https://b.example"}, c.CORSOrigins, written)
	}
	assert.Empty(t, load(t, "TTA_GATEWAY_CORS_ORIGINS=[]").CORSOrigins)
	assert.Len(t, load(t, "TTA_GATEWAY_CORS_ORIGINS=").CORSOrigins, 4, "an empty value counts as unset")
	assert.Len(t, load(t, "TTA_GATEWAY_ADMIN_ALLOW=10.0.0.0/8, 192.0.2.1,2001:db8::/32").AdminAllow, 3)
}

func TestNamesAreReadInAnyCase(t *testing.T) {
	assert.Equal(t, 9001, load(t, "tta_gateway_port=9001").Port)
	c := load(t, "TTA_GATEWAY_PORT=9001", "tta_gateway_Port=9002")
	assert.Equal(t, 9001, c.Port)
	assert.Contains(t, strings.Join(c.Warnings, "\n"), "tta_gateway_Port")
	assert.Equal(t, 9001, load(t, "tta_gateway_Port=9002", "TTA_GATEWAY_PORT=9001").Port, "whichever comes first")
}

func TestDurationsRatesSizes(t *testing.T) {
	c := load(t, "TTA_GATEWAY_HEALTH_CHECK_INTERVAL=15", "TTA_GATEWAY_SHUTDOWN_TIMEOUT=1m", "TTA_GATEWAY_WEBSOCKET_TIMEOUT=90s",
		"TTA_GATEWAY_DEFAULT_RATE_LIMIT=10/s", "TTA_GATEWAY_THERAPEUTIC_RATE_LIMIT=100/minute", "TTA_GATEWAY_MAX_BODY=2 MiB")
	assert.Equal(t, 15*time.Second, c.HealthCheckInterval)
	assert.Equal(t, time.Minute, c.ShutdownTimeout)
	assert.Equal(t, 90*time.Second, c.WebSocketTimeout)
	assert.Equal(t, config.Size(2<<20), c.MaxBody)
	assert.Equal(t, ratelimit.Rate{N: 200, Per: time.Second}, c.AddressRate(), "20 times the faster of the two")

	assert.True(t, load(t, "TTA_GATEWAY_DEFAULT_RATE_LIMIT=100000000/minute").AddressRate().Unlimited(), "20 times as much cannot be counted")
	assert.True(t, load(t, "TTA_GATEWAY_ADDRESS_RATE_LIMIT=off").AddressRate().Unlimited())
	assert.True(t, load(t, "TTA_GATEWAY_RATE_LIMITING_ENABLED=false").AddressRate().Unlimited())
	assert.True(t, load(t, "TTA_GATEWAY_DEFAULT_RATE_LIMIT=off").AddressRate().Unlimited(), "it is not stricter than what it comes from")
	assert.Equal(t, ratelimit.Rate{N: 5, Per: time.Second}, load(t, "TTA_GATEWAY_ADDRESS_RATE_LIMIT=5/s").AddressRate())
}

func TestServicesAreReadStrictly(t *testing.T) {
	c := load(t, `TTA_GATEWAY_SERVICES={"player-experience":["http://a:1","http://b:2"],"core-gameplay-loop":"http://c:3"}`)
	assert.Equal(t, map[string][]string{"player-experience": {"http://a:1", "http://b:2"}, "core-gameplay-loop": {"http://c:3"}}, c.Services)
	for _, bad := range []string{
		`[]`, `"x"`, `{`, `{"a":`, `{"a":1}`, `{"a":null}`, `{"a":[1]}`, `{"a":["http://x"]} trailing`, `{"a":["http://x"],"a":["http://y"]}`,
		`{"a":[]}`, `{"a":["ftp://x"]}`, `{"a":["http://x","http://x"]}`, `{"":["http://x"]}`,
	} {
		assert.Contains(t, refused(t, secret, "TTA_GATEWAY_SERVICES="+bad), "TTA_GATEWAY_SERVICES", bad)
	}
}

// TestBadValuesNameTheRemedy has one bad value of every setting that can have
// one.
func TestBadValuesNameTheRemedy(t *testing.T) {
	for _, tt := range []struct{ setting, value, says string }{
		{"HOST", "http://0.0.0.0", "an IP address or a host name"},
		{"HOST", "127.0.0.1:8000", "without a port"},
		{"PORT", "http", "1 to 65535"},
		{"PORT", "70000", "1 to 65535"},
		{"TLS_CERT_FILE", "missing.pem", "TTA_GATEWAY_TLS_KEY_FILE"},
		{"TLS_KEY_FILE", "missing.pem", "TTA_GATEWAY_TLS_CERT_FILE"},
		{"TRUSTED_HOSTS", "https://api.example.com", "api.example.com"},
		{"TRUSTED_PROXIES", "10.0.0.0/99", "10.0.0.0/8"},
		{"CORS_ORIGINS", "*", "https://play.example.com"},
		{"CORS_ORIGINS", "https://play.example.com/", "without a path"},
		{"CORS_ORIGINS", `["a"`, `write ["a","b"]`},
		{"MAX_BODY", "lots", "KiB"},
		{"MAX_BODY", "0", "out of range"},
		{"MAX_IN_FLIGHT", "3", "at least 10"},
		{"SHUTDOWN_TIMEOUT", "0", "write more"},
		{"SHUTDOWN_TIMEOUT", "-5s", "out of range"},
		{"JWT_ALGORITHM", "none", "HS256, HS384 or HS512"},
		{"JWT_ALGORITHM", "RS256", "HS256, HS384 or HS512"},
		{"JWT_EXPIRE_MINUTES", "0", "1 to 1440"},
		{"ROUTES_FILE", "missing.yaml", "gatewayd -routes -o yaml"},
		{"SERVICE_DISCOVERY_ENABLED", "maybe", "true or false"},
		{"SERVICE_REGISTRY_BACKEND", "consul", "discovery.NewDNS"},
		{"SERVICE_REGISTRY_BACKEND", "etcd", "redis (with TTA_GATEWAY_REDIS_URL) or memory"},
		{"SERVICE_REGISTRY_BACKEND", "redis", "TTA_GATEWAY_REDIS_URL is not set"},
		{"LOAD_BALANCING_ALGORITHM", "random", "consistent_hash"},
		{"REDIS_URL", "cache:6379:x", "redis://host:6379"},
		{"REDIS_DB", "-1", "a number from 0"},
		{"REDIS_DB", "one", "not a whole number"},
		{"RATE_LIMITING_ENABLED", "2", "true or false"},
		{"DEFAULT_RATE_LIMIT", "100", "100/minute"},
		{"DEFAULT_RATE_LIMIT", "0/minute", "or off"},
		{"THERAPEUTIC_RATE_LIMIT", "many/minute", "100/minute"},
		{"ADDRESS_RATE_LIMIT", "-1/s", "100/minute"},
		{"HEALTH_CHECK_INTERVAL", "0", "seconds (30)"},
		{"HEALTH_CHECK_TIMEOUT", "soon", "seconds (30)"},
		{"READY_REQUIRES", "the-moon", "name redis, audit, safety"},
		{"READY_REQUIRES", "redis", "TTA_GATEWAY_REDIS_URL"},
		{"READY_REQUIRES", "audit", "TTA_GATEWAY_AUDIT_FILE"},
		{"CIRCUIT_BREAKER_ENABLED", "x", "true or false"},
		{"CIRCUIT_BREAKER_FAILURE_THRESHOLD", "0", "a number from 1"},
		{"CIRCUIT_BREAKER_TIMEOUT", "0s", "seconds (30)"},
		{"THERAPEUTIC_SAFETY_ENABLED", "x", "true or false"},
		{"CRISIS_DETECTION_ENABLED", "x", "true or false"},
		{"SAFETY_MONITORING_INTERVAL", "0", "seconds (30)"},
		{"METRICS_ENABLED", "x", "true or false"},
		{"PROMETHEUS_METRICS_PATH", "metrics", "such as /metrics"},
		{"PROMETHEUS_METRICS_PATH", "/health/live", "another route has that path"},
		{"ADMIN_ADDR", "9090", "127.0.0.1:9090"},
		{"ADMIN_ADDR", "127.0.0.1:8000", "where the gateway itself listens"},
		{"ADMIN_ALLOW", "everybody", "10.0.0.0/8"},
		{"LOG_LEVEL", "loud", "DEBUG, INFO"},
		{"STRUCTURED_LOGGING", "x", "true or false"},
		{"DEBUG", "x", "true or false"},
		{"WEBSOCKET_ENABLED", "x", "true or false"},
		{"WEBSOCKET_TIMEOUT", "x", "seconds (30)"},
	} {
		t.Run(tt.setting+"="+tt.value, func(t *testing.T) {
			text := refused(t, secret, "TTA_GATEWAY_"+tt.setting+"="+tt.value)
			assert.Contains(t, text, tt.says)
			assert.Contains(t, text, "TTA_GATEWAY_"+tt.setting[:4])
		})
	}
}

func TestAllComplaintsAtOnce(t *testing.T) {
	text := refused(t, "TTA_GATEWAY_PORT=x", "TTA_GATEWAY_DEBUG=maybe", "TTA_GATEWAY_LOG_LEVEL=loud", "TTA_GATEWAY_ROUTES_FILE=missing.yaml")
	for _, name := range []string{"PORT", "DEBUG", "LOG_LEVEL", "ROUTES_FILE", "JWT_SECRET_KEY"} {
		assert.Contains(t, text, "TTA_GATEWAY_"+name)
	}
	assert.Len(t, strings.Split(text, "\n"), 5, "one line each:\n%s", text)
}

func TestUnknownNamesAreWarnedAbout(t *testing.T) {
	c := load(t, "TTA_GATEWAY_RATE_LIMITS_ENABLED=false", "TTA_GATEWAY_JWT_SECRET_FILE=/x", "TTA_GATEWAY_XYZZY=1", "TTA_OTHER=1", "PATH=/bin")
	warned := strings.Join(c.Warnings, "\n")
	assert.Contains(t, warned, "TTA_GATEWAY_RATE_LIMITS_ENABLED is not a setting; did you mean TTA_GATEWAY_RATE_LIMITING_ENABLED?")
	assert.Contains(t, warned, "did you mean TTA_GATEWAY_JWT_SECRET_KEY_FILE?")
	assert.Contains(t, warned, "TTA_GATEWAY_XYZZY is not a setting; gatewayd -config lists them")
	assert.NotContains(t, warned, "TTA_OTHER")
}

func TestSecretsFromFiles(t *testing.T) {
	f := newFiles(map[string]string{"jwt": strong + "\n", "empty": "\n", "redis": "redis://cache:6379\n", "password": "hush\r\n", "key": stronger, "token": "0123456789abcdef\n"})
	read := func(environ ...string) (*config.Config, error) {
		return config.Load(config.Source{Environ: environ, ReadFile: f.read})
	}
	c, err := read("TTA_GATEWAY_JWT_SECRET_KEY_FILE=jwt", "TTA_GATEWAY_REDIS_URL_FILE=redis", "TTA_GATEWAY_REDIS_PASSWORD_FILE=password",
		"TTA_GATEWAY_AUDIT_KEY_FILE=key", "TTA_GATEWAY_METRICS_TOKEN_FILE=token")
	require.NoError(t, err)
	assert.Equal(t, strong, string(c.JWTSecretKey))
	assert.Equal(t, "redis://cache:6379", string(c.RedisURL))
	assert.Equal(t, "hush", string(c.RedisPassword))
	assert.Equal(t, stronger, string(c.AuditKey))
	assert.Equal(t, "0123456789abcdef", string(c.MetricsToken))

	for _, tt := range []struct {
		desc, says string
		environ    []string
	}{
		{"both", "set one of them", []string{"TTA_GATEWAY_JWT_SECRET_KEY_FILE=jwt", secret}},
		{"missing", "file does not exist", []string{"TTA_GATEWAY_JWT_SECRET_KEY_FILE=nowhere"}},
		{"empty", "is empty", []string{"TTA_GATEWAY_JWT_SECRET_KEY_FILE=empty"}},
	} {
		_, err := read(tt.environ...)
		require.Error(t, err, tt.desc)
		assert.Contains(t, err.Error(), tt.says, tt.desc)
		assert.NotContains(t, err.Error(), strong, tt.desc)
		assert.Len(t, strings.Split(err.Error(), "\n"), 1, "%s: one complaint is enough:\n%v", tt.desc, err)
	}
}

func TestWeakSecrets(t *testing.T) {
	const placeholder = "TTA_GATEWAY_JWT_SECRET_KEY=your-secret-key-change-in-production"
	c, err := config.Load(config.Source{Environ: []string{placeholder}})
	require.NoError(t, err, "on loopback, in development")
	assert.Contains(t, strings.Join(c.Warnings, "\n"), "TTA_GATEWAY_JWT_SECRET_KEY")

	for _, where := range []string{"TTA_ENVIRONMENT=Production", "TTA_GATEWAY_HOST=0.0.0.0", "TTA_GATEWAY_HOST=::", "TTA_GATEWAY_HOST=gateway.internal"} {
		text := refused(t, placeholder, where)
		assert.Contains(t, text, "weak secret", where)
		assert.NotContains(t, text, "your-secret-key", where)
	}
	assert.Contains(t, refused(t, "TTA_ENVIRONMENT=production", "TTA_GATEWAY_AUDIT_FILE=a", secret, "TTA_GATEWAY_JWT_ALGORITHM=HS512"), "64 bytes",
		"a secret is as long as its hash (RFC 7518, section 3.2)")
	assert.Contains(t, refused(t, "TTA_GATEWAY_HOST=0.0.0.0", "TTA_GATEWAY_JWT_SECRET_KEY="+strong+"\nshort"), "weak secret", "each of several counts")
	assert.Contains(t, refused(t, "TTA_GATEWAY_HOST=0.0.0.0", secret, "TTA_GATEWAY_METRICS_TOKEN=short"), "TTA_GATEWAY_METRICS_TOKEN")
	assert.Contains(t, refused(t, "TTA_GATEWAY_HOST=0.0.0.0", secret, "TTA_GATEWAY_REGISTRY_TOKEN=short"), "TTA_GATEWAY_REGISTRY_TOKEN")
	assert.Contains(t, refused(t, "TTA_GATEWAY_HOST=0.0.0.0", secret, "TTA_GATEWAY_AUDIT_KEY=short"), "TTA_GATEWAY_AUDIT_KEY")
	assert.Contains(t, refused(t), "TTA_GATEWAY_JWT_SECRET_KEY: not set", "an absent one always")
}

func TestProductionIsStrict(t *testing.T) {
	assert.Contains(t, refused(t, secret, "TTA_ENVIRONMENT=PRODUCTION"), "TTA_GATEWAY_AUDIT_FILE: not set")
	c := load(t, "TTA_ENVIRONMENT=production", "TTA_GATEWAY_AUDIT_FILE=audit.jsonl")
	assert.Equal(t, 5*time.Second, c.ShutdownGrace())
	assert.Contains(t, refused(t, secret, "TTA_ENVIRONMENT=production", "TTA_GATEWAY_AUDIT_FILE=a", "TTA_GATEWAY_SHUTDOWN_TIMEOUT=5s"), "grace of 5s")

	for _, off := range []string{"TTA_GATEWAY_THERAPEUTIC_SAFETY_ENABLED=false", "TTA_GATEWAY_CRISIS_DETECTION_ENABLED=false"} {
		c := load(t, "TTA_ENVIRONMENT=production", "TTA_GATEWAY_AUDIT_FILE=audit.jsonl", off)
		assert.Contains(t, strings.Join(c.Warnings, "\n"), off+" IN PRODUCTION")
	}
	assert.Contains(t, strings.Join(load(t, "TTA_ENVIRONMENT=prod").Warnings, "\n"), `TTA_ENVIRONMENT="prod" is not production`)
	assert.Contains(t, strings.Join(load(t, "TTA_ENVIRONMENT=production", "TTA_GATEWAY_AUDIT_FILE=a", "TTA_GATEWAY_DEBUG=1").Warnings, "\n"), "TTA_GATEWAY_DEBUG")
}

func TestDemo(t *testing.T) {
	demo := func(environ ...string) (*config.Config, error) {
		return config.Load(config.Source{Environ: environ, Demo: true})
	}
	a, err := demo()
	require.NoError(t, err)
	b, err := demo()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(a.JWTSecretKey), 32)
	assert.NotEqual(t, a.JWTSecretKey, b.JWTSecretKey)

	_, err = demo("TTA_ENVIRONMENT=production")
	assert.ErrorContains(t, err, "a demo has no place in production")
	_, err = demo("TTA_GATEWAY_HOST=0.0.0.0")
	assert.ErrorContains(t, err, "this machine only")
}

func TestLooseEndsAreWarnedAbout(t *testing.T) {
	warned := func(environ ...string) string { return strings.Join(load(t, environ...).Warnings, "\n") }
	assert.Contains(t, warned(), "kept in memory")
	assert.Contains(t, warned("TTA_GATEWAY_AUDIT_FILE=a"), "TTA_GATEWAY_AUDIT_KEY is not set")
	assert.Contains(t, warned(`TTA_GATEWAY_SERVICES={"player-experience":"http://a:1","billing":"http://b:1"}`), `no route leads to "billing"`)
	assert.NotContains(t, warned(`TTA_GATEWAY_SERVICES={"player-experience-interface":"http://a:1"}`), "no route leads")
	assert.Contains(t, warned("TTA_GATEWAY_ADMIN_ADDR=0.0.0.0:9090"), "private network")
}

// FuzzLoad looks for settings that bring the parser down, or whose secrets
// come out.
func FuzzLoad(f *testing.F) {
	f.Add("TTA_GATEWAY_PORT", "8000")
	f.Add("TTA_GATEWAY_SERVICES", `{"a":["http://b"]}`)
	f.Add("TTA_GATEWAY_TRUSTED_PROXIES", `["10.0.0.0/8"]`)
	f.Add("tta_gateway_redis_url", "redis://:Hush-7f3e9b2a@h")
	f.Fuzz(func(t *testing.T, name, value string) {
		c, err := config.Load(config.Source{Environ: []string{secret, name + "=" + value}, ReadFile: newFiles(nil).read})
		require.NotNil(t, c)
		if err != nil {
			assert.NotContains(t, err.Error(), strong)
		}
		for _, s := range c.Settings() {
			assert.NotContains(t, s.Value, "Hush-7f3e9b2a")
		}
	})
}
