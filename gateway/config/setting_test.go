package config_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/config"
)

// The names that env files of TTA deployments hold today.
var historic = []string{
	"HOST", "PORT", "DEBUG", "TRUSTED_HOSTS", "CORS_ORIGINS", "JWT_SECRET_KEY", "JWT_ALGORITHM", "JWT_EXPIRE_MINUTES",
	"SERVICE_DISCOVERY_ENABLED", "SERVICE_REGISTRY_BACKEND", "REDIS_URL", "REDIS_DB", "REDIS_PASSWORD",
	"RATE_LIMITING_ENABLED", "DEFAULT_RATE_LIMIT", "THERAPEUTIC_RATE_LIMIT", "HEALTH_CHECK_INTERVAL", "HEALTH_CHECK_TIMEOUT",
	"THERAPEUTIC_SAFETY_ENABLED", "CRISIS_DETECTION_ENABLED", "SAFETY_MONITORING_INTERVAL", "METRICS_ENABLED",
	"PROMETHEUS_METRICS_PATH", "LOG_LEVEL", "STRUCTURED_LOGGING", "CIRCUIT_BREAKER_ENABLED",
	"CIRCUIT_BREAKER_FAILURE_THRESHOLD", "CIRCUIT_BREAKER_TIMEOUT", "LOAD_BALANCING_ALGORITHM", "WEBSOCKET_ENABLED", "WEBSOCKET_TIMEOUT",
}

func TestEveryHistoricNameIsASetting(t *testing.T) {
	require.Len(t, historic, 31)
	var names []string
	for _, s := range config.Settings() {
		names = append(names, s.Name)
	}
	for _, name := range historic {
		assert.Contains(t, names, config.Prefix+name)
	}
}

func TestTableAndFieldsAreTheSame(t *testing.T) {
	var fields, names []string
	typ := reflect.TypeFor[config.Config]()
	for i := range typ.NumField() {
		if tag := typ.Field(i).Tag.Get("env"); tag != "" {
			fields = append(fields, tag)
		}
	}
	for _, s := range config.Settings() {
		names = append(names, s.Name)
		assert.NotEmpty(t, s.Type, s.Name)
		assert.True(t, strings.HasSuffix(s.Doc, "."), "%s: its doc is no sentence", s.Name)
		if s.Secret {
			assert.True(t, s.File, "%s: a secret that cannot come from a file ends up in a process list", s.Name)
		}
	}
	slices.Sort(fields)
	slices.Sort(names)
	assert.Equal(t, fields, names)
}

// TestEverySettingIsRead gives each setting another value than its default,
// and finds it where the gateway looks.
func TestEverySettingIsRead(t *testing.T) {
	values := map[string]string{
		"TTA_ENVIRONMENT": "staging", "HOST": "::1", "PORT": "8123", "TLS_CERT_FILE": "cert.pem", "TLS_KEY_FILE": "key.pem",
		"TRUSTED_HOSTS": "api.example.com", "TRUSTED_PROXIES": "10.0.0.0/8", "CORS_ORIGINS": "https://play.example.com",
		"MAX_BODY": "64KiB", "MAX_IN_FLIGHT": "100", "SHUTDOWN_TIMEOUT": "20s", "JWT_SECRET_KEY": stronger, "JWT_ALGORITHM": "HS384",
		"JWT_EXPIRE_MINUTES": "15", "SERVICES": `{"player-experience":["http://10.0.0.9:8080"]}`, "ROUTES_FILE": "routes.yaml",
		"SERVICE_DISCOVERY_ENABLED": "false", "SERVICE_REGISTRY_BACKEND": "memory", "LOAD_BALANCING_ALGORITHM": "round_robin",
		"REDIS_URL": "redis://10.0.0.3:6379", "REDIS_DB": "3", "REDIS_PASSWORD": "hush", "RATE_LIMITING_ENABLED": "false",
		"DEFAULT_RATE_LIMIT": "10/s", "THERAPEUTIC_RATE_LIMIT": "20/s", "ADDRESS_RATE_LIMIT": "1000/minute",
		"HEALTH_CHECK_INTERVAL": "7", "HEALTH_CHECK_TIMEOUT": "2", "READY_REQUIRES": "audit", "CIRCUIT_BREAKER_ENABLED": "no",
		"CIRCUIT_BREAKER_FAILURE_THRESHOLD": "9", "CIRCUIT_BREAKER_TIMEOUT": "33", "THERAPEUTIC_SAFETY_ENABLED": "0",
		"CRISIS_DETECTION_ENABLED": "off", "SAFETY_MONITORING_INTERVAL": "90s", "AUDIT_FILE": "audit.jsonl", "AUDIT_KEY": stronger,
		"METRICS_ENABLED": "false", "PROMETHEUS_METRICS_PATH": "/prom", "METRICS_TOKEN": "0123456789abcdef", "REGISTRY_TOKEN": "fedcba9876543210", "ADMIN_ADDR": "127.0.0.1:9999",
		"ADMIN_ALLOW": "192.0.2.0/24", "LOG_LEVEL": "ERROR", "STRUCTURED_LOGGING": "false", "DEBUG": "true",
		"WEBSOCKET_ENABLED": "false", "WEBSOCKET_TIMEOUT": "60",
	}
	usual := map[string]string{}
	for _, s := range config.Default().Settings() {
		usual[s.Name] = s.Value
	}
	var environ []string
	for _, s := range config.Settings() {
		value, ok := values[strings.TrimPrefix(s.Name, config.Prefix)]
		require.True(t, ok, "the test has no value for %s", s.Name)
		environ = append(environ, s.Name+"="+value)
	}
	c, _ := config.Load(config.Source{Environ: environ, ReadFile: newFiles(nil).read}) // the files are not there, which does not matter here
	for _, s := range c.Settings() {
		assert.Equal(t, "environment", s.Source, s.Name)
		switch s.Name {
		case "TTA_GATEWAY_SERVICE_REGISTRY_BACKEND", "TTA_GATEWAY_ADDRESS_RATE_LIMIT": // shown as they come out: others decide, too
		default:
			assert.NotEqual(t, usual[s.Name], s.Value, s.Name)
		}
	}
}

func TestSourcesAreTold(t *testing.T) {
	f := newFiles(map[string]string{"/run/secrets/jwt": strong + "\n"})
	c, err := config.Load(config.Source{
		Environ:  []string{"TTA_GATEWAY_JWT_SECRET_KEY_FILE=/run/secrets/jwt", "TTA_GATEWAY_PORT=9000"},
		ReadFile: f.read,
	})
	require.NoError(t, err)
	sources := map[string]string{}
	for _, s := range c.Settings() {
		sources[s.Name] = s.Source
	}
	assert.Equal(t, "file:/run/secrets/jwt", sources["TTA_GATEWAY_JWT_SECRET_KEY"])
	assert.Equal(t, "environment", sources["TTA_GATEWAY_PORT"])
	assert.Equal(t, "default", sources["TTA_GATEWAY_HOST"])

	own := config.Default()
	own.Port = 9000
	for _, s := range own.Settings() {
		if s.Name == "TTA_GATEWAY_PORT" {
			assert.Equal(t, "program", s.Source)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	const hush = "Hush-7f3e9b2a1c4d8e6f5a0b"
	environ := []string{
		"TTA_GATEWAY_JWT_SECRET_KEY=" + hush, "TTA_GATEWAY_REDIS_URL=redis://user:" + hush + "@cache:6379/2?password=" + hush,
		"TTA_GATEWAY_REDIS_PASSWORD=" + hush, "TTA_GATEWAY_AUDIT_KEY=" + hush, "TTA_GATEWAY_METRICS_TOKEN=" + hush, "TTA_GATEWAY_REGISTRY_TOKEN=" + hush,
		`TTA_GATEWAY_SERVICES={"player-experience":["http://user:` + hush + `@story:8080"]}`,
		"TTA_GATEWAY_HOST=0.0.0.0", "TTA_ENVIRONMENT=production",
	}
	c, err := config.Load(config.Source{Environ: environ, ReadFile: newFiles(nil).read})
	require.Error(t, err)
	shown := err.Error() + strings.Join(c.Warnings, "\n")
	for _, s := range c.Settings() {
		shown += s.Value + "\n"
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{c.JWTSecretKey, c.RedisURL, c.AuditKey, c.MetricsToken, c.RegistryToken, c.RedisPassword} {
			shown += fmt.Sprintf(verb, v)
		}
	}
	c.Services = nil // URLs with a password are refused, so that what is served has none
	shown += fmt.Sprintf("%v %+v %#v", *c, *c, *c)
	text, err := c.JWTSecretKey.MarshalText()
	require.NoError(t, err)
	shown += string(text) + c.JWTSecretKey.LogValue().String()
	assert.NotContains(t, shown, hush)
	assert.NotContains(t, shown, fmt.Sprintf("%x", hush))
}

func TestMarkdownTableHasEverySetting(t *testing.T) {
	table := config.MarkdownTable()
	lines := strings.Split(strings.TrimSpace(table), "\n")
	assert.Len(t, lines, 2+len(config.Settings()))
	for _, line := range lines {
		assert.Equal(t, 5, strings.Count(line, "|")-strings.Count(line, `\|`), line)
	}
}

// TestReadmeShowsTheSettings compares the README with the code. Write it anew
// with: TTA_GATEWAY_WRITE_README=1 go test ./gateway/config -run Readme
func TestReadmeShowsTheSettings(t *testing.T) {
	const path, begin, end = "../../README.md", "<!-- settings:begin -->", "<!-- settings:end -->"
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		t.Skip("there is no README.md yet")
	}
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(content), begin)
	require.True(t, ok, "README.md lacks %s", begin)
	table, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "README.md lacks %s", end)
	if os.Getenv("TTA_GATEWAY_WRITE_README") != "" {
		require.NoError(t, os.WriteFile(path, []byte(before+begin+"\n"+config.MarkdownTable()+end+after), 0o644))
		return
	}
	want, got := strings.Split(strings.TrimSpace(config.MarkdownTable()), "\n"), strings.Split(strings.TrimSpace(table), "\n")
	require.Len(t, got, len(want), "README.md shows other settings than the code has: write it anew")
	for i := range want {
		assert.Equal(t, want[i], got[i], "line %d of the settings in README.md: write it anew", i+1)
	}
}
