package demo_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

func logIn(t *testing.T, i *demo.Instance, username, password string) answer {
	t.Helper()
	return ask(t, i, "POST", "/api/v1/auth/login", "", `{"username":"`+username+`","password":"`+password+`"}`)
}

func claimsOf(t *testing.T, token any) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token.(string), claims, func(*jwt.Token) (any, error) { return secret, nil })
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "HS256", "typ": "JWT"}, parsed.Header)
	return claims
}

func names(claims jwt.MapClaims) []string { return slices.Sorted(maps.Keys(claims)) }

func TestLoginIssuesATokenOfTheFirstShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		who := account(t, w, "player")
		a := logIn(t, w.Story("a"), who.Username, who.Password)
		require.Equal(t, http.StatusOK, a.status, a.raw)
		assert.Equal(t, "", a.at("refresh_token"))
		assert.Equal(t, "bearer", a.at("token_type"))
		assert.EqualValues(t, 1800, a.at("expires_in"))
		assert.Equal(t, "player", a.at("user_info", "role"))

		claims := claimsOf(t, a.at("access_token"))
		assert.Equal(t, []string{"email", "exp", "mfa_verified", "permissions", "player_id", "role", "session_id", "sub", "username"}, names(claims))
		assert.Equal(t, who.ID, claims["sub"])
		assert.Equal(t, who.ID, claims["player_id"])
		assert.Equal(t, false, claims["mfa_verified"])
		assert.EqualValues(t, time.Now().Add(30*time.Minute).Unix(), claims["exp"])
		assert.Len(t, claims["permissions"], 6)
	})
}

func TestLoginSetsTheCookieThatOnlyOpenRouterReads(t *testing.T) {
	w := newWorld()
	who := account(t, w, "player")
	story := w.Story("a")
	a := logIn(t, story, who.Username, who.Password)
	cookie := a.header.Get("Set-Cookie")
	assert.Contains(t, cookie, "openrouter_session_id=")
	for _, part := range []string{"Path=/", "Max-Age=86400", "HttpOnly", "SameSite=Lax"} {
		assert.Contains(t, cookie, part)
	}
	value, _, _ := strings.Cut(cookie, ";")
	assert.Equal(t, true, ask(t, story, "GET", "/api/v1/openrouter/auth/status", "", "", "Cookie", value).at("authenticated"))
	assert.Equal(t, false, ask(t, story, "GET", "/api/v1/openrouter/auth/status", "", "").at("authenticated"))
	assert.Equal(t, http.StatusUnauthorized, ask(t, story, "GET", "/api/v1/auth/me", "", "", "Cookie", value).status, "the cookie is no credential of the API")
}

func TestEveryFailedLoginLooksTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		story, who := w.Story("a"), account(t, w, "player")
		unknown := logIn(t, story, "nobody", "Wrong-password-1")
		wrong := logIn(t, story, who.Username, "Wrong-password-1")
		assert.Equal(t, http.StatusUnauthorized, wrong.status)
		assert.Equal(t, "Bearer", wrong.header.Get("WWW-Authenticate"))
		assert.JSONEq(t, `{"error":"HTTP Exception","message":"Invalid username or password","status_code":401}`, wrong.raw)
		assert.Equal(t, unknown.raw, wrong.raw)

		for range 4 {
			logIn(t, story, who.Username, "Wrong-password-1")
		}
		assert.Equal(t, wrong.raw, logIn(t, story, who.Username, who.Password).raw, "five wrong ones lock the name")
		time.Sleep(31 * time.Minute)
		assert.Equal(t, http.StatusOK, logIn(t, story, who.Username, who.Password).status)
	})
}

func TestRefreshIssuesTokensOfTheSecondShape(t *testing.T) {
	w := newWorld()
	story, who := w.Story("a"), account(t, w, "player")
	a := ask(t, story, "POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+w.RefreshToken(who)+`"}`)
	require.Equal(t, http.StatusOK, a.status, a.raw)

	access := claimsOf(t, a.at("access_token"))
	assert.Equal(t, []string{"email", "exp", "player_id", "sub", "username"}, names(access))
	refresh := claimsOf(t, a.at("refresh_token"))
	assert.Equal(t, []string{"email", "exp", "player_id", "sub", "type", "username"}, names(refresh))
	assert.Equal(t, "refresh", refresh["type"])

	token := a.at("access_token").(string)
	assert.Equal(t, http.StatusOK, ask(t, story, "GET", "/api/v1/players/"+who.ID, w.AccessToken(who), "").status)
	assert.Equal(t, http.StatusOK, ask(t, story, "GET", "/api/v1/sessions/", token, "").status)
	assert.Equal(t, http.StatusUnauthorized, ask(t, story, "GET", "/api/v1/auth/me", token, "").status, "a refreshed token names no login")
}

func TestRefreshRefusals(t *testing.T) {
	w := newWorld()
	story, who := w.Story("a"), account(t, w, "player")
	for _, tt := range []struct {
		desc, body string
		status     int
	}{
		{"nothing, as the front end sends", `{}`, http.StatusUnprocessableEntity},
		{"an access token", `{"refresh_token":"` + w.AccessToken(who) + `"}`, http.StatusUnauthorized},
		{"rubbish", `{"refresh_token":"rubbish"}`, http.StatusUnauthorized},
		{"no JSON", `refresh_token=x`, http.StatusUnprocessableEntity},
	} {
		assert.Equal(t, tt.status, ask(t, story, "POST", "/api/v1/auth/refresh", "", tt.body).status, tt.desc)
	}
}

func TestWhichTokensPass(t *testing.T) {
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		require.NoError(t, err)
		return token
	}
	past, w := time.Now().Add(-time.Hour).Unix(), newWorld()
	story := w.Story("a")
	for _, tt := range []struct {
		desc, token string
		status      int
	}{
		{"without exp, as the service's own fixtures", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "player-1"}), 200},
		{"a refresh token, which the service lets pass", w.RefreshToken(account(t, w, "player")), 200},
		{"expired", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "player-1", "exp": past}), 401},
		{"that names nobody", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"role": "admin"}), 401},
		{"of another key", sign(jwt.SigningMethodHS256, []byte("another key, long enough for the test"), jwt.MapClaims{"sub": "player-1"}), 401},
		{"of another algorithm", sign(jwt.SigningMethodHS512, secret, jwt.MapClaims{"sub": "player-1"}), 401},
		{"of no algorithm", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"sub": "player-1"}), 401},
	} {
		a := ask(t, story, "GET", "/api/v1/worlds/", tt.token, "")
		assert.Equal(t, tt.status, a.status, "%s: %s", tt.desc, a.raw)
	}
}

func TestRegistrationTakesTheRoleItIsGiven(t *testing.T) {
	w := newWorld()
	story := w.Story("a")
	in := `{"username":"newcomer","email":"newcomer@example.org","password":"Quiet-river-7","role":"admin"}`
	a := ask(t, story, "POST", "/api/v1/auth/register", "", in)
	require.Equal(t, http.StatusOK, a.status, a.raw)
	assert.Equal(t, "admin", a.at("role"), "stripping the role is the gateway's part")
	again := ask(t, story, "POST", "/api/v1/auth/register", "", in)
	assert.Equal(t, http.StatusBadRequest, again.status)
	assert.Equal(t, "Registration failed", again.at("message", "message"))
	assert.Equal(t, http.StatusOK, logIn(t, story, "newcomer", "Quiet-river-7").status)

	for _, bad := range []string{
		`{"username":"ab","email":"a@example.org","password":"Quiet-river-7"}`,
		`{"username":"abc","email":"no address","password":"Quiet-river-7"}`,
		`{"username":"abc","email":"a@example.org","password":"simple"}`,
		`{"username":"abc","email":"a@example.org","password":"Quiet-river-7","role":"emperor"}`,
		`{}`,
	} {
		a := ask(t, story, "POST", "/api/v1/auth/register", "", bad)
		assert.Equal(t, http.StatusUnprocessableEntity, a.status, bad)
		assert.NotEmpty(t, a.at("details"), bad)
	}
}

func TestRegistrationIsBounded(t *testing.T) {
	w := demo.New(secret, demo.Options{MaxRecords: 2})
	story := w.Story("a")
	status := 0
	for _, name := range []string{"one", "two", "three"} {
		in := `{"username":"` + name + `","email":"` + name + `@example.org","password":"Quiet-river-7"}`
		status = ask(t, story, "POST", "/api/v1/auth/register", "", in).status
	}
	assert.Equal(t, http.StatusBadRequest, status)
	who := account(t, w, "player")
	assert.Equal(t, http.StatusOK, logIn(t, story, who.Username, who.Password).status, "who was there stays")
}

func TestRolesDecide(t *testing.T) {
	w := newWorld()
	story := w.Story("a")
	player, admin := w.AccessToken(account(t, w, "player")), w.AccessToken(account(t, w, "admin"))
	for _, path := range []string{"/api/v1/auth/roles", "/api/v1/auth/security/events", "/api/v1/auth/security/sessions"} {
		refused := ask(t, story, "GET", path, player, "")
		assert.Equal(t, http.StatusForbidden, refused.status, path)
		assert.Equal(t, "HTTP Exception", refused.at("error"))
		assert.Equal(t, http.StatusOK, ask(t, story, "GET", path, admin, "").status, path)
	}
	assert.Equal(t, true, ask(t, story, "GET", "/api/v1/auth/permissions", admin, "").at("is_admin"))
	assert.Equal(t, "player", ask(t, story, "POST", "/api/v1/auth/verify-token", player, "").at("role"))
}

func TestLogoutEndsTheLoginButNotTheToken(t *testing.T) {
	w := newWorld()
	a, b, who := w.Story("a"), w.Story("b"), account(t, w, "player")
	first, second := w.AccessToken(who), w.AccessToken(who)
	require.Equal(t, http.StatusOK, ask(t, a, "GET", "/api/v1/auth/me", first, "").status)
	require.Equal(t, http.StatusOK, ask(t, b, "POST", "/api/v1/auth/logout", first, "").status)
	assert.Equal(t, http.StatusUnauthorized, ask(t, a, "GET", "/api/v1/auth/me", first, "").status)
	assert.Equal(t, http.StatusOK, ask(t, a, "GET", "/api/v1/worlds/", first, "").status, "as at the real service")
	assert.Equal(t, http.StatusOK, ask(t, a, "POST", "/api/v1/auth/logout-all", second, "").status)
	assert.Equal(t, http.StatusUnauthorized, ask(t, b, "GET", "/api/v1/auth/me", second, "").status)
}
