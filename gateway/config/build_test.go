package config_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/config"
	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/audit"
)

// bearer is the field of a caller who is known.
func bearer(t *testing.T, key, subject string, options ...authtest.Option) string {
	t.Helper()
	return "Authorization: Bearer " + authtest.Token(t, []byte(key), auth.Identity{Subject: subject, Player: subject, Roles: []string{"player"}}, options...)
}

// front loads and builds a gateway in front of a service that answers all.
func front(t *testing.T, environ ...string) (http.Handler, *upstream) {
	t.Helper()
	u := newUpstream(t)
	_, g := build(t, load(t, append(environ, `TTA_GATEWAY_SERVICES={"player-experience":"`+u.URL+`"}`)...), config.Host{})
	return g, u
}

func TestSecretAndAlgorithmVerifyTokens(t *testing.T) {
	g, u := front(t)
	assert.Equal(t, 401, get(g, "/api/v1/worlds").Code)
	assert.Equal(t, 401, get(g, "/api/v1/worlds", bearer(t, stronger, "p-1")).Code, "another secret")
	assert.Equal(t, 401, get(g, "/api/v1/worlds", bearer(t, strong, "p-1", authtest.SignedWith("HS384", []byte(strong)))).Code, "another algorithm")
	assert.Equal(t, 401, get(g, "/api/v1/worlds", bearer(t, strong, "p-1", authtest.Refresh())).Code, "a refresh token")
	assert.Equal(t, 0, u.count())
	assert.Equal(t, 200, get(g, "/api/v1/worlds", bearer(t, strong, "p-1")).Code)
	assert.Equal(t, 403, get(g, "/api/v1/players/p-2", bearer(t, strong, "p-1")).Code)
	assert.Equal(t, 200, get(g, "/api/v1/players/p-1", bearer(t, strong, "p-1")).Code)

	g, _ = front(t, "TTA_GATEWAY_JWT_ALGORITHM=HS384")
	assert.Equal(t, 401, get(g, "/api/v1/worlds", bearer(t, strong, "p-1")).Code)
	assert.Equal(t, 200, get(g, "/api/v1/worlds", bearer(t, strong, "p-1", authtest.SignedWith("HS384", []byte(strong)))).Code)
}

func TestSeveralSecretsCount(t *testing.T) {
	u := newUpstream(t)
	c, err := config.Load(config.Source{Environ: []string{
		"TTA_GATEWAY_JWT_SECRET_KEY=" + stronger + "\n" + strong, `TTA_GATEWAY_SERVICES={"player-experience":"` + u.URL + `"}`,
	}})
	require.NoError(t, err)
	_, g := build(t, c, config.Host{})
	assert.Equal(t, 200, get(g, "/api/v1/worlds", bearer(t, stronger, "p-1")).Code)
	assert.Equal(t, 200, get(g, "/api/v1/worlds", bearer(t, strong, "p-1")).Code)
}

func TestQuotas(t *testing.T) {
	g, _ := front(t, "TTA_GATEWAY_DEFAULT_RATE_LIMIT=2/minute", "TTA_GATEWAY_THERAPEUTIC_RATE_LIMIT=3/minute")
	token := bearer(t, strong, "p-1")
	statuses := func(g http.Handler, path string, n int, headers ...string) (out []int) {
		for range n {
			out = append(out, get(g, path, headers...).Code)
		}
		return out
	}
	assert.Equal(t, []int{200, 200, 429}, statuses(g, "/api/v1/worlds", 3, token))
	assert.Equal(t, []int{200, 200, 200, 429}, statuses(g, "/api/v1/sessions", 4, token))
	refused := get(g, "/api/v1/sessions", token)
	assert.NotEmpty(t, refused.Header().Get("Retry-After"))
	assert.Contains(t, refused.Body.String(), "crisis_resources")

	g, _ = front(t, "TTA_GATEWAY_ADDRESS_RATE_LIMIT=2/minute")
	assert.Equal(t, []int{200, 200, 429}, statuses(g, "/api/v1/worlds", 3, token))
	assert.Equal(t, 200, get(g, "/api/v1/worlds", token, "From: 192.0.2.99").Code)

	g, _ = front(t, "TTA_GATEWAY_RATE_LIMITING_ENABLED=false", "TTA_GATEWAY_DEFAULT_RATE_LIMIT=1/minute", "TTA_GATEWAY_ADDRESS_RATE_LIMIT=1/minute")
	assert.Equal(t, []int{200, 200, 200}, statuses(g, "/api/v1/worlds", 3, token))
	for range 15 {
		assert.Equal(t, 200, ask(g, "POST", "/api/v1/auth/login", `{}`).Code, "no quota of a route either")
	}
}

func TestLoginsAreCountedByAddress(t *testing.T) {
	g, u := front(t)
	for range 10 {
		assert.Equal(t, 200, ask(g, "POST", "/api/v1/auth/login", `{"username":"x","password":"I want to die"}`).Code)
	}
	assert.Equal(t, 429, ask(g, "POST", "/api/v1/auth/login", `{}`).Code)
	assert.Equal(t, 200, ask(g, "POST", "/api/v1/auth/login", `{}`, "From: 198.51.100.4").Code)
	assert.Equal(t, 11, u.count())
}

func TestHostsOriginsBodies(t *testing.T) {
	g, _ := front(t, "TTA_GATEWAY_TRUSTED_HOSTS=api.example.com", "TTA_GATEWAY_CORS_ORIGINS=https://play.example.com", "TTA_GATEWAY_MAX_BODY=16")
	token := bearer(t, strong, "p-1")
	assert.Equal(t, 400, get(g, "/api/v1/worlds", token, "Host: elsewhere.example").Code)
	ok := get(g, "/api/v1/worlds", token, "Host: api.example.com", "Origin: https://play.example.com")
	assert.Equal(t, 200, ok.Code)
	assert.Equal(t, "https://play.example.com", ok.Header().Get("Access-Control-Allow-Origin"))
	assert.Empty(t, get(g, "/api/v1/worlds", token, "Host: api.example.com", "Origin: https://evil.example").Header().Get("Access-Control-Allow-Origin"))
	assert.Equal(t, 413, ask(g, "POST", "/api/v1/sessions", strings.Repeat("x", 17), token, "Host: api.example.com").Code)

	g, _ = front(t, "TTA_GATEWAY_CORS_ORIGINS=[]")
	assert.Empty(t, get(g, "/api/v1/worlds", token, "Origin: http://localhost:3000").Header().Get("Access-Control-Allow-Origin"))
}

func TestTrustedProxiesNameTheClient(t *testing.T) {
	forwarded := "X-Forwarded-For: 203.0.113.9"
	two := func(g http.Handler) int {
		token := bearer(t, strong, "p-1")
		get(g, "/api/v1/worlds", token, forwarded)
		return get(g, "/api/v1/worlds", token, "X-Forwarded-For: 203.0.113.10").Code
	}
	g, _ := front(t, "TTA_GATEWAY_ADDRESS_RATE_LIMIT=1/minute")
	assert.Equal(t, 429, two(g), "nobody is believed: both are the peer's")
	g, _ = front(t, "TTA_GATEWAY_ADDRESS_RATE_LIMIT=1/minute", "TTA_GATEWAY_TRUSTED_PROXIES=192.0.2.0/24")
	assert.Equal(t, 200, two(g))
}

func TestEndpointsAreForThoseWhoMaySee(t *testing.T) {
	g, _ := front(t, "TTA_GATEWAY_METRICS_TOKEN=0123456789abcdef")
	assert.Equal(t, 401, get(g, "/metrics/prometheus").Code)
	assert.Equal(t, 200, get(g, "/metrics/prometheus", "Authorization: Bearer 0123456789abcdef").Code)
	assert.Contains(t, get(g, "/metrics/prometheus", "From: 127.0.0.1").Body.String(), "go_goroutines", "the runtime's figures are there")
	assert.Contains(t, get(g, "/metrics", "From: 127.0.0.1", "Accept: text/plain").Body.String(), "gateway_requests_total")
	assert.Equal(t, 404, get(g, "/docs").Code)
	assert.Equal(t, 200, get(g, "/help").Code)

	g, _ = front(t, "TTA_GATEWAY_ADMIN_ALLOW=192.0.2.0/24", "TTA_GATEWAY_PROMETHEUS_METRICS_PATH=/prom", "TTA_GATEWAY_DEBUG=true")
	assert.Equal(t, 200, get(g, "/prom").Code)
	assert.Equal(t, 200, get(g, "/docs").Code)
	assert.Contains(t, get(g, "/openapi.json").Body.String(), "/api/v1/gameplay/message/")

	g, _ = front(t, "TTA_GATEWAY_METRICS_ENABLED=false")
	assert.Equal(t, 404, get(g, "/metrics/prometheus", "From: 127.0.0.1").Code)
}

func TestSummaryTellsWhatIsOn(t *testing.T) {
	g, _ := front(t)
	on := get(g, "/metrics/", "From: 127.0.0.1").Body.String()
	g, _ = front(t, "TTA_GATEWAY_RATE_LIMITING_ENABLED=false", "TTA_GATEWAY_CRISIS_DETECTION_ENABLED=false", "TTA_GATEWAY_SERVICE_DISCOVERY_ENABLED=false")
	off := get(g, "/metrics/", "From: 127.0.0.1").Body.String()
	assert.Equal(t, 3, strings.Count(on, "true")-strings.Count(off, "true"), "%s\n%s", on, off)
}

func TestInstancesMayRegister(t *testing.T) {
	u := newUpstream(t)
	_, g := build(t, load(t, "TTA_GATEWAY_REGISTRY_TOKEN=fedcba9876543210"), config.Host{})
	token := bearer(t, strong, "p-1")
	assert.NotEqual(t, 200, get(g, "/api/v1/worlds", token).Code, "the default service is not there")
	entry := `{"service":"player-experience-interface","url":"` + u.URL + `"}`
	register := func(g http.Handler, authorization string) int {
		return ask(g, "POST", "/registry/", entry, "Content-Type: application/json", authorization).Code
	}
	assert.Equal(t, 401, register(g, "Authorization: Bearer 0123456789abcdef"), "strangers may not")
	assert.GreaterOrEqual(t, register(g, token), 401, "nor players")
	require.Less(t, register(g, "Authorization: Bearer fedcba9876543210"), 300)
	assert.Equal(t, 200, get(g, "/api/v1/worlds", token).Code, "its historic name will do, and it goes before the default")

	_, g = build(t, load(t, "TTA_GATEWAY_SERVICE_DISCOVERY_ENABLED=false", "TTA_GATEWAY_REGISTRY_TOKEN=fedcba9876543210"), config.Host{})
	assert.Equal(t, 404, register(g, "Authorization: Bearer fedcba9876543210"))
}

func TestBalancersAreWhatTheyAreCalled(t *testing.T) {
	a, b := newUpstream(t), newUpstream(t)
	services := `TTA_GATEWAY_SERVICES={"player-experience":["` + a.URL + `","` + b.URL + `"]}`
	_, g := build(t, load(t, services, "TTA_GATEWAY_LOAD_BALANCING_ALGORITHM=round_robin"), config.Host{})
	for range 10 {
		require.Equal(t, 200, get(g, "/api/v1/worlds", bearer(t, strong, "p-1")).Code)
	}
	assert.Equal(t, 5, a.count())
	assert.Equal(t, 5, b.count())

	_, g = build(t, load(t, services, "TTA_GATEWAY_LOAD_BALANCING_ALGORITHM=consistent_hash"), config.Host{})
	before := a.count()
	for range 10 {
		require.Equal(t, 200, get(g, "/api/v1/worlds", bearer(t, strong, "p-1")).Code)
	}
	assert.Contains(t, []int{0, 10}, a.count()-before, "a caller stays with one instance")
}

func TestBreakers(t *testing.T) {
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(failing.Close)
	services := `TTA_GATEWAY_SERVICES={"player-experience":"` + failing.URL + `"}`
	codes := func(environ ...string) string {
		_, g := build(t, load(t, append(environ, services)...), config.Host{})
		last := ""
		for range 4 {
			last = ask(g, "POST", "/api/v1/sessions", `{}`, bearer(t, strong, "p-1")).Body.String()
		}
		return last
	}
	assert.Contains(t, codes("TTA_GATEWAY_CIRCUIT_BREAKER_FAILURE_THRESHOLD=3"), "breaker_open")
	assert.Contains(t, codes("TTA_GATEWAY_CIRCUIT_BREAKER_FAILURE_THRESHOLD=30"), "upstream_failed")
	assert.Contains(t, codes("TTA_GATEWAY_CIRCUIT_BREAKER_FAILURE_THRESHOLD=3", "TTA_GATEWAY_CIRCUIT_BREAKER_ENABLED=false"), "upstream_failed")
}

const crisis = `{"session_id":"s","message":"I am going to end my life tonight"}`

func TestSafetySwitches(t *testing.T) {
	send := func(environ ...string) string {
		g, _ := front(t, environ...)
		w := ask(g, "POST", "/api/v1/conversation/send", crisis, bearer(t, strong, "p-1"), "Content-Type: application/json")
		require.Equal(t, 200, w.Code)
		return w.Body.String()
	}
	assert.Contains(t, send(), "crisis_resources")
	assert.NotContains(t, send("TTA_GATEWAY_THERAPEUTIC_SAFETY_ENABLED=false"), "crisis_resources")
	assert.NotContains(t, send("TTA_GATEWAY_CRISIS_DETECTION_ENABLED=false"), "crisis_resources")
}

func TestAuditFileGetsWhatHappens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	u := newUpstream(t)
	c := load(t, "TTA_GATEWAY_AUDIT_FILE="+file, "TTA_GATEWAY_AUDIT_KEY="+stronger, "TTA_GATEWAY_PORT=0", `TTA_GATEWAY_SERVICES={"player-experience":"`+u.URL+`"}`)
	t.Run("a conversation", func(t *testing.T) {
		url, _, _ := serve(t, c, config.Host{})
		post(t, url+"/api/v1/conversation/send", crisis, bearer(t, strong, "p-1"))
	})
	f, err := os.Open(file)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	report, err := audit.Verify(f)
	require.NoError(t, err)
	assert.Positive(t, report.Records)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.NotContains(t, string(content), "end my life")
	assert.NotContains(t, string(content), "p-1", "people stand in it by pseudonyms")
}

func post(t *testing.T, url, body, authorization string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	_, value, _ := strings.Cut(authorization, ": ")
	r.Header.Set("Authorization", value)
	return do(t, r)
}

func do(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp
}

// fetch asks a gateway on the network and returns status and body.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp := do(t, r)
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestAnAuditFileThatCannotBeOpenedIsAComplaint(t *testing.T) {
	_, err := load(t, "TTA_GATEWAY_AUDIT_FILE="+t.TempDir()).Build(config.Host{})
	var settings *config.Error
	require.ErrorAs(t, err, &settings)
	assert.Contains(t, err.Error(), "TTA_GATEWAY_AUDIT_FILE")
}

func TestSelfTestOpensReadiness(t *testing.T) {
	url, _, _ := serve(t, load(t, "TTA_GATEWAY_PORT=0"), config.Host{})
	eventually(t, "ready", func() bool { code, _ := fetch(t, url+"/health/ready"); return code == 200 })
	_, text := fetch(t, url+"/metrics/prometheus")
	assert.Contains(t, text, "gateway_safety_enabled 1")
}

func TestADeafInspectorIsAnAlarm(t *testing.T) {
	for name, deaf := range map[string]safety.Inspector{
		"hears nothing": safety.InspectorFunc(func(context.Context, safety.Content) (safety.Verdict, error) { return safety.Verdict{}, nil }),
		"hears all": safety.InspectorFunc(func(context.Context, safety.Content) (safety.Verdict, error) {
			return safety.Verdict{Severity: safety.Imminent}, nil
		}),
		"fails": safety.InspectorFunc(func(context.Context, safety.Content) (safety.Verdict, error) {
			return safety.Verdict{}, errors.New("no model")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			var out log
			u := newUpstream(t)
			c := load(t, "TTA_GATEWAY_PORT=0", `TTA_GATEWAY_SERVICES={"player-experience":"`+u.URL+`"}`)
			url, _, _ := serve(t, c, config.Host{Log: &out, Inspector: deaf})
			eventually(t, "alarm", func() bool { return strings.Contains(out.text(), `"level":"CRITICAL"`) })
			code, _ := fetch(t, url+"/health/ready")
			assert.Equal(t, 503, code, "a gateway that cannot hear is not ready")
			eventually(t, "health tells", func() bool {
				_, health := fetch(t, url+"/health/")
				return strings.Contains(health, `"status":"degraded"`)
			})
			assert.NotContains(t, out.text(), "end my life", "no phrase in the log")
		})
	}
}

func TestSafetyOffInProductionIsLoud(t *testing.T) {
	for _, off := range []string{"TTA_GATEWAY_THERAPEUTIC_SAFETY_ENABLED=false", "TTA_GATEWAY_CRISIS_DETECTION_ENABLED=false"} {
		t.Run(off, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "audit.jsonl")
			u := newUpstream(t)
			parts, g := build(t, load(t, off, "TTA_ENVIRONMENT=production", "TTA_GATEWAY_AUDIT_FILE="+file,
				`TTA_GATEWAY_SERVICES={"player-experience":"`+u.URL+`"}`), config.Host{})
			assert.Contains(t, strings.Join(parts.Warnings, "\n"), "IN PRODUCTION")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- g.Run(ctx) }()
			here := "From: 127.0.0.1"
			eventually(t, "health tells", func() bool {
				health := get(g, "/health/", here).Body.String()
				return strings.Contains(health, `"degraded"`) && strings.Contains(health, off)
			})
			eventually(t, "it is recorded", func() bool {
				content, _ := os.ReadFile(file)
				return strings.Contains(string(content), "safety_off")
			})
			assert.Contains(t, get(g, "/metrics/prometheus", here).Body.String(), "gateway_safety_enabled 0")
			assert.Equal(t, 200, get(g, "/health/ready").Code, "it serves: that was somebody's decision")
			assert.Equal(t, 200, get(g, "/help").Code, "and help stays")
			assert.NotContains(t, get(g, "/help").Header().Get("X-Therapeutic-Safety"), "enabled", "no field claims what is not so")
			cancel()
			require.NoError(t, <-done)
		})
	}
}

func TestLogsAsSettingsSay(t *testing.T) {
	lines := func(environ ...string) string {
		var out log
		parts, _ := build(t, load(t, environ...), config.Host{Log: &out})
		parts.Logger.Debug("quiet")
		parts.Logger.Info("usual")
		parts.Logger.Error("grave")
		return out.text()
	}
	assert.Contains(t, lines(), `"msg":"usual"`)
	assert.NotContains(t, lines(), "quiet")
	assert.Contains(t, lines("TTA_GATEWAY_LOG_LEVEL=debug"), "quiet")
	assert.NotContains(t, lines("TTA_GATEWAY_LOG_LEVEL=ERROR"), "usual")
	assert.Contains(t, lines("TTA_GATEWAY_LOG_LEVEL=error"), "grave")
	assert.NotContains(t, lines("TTA_GATEWAY_LOG_LEVEL=CRITICAL"), "grave")
	assert.Contains(t, lines("TTA_GATEWAY_STRUCTURED_LOGGING=false"), "msg=usual")
}

func TestAdminListener(t *testing.T) {
	c := load(t, "TTA_GATEWAY_PORT=0", "TTA_GATEWAY_ADMIN_ADDR=127.0.0.1:0")
	parts, err := c.Build(config.Host{})
	require.NoError(t, err)
	ln, err := parts.Listen(t.Context())
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	require.NoError(t, parts.Close(), "the admin listener is closed with the parts")
}

func TestRedisThatIsNotThere(t *testing.T) {
	u := newUpstream(t)
	c := load(t, "TTA_GATEWAY_PORT=0", "TTA_GATEWAY_REDIS_URL=redis://127.0.0.1:1", "TTA_GATEWAY_HEALTH_CHECK_INTERVAL=1", "TTA_GATEWAY_DEFAULT_RATE_LIMIT=2/minute",
		`TTA_GATEWAY_SERVICES={"player-experience":"`+u.URL+`"}`)
	url, _, _ := serve(t, c, config.Host{})
	eventually(t, "degraded", func() bool {
		_, health := fetch(t, url+"/health/")
		return strings.Contains(health, `"degraded"`) && strings.Contains(health, `"redis"`)
	})
	eventually(t, "ready nevertheless", func() bool { code, _ := fetch(t, url+"/health/ready"); return code == 200 })
	codes := []int{}
	for range 3 {
		codes = append(codes, post(t, url+"/api/v1/worlds", "{}", bearer(t, strong, "p-1")).StatusCode)
	}
	assert.Equal(t, []int{200, 200, 429}, codes, "quotas are counted here meanwhile")
}

func TestRedisSharesQuotasRegistryAndLogouts(t *testing.T) {
	server := miniredis.RunT(t)
	u := newUpstream(t)
	gateways := make([]http.Handler, 2)
	for i := range gateways {
		_, gateways[i] = build(t, load(t, "TTA_GATEWAY_REDIS_URL=redis://"+server.Addr(), "TTA_GATEWAY_DEFAULT_RATE_LIMIT=4/minute",
			`TTA_GATEWAY_SERVICES={"player-experience":"`+u.URL+`"}`), config.Host{})
	}
	token := bearer(t, strong, "p-1")
	codes := []int{}
	for i := range 5 {
		codes = append(codes, get(gateways[i%2], "/api/v1/worlds", token).Code)
	}
	assert.Equal(t, []int{200, 200, 200, 200, 429}, codes)
}

func TestLogoutEndsTheToken(t *testing.T) {
	g, _ := front(t)
	token := bearer(t, strong, "p-1")
	require.Equal(t, 200, get(g, "/api/v1/worlds", token).Code)
	require.Equal(t, 200, ask(g, "POST", "/api/v1/auth/logout", "", token).Code)
	assert.Equal(t, 401, get(g, "/api/v1/worlds", token).Code)
	assert.Equal(t, 200, get(g, "/api/v1/worlds", bearer(t, strong, "p-2")).Code)
}

func TestReadyRequires(t *testing.T) {
	u := newUpstream(t)
	c := load(t, "TTA_GATEWAY_PORT=0", "TTA_GATEWAY_READY_REQUIRES=player-experience", `TTA_GATEWAY_SERVICES={"player-experience":"`+u.URL+`"}`)
	url, _, _ := serve(t, c, config.Host{})
	eventually(t, "ready once the service is well", func() bool { code, _ := fetch(t, url+"/health/ready"); return code == 200 })

	c = load(t, "TTA_GATEWAY_PORT=0", "TTA_GATEWAY_READY_REQUIRES=player-experience", `TTA_GATEWAY_SERVICES={"player-experience":"http://127.0.0.1:1"}`)
	url, _, _ = serve(t, c, config.Host{})
	eventually(t, "it is known to be down", func() bool {
		_, health := fetch(t, url+"/health/")
		return strings.Contains(health, `"unhealthy"`)
	})
	code, _ := fetch(t, url+"/health/ready")
	assert.Equal(t, 503, code)
}

func TestWebSocketSwitch(t *testing.T) {
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	f := newFiles(map[string]string{"r.yaml": "version: 1\nroutes:\n  - {pattern: /ws, service: s, upgrade: true, allow: anyone, inspect: {skip: test}}\n"})
	c, err := config.Load(config.Source{Environ: []string{secret, "TTA_GATEWAY_ROUTES_FILE=r.yaml", "TTA_GATEWAY_WEBSOCKET_ENABLED=false"}, ReadFile: f.read})
	require.NoError(t, err)
	_, g := build(t, c, config.Host{})
	assert.Contains(t, get(g, "/ws", upgrade...).Body.String(), "websocket_disabled")
}

func TestShutdownIsWhatItSays(t *testing.T) {
	c := load(t, "TTA_GATEWAY_SHUTDOWN_TIMEOUT=3s")
	assert.Zero(t, c.ShutdownGrace())
	assert.Equal(t, 3*time.Second, c.ShutdownTimeout)
}

func TestShutdownEndsInTime(t *testing.T) {
	release := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(stuck.Close)
	defer close(release)
	c := load(t, "TTA_GATEWAY_PORT=0", "TTA_GATEWAY_SHUTDOWN_TIMEOUT=50ms", `TTA_GATEWAY_SERVICES={"player-experience":"`+stuck.URL+`"}`)
	parts, err := c.Build(config.Host{})
	require.NoError(t, err)
	defer func() { require.NoError(t, parts.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := parts.Listen(ctx)
	require.NoError(t, err)
	g, err := gateway.New(parts.Options()...)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, ln) }()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r, _ := http.NewRequest(http.MethodPost, "http://"+ln.Addr().String()+"/api/v1/sessions", strings.NewReader("{}"))
		_, value, _ := strings.Cut(bearer(t, strong, "p-1"), ": ")
		r.Header.Set("Authorization", value)
		if resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r); err == nil {
			_ = resp.Body.Close()
		}
	}()
	eventually(t, "it is under way", func() bool {
		return strings.Contains(get(g, "/metrics/prometheus", "From: 127.0.0.1").Body.String(), `gateway_admission_in_use{lane="therapeutic"} 1`)
	})
	cancel()
	require.ErrorIs(t, <-done, context.DeadlineExceeded, "what does not end in time is cut, and that is told")
	<-asked
}
