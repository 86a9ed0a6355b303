package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// crisis is a guard that takes one sentence for high and one for imminent.
func crisis() *safety.Guard {
	return &safety.Guard{Inspector: &safetytest.Script{
		Requests: map[string]safety.Verdict{
			"i want to die":   safetytest.Found(safety.High, safety.SuicidalIdeation),
			"i took them all": safetytest.Found(safety.Imminent, safety.SubstanceCrisis),
			"nothing matters": safetytest.Found(safety.Moderate, safety.SevereDepression),
		},
		Responses: map[string]safety.Verdict{
			"take more of them": safetytest.Found(safety.High, safety.Methods),
		},
	}}
}

// story is a service that answers in the shape of the conversation route.
func story(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"response":"The lantern glows.","session_id":"s1"}`)
}

// problemOf decodes a refusal and checks the shape that all have.
func problemOf(t *testing.T, resp *gatewaytest.Response) map[string]any {
	t.Helper()
	var p map[string]any
	require.NoError(t, json.Unmarshal([]byte(resp.Body), &p), resp.Body)
	assert.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	assert.EqualValues(t, resp.Status, p["status"])
	assert.Equal(t, resp.Header.Get("X-Request-Id"), p["request_id"])
	assert.Equal(t, p["message"], p["detail"])
	assert.NotEmpty(t, p["message"])
	assert.Contains(t, p["type"], p["code"])
	assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"), "refusals carry the security headers")
	return p
}

func TestRefusalsHaveOneShape(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)},
		gateway.WithTrustedHosts(gatewaytest.Host),
		gateway.WithGuard(crisis()),
		gateway.WithRoutes(
			gateway.Route{Pattern: "/open/", Service: "s", Allow: auth.Anyone, MaxBody: 10},
			gateway.Route{Pattern: "/play/", Service: "s", Lane: ratelimit.Therapeutic, MaxBody: 10},
			gateway.Route{Pattern: "/admin/", Service: "s", Allow: auth.Role("admin")},
			gateway.Route{Pattern: "/mfa/", Service: "s", Allow: auth.MFA, Lane: ratelimit.Therapeutic},
			gateway.Route{Pattern: "/gone/", Service: "nobody", Allow: auth.Anyone, Lane: ratelimit.Therapeutic},
			gateway.Route{Pattern: "/read", Methods: []string{"GET"}, Service: "s", Allow: auth.Anyone},
			gateway.Route{Pattern: "/panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret") }), Allow: auth.Anyone},
		))
	player := gw.As("p")
	tests := []struct {
		desc       string
		method     string
		path, body string
		options    []gatewaytest.RequestOption
		status     int
		code       string
		help       bool
		header     string // that must be set
	}{
		{desc: "no token", path: "/admin/", status: 401, code: "unauthenticated", header: "Www-Authenticate"},
		{desc: "no token on a therapeutic route", path: "/play/", status: 401, code: "unauthenticated", help: true, header: "Www-Authenticate"},
		{desc: "a bad token", path: "/play/", options: []gatewaytest.RequestOption{gatewaytest.Header("Authorization", "Bearer x.y.z")}, status: 401, code: "invalid_token", help: true, header: "Www-Authenticate"},
		{desc: "two credentials", path: "/admin/", options: []gatewaytest.RequestOption{func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer a", "Bearer b"} }}, status: 400, code: "malformed_credentials"},
		{desc: "an expired token", path: "/play/", options: []gatewaytest.RequestOption{gw.As("p", authtest.Expired())}, status: 401, code: "invalid_token", help: true},
		{desc: "the wrong role", path: "/admin/", options: []gatewaytest.RequestOption{player}, status: 403, code: "forbidden", header: "Www-Authenticate"},
		{desc: "no second factor", path: "/mfa/", options: []gatewaytest.RequestOption{player}, status: 403, code: "mfa_required", help: true},
		{desc: "an unknown path", path: "/nowhere", status: 404, code: "not_found"},
		{desc: "a wrong method", method: "POST", path: "/read", status: 405, code: "method_not_allowed", header: "Allow"},
		{desc: "an unknown method", method: "BREW", path: "/nowhere", status: 501, code: "method_unknown"},
		{desc: "TRACE", method: "TRACE", path: "/open/", status: 405, code: "method_not_allowed", header: "Allow"},
		{desc: "a long body, declared", method: "POST", path: "/play/", body: "a body of more than ten", options: []gatewaytest.RequestOption{player}, status: 413, code: "body_too_large", help: true},
		{desc: "a long body, undeclared", method: "POST", path: "/play/", body: "a body of more than ten", options: []gatewaytest.RequestOption{player, func(r *http.Request) { r.ContentLength = -1 }}, status: 413, code: "body_too_large", help: true},
		{desc: "an unknown host", path: "/open/", options: []gatewaytest.RequestOption{func(r *http.Request) { r.Host = "evil.example" }}, status: 400, code: "unknown_host"},
		{desc: "an upgrade nobody opted into", path: "/open/", options: []gatewaytest.RequestOption{gatewaytest.Header("Connection", "Upgrade"), gatewaytest.Header("Upgrade", "h2c")}, status: 400, code: "upgrade_refused"},
		{desc: "nobody serves", path: "/gone/", status: 503, code: "service_unavailable", help: true, header: "Retry-After"},
		{desc: "a handler panics", path: "/panic", status: 500, code: "internal"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = http.MethodGet
			}
			resp := gw.Do(method, tt.path, tt.body, tt.options...)
			require.Equal(t, tt.status, resp.Status, resp.Body)
			p := problemOf(t, resp)
			assert.Equal(t, tt.code, p["code"])
			if tt.header != "" {
				assert.NotEmpty(t, resp.Header.Get(tt.header))
			}
			if tt.help {
				assert.NotEmpty(t, p["help"], "a refusal on a therapeutic route carries help")
				assert.NotEmpty(t, p["crisis_resources"])
			} else {
				assert.Nil(t, p["help"])
			}
		})
	}
	assert.Zero(t, gw.Instance("s", 0).Requests(), "nothing of this reached the service")
	assert.NotContains(t, gw.Log.Text(), "a secret", "what a handler panicked with is not logged")
	assert.NotContains(t, gw.Log.Text(), "x.y.z")
}

func TestABadTokenIsDroppedWhereAnyoneMayCome(t *testing.T) {
	var got http.Header
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header })},
		gateway.WithRoutes(gateway.Route{Pattern: "/login", Service: "s", Allow: auth.Anyone}))
	resp := gw.Post("/login", `{}`, gatewaytest.Header("Authorization", "Bearer dead.token.here"))
	require.Equal(t, 200, resp.Status)
	assert.Empty(t, got.Get("Authorization"), "and not forwarded")
	assert.Empty(t, got.Get("X-User-Id"))

	good := gw.Token("p")
	require.Equal(t, 200, gw.Post("/login", `{}`, gatewaytest.Header("Authorization", "Bearer "+good)).Status)
	assert.Equal(t, "Bearer "+good, got.Get("Authorization"), "a good one is")
	assert.Equal(t, "p", got.Get("X-User-Id"))
}

func TestNobodySpeaksForTheGateway(t *testing.T) {
	var got http.Header
	var host string
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, host = r.Header, r.Host
		w.Header().Set("X-Therapeutic-Safety", "monitored")
		w.Header().Set("Content-Security-Policy", "default-src *")
		w.Header().Set("Connection", "X-Private")
		w.Header().Set("X-Private", "hop")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
	})}, gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
	resp := gw.Get("/", gw.As("p"), func(r *http.Request) {
		for _, name := range []string{
			"X-User-ID", "x_user_id", "X-User_Role", "X-Crisis-Mode", "X-Safety-Severity", "X-Therapeutic-Context",
			"X-Forwarded-For", "X-Forwarded-Prefix", "X_Forwarded_For", "Forwarded", "X-Real-IP", "True-Client-IP", "X-Request-Id",
			"X-Gateway-Request-Id", "Traceparent", "X-HTTP-Method-Override", "X_Authorization", "Keep-Alive", "Proxy-Authorization",
			"Authorization_", "Host_",
		} {
			r.Header[name] = []string{"evil"}
		}
		r.Header["Connection"] = []string{"X-Listed, X-User-Id, Authorization"}
		r.Header["X-Listed"] = []string{"evil"}
		r.Header["X-Kept"] = []string{"one", "two"}
		r.Header["Cookie"] = []string{"c=3"}
	})
	require.Equal(t, 200, resp.Status)
	for name, values := range got {
		if name == "Authorization_" || name == "Host_" || name == "X_authorization" {
			continue
		}
		assert.NotContains(t, values, "evil", name)
	}
	assert.Equal(t, "p", got.Get("X-User-Id"), "Connection cannot have ours removed")
	assert.Equal(t, "player", got.Get("X-User-Role"))
	assert.Equal(t, []string{"one", "two"}, got["X-Kept"])
	assert.Equal(t, "c=3", got.Get("Cookie"))
	assert.Equal(t, "192.0.2.1", got.Get("X-Forwarded-For"))
	assert.Equal(t, gatewaytest.Host, got.Get("X-Forwarded-Host"))
	assert.Equal(t, gatewaytest.Host, host, "the service sees the host that was asked for")
	assert.Equal(t, "1.1 tta-gateway", got.Get("Via"))

	assert.Empty(t, resp.Header.Get("X-Therapeutic-Safety"), "a service cannot claim that somebody listened")
	assert.Empty(t, resp.Header.Get("X-Private"), "hop-by-hop")
	assert.Equal(t, []string{"default-src 'none'; frame-ancestors 'none'"}, resp.Header["Content-Security-Policy"], "one policy, ours")
	assert.Equal(t, []string{"a=1", "b=2"}, resp.Header["Set-Cookie"])
}

func TestTrustedProxies(t *testing.T) {
	var seen netip.Addr
	var id, proto string
	proxy := netip.MustParsePrefix("192.0.2.0/24")
	gw := gatewaytest.New(t, nil, gateway.WithTrustedProxies(proxy, netip.MustParsePrefix("2001:db8::/32")),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Allow: auth.Anyone, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen, id, proto = gateway.ClientAddr(r.Context()), gateway.RequestID(r.Context()), w.Header().Get("Strict-Transport-Security")
		})}))
	tests := []struct {
		forwarded []string
		want      string
	}{
		{nil, "192.0.2.1"},
		{[]string{"203.0.113.9"}, "203.0.113.9"},
		{[]string{"6.6.6.6, 203.0.113.9"}, "203.0.113.9"},
		{[]string{"6.6.6.6", "203.0.113.9, 192.0.2.7"}, "203.0.113.9"},
		{[]string{"203.0.113.9:4711"}, "203.0.113.9"},
		{[]string{"[2001:db9::1]:80"}, "2001:db9::1"},
		{[]string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{[]string{"fe80::1%eth0, 2001:db8::5"}, "fe80::1"},
		{[]string{"203.0.113.9, unknown"}, "192.0.2.1"},
		{[]string{"203.0.113.9, , 192.0.2.7"}, "192.0.2.7"},
		{[]string{strings.Repeat("192.0.2.7, ", 40) + "192.0.2.7"}, "192.0.2.7"},
	}
	for _, tt := range tests {
		gw.Get("/", func(r *http.Request) {
			if tt.forwarded != nil {
				r.Header["X-Forwarded-For"] = tt.forwarded
			}
			r.Header.Set("X-Request-Id", "abc-12345")
			r.Header.Set("X-Forwarded-Proto", "https")
		})
		assert.Equal(t, tt.want, seen.String(), "%q", tt.forwarded)
		assert.Equal(t, "abc-12345", id, "a trusted proxy names the request")
		assert.NotEmpty(t, proto, "and says that TLS was spoken")
	}
}

func TestCrisisIsHeardOverQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)},
			gateway.WithGuard(crisis()),
			gateway.WithQuotas(gateway.Quotas{
				Therapeutic: ratelimit.Rate{N: 2, Per: time.Minute},
				Crisis:      ratelimit.Rate{N: 3, Per: time.Minute},
				OverQuota:   ratelimit.Rate{N: 4, Per: time.Minute},
			}),
			gateway.WithRoutes(gateway.Route{Pattern: "/play/", Service: "s", Lane: ratelimit.Therapeutic, Inspect: safety.Rule{Reply: "response"}}))
		ann, bob := gw.As("ann"), gw.As("bob")
		say := func(who gatewaytest.RequestOption, text string) *gatewaytest.Response {
			return gw.Post("/play/message", `{"message":"`+text+`"}`, who)
		}
		for range 2 {
			assert.Equal(t, 200, say(ann, "open the door").Status)
		}
		over := say(ann, "open the window")
		require.Equal(t, 429, over.Status)
		p := problemOf(t, over)
		assert.Equal(t, "rate_limited", p["code"])
		assert.NotEmpty(t, p["help"])
		assert.NotEmpty(t, p["retry_after"])
		assert.NotEmpty(t, over.Header.Get("Retry-After"))
		assert.NotEmpty(t, over.Header.Get("X-Ratelimit-Limit"))

		heard := say(ann, "i want to die")
		require.Equal(t, 200, heard.Status, "nobody in crisis meets a 429")
		assert.Contains(t, heard.Body, "crisis_resources")
		assert.Contains(t, heard.Body, "The lantern glows.", "and the words were delivered")
		assert.Equal(t, "available", heard.Header.Get("X-Crisis-Support"))

		calm := say(ann, "thank you")
		assert.Equal(t, 200, calm.Status, "the whole session is lifted")
		assert.NotContains(t, calm.Body, "crisis_resources", "the help is in no other reply")

		assert.Equal(t, 200, say(bob, "hello").Status, "others have their own quota")

		assert.Equal(t, 200, say(ann, "a").Status)
		capped := say(ann, "b")
		assert.Equal(t, 429, capped.Status, "it cannot be bought: one caller has a cap on it")
		assert.Contains(t, capped.Body, "help")
	})
}

func TestOverQuotaMessagesAreLookedAtSoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := crisis()
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)},
			gateway.WithGuard(script),
			gateway.WithQuotas(gateway.Quotas{
				Default:   ratelimit.Rate{N: 1, Per: time.Hour},
				OverQuota: ratelimit.Rate{N: 2, Per: time.Hour},
			}),
			gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
		ann := gw.As("ann")
		gw.Post("/", `{"message":"a"}`, ann)
		gw.Post("/", `{"message":"b"}`, ann)
		gw.Post("/", `{"message":"c"}`, ann)
		unheard := gw.Post("/", `{"message":"i want to die"}`, ann)
		assert.Equal(t, 429, unheard.Status, "past that a flood costs nothing")

		deep := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(crisis()),
			gateway.WithQuotas(gateway.Quotas{Default: ratelimit.Rate{N: 1, Per: time.Hour}}),
			gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
		bob := deep.As("bob")
		deep.Post("/", `{}`, bob)
		long := `{"pad":"` + strings.Repeat("x", 20<<10) + `","message":"i want to die"}`
		assert.Equal(t, 429, deep.Post("/", long, bob).Status, "of an over-quota message the first 16 KiB are looked at")
	})
}

func TestCrisisCannotBeClaimed(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(crisis()),
		gateway.WithQuotas(gateway.Quotas{Default: ratelimit.Rate{N: 1, Per: time.Hour}}),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
	ann := gw.As("ann")
	gw.Get("/", ann)
	resp := gw.Get("/", ann, gatewaytest.Header("X-Crisis-Mode", "true"), gatewaytest.Header("X-Safety-Severity", "imminent"), gatewaytest.Header("X-Priority", "crisis"))
	assert.Equal(t, 429, resp.Status)
}

func TestAddressQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)},
			gateway.WithQuotas(gateway.Quotas{Address: ratelimit.Rate{N: 3, Per: time.Minute}}),
			gateway.WithEndpoints(gateway.Endpoints{}),
			gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
		for range 3 {
			assert.Equal(t, 401, gw.Get("/x").Status)
		}
		resp := gw.Get("/x")
		require.Equal(t, 429, resp.Status, "before any token is looked at")
		p := problemOf(t, resp)
		assert.Equal(t, "address_limited", p["code"])
		assert.NotEmpty(t, p["help"], "it carries help whatever the route")
		assert.Equal(t, 200, gw.Get("/health/live").Status, "probes are not limited")
		assert.Equal(t, 200, gw.Get("/help").Status, "nor is help")
		time.Sleep(time.Minute)
		assert.Equal(t, 401, gw.Get("/x").Status)
	})
}

func TestAdmissionKeepsRoomForCrisis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				<-release
			}
			story(w, r)
		})},
			gateway.WithGuard(crisis()),
			gateway.WithAdmission(&ratelimit.Admission{Limit: 4, CrisisReserve: 1}),
			gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
		ann := gw.As("ann")
		done := make(chan int, 3)
		for range 3 {
			go func() { done <- gw.Get("/", ann).Status }()
		}
		synctest.Wait()
		busy := gw.Post("/", `{"message":"hello"}`, ann)
		assert.Equal(t, 503, busy.Status)
		assert.Equal(t, "overloaded", problemOf(t, busy)["code"])
		assert.Equal(t, 200, gw.Post("/", `{"message":"i want to die"}`, ann).Status)
		close(release)
		for range 3 {
			assert.Equal(t, 200, <-done)
		}
	})
}

func TestSlotsKnowWhatTheDocsSay(t *testing.T) {
	var order []string
	note := func(slot string, check func(context.Context)) gateway.Middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				order = append(order, slot)
				check(r.Context())
				next.ServeHTTP(w, r)
			})
		}
	}
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(crisis()),
		gateway.WithMiddleware(gateway.AfterEdge, note("edge", func(ctx context.Context) {
			assert.NotEmpty(t, gateway.RequestID(ctx))
			assert.True(t, gateway.ClientAddr(ctx).IsValid())
			assert.False(t, auth.FromContext(ctx).Known())
		}), note("edge2", func(context.Context) {})),
		gateway.WithMiddleware(gateway.AfterAllow, note("allow", func(ctx context.Context) {
			assert.Equal(t, "ann", auth.FromContext(ctx).Subject)
			assert.Equal(t, safety.None, safety.FromContext(ctx).Severity)
		})),
		gateway.WithMiddleware(gateway.AfterAdmit, note("admit", func(ctx context.Context) {
			assert.Equal(t, safety.High, safety.FromContext(ctx).Severity)
			assert.Equal(t, ratelimit.Crisis, ratelimit.FromContext(ctx))
		})),
		gateway.WithRoutes(gateway.Route{Pattern: "/{id}", Service: "s", Use: []gateway.Middleware{note("route", func(context.Context) {})}}))
	require.Equal(t, 200, gw.Post("/7", `{"message":"i want to die"}`, gw.As("ann")).Status)
	assert.Equal(t, []string{"edge", "edge2", "allow", "admit", "route"}, order)
}

func TestCORS(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Vary", "Accept")
	})},
		gateway.WithCORS(gateway.CORS{Origins: []string{"https://play.example"}}),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
	origin := gatewaytest.Header("Origin", "https://play.example")
	pre := gw.Do("OPTIONS", "/x", "", origin, gatewaytest.Header("Access-Control-Request-Method", "POST"), gatewaytest.Header("Access-Control-Request-Headers", "authorization"))
	assert.Equal(t, 204, pre.Status, "before any token is asked for")
	assert.Equal(t, "https://play.example", pre.Header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "true", pre.Header.Get("Access-Control-Allow-Credentials"))

	refused := gw.Get("/x", origin)
	assert.Equal(t, 401, refused.Status)
	assert.Equal(t, "https://play.example", refused.Header.Get("Access-Control-Allow-Origin"), "a page may read why")
	assert.Contains(t, refused.Header.Get("Access-Control-Expose-Headers"), "Retry-After")

	answered := gw.Get("/x", origin, gw.As("p"))
	assert.Equal(t, []string{"https://play.example"}, answered.Header["Access-Control-Allow-Origin"], "one answer, ours")
	assert.Contains(t, strings.Join(answered.Header["Vary"], ","), "Origin")
	assert.Contains(t, strings.Join(answered.Header["Vary"], ","), "Accept")

	evil := gw.Get("/x", gatewaytest.Header("Origin", "https://evil.example"), gw.As("p"))
	assert.Empty(t, evil.Header.Get("Access-Control-Allow-Origin"))
}

func TestOneStructuredLineForEachRequest(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(crisis()),
		gateway.WithEndpoints(gateway.Endpoints{}),
		gateway.WithRoutes(gateway.Route{Pattern: "/api/{id}", Service: "s"}))
	token := gw.Token("ann")
	gw.Post("/api/42?token=topsecret&q=private", `{"message":"i want to die"}`, gatewaytest.Header("Authorization", "Bearer "+token))
	gw.Get("/nowhere/private-path")
	gw.Get("/health/live")
	lines := gw.Log.Requests()
	require.Len(t, lines, 2, "a probe that went well is not worth a line")
	assert.Equal(t, "/api/{id}", lines[0]["route"])
	assert.EqualValues(t, 200, lines[0]["status"])
	assert.Equal(t, "high", lines[0]["severity"])
	assert.Equal(t, "crisis", lines[0]["lane"])
	assert.Contains(t, lines[0], "duration_ms")
	assert.Contains(t, lines[0], "upstream_ms")
	assert.Equal(t, "unmatched", lines[1]["route"])
	for _, secret := range []string{token, "topsecret", "private", "want to die", "ann"} {
		assert.NotContains(t, gw.Log.Text(), secret)
	}
}

func TestReplyHarmIsReplaced(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"response":"take more of them","turn":3}`)
	})}, gateway.WithGuard(crisis()), gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Inspect: safety.Rule{Reply: "response"}}))
	resp := gw.Post("/", `{"message":"hello"}`, gw.As("p"))
	require.Equal(t, 200, resp.Status)
	assert.NotContains(t, resp.Body, "take more")
	assert.Contains(t, resp.Body, `"turn":3`)
}

func TestARefusedBodyIsHeardAllTheSame(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(crisis()),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", MaxBody: 20 << 10}))
	long := `{"message":"i want to die","pad":"` + strings.Repeat("x", 30<<10) + `"}`
	for desc, option := range map[string]gatewaytest.RequestOption{
		"declared":   func(*http.Request) {},
		"undeclared": func(r *http.Request) { r.ContentLength = -1 },
	} {
		t.Run(desc, func(t *testing.T) {
			who := gw.As(desc)
			resp := gw.Post("/", long, who, option)
			require.Equal(t, 413, resp.Status)
			p := problemOf(t, resp)
			assert.NotEmpty(t, p["help"], "no therapeutic route, and yet")
			assert.Equal(t, "available", resp.Header.Get("X-Crisis-Support"))
			assert.NotEmpty(t, resp.Header.Get("X-Crisis-Hotline"))
			assert.Equal(t, "high", gw.Log.Requests()[len(gw.Log.Requests())-1]["severity"])
			assert.Equal(t, 200, gw.Post("/", `{"message":"it was too long"}`, who).Status)
			assert.Equal(t, "crisis", gw.Log.Requests()[len(gw.Log.Requests())-1]["lane"], "the session is lifted")
		})
	}
	assert.Equal(t, 2, gw.Instance("s", 0).Requests())
}

func TestARefusalSpeaksToWhoSpoke(t *testing.T) {
	guard := &safety.Guard{Inspector: safetytest.Says(map[string]safety.Verdict{
		"my friend wants to die": safetytest.Found(safety.High, safety.ThirdParty),
		"i want to die":          safetytest.Found(safety.High, safety.SuicidalIdeation),
	})}
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(guard), open("s"))
	gw.Instance("s", 0).Stop()
	text := func(message string) any {
		p := problemOf(t, gw.Post("/", `{"message":"`+message+`"}`))
		return p["help"].(map[string]any)["text"]
	}
	assert.NotEqual(t, text("i want to die"), text("my friend wants to die"), "who worries about a friend is not asked whether they themselves are safe")
}

func TestHelpIsThereWhenTheServiceIsNot(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(crisis()),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
	gw.Instance("s", 0).Stop()
	resp := gw.Post("/", `{"message":"i want to die"}`, gw.As("p"))
	require.Equal(t, 502, resp.Status)
	p := problemOf(t, resp)
	assert.Equal(t, "upstream_unreachable", p["code"])
	assert.NotEmpty(t, p["help"], "resources come even if the service is down")
	assert.Equal(t, "available", resp.Header.Get("X-Crisis-Support"))
}

func ExampleGateway_Explain() {
	g, err := gateway.New(gateway.WithRoutes(
		gateway.Route{Pattern: "/api/v1/players/{player_id}/", Service: "player-experience", Allow: auth.Owner("player_id")},
	))
	if err != nil {
		fmt.Println(err)
		return
	}
	r, _ := http.NewRequest(http.MethodGet, "http://gateway.example/api/v1/players/7/progress?days=3", nil)
	e := g.Explain(r)
	fmt.Println(e.Route, "→", e.Service, e.Target)
	fmt.Println(e.Allow)
	// Output:
	// /api/v1/players/{player_id}/ → player-experience /api/v1/players/7/progress?days=3
	// owner(player_id)
}
