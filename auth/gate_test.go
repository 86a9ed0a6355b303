package auth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

func TestStatusAndChallenge(t *testing.T) {
	cases := []struct {
		desc      string
		err       error
		status    int
		challenge string
	}{
		{"no error", nil, 200, ``},
		{"nobody", auth.ErrUnauthenticated, 401, `Bearer realm="tta"`},
		{"a bad token", auth.ErrInvalidToken, 401,
			`Bearer realm="tta", error="invalid_token", error_description="The access token is not valid"`},
		{"an old token", auth.ErrExpired, 401,
			`Bearer realm="tta", error="invalid_token", error_description="The access token expired"`},
		{"two tokens", auth.ErrMalformed, 400, `Bearer realm="tta", error="invalid_request", ` +
			`error_description="The request carries a malformed credential, or more than one"`},
		{"may not", auth.ErrForbidden, 403, `Bearer realm="tta", error="insufficient_scope", ` +
			`error_description="The access token does not grant this"`},
		{"may not, and this is what is missing", &auth.ScopeError{Scopes: []string{"a", "b"}}, 403,
			`Bearer realm="tta", error="insufficient_scope", ` +
				`error_description="The access token does not grant this", scope="a b"`},
		{"may, with a second factor", auth.ErrMFARequired, 403,
			`Bearer realm="tta", error="insufficient_user_authentication", ` +
				`error_description="A second factor is required"`},
		{"we cannot tell", auth.ErrUnavailable, 503, ``},
		{"wrapped", fmt.Errorf("detail: %w", auth.ErrMFARequired), 403,
			`Bearer realm="tta", error="insufficient_user_authentication", ` +
				`error_description="A second factor is required"`},
		{"an error without a class", errors.New("broken"), 500, ``},
		{"not knowing comes before knowing better", errors.Join(auth.ErrForbidden, auth.ErrUnavailable), 503, ``},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			assert.Equal(t, c.status, auth.Status(c.err))
			assert.Equal(t, c.challenge, auth.Challenge("", c.err))
		})
	}
	assert.Equal(t, `Bearer realm="a \"b\" \\ ?? ?"`, auth.Challenge("a \"b\" \\ ö \n", auth.ErrUnauthenticated))
}

func TestGate(t *testing.T) {
	provider := authtest.NewProvider()
	gate := &auth.Gate{Authenticator: provider.JWT(), Realm: "clinic"}
	mux := http.NewServeMux()
	mux.Handle("/open", hello())
	mux.Handle("/players/{player_id}", gate.Require(auth.Owner("player_id"))(hello()))
	mux.Handle("/known", gate.Require(nil)(hello()))
	handler := gate.Identify(mux)

	own, bad := "Bearer "+provider.Token(authtest.Subject("p1")), "Bearer a.b.c"
	cases := []struct {
		desc, path, authorization string
		status                    int
		body, challenge           string
	}{
		{"nobody, where anyone may", "/open", "", 200, "hello nobody", ""},
		{"somebody, where anyone may", "/open", own, 200, "hello p1", ""},
		{"a bad token is refused everywhere", "/open", bad, 401, "Unauthorized\n", "invalid_token"},
		{"no token, where one must", "/known", "", 401, "Unauthorized\n", `Bearer realm="clinic"`},
		{"no policy means known", "/known", own, 200, "hello p1", ""},
		{"one's own data", "/players/p1", own, 200, "hello p1", ""},
		{"another's data", "/players/p2", own, 403, "Forbidden\n", "insufficient_scope"},
		{"malformed", "/open", "Bearer a b", 400, "Bad Request\n", "invalid_request"},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			assert.Equal(t, c.status, w.Code)
			assert.Equal(t, c.body, w.Body.String())
			assert.Contains(t, w.Header().Get("WWW-Authenticate"), c.challenge)
			assert.Equal(t, c.challenge != "", w.Header().Get("WWW-Authenticate") != "")
		})
	}
}

func TestGateAsksItsErrorHandler(t *testing.T) {
	var heard error
	gate := &auth.Gate{
		Authenticator: answer(auth.Identity{}, auth.ErrUnavailable),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			heard = err
			w.WriteHeader(http.StatusTeapot)
		},
	}
	w := httptest.NewRecorder()
	gate.Identify(hello()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusTeapot, w.Code)
	assert.Equal(t, "1", w.Header().Get("Retry-After"), "headers are set before the handler is asked")
	assert.ErrorIs(t, heard, auth.ErrUnavailable)
}

func TestTheZeroGateKnowsNobody(t *testing.T) {
	gate := new(auth.Gate)
	w := httptest.NewRecorder()
	r := authtest.As(httptest.NewRequest(http.MethodGet, "/", nil), auth.Identity{Subject: "from outside"})
	gate.Identify(gate.Require(auth.Known)(hello())).ServeHTTP(w, r)
	assert.Equal(t, http.StatusUnauthorized, w.Code)
}

func hello() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := auth.FromContext(r.Context()).Subject
		if who == "" {
			who = "nobody"
		}
		_, _ = io.WriteString(w, "hello "+who)
	})
}
