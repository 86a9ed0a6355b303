package config_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/gateway/config"
)

var registrations = []struct {
	desc, body string
	status     int
}{
	{"no role", `{"username":"mira","password":"x"}`, 200},
	{"a player", `{"username":"mira","role":"player"}`, 200},
	{"the service's default", `{"role":null}`, 200},
	{"another member's role", `{"profile":{"role":"admin"}}`, 200},
	{"an administrator", `{"username":"mallory","role":"admin"}`, 403},
	{"in other letters", `{"Role":"admin"}`, 403},
	{"escaped", `{"\u0072ole":"admin"}`, 403},
	{"the second of two", `{"role":"player","role":"admin"}`, 403},
	{"the first of two", `{"role":"admin","role":"player"}`, 403},
	{"a player in other letters", `{"role":"Player"}`, 403},
	{"a list", `{"role":["admin"]}`, 403},
	{"an object", `{"role":{"name":"admin"}}`, 403},
	{"empty", ``, 400},
	{"a list of registrations", `[{"role":"admin"}]`, 400},
	{"two objects", `{"role":"player"}{"role":"admin"}`, 400},
	{"what only Python reads", `{"x":NaN,"role":"admin"}`, 400},
	{"UTF-16", "\xff\xfe{\x00\"\x00r\x00", 400},
	{"broken off", `{"role":"player"`, 400},
	{"a form", `username=mallory&role=admin`, 400},
}

func TestNobodyChoosesARole(t *testing.T) {
	for _, tt := range registrations {
		t.Run(tt.desc, func(t *testing.T) {
			got := ""
			h := config.PlayerRegistration(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = string(body)
			}))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body)))
			assert.Equal(t, tt.status, w.Code)
			if tt.status == 200 {
				assert.Equal(t, tt.body, got, "it goes on byte for byte")
			} else {
				assert.Empty(t, got)
			}
		})
	}
}

func TestAdministratorsMayRegisterOthers(t *testing.T) {
	h := config.PlayerRegistration(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"role":"therapist"}`))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, authtest.As(r, auth.Identity{Subject: "ada", Roles: []string{auth.RoleAdmin}}))
	assert.Equal(t, 200, w.Code)
}

func TestRegistrationIsGuardedByDefault(t *testing.T) {
	g, u := front(t)
	for _, path := range []string{"/api/v1/auth/register", "/api/v1/auth/register/"} {
		w := ask(g, "POST", path, `{"role":"admin"}`, "Content-Type: application/json")
		assert.Equal(t, 403, w.Code)
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		assert.Contains(t, w.Body.String(), `"code":"forbidden"`)
	}
	assert.Equal(t, 0, u.count())
	assert.Equal(t, 200, ask(g, "POST", "/api/v1/auth/register", `{"username":"mira"}`).Code)
	assert.Equal(t, 413, ask(g, "POST", "/api/v1/auth/register", `{"a":"`+strings.Repeat("x", 2<<20)+`"}`).Code)
	assert.Equal(t, 403, ask(g, "POST", "/api/v1/auth/%72egister", `{"role":"admin"}`).Code, "nor by another spelling of the path")
	assert.Equal(t, 401, ask(g, "PUT", "/api/v1/auth/register", `{"role":"admin"}`).Code, "no way around by another method")
}
