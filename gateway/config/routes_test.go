package config_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/gateway/config"
)

// everyPath is what the player-experience service serves and its front end
// asks, with who may ask it at the gateway.
var everyPath = []struct {
	method, path string
	allow        string // anyone, known, or owner
	therapeutic  bool
	inspected    bool
}{
	{"POST", "/api/v1/auth/login", "anyone", false, false},
	{"POST", "/api/v1/auth/register", "anyone", false, false},
	{"POST", "/api/v1/auth/refresh", "anyone", false, false},
	{"POST", "/api/v1/auth/logout", "known", false, false},
	{"POST", "/api/v1/auth/logout-all", "known", false, false},
	{"GET", "/api/v1/auth/me", "known", false, false},
	{"POST", "/api/v1/auth/verify-token", "known", false, false},
	{"GET", "/api/v1/auth/verify", "known", false, false},
	{"GET", "/api/v1/auth/permissions", "known", false, false},
	{"GET", "/api/v1/auth/roles", "known", false, false},
	{"GET", "/api/v1/auth/security/events", "known", false, false},
	{"GET", "/api/v1/auth/security/sessions", "known", false, false},
	{"POST", "/api/v1/auth/mfa/verify", "known", false, false},
	{"POST", "/api/v1/auth/mfa/setup", "known", false, false},
	{"POST", "/api/v1/auth/password/change", "known", false, false},
	{"POST", "/api/v1/auth/password/reset", "known", false, false},
	{"POST", "/api/v1/auth/password/reset-request", "known", false, false},
	{"POST", "/api/v1/openrouter/auth/validate-key", "known", false, false},
	{"POST", "/api/v1/openrouter/auth/oauth/initiate", "known", false, false},
	{"GET", "/api/v1/openrouter/auth/oauth/callback", "known", false, false},
	{"GET", "/api/v1/openrouter/auth/user-info", "known", false, false},
	{"POST", "/api/v1/openrouter/auth/logout", "known", false, false},
	{"GET", "/api/v1/openrouter/auth/status", "anyone", false, false},
	{"GET", "/api/v1/players", "known", false, true},
	{"POST", "/api/v1/players", "anyone", false, true},
	{"GET", "/api/v1/players/p-1", "owner", false, true},
	{"PUT", "/api/v1/players/p-1", "owner", false, true},
	{"DELETE", "/api/v1/players/p-1", "owner", false, true},
	{"GET", "/api/v1/players/p-1/progress", "owner", false, true},
	{"GET", "/api/v1/players/p-1/dashboard", "owner", false, true},
	{"GET", "/api/v1/players/p-1/export", "owner", false, true},
	{"PATCH", "/api/v1/players/p-1/therapeutic-preferences", "owner", true, true},
	{"PATCH", "/api/v1/players/p-1/privacy-settings", "owner", false, true},
	{"GET", "/api/v1/players/p-1/settings", "owner", false, true},
	{"PUT", "/api/v1/players/p-1/settings/therapeutic", "owner", true, true},
	{"PUT", "/api/v1/players/p-1/settings/notifications", "owner", false, true},
	{"GET", "/api/v1/players/p-1/data/export", "owner", false, true},
	{"DELETE", "/api/v1/players/p-1/data", "owner", false, true},
	{"GET", "/api/v1/players/p-1/progress/viz?days=7", "owner", false, true},
	{"GET", "/api/v1/characters", "known", true, true},
	{"POST", "/api/v1/characters", "known", true, true},
	{"GET", "/api/v1/characters/c-1", "known", true, true},
	{"PUT", "/api/v1/characters/c-1", "known", true, true},
	{"DELETE", "/api/v1/characters/c-1", "known", true, true},
	{"PATCH", "/api/v1/characters/c-1/therapeutic-profile", "known", true, true},
	{"GET", "/api/v1/characters/c-1/worlds/w-1/compatibility", "known", true, true},
	{"GET", "/api/v1/worlds", "known", false, false},
	{"GET", "/api/v1/worlds/w-1", "known", false, false},
	{"GET", "/api/v1/worlds/w-1/compatibility/c-1", "known", false, false},
	{"POST", "/api/v1/worlds/w-1/customize", "known", false, true},
	{"POST", "/api/v1/sessions", "known", true, true},
	{"GET", "/api/v1/sessions/s-1", "known", true, true},
	{"PUT", "/api/v1/sessions/s-1", "known", true, true},
	{"GET", "/api/v1/sessions/s-1/messages", "known", true, true},
	{"DELETE", "/api/v1/sessions/s-1/messages", "known", true, true},
	{"POST", "/api/v1/sessions/s-1/copy", "known", true, true},
	{"POST", "/api/v1/conversation/send", "known", true, true},
	{"GET", "/api/v1/conversation/s-1/history?limit=5", "known", true, true},
	{"GET", "/api/v1/conversation/s-1/state", "known", true, true},
	{"DELETE", "/api/v1/conversation/s-1", "known", true, true},
	{"POST", "/api/v1/conversation/s-1/goals", "known", true, true},
	{"GET", "/api/v1/conversation/player/analytics", "known", true, true},
	{"GET", "/api/v1/conversation/health", "known", true, true},
	{"POST", "/api/v1/gameplay/message", "known", true, true},
	{"POST", "/api/v1/gameplay/sessions", "known", true, true},
	{"GET", "/api/v1/gameplay/sessions/s-1", "known", true, true},
	{"POST", "/api/v1/gameplay/sessions/s-1/choices", "known", true, true},
	{"GET", "/api/v1/gameplay/health", "anyone", false, false},
	{"GET", "/api/v1/health", "anyone", false, false},
	{"GET", "/api/v1/health/readiness", "anyone", false, false},
	{"GET", "/api/v1/models/free", "known", false, true},
	{"GET", "/api/v1/analytics/x", "known", false, true},
	{"GET", "/ws/chat", "known", true, true},
}

const staffOrOwner = "owner(player_id) | role(admin,therapist)"

func TestDefaultTableCoversTheServices(t *testing.T) {
	_, g := build(t, load(t), config.Host{})
	for _, tt := range everyPath {
		want := strings.Replace(tt.allow, "owner", staffOrOwner, 1)
		for _, path := range []string{tt.path, slashed(tt.path)} {
			if path == "/ws/chat/" {
				continue // a socket has one address
			}
			e := g.Explain(httptest.NewRequest(tt.method, path, nil))
			name := tt.method + " " + path
			assert.Equal(t, "player-experience", e.Service, name)
			assert.Equal(t, want, e.Allow, name)
			assert.Equal(t, path, e.Target, "%s: paths are not rewritten", name)
			assert.Equal(t, tt.inspected, e.Inspected, name)
			assert.Equal(t, tt.therapeutic, e.Lane == "therapeutic", "%s: lane %s", name, e.Lane)
			assert.Equal(t, tt.path == "/ws/chat", e.Upgrade, name)
		}
	}
}

// slashed puts a slash behind the path of a target.
func slashed(target string) string {
	path, query, ok := strings.Cut(target, "?")
	if ok {
		return path + "/?" + query
	}
	return path + "/"
}

func TestHistoricSocketsAreTheChat(t *testing.T) {
	_, g := build(t, load(t), config.Host{})
	for _, path := range []string{"/ws/narrative", "/ws/therapeutic/s-1", "/ws/crisis"} {
		e := g.Explain(httptest.NewRequest(http.MethodGet, path, nil))
		assert.Equal(t, "/ws/chat", e.Target, path)
		assert.Equal(t, "therapeutic", e.Lane, "%s: the crisis lane is not had by asking", path)
		assert.True(t, e.Upgrade, path)
	}
	assert.Empty(t, g.Explain(httptest.NewRequest(http.MethodGet, "/ws/admin", nil)).Route, "diagnostics are not exposed")
	assert.NotContains(t, g.Explain(httptest.NewRequest(http.MethodGet, "/api/v1/agents/x", nil)).Service, "agent")
}

func TestUninspectedRoutesSayWhy(t *testing.T) {
	for _, rt := range config.DefaultRoutes(nil).Routes {
		if !rt.Inspect.Inspected() {
			assert.NotEmpty(t, rt.Inspect.Skip, rt.Pattern)
			assert.NotEqual(t, "by configuration", rt.Inspect.Skip, rt.Pattern)
		}
	}
}

func TestServicesOfTheirOwnNameGetTheirRoutes(t *testing.T) {
	c := load(t, `TTA_GATEWAY_SERVICES={"player-experience":"http://a:1","authentication-service":"http://b:1","core-gameplay-loop":"http://c:1"}`)
	_, g := build(t, c, config.Host{})
	for path, service := range map[string]string{
		"/api/v1/auth/me": "authentication-service", "/api/v1/gameplay/sessions": "core-gameplay-loop",
		"/api/v1/sessions": "core-gameplay-loop", "/api/v1/worlds": "player-experience",
	} {
		assert.Equal(t, service, g.Explain(httptest.NewRequest(http.MethodGet, path, nil)).Service, path)
	}
}
