package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
)

func TestBearer(t *testing.T) {
	cases := []struct {
		desc   string
		header []string
		want   string
		err    error
	}{
		{"no header", nil, "", nil},
		{"an empty header", []string{""}, "", nil},
		{"as everybody writes it", []string{"Bearer a.b.c"}, "a.b.c", nil},
		{"lower case", []string{"bearer a.b.c"}, "a.b.c", nil},
		{"upper case", []string{"BEARER a.b.c"}, "a.b.c", nil},
		{"several spaces", []string{"Bearer   a.b.c  "}, "a.b.c", nil},
		{"padding, and all characters of a token68", []string{"Bearer aZ0-._~+/=="}, "aZ0-._~+/==", nil},
		{"another scheme", []string{"Basic dXNlcjpwYXNz"}, "", nil},
		{"a scheme that begins alike", []string{"Bearers a.b.c"}, "", nil},
		{"no token", []string{"Bearer"}, "", auth.ErrMalformed},
		{"a space for a token", []string{"Bearer "}, "", auth.ErrMalformed},
		{"padding for a token", []string{"Bearer ="}, "", auth.ErrMalformed},
		{"padding inside", []string{"Bearer a=b"}, "", auth.ErrMalformed},
		{"two tokens", []string{"Bearer a b"}, "", auth.ErrMalformed},
		{"two credentials in a line", []string{"Bearer a, Bearer b"}, "", auth.ErrMalformed},
		{"two lines", []string{"Bearer a", "Bearer a"}, "", auth.ErrMalformed},
		{"two lines of different schemes", []string{"Basic a", "Bearer a"}, "", auth.ErrMalformed},
		{"a line break", []string{"Bearer a\r\nX-User-ID: admin"}, "", auth.ErrMalformed},
		{"a tab", []string{"Bearer a\tb"}, "", auth.ErrMalformed},
		{"not ASCII", []string{"Bearer tökén"}, "", auth.ErrMalformed},
		{"a NUL", []string{"Bearer a\x00"}, "", auth.ErrMalformed},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/?token=x&access_token=y", nil)
			r.Header["Authorization"] = c.header
			token, err := auth.Bearer(r)
			assert.Equal(t, c.want, token)
			assert.ErrorIs(t, err, c.err)
		})
	}
}

func TestFirst(t *testing.T) {
	broken := errors.New("broken")
	nobody := answer(auth.Identity{}, nil)
	alice := answer(auth.Identity{Subject: "alice"}, nil)
	bob := answer(auth.Identity{Subject: "bob"}, nil)
	bad := answer(auth.Identity{}, auth.ErrInvalidToken)
	down := answer(auth.Identity{}, auth.ErrUnavailable)

	cases := []struct {
		desc string
		all  []auth.Authenticator
		want string
		err  error
	}{
		{"none to ask", nil, "", nil},
		{"nobody knows of any credential", []auth.Authenticator{nobody, nil, nobody}, "", nil},
		{"the first who knows", []auth.Authenticator{nobody, alice, bob}, "alice", nil},
		{"one refuses, the next knows", []auth.Authenticator{bad, bob}, "bob", nil},
		{"one is down, the next knows", []auth.Authenticator{down, bob}, "bob", nil},
		{"a bad credential is not none", []auth.Authenticator{bad, nobody}, "", auth.ErrInvalidToken},
		{"who is down might have known", []auth.Authenticator{bad, down}, "", auth.ErrUnavailable},
		{"whichever comes first", []auth.Authenticator{down, bad}, "", auth.ErrUnavailable},
		{"else the first error", []auth.Authenticator{answer(auth.Identity{}, broken), bad}, "", broken},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			id, err := auth.First(c.all...).Authenticate(httptest.NewRequest(http.MethodGet, "/", nil))
			assert.Equal(t, c.want, id.Subject)
			assert.ErrorIs(t, err, c.err)
		})
	}
}

func answer(id auth.Identity, err error) auth.Authenticator {
	return auth.AuthenticatorFunc(func(*http.Request) (auth.Identity, error) { return id, err })
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer a.b.c")
	f.Add("bearer  x==")
	f.Add("Basic x")
	f.Fuzz(func(t *testing.T, line string) {
		r := &http.Request{Header: http.Header{"Authorization": {line}}}
		token, err := auth.Bearer(r)
		if err != nil {
			require.ErrorIs(t, err, auth.ErrMalformed)
			require.Empty(t, token)
		}
		require.NotContains(t, token, " ")
		require.NotContains(t, token, "\n")
	})
}
