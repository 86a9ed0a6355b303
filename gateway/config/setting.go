package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Prefix begins the name of every setting but TTA_ENVIRONMENT, which belongs
// to all TTA services.
const Prefix = "TTA_GATEWAY_"

// environmentName is the setting without our prefix.
const environmentName = "TTA_ENVIRONMENT"

// Setting is one row of the table of settings.
type Setting struct {
	Name    string // TTA_GATEWAY_PORT
	Type    string // in words: "number", "duration", "list", …
	Default string // as it would be written; "" = unset
	Doc     string // what it does, a sentence or two
	Secret  bool   // its value is never shown
	File    bool   // NAME_FILE may name a file that holds the value

	// Value and Source are those of [Config.Settings]. Source is "default",
	// "environment", "file:/run/secrets/key" or "program".
	Value, Source string

	remedy string
}

// Settings returns the table of settings with their defaults, in the order in
// which they are shown.
func Settings() []Setting { return slices.Clone(table) }

const (
	yesOrNo   = "write true or false"
	someTime  = "write seconds (30) or a duration such as 500ms, 30s or 5m"
	someRate  = "write a rate such as 100/minute, 10/30s, or off"
	someNets  = "write networks or addresses such as 10.0.0.0/8,192.0.2.1"
	someList  = `write a,b or ["a","b"]`
	somePlace = "write an address such as 127.0.0.1:9090"
)

// table is where everything about a setting stands once. The fields of Config
// are tied to it by their env tags.
var table = []Setting{
	{Name: environmentName, Type: "text", Default: "development",
		Doc: "Name of the deployment. `production` is strict: weak secrets are refused, an audit file is required, shutdown gives load balancers 5 s."},

	{Name: "TTA_GATEWAY_HOST", Type: "address", Default: "127.0.0.1", remedy: "write an IP address or a host name, without a port",
		Doc: "Address to listen on. `0.0.0.0` is every interface; secrets must then be strong."},
	{Name: "TTA_GATEWAY_PORT", Type: "number", Default: "8000", remedy: "write a number from 1 to 65535, or 0 for any free port",
		Doc: "Port to listen on."},
	{Name: "TTA_GATEWAY_TLS_CERT_FILE", Type: "file", remedy: "name a PEM file with the certificate and its chain",
		Doc: "Certificate chain, PEM. With TLS_KEY_FILE the listener speaks TLS and HTTP/2. Read again when it changes."},
	{Name: "TTA_GATEWAY_TLS_KEY_FILE", Type: "file", remedy: "name a PEM file with the private key",
		Doc: "Private key of TLS_CERT_FILE, PEM."},
	{Name: "TTA_GATEWAY_TRUSTED_HOSTS", Type: "list", remedy: someList,
		Doc: "Host names that are served, `*.example.com` for all below one; others get 400. Unset: every name is."},
	{Name: "TTA_GATEWAY_TRUSTED_PROXIES", Type: "networks", remedy: someNets,
		Doc: "Peers whose X-Forwarded-* and request ids are believed. Unset: nobody's, not even loopback's."},
	{Name: "TTA_GATEWAY_CORS_ORIGINS", Type: "list", Default: "http://localhost:3000,http://localhost:8080,https://localhost:3000,https://localhost:8080",
		remedy: `write origins such as https://play.example.com, without a path; [] for none`,
		Doc:    "Pages that may read answers and open WebSockets. `[]` leaves CORS to the services."},
	{Name: "TTA_GATEWAY_MAX_BODY", Type: "size", Default: "1MiB", remedy: "write a number of bytes, with KiB or MiB if you like",
		Doc: "Largest request body, where a route says nothing else; also how much of a body is held to be inspected."},
	{Name: "TTA_GATEWAY_MAX_IN_FLIGHT", Type: "number", Default: "4096", remedy: "write a number, at least 10, or -1 for no bound",
		Doc: "Requests under way at once. A tenth is kept for people in crisis, a fifth for therapeutic routes and those; who finds no room waits up to a second. `-1`: not bounded."},
	{Name: "TTA_GATEWAY_SHUTDOWN_TIMEOUT", Type: "duration", Default: "25s", remedy: someTime,
		Doc: "How long ending may take in all. Keep it below what the platform grants (Kubernetes: 30 s)."},

	{Name: "TTA_GATEWAY_JWT_SECRET_KEY", Type: "secret", Secret: true, File: true,
		remedy: "set it to the secret that signs tokens in the services (TTA_AUTH_SECRET_KEY or JWT_SECRET_KEY there): 32 random bytes or more, for example from: openssl rand -base64 48",
		Doc:    "Shared secret that tokens are signed with; the same as the services'. Required. Several lines are several secrets: the first is current, the others still count, which is how one is replaced."},
	{Name: "TTA_GATEWAY_JWT_ALGORITHM", Type: "text", Default: "HS256", remedy: "write HS256, HS384 or HS512",
		Doc: "The one algorithm that is honoured in tokens: HS256, HS384 or HS512."},
	{Name: "TTA_GATEWAY_JWT_EXPIRE_MINUTES", Type: "number", Default: "30", remedy: "write a number of minutes from 1 to 1440",
		Doc: "Lifetime of tokens that `-demo` mints. Tokens that are verified carry their own."},

	{Name: "TTA_GATEWAY_SERVICES", Type: "JSON", remedy: `write {"player-experience":["http://10.0.0.1:8080"]}`,
		Doc: "Services and the base URLs of their instances: `{\"player-experience\":[\"http://10.0.0.1:8080\"]}`. Unset: player-experience at http://localhost:8080, if nobody registers under that name."},
	{Name: "TTA_GATEWAY_ROUTES_FILE", Type: "file", remedy: "name a YAML or JSON file; gatewayd -routes -o yaml prints one to begin with",
		Doc: "Route table, YAML or JSON, instead of the built-in one for the TTA services. Read again when it changes."},
	{Name: "TTA_GATEWAY_SERVICE_DISCOVERY_ENABLED", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "Whether instances may register. Off: SERVICES is all there is."},
	{Name: "TTA_GATEWAY_SERVICE_REGISTRY_BACKEND", Type: "text", remedy: "write redis (with TTA_GATEWAY_REDIS_URL) or memory",
		Doc: "Where instances register: `redis`, shared by all gateways, or `memory`. Unset: redis if REDIS_URL is set."},
	{Name: "TTA_GATEWAY_LOAD_BALANCING_ALGORITHM", Type: "text", remedy: "write least_loaded, least_connections, round_robin, weighted or consistent_hash",
		Doc: "How an instance is chosen: `least_loaded` (the default; `health_based` is its older name), `least_connections`, `round_robin`, `weighted`, or `consistent_hash`, which keeps a caller with one instance."},

	{Name: "TTA_GATEWAY_REDIS_URL", Type: "secret", Secret: true, File: true,
		remedy: "write redis://host:6379, rediss://host:6380 for TLS, with a password percent-encoded",
		Doc:    "Redis for shared quotas, registry and revocations: one server, Sentinel (`?master_name=`) or Cluster (`?addr=`). Unset: everything stays in this process. Unreachable: the gateway starts and reports degraded."},
	{Name: "TTA_GATEWAY_REDIS_DB", Type: "number", Default: "0", remedy: "write a number from 0",
		Doc: "Redis database, if not 0 instead of the URL's."},
	{Name: "TTA_GATEWAY_REDIS_PASSWORD", Type: "secret", Secret: true, File: true,
		Doc: "Redis password, instead of the URL's."},

	{Name: "TTA_GATEWAY_RATE_LIMITING_ENABLED", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "Off: no quota of any kind, neither of callers nor of addresses nor of routes."},
	{Name: "TTA_GATEWAY_DEFAULT_RATE_LIMIT", Type: "rate", Default: "100/minute", remedy: someRate,
		Doc: "Quota of one caller. A rate's burst is its number."},
	{Name: "TTA_GATEWAY_THERAPEUTIC_RATE_LIMIT", Type: "rate", Default: "200/minute", remedy: someRate,
		Doc: "Quota of one caller on therapeutic routes. A message in crisis is not held to it."},
	{Name: "TTA_GATEWAY_ADDRESS_RATE_LIMIT", Type: "rate", remedy: someRate,
		Doc: "Quota of one address (IPv6: /64), before anything costly is done. Unset: 20 times the larger of the two above. `off`: none."},

	{Name: "TTA_GATEWAY_HEALTH_CHECK_INTERVAL", Type: "duration", Default: "30s", remedy: someTime,
		Doc: "Time between two probes of an instance or dependency."},
	{Name: "TTA_GATEWAY_HEALTH_CHECK_TIMEOUT", Type: "duration", Default: "5s", remedy: someTime,
		Doc: "How long a probe may take."},
	{Name: "TTA_GATEWAY_READY_REQUIRES", Type: "list", remedy: "name redis, audit, safety or services of the route table",
		Doc: "What must be well before /health/ready says so, besides the gateway itself: `redis`, `audit`, `safety`, or services. A gateway that is pulled cannot hand out help, so think twice."},
	{Name: "TTA_GATEWAY_CIRCUIT_BREAKER_ENABLED", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "Whether a failing instance is left alone for a while."},
	{Name: "TTA_GATEWAY_CIRCUIT_BREAKER_FAILURE_THRESHOLD", Type: "number", Default: "5", remedy: "write a number from 1",
		Doc: "Failures in a row after which it is."},
	{Name: "TTA_GATEWAY_CIRCUIT_BREAKER_TIMEOUT", Type: "duration", Default: "1m0s", remedy: someTime,
		Doc: "How long it is."},

	{Name: "TTA_GATEWAY_THERAPEUTIC_SAFETY_ENABLED", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "Whether messages and replies pass the safety guard. Off in production: warned about, health is degraded, and it is recorded. The help page stays."},
	{Name: "TTA_GATEWAY_CRISIS_DETECTION_ENABLED", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "Whether the guard has a detector. Off: everything passes and is counted as not inspected, with the same consequences in production."},
	{Name: "TTA_GATEWAY_SAFETY_MONITORING_INTERVAL", Type: "duration", Default: "5m0s", remedy: someTime,
		Doc: "How often known phrases are sent through the live guard as a self-test. A failure is a metric, a failing health check and an alert in the log."},
	{Name: "TTA_GATEWAY_AUDIT_FILE", Type: "file", remedy: "name a file on a disk that lasts",
		Doc: "Append-only audit trail of the guard, JSON lines with a hash chain, no message text. Required in production with safety on. Unset: in memory."},
	{Name: "TTA_GATEWAY_AUDIT_KEY", Type: "secret", Secret: true, File: true, remedy: "write 32 random bytes or more, for example from: openssl rand -base64 48",
		Doc: "Key of the pseudonyms in the audit trail; keep it elsewhere than the trail. Unset: random, so that nobody can be followed from one run to the next."},

	{Name: "TTA_GATEWAY_METRICS_ENABLED", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "Whether things are counted."},
	{Name: "TTA_GATEWAY_PROMETHEUS_METRICS_PATH", Type: "path", Default: "/metrics", remedy: "write a path such as /metrics",
		Doc: "A path of the Prometheus text beside /metrics/prometheus. At `/metrics` the Accept field decides between text and JSON."},
	{Name: "TTA_GATEWAY_METRICS_TOKEN", Type: "secret", Secret: true, File: true, remedy: "write 16 random bytes or more, for example from: openssl rand -hex 24",
		Doc: "Bearer token that lets a scraper see metrics and health detail."},
	{Name: "TTA_GATEWAY_REGISTRY_TOKEN", Type: "secret", Secret: true, File: true, remedy: "write 16 random bytes or more, for example from: openssl rand -hex 24",
		Doc: "Bearer token with which services register their instances at /registry/. Whoever has it gets people's words. Unset: only the admin role and the admin listener may."},
	{Name: "TTA_GATEWAY_ADMIN_ADDR", Type: "address", remedy: somePlace,
		Doc: "A second listener with metrics, health detail and the like for whoever can reach it: keep it private. Unset: none."},
	{Name: "TTA_GATEWAY_ADMIN_ALLOW", Type: "networks", remedy: someNets,
		Doc: "Networks whose callers see metrics and health detail on the main listener. Unset: direct loopback callers, the metrics token and the admin role only."},
	{Name: "TTA_GATEWAY_LOG_LEVEL", Type: "text", Default: "INFO", remedy: "write DEBUG, INFO, WARNING, ERROR or CRITICAL",
		Doc: "Least severe lines that are logged: DEBUG, INFO, WARNING, ERROR or CRITICAL."},
	{Name: "TTA_GATEWAY_STRUCTURED_LOGGING", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "JSON log lines; off: text for people."},
	{Name: "TTA_GATEWAY_DEBUG", Type: "boolean", Default: "false", remedy: yesOrNo,
		Doc: "Serves /docs and /openapi.json."},

	{Name: "TTA_GATEWAY_WEBSOCKET_ENABLED", Type: "boolean", Default: "true", remedy: yesOrNo,
		Doc: "Whether WebSockets are let through."},
	{Name: "TTA_GATEWAY_WEBSOCKET_TIMEOUT", Type: "duration", Default: "5m0s", remedy: someTime,
		Doc: "How long a WebSocket may be silent in both directions; routes may say otherwise."},
}

// settingNamed finds a row, nil if there is none.
func settingNamed(name string) *Setting {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

// short is a setting's name without the prefix.
func (s Setting) short() string { return strings.TrimPrefix(s.Name, Prefix) }

// Settings returns the effective settings, each with its value and where that
// came from. Secrets are not among the values.
func (c *Config) Settings() []Setting {
	out := Settings()
	for i := range out {
		s := &out[i]
		s.Value = c.shown(s)
		s.Source = c.origin(s)
	}
	return out
}

func (c *Config) origin(s *Setting) string {
	switch from := c.origins[s.Name]; {
	case from != "":
		return from
	case s.Value == show(Default().field(s.Name)) || c.origins != nil:
		return "default"
	}
	return "program"
}

// shown is a setting's value for people: the effective one, where unset means
// something that depends on others.
func (c *Config) shown(s *Setting) string {
	switch s.short() {
	case "REDIS_URL":
		if c.RedisURL == "" {
			return ""
		}
		return withoutPassword(string(c.RedisURL))
	case "ADDRESS_RATE_LIMIT":
		return show(c.AddressRate())
	case "SERVICE_REGISTRY_BACKEND":
		return c.RegistryBackend()
	case "LOAD_BALANCING_ALGORITHM":
		return c.balancing()
	case "SERVICES":
		return show(c.services())
	}
	return show(c.field(s.Name))
}

// field is the value of the field that carries a setting's tag.
func (c *Config) field(name string) any {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("env") == name {
			return v.Field(i).Interface()
		}
	}
	return nil
}

// MarkdownTable is the table of settings as the README shows it.
func MarkdownTable() string {
	var b strings.Builder
	b.WriteString("| Setting | Type | Default | What it does |\n|---|---|---|---|\n")
	for _, s := range table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, s.Type, markdownDefault(s), markdownDoc(s))
	}
	return b.String()
}

func markdownDefault(s Setting) string {
	if s.Default == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s.Default, ",", "`, `") + "`"
}

func markdownDoc(s Setting) string {
	doc := strings.ReplaceAll(s.Doc, "|", `\|`)
	if s.File {
		doc += " Or `" + s.Name + "_FILE`."
	}
	return doc
}
