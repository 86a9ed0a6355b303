package demo

import (
	"net/http"
	"strings"
)

// route is one line of the service's table. A segment of the path in braces takes any one segment.
type route struct {
	method, path string
	serve        handler
}

// routes is the service, as the front end uses it.
var routes = []route{
	{"GET", "/", root},
	{"GET", "/health", healthy},
	{"GET", "/api/v1/health/", healthy},
	{"GET", "/api/v1/health/liveness", alive},
	{"GET", "/api/v1/health/readiness", ready},
	{"GET", "/api/v1/health/startup", ready},
	{"GET", "/api/v1/health/{component}", component},
	{"GET", "/metrics", metricsText},
	{"GET", "/metrics-prom", metricsText},

	{"POST", "/api/v1/auth/login", logIn},
	{"POST", "/api/v1/auth/register", register},
	{"POST", "/api/v1/auth/refresh", refreshTokens},
	{"POST", "/api/v1/auth/mfa/verify", verifyMFA},
	{"POST", "/api/v1/auth/logout", live(logOut)},
	{"POST", "/api/v1/auth/logout-all", live(logOutEverywhere)},
	{"GET", "/api/v1/auth/me", live(me)},
	{"POST", "/api/v1/auth/verify-token", live(verifyToken)},
	{"GET", "/api/v1/auth/permissions", live(myPermissions)},
	{"GET", "/api/v1/auth/roles", permitted("manage_roles", listRoles)},
	{"GET", "/api/v1/auth/security/events", permitted("access_audit_logs", securityEvents)},
	{"GET", "/api/v1/auth/security/sessions", permitted("manage_users", securitySessions)},
	{"GET", "/api/v1/openrouter/auth/status", openRouterStatus},
	{"GET", "/api/v1/openrouter/auth/user-info", openRouterUser},
	{"POST", "/api/v1/openrouter/auth/logout", openRouterLogout},

	{"GET", "/api/v1/players/", listPlayers},
	{"POST", "/api/v1/players/", createPlayer},
	{"GET", "/api/v1/players/{player_id}", own(getPlayer)},
	{"PUT", "/api/v1/players/{player_id}", own(updatePlayer)},
	{"DELETE", "/api/v1/players/{player_id}", own(deletePlayer)},
	{"GET", "/api/v1/players/{player_id}/progress", own(playerProgress)},
	{"GET", "/api/v1/players/{player_id}/progress/viz", own(progressOverTime)},
	{"GET", "/api/v1/players/{player_id}/dashboard", own(playerDashboard)},
	{"GET", "/api/v1/players/{player_id}/export", own(exportPlayer)},
	{"GET", "/api/v1/players/{player_id}/data/export", own(exportPlayer)},
	{"DELETE", "/api/v1/players/{player_id}/data", own(erasePlayerData)},
	{"GET", "/api/v1/players/{player_id}/settings", own(playerSettings)},
	{"PATCH", "/api/v1/players/{player_id}/therapeutic-preferences", own(changeSettings("therapeutic"))},
	{"PATCH", "/api/v1/players/{player_id}/privacy-settings", own(changeSettings("privacy"))},
	{"PUT", "/api/v1/players/{player_id}/settings/therapeutic", own(changeSettings("therapeutic"))},
	{"PUT", "/api/v1/players/{player_id}/settings/privacy", own(changeSettings("privacy"))},
	{"PUT", "/api/v1/players/{player_id}/settings/notifications", own(changeSettings("notifications"))},
	{"PUT", "/api/v1/players/{player_id}/settings/accessibility", own(changeSettings("accessibility"))},

	{"GET", "/api/v1/characters/", listCharacters},
	{"POST", "/api/v1/characters/", createCharacter},
	{"GET", "/api/v1/characters/{character_id}", ownCharacter(getCharacter)},
	{"PUT", "/api/v1/characters/{character_id}", ownCharacter(updateCharacter)},
	{"DELETE", "/api/v1/characters/{character_id}", ownCharacter(deleteCharacter)},
	{"GET", "/api/v1/characters/{character_id}/therapeutic-profile", ownCharacter(getProfile)},
	{"PATCH", "/api/v1/characters/{character_id}/therapeutic-profile", ownCharacter(changeProfile)},

	{"GET", "/api/v1/worlds/", listPlaces},
	{"GET", "/api/v1/worlds/{world_id}", knownPlace(getPlace)},
	{"GET", "/api/v1/worlds/{world_id}/compatibility/{character_id}", knownPlace(compatibility)},
	{"POST", "/api/v1/worlds/{world_id}/customize", knownPlace(customize)},

	{"GET", "/api/v1/sessions/", listSessions},
	{"POST", "/api/v1/sessions/", createSession},
	{"GET", "/api/v1/sessions/{session_id}", someSession(getSession)},
	{"PUT", "/api/v1/sessions/{session_id}", ownSession(updateSession)},
	{"GET", "/api/v1/sessions/{session_id}/progress", someSession(sessionProgress)},
	{"GET", "/api/v1/sessions/{session_id}/messages", ownSession(sessionMessages)},
	{"DELETE", "/api/v1/sessions/{session_id}/messages", ownSession(clearMessages)},
	{"POST", "/api/v1/sessions/{session_id}/copy", ownSession(copySession)},

	{"GET", "/api/v1/conversation/health", healthy},
	{"GET", "/api/v1/conversation/statistics", conversationStatistics},
	{"GET", "/api/v1/conversation/player/analytics", conversationsOfPlayer},
	{"POST", "/api/v1/conversation/send", send},
	{"GET", "/api/v1/conversation/{session_id}/history", ownSession(history)},
	{"GET", "/api/v1/conversation/{session_id}/state", ownSession(conversationState)},
	{"GET", "/api/v1/conversation/{session_id}/analytics", ownSession(conversationAnalytics)},
	{"GET", "/api/v1/conversation/{session_id}/stream", stream},
	{"POST", "/api/v1/conversation/{session_id}/goals", ownSession(setGoals)},
	{"DELETE", "/api/v1/conversation/{session_id}", ownSession(deleteConversation)},

	{"GET", "/api/v1/gameplay/health", healthy},
	{"POST", "/api/v1/gameplay/message", gameplayMessage},
	{"POST", "/api/v1/gameplay/sessions", beginGameplay},
	{"GET", "/api/v1/gameplay/sessions", listGameplay},
	{"GET", "/api/v1/gameplay/sessions/{session_id}", ownSession(getGameplay)},
	{"DELETE", "/api/v1/gameplay/sessions/{session_id}", ownSession(endGameplay)},
	{"POST", "/api/v1/gameplay/sessions/{session_id}/choices", ownSession(choose)},
}

// public says which requests need no token. The match is exact, as at the real service.
func public(r *http.Request) bool {
	path := r.URL.Path
	switch path {
	case "/", "/health", "/metrics", "/metrics-prom", "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/register",
		"/api/v1/openrouter/auth/status", "/api/v1/gameplay/health", "/api/v1/health/":
		return true
	}
	below, inHealth := strings.CutPrefix(path, "/api/v1/health/")
	return r.Method == http.MethodOptions || inHealth && !strings.Contains(below, "/") ||
		r.Method == http.MethodPost && strings.TrimSuffix(path, "/") == "/api/v1/players"
}

// find looks a request up: its handler, or nil and the methods that the path would take.
func find(r *http.Request) (serve handler, allow []string) {
	for _, line := range routes {
		values, ok := matches(line.path, r.URL.Path)
		if !ok {
			continue
		}
		if line.method == r.Method || line.method == http.MethodGet && r.Method == http.MethodHead {
			for name, value := range values {
				r.SetPathValue(name, value)
			}
			return line.serve, nil
		}
		allow = append(allow, line.method)
	}
	return nil, allow
}

func matches(pattern, path string) (values map[string]string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	for n, segment := range want {
		name, isName := strings.CutPrefix(segment, "{")
		switch {
		case isName && got[n] != "":
			if values == nil {
				values = map[string]string{}
			}
			values[strings.TrimSuffix(name, "}")] = got[n]
		case segment != got[n]:
			return nil, false
		}
	}
	return values, true
}

// otherSlash is the absolute address of the same path with, or without, its last slash, when such a
// route exists: the service answers such requests with 307, built from the Host header.
func otherSlash(r *http.Request) (location string, found bool) {
	twin, cut := strings.CutSuffix(r.URL.Path, "/")
	if !cut {
		twin += "/"
	}
	for _, line := range routes {
		if _, ok := matches(line.path, twin); ok && twin != "" {
			to := *r.URL
			to.Scheme, to.Host, to.Path, to.RawPath = scheme(r), r.Host, twin, ""
			return to.String(), true
		}
	}
	return "", false
}

// scheme believes X-Forwarded-Proto of loopback callers, as the real service's server does.
func scheme(r *http.Request) string {
	if r.Header.Get("X-Forwarded-Proto") == "https" && loopback(r.RemoteAddr) {
		return "https"
	}
	return "http"
}
