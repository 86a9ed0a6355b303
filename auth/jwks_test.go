package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

func keysOf(p *authtest.Provider) *auth.JWKS {
	return &auth.JWKS{URL: authtest.JWKSURL, Client: p.Client()}
}

func TestJWKSVerifiesEveryKind(t *testing.T) {
	for name, provider := range map[string]*authtest.Provider{
		"RSA": authtest.NewRSAProvider(), "EC": authtest.NewECProvider(), "Ed25519": authtest.NewEd25519Provider(),
	} {
		t.Run(name, func(t *testing.T) {
			j := &auth.JWT{Keys: keysOf(provider)}
			id, err := verify(t, j, provider.Token())
			require.NoError(t, err)
			assert.Equal(t, "player-1", id.Subject)
			_, err = verify(t, j, provider.Token(authtest.Header("kid", nil)))
			require.NoError(t, err, "without a name, every key that fits is tried")
			assert.Equal(t, 1, provider.Fetches())
		})
	}
}

// The life of a key: published, rotated in, rotated out.
func TestJWKSRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewECProvider()
		j := &auth.JWT{Keys: keysOf(provider)}
		old := provider.Token(authtest.ExpiresIn(24 * time.Hour))
		_, err := verify(t, j, old)
		require.NoError(t, err)

		time.Sleep(auth.DefaultJWKSCooldown)
		provider.Rotate()
		_, err = verify(t, j, provider.Token())
		require.NoError(t, err, "a name that is not known is looked for once")
		require.Equal(t, 2, provider.Fetches())
		_, err = verify(t, j, old)
		require.NoError(t, err, "the old key is still published")

		provider.Retire()
		time.Sleep(auth.DefaultJWKSMaxAge)
		_, err = verify(t, j, old) // old keys serve while new ones are fetched
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 3, provider.Fetches())
		_, err = verify(t, j, old)
		require.ErrorIs(t, err, auth.ErrInvalidToken, "withdrawn, and what it verified is forgotten")
	})
}

// A flood of tokens with invented key names, from somebody who has no key at all.
func TestJWKSIsNoLeverForAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, mallory := authtest.NewECProvider(), authtest.NewECProvider()
		j := &auth.JWT{Keys: keysOf(provider)}
		_, err := verify(t, j, provider.Token())
		require.NoError(t, err)

		for i := range 3000 { // for five minutes
			_, err := verify(t, j, mallory.Token(authtest.Header("kid", fmt.Sprint("invented-", i))))
			require.ErrorIs(t, err, auth.ErrInvalidToken)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, provider.Fetches(), 1+10, "one fetch for each cooldown")
	})
}

func TestJWKSDoesNotAskAgainForANameTheProviderDidNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, mallory := authtest.NewECProvider(), authtest.NewECProvider()
		j := &auth.JWT{Keys: keysOf(provider)}
		_, err := verify(t, j, provider.Token())
		require.NoError(t, err)

		gone := mallory.Token(authtest.Header("kid", "gone"), authtest.ExpiresIn(time.Hour))
		time.Sleep(auth.DefaultJWKSCooldown)
		for range 40 { // every 3 seconds, for two minutes
			_, err = verify(t, j, gone)
			require.ErrorIs(t, err, auth.ErrInvalidToken)
			time.Sleep(3 * time.Second)
		}
		require.Equal(t, 2, provider.Fetches())
		_, err = verify(t, j, gone)
		require.ErrorIs(t, err, auth.ErrInvalidToken)
		require.Equal(t, 3, provider.Fetches(), "but not never again")
	})
}

func TestJWKSDoesNotFetchForTokensThatWouldBeRefusedAnyhow(t *testing.T) {
	provider := authtest.NewECProvider()
	j := &auth.JWT{Keys: keysOf(provider), Issuer: "https://id"}
	for _, token := range []string{
		provider.Token(authtest.Expired(), authtest.Claim("iss", "https://id")),
		provider.Token(authtest.Claim("iss", "https://mallory")),
		provider.Token(authtest.Claim("iss", "https://id"), authtest.Header("crit", []string{"x"})),
		provider.Token(authtest.Claim("iss", "https://id"), authtest.None()) + "x",
	} {
		_, err := verify(t, j, token)
		require.ErrorIs(t, err, auth.ErrInvalidToken)
	}
	assert.Zero(t, provider.Fetches())
}

func TestJWKSOneFetchServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewECProvider()
		provider.Hang()
		j := &auth.JWT{Keys: keysOf(provider), CacheSize: -1}
		token := provider.Token()
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				_, err := verify(t, j, token)
				assert.NoError(t, err)
			})
		}
		synctest.Wait()
		provider.Recover()
		group.Wait()
		require.Equal(t, 1, provider.Fetches())
	})
}

// One who gives up does not end the fetch for the others.
func TestJWKSACallerMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewECProvider()
		provider.Hang()
		j := &auth.JWT{Keys: keysOf(provider)}
		token := provider.Token()

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := j.Verify(ctx, token)
		require.ErrorIs(t, err, auth.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		go func() {
			time.Sleep(time.Second)
			provider.Recover()
		}()
		_, err = verify(t, j, token)
		require.NoError(t, err)
		require.Equal(t, 1, provider.Fetches())
	})
}

func TestJWKSOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewECProvider()
		var failures atomic.Int64
		keys := keysOf(provider)
		keys.OnError = func(error) { failures.Add(1) }
		j := &auth.JWT{Keys: keys}
		day := authtest.ExpiresIn(48 * time.Hour)

		provider.Fail()
		_, err := verify(t, j, provider.Token(day))
		require.ErrorIs(t, err, auth.ErrUnavailable, "without keys, nothing can be said")
		provider.Recover()
		_, err = verify(t, j, provider.Token(day))
		require.ErrorIs(t, err, auth.ErrUnavailable, "not yet")
		time.Sleep(auth.DefaultJWKSCooldown)
		_, err = verify(t, j, provider.Token(day))
		require.NoError(t, err)

		veteran := provider.Token(day, authtest.Subject("veteran"))
		provider.Fail()
		time.Sleep(23 * time.Hour)
		_, err = verify(t, j, provider.Token(day, authtest.Subject("another")))
		require.NoError(t, err, "old keys serve on")
		synctest.Wait()
		provider.Rotate()
		_, err = verify(t, j, provider.Token(day))
		require.ErrorIs(t, err, auth.ErrUnavailable, "a new key may exist for all we know")
		time.Sleep(time.Hour)
		_, err = verify(t, j, veteran)
		require.ErrorIs(t, err, auth.ErrUnavailable, "old keys do not serve for ever")
		synctest.Wait()
		require.Positive(t, failures.Load())

		provider.Recover()
		time.Sleep(auth.DefaultJWKSCooldown)
		_, err = verify(t, j, provider.Token(day))
		require.NoError(t, err)
	})
}

func TestJWKSHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewECProvider()
		provider.Hang()
		start := time.Now()
		_, err := verify(t, &auth.JWT{Keys: keysOf(provider)}, provider.Token())
		require.ErrorIs(t, err, auth.ErrUnavailable)
		require.Equal(t, auth.DefaultJWKSTimeout, time.Since(start))
	})
}

func TestJWKSRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewECProvider()
		keys := keysOf(provider)
		ctx, cancel := context.WithCancelCause(context.Background())
		ended := make(chan error)
		go func() { ended <- keys.Run(ctx) }()
		synctest.Wait()
		require.Equal(t, 1, provider.Fetches(), "at once")
		provider.Fail()
		time.Sleep(30*time.Minute + time.Second)
		require.Equal(t, 2, provider.Fetches(), "before they are old")
		provider.Recover()
		time.Sleep(auth.DefaultJWKSCooldown)
		require.Equal(t, 3, provider.Fetches(), "soon again after a failure")

		generation := keys.Generation()
		require.NoError(t, keys.Refresh(context.Background()))
		require.Equal(t, generation, keys.Generation(), "the same keys")
		provider.Rotate()
		require.NoError(t, keys.Refresh(context.Background()))
		require.NotEqual(t, generation, keys.Generation(), "other keys")

		stop := errors.New("stop")
		cancel(stop)
		require.ErrorIs(t, <-ended, stop)
	})
}

// served is a RoundTripper that answers with a text.
type served struct {
	status int
	body   string
	header http.Header
}

func (s served) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(strings.NewReader(s.body))}, nil
}

func TestJWKSBadSets(t *testing.T) {
	cases := []struct {
		desc, body string
		status     int
		reason     string
	}{
		{"not found", `{"keys":[]}`, 404, "status 404"},
		{"moved", ``, 302, "302"},
		{"no JSON", `<html>`, 200, "not a key set"},
		{"no keys", `{"keys":[]}`, 200, "none of 0 keys"},
		{"another document", `{"issuer":"x"}`, 200, "none of 0 keys"},
		{"a secret", `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a"}]}`, 200, "none of 1 keys"},
		{"for encryption", `{"keys":[` + jwk(t, "enc") + `]}`, 200, "none of 1 keys"},
		{"a weak RSA key", `{"keys":[{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("z", 171) + `"}]}`, 200, "none of 1 keys"},
		{"an unknown kind", `{"keys":[{"kty":"LATTICE","kid":"a"}]}`, 200, "none of 1 keys"},
		{"too many", `{"keys":[` + strings.Repeat(`{"kty":"oct"},`, 100) + `{}]}`, 200, "101 keys are too many"},
		{"too large", `{"keys":[],"pad":"` + strings.Repeat("x", 1<<20) + `"}`, 200, "more than 1048576 bytes"},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			client := &http.Client{Transport: served{status: c.status, body: c.body}}
			err := (&auth.JWKS{URL: authtest.JWKSURL, Client: client}).Refresh(context.Background())
			require.ErrorIs(t, err, auth.ErrUnavailable)
			assert.ErrorContains(t, err, c.reason)
		})
	}
}

// One odd key among good ones does no harm; a certificate's address is not visited.
func TestJWKSPassesOverOddKeys(t *testing.T) {
	provider := authtest.NewECProvider()
	good := strings.Replace(jwkOf(t, provider, "sig"), "{", `{"x5u":"http://mallory.example/","x5c":["!"],`, 1)
	body := `{"keys":[{"kty":"LATTICE"},{"kty":"RSA","n":"!"},{"kty":"oct","k":"c2Vj","kid":"key-1"},` + good + `]}`
	keys := &auth.JWKS{URL: authtest.JWKSURL, Client: &http.Client{Transport: served{status: 200, body: body}}}
	_, err := verify(t, &auth.JWT{Keys: keys}, provider.Token())
	require.NoError(t, err)
}

// A key that is published for one algorithm is not used with another.
func TestJWKSAlgorithmOfTheKey(t *testing.T) {
	provider := authtest.NewRSAProvider()
	body := `{"keys":[` + strings.Replace(jwkOf(t, provider, "sig"), "RS256", "PS512", 1) + `]}`
	keys := &auth.JWKS{URL: authtest.JWKSURL, Client: &http.Client{Transport: served{status: 200, body: body}}}
	_, err := verify(t, &auth.JWT{Keys: keys}, provider.Token())
	require.ErrorIs(t, err, auth.ErrInvalidToken)
}

// Without a name, a token is tried with a few keys and no more: each try costs.
func TestJWKSNamelessTokens(t *testing.T) {
	provider := authtest.NewECProvider()
	for range 3 {
		provider.Rotate()
	}
	nameless := provider.Token(authtest.Header("kid", nil))
	_, err := verify(t, provider.JWT(), nameless)
	require.NoError(t, err)
	provider.Rotate()
	_, err = verify(t, provider.JWT(), nameless)
	require.ErrorIs(t, err, auth.ErrInvalidToken)
}

func TestJWKSValidate(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://id.example/keys": true, "http://127.0.0.1:8080/keys": true, "http://[::1]/keys": true,
		"http://localhost/keys": true, "http://id.example/keys": false, "http://localhost.example/": false,
		"": false, "keys.json": false, "file:///etc/keys": false, "ftp://id.example/": false, "https://": false, "%": false,
	} {
		assert.Equal(t, ok, (&auth.JWKS{URL: address}).Validate() == nil, address)
	}
	assert.NoError(t, (&auth.JWKS{URL: "http://id.example/keys", AllowPlainHTTP: true}).Validate())
	err := (&auth.JWKS{URL: "http://user:hunter2@id.example/keys"}).Validate()
	assert.NotContains(t, err.Error(), "hunter2")
	err = (&auth.JWKS{URL: "https://user:hunter2@%", MaxStale: time.Minute, MaxAge: time.Hour}).Validate()
	assert.ErrorContains(t, err, "URL")
	assert.NotContains(t, err.Error(), "hunter2")
	assert.ErrorContains(t, err, "MaxStale is 1m0s; give more than MaxAge, 1h0m0s, and Cooldown, 30s")
}

func jwk(t *testing.T, use string) string {
	t.Helper()
	return jwkOf(t, authtest.NewECProvider(), use)
}

func jwkOf(t *testing.T, p *authtest.Provider, use string) string {
	t.Helper()
	res, err := p.Client().Get(authtest.JWKSURL)
	require.NoError(t, err)
	defer res.Body.Close()
	var set struct{ Keys []json.RawMessage }
	require.NoError(t, json.NewDecoder(res.Body).Decode(&set))
	return string(bytes.Replace(set.Keys[0], []byte(`"use":"sig"`), []byte(`"use":"`+use+`"`), 1))
}
