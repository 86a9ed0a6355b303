package authtest_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTokensOfEveryProvider(t *testing.T) {
	for name, provider := range map[string]*authtest.Provider{
		"HMAC": authtest.NewProvider(), "EC": authtest.NewECProvider(),
		"RSA": authtest.NewRSAProvider(), "Ed25519": authtest.NewEd25519Provider(),
	} {
		t.Run(name, func(t *testing.T) {
			j := provider.JWT()
			check := func(token string) error {
				_, err := j.Verify(context.Background(), token)
				return err
			}
			old := provider.Token()
			require.NoError(t, check(old))
			for _, option := range []authtest.Option{authtest.Expired(), authtest.Refresh(), authtest.None(),
				authtest.Without("sub")} {
				require.ErrorIs(t, check(provider.Token(option)), auth.ErrInvalidToken)
			}
			provider.Rotate()
			require.NoError(t, check(provider.Token()))
			require.NoError(t, check(old))
			assert.Equal(t, provider.PublicKey() == nil, provider.Secret() != nil)
		})
	}
}

func TestRetiredKeysAreNotPublished(t *testing.T) {
	provider := authtest.NewECProvider()
	old := provider.Token()
	provider.Rotate()
	provider.Retire()
	j := provider.JWT()
	_, err := j.Verify(context.Background(), provider.Token(authtest.Header("typ", nil)))
	require.NoError(t, err)
	_, err = j.Verify(context.Background(), old)
	require.ErrorIs(t, err, auth.ErrInvalidToken)
	_, err = j.Verify(context.Background(), provider.Token(authtest.SignedWith("HS256", []byte("x"))))
	require.ErrorIs(t, err, auth.ErrInvalidToken)
}

func TestTokenIsForTheIdentity(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789ABCDEF")
	j := &auth.JWT{Keys: auth.HMAC(secret)}
	want := auth.Identity{
		Subject: "tom", Player: "p1", Session: "s1", Roles: []string{"therapist"},
		Permissions: []string{"view_patient_progress"}, MFA: true, Expires: time.Now().Add(time.Hour).Truncate(time.Second),
	}
	got, err := j.Verify(context.Background(), authtest.Token(t, secret, want))
	require.NoError(t, err)
	got.Claims = nil
	assert.Equal(t, want, got)

	got, err = j.Verify(context.Background(), authtest.Token(t, secret, auth.Identity{Subject: "u1"}))
	require.NoError(t, err)
	assert.Equal(t, "u1", got.Player)
	assert.Equal(t, []string{"player"}, got.Roles, "a refreshed token's shape")
	assert.Empty(t, got.Session)
	assert.NotContains(t, got.Claims, "role")

	got, err = j.Verify(context.Background(),
		authtest.Token(t, secret, auth.Identity{Subject: "u1", Roles: []string{"player", "moderator"}}))
	require.NoError(t, err)
	assert.Equal(t, []string{"player", "moderator"}, got.Roles)
	assert.True(t, got.HasPermission("handle_reports"))
}

func TestServesItsKeysOverHTTP(t *testing.T) {
	provider := authtest.NewECProvider()
	server := httptest.NewServer(provider)
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()

	keys := &auth.JWKS{URL: server.URL, Client: server.Client()}
	_, err := (&auth.JWT{Keys: keys}).Verify(context.Background(), provider.Token())
	require.NoError(t, err)

	w := httptest.NewRecorder()
	provider.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestPublishesNoSecrets(t *testing.T) {
	for _, provider := range []*authtest.Provider{authtest.NewProvider(), authtest.NewECProvider()} {
		w := httptest.NewRecorder()
		provider.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		var set struct{ Keys []map[string]string }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &set))
		for _, key := range set.Keys {
			assert.NotContains(t, key, "d")
			assert.NotContains(t, key, "k")
		}
		if public := provider.PublicKey(); public != nil {
			_, err := x509.MarshalPKIXPublicKey(public)
			require.NoError(t, err)
		}
	}
}

func TestFailAndHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewECProvider()
		get := func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, authtest.JWKSURL, nil)
			require.NoError(t, err)
			res, err := provider.Client().Do(r)
			if err != nil {
				return err
			}
			return res.Body.Close()
		}
		provider.Fail()
		require.ErrorContains(t, get(), "the provider is down")
		provider.Recover()
		require.NoError(t, get())
		provider.Hang()
		provider.Hang()
		require.ErrorIs(t, get(), context.DeadlineExceeded)
		var group sync.WaitGroup
		group.Go(func() { assert.NoError(t, get()) })
		synctest.Wait()
		provider.Recover()
		group.Wait()
		require.Equal(t, 4, provider.Fetches())
	})
}

func ExampleAs() {
	gate := new(auth.Gate)
	handler := gate.Require(auth.Role("admin"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "the console")
	}))
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, authtest.As(r, auth.Identity{Subject: "ada", Roles: []string{"admin"}}))
	fmt.Println(w.Code, w.Body)
	// Output: 200 the console
}

// The whole life of a key, without a network.
func ExampleProvider() {
	provider := authtest.NewECProvider()
	j := provider.JWT()
	ask := func(token string) {
		id, err := j.Verify(context.Background(), token)
		fmt.Println(auth.Status(err), id)
	}
	ask(provider.Token(authtest.Login("therapist")))
	ask(provider.Token(authtest.Refreshed()))
	ask(provider.Token(authtest.Refresh()))
	ask(provider.Token(authtest.Expired()))
	ask(provider.Token(authtest.None()))
	provider.Rotate()
	ask(provider.Token())
	// Output:
	// 200 somebody(therapist)
	// 200 somebody(player)
	// 401 nobody
	// 401 nobody
	// 401 nobody
	// 200 somebody(player)
}
