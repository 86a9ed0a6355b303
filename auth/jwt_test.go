package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

var secret = []byte("0123456789abcdef0123456789ABCDEF")

func verify(t *testing.T, j *auth.JWT, token string) (auth.Identity, error) {
	t.Helper()
	return j.Verify(context.Background(), token)
}

func TestBothTokenShapes(t *testing.T) {
	provider := authtest.NewProvider()
	six := []string{"create_character", "manage_own_characters", "access_therapeutic_content",
		"manage_own_profile", "export_own_data", "delete_own_data"}

	t.Run("login", func(t *testing.T) {
		id, err := verify(t, provider.JWT(), provider.Token(
			authtest.Claim("sub", "demo-user-001"), authtest.Claim("player_id", "player-9"), authtest.Login("therapist")))
		require.NoError(t, err)
		assert.Equal(t, "demo-user-001", id.Subject, "a subject need not be a UUID")
		assert.Equal(t, "player-9", id.Player)
		assert.NotEmpty(t, id.Session)
		assert.Equal(t, []string{"therapist"}, id.Roles)
		assert.True(t, id.HasPermission("view_patient_progress"))
		assert.False(t, id.HasPermission("create_character"))
		assert.False(t, id.MFA)
		assert.WithinRange(t, id.Expires, time.Now().Add(29*time.Minute), time.Now().Add(31*time.Minute))
		assert.Equal(t, "somebody", id.Claims.Text("username"))
	})
	t.Run("refreshed", func(t *testing.T) {
		id, err := verify(t, provider.JWT(), provider.Token(authtest.Subject("player-1"), authtest.Refreshed()))
		require.NoError(t, err)
		assert.Equal(t, []string{"player"}, id.Roles)
		assert.Equal(t, six, id.Permissions)
		assert.Empty(t, id.Session)
	})
	t.Run("of old: neither player_id nor username", func(t *testing.T) {
		id, err := verify(t, provider.JWT(), provider.Token(authtest.Subject("u1"), authtest.Without("player_id", "username")))
		require.NoError(t, err)
		assert.Equal(t, "u1", id.Player)
	})
}

func TestClaimsToIdentity(t *testing.T) {
	provider := authtest.NewProvider()
	claim, without := authtest.Claim, authtest.Without
	type options = []authtest.Option
	cases := []struct {
		desc    string
		options options
		ok      bool
		check   func(*testing.T, auth.Identity)
	}{
		{"no sub", options{without("sub")}, false, nil},
		{"empty sub", options{claim("sub", "")}, false, nil},
		{"sub null", options{claim("sub", nil)}, false, nil},
		{"sub a number", options{claim("sub", 7)}, false, nil},
		{"sub a list", options{claim("sub", []string{"a"})}, false, nil},
		{"sub of 128 bytes", options{claim("sub", strings.Repeat("a", 128))}, true, nil},
		{"sub of 129 bytes", options{claim("sub", strings.Repeat("a", 129))}, false, nil},
		{"sub that breaks a header", options{claim("sub", "a\r\nX-User-Role: admin")}, false, nil},
		{"sub with a NUL", options{claim("sub", "a\x00")}, false, nil},
		{"sub with spaces around", options{claim("sub", " a")}, false, nil},
		{"sub with spaces within", options{claim("sub", "Ада Л")}, true, nil},
		{"sub of broken text", options{claim("sub", json.RawMessage(`"\ud800"`))}, false, nil},
		{"player_id a number", options{claim("player_id", 7)}, false, nil},
		{"player_id null", options{claim("player_id", nil)}, true, func(t *testing.T, id auth.Identity) {
			assert.Equal(t, "player-1", id.Player)
		}},
		{"session_id that breaks a line", options{claim("session_id", "a\nb")}, false, nil},
		{"role a list", options{claim("role", []string{"admin"})}, false, nil},
		{"an unknown role", options{claim("role", "wizard"), without("permissions")}, true,
			func(t *testing.T, id auth.Identity) {
				assert.Equal(t, []string{"wizard"}, id.Roles, "it is kept")
				assert.Empty(t, id.Permissions, "and grants nothing")
			}},
		{"no role, no permissions, and a wish", options{authtest.Refreshed(), claim("permissions", []string{"manage_users", "export_own_data"})}, true,
			func(t *testing.T, id auth.Identity) {
				assert.Equal(t, []string{"player"}, id.Roles)
				assert.Equal(t, []string{"export_own_data"}, id.Permissions, "never more than the default role grants")
			}},
		{"a role without permissions", options{claim("role", "moderator"), without("permissions")}, true,
			func(t *testing.T, id auth.Identity) { assert.True(t, id.HasPermission("moderate_content")) }},
		{"a role with none of its permissions", options{claim("role", "admin"), claim("permissions", []string{})}, true,
			func(t *testing.T, id auth.Identity) { assert.Empty(t, id.Permissions, "what the token lists counts") }},
		{"an admin", options{authtest.Login("admin")}, true,
			func(t *testing.T, id auth.Identity) { assert.ElementsMatch(t, auth.Permissions(), id.Permissions) }},
		{"several roles", options{without("role", "permissions"), claim("roles", []string{"researcher", "moderator"})}, true,
			func(t *testing.T, id auth.Identity) {
				assert.Equal(t, []string{"researcher", "moderator"}, id.Roles)
				assert.True(t, id.HasPermission("handle_reports"))
				assert.True(t, id.HasPermission("access_research_data"))
			}},
		{"role and roles", options{claim("role", "player"), claim("roles", []string{"moderator", "player"})}, true,
			func(t *testing.T, id auth.Identity) {
				assert.ElementsMatch(t, []string{"player", "moderator"}, id.Roles)
			}},
		{"permissions as text", options{claim("permissions", "manage_users")}, false, nil},
		{"permissions that are no names", options{claim("permissions", []any{1})}, false, nil},
		{"mfa_verified", options{claim("mfa_verified", true)}, true,
			func(t *testing.T, id auth.Identity) { assert.True(t, id.MFA) }},
		{"mfa_verified as text", options{claim("mfa_verified", "true")}, true,
			func(t *testing.T, id auth.Identity) { assert.False(t, id.MFA) }},
		{"amr", options{claim("amr", []string{"pwd", "mfa"})}, true,
			func(t *testing.T, id auth.Identity) { assert.True(t, id.MFA) }},
		{"amr with odd members", options{claim("amr", []any{[]string{"mfa"}, map[string]any{}})}, true,
			func(t *testing.T, id auth.Identity) { assert.False(t, id.MFA) }},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			id, err := verify(t, provider.JWT(), provider.Token(c.options...))
			if !c.ok {
				require.ErrorIs(t, err, auth.ErrInvalidToken)
				assert.False(t, id.Known())
				return
			}
			require.NoError(t, err)
			if c.check != nil {
				c.check(t, id)
			}
		})
	}
}

func TestHostileTokens(t *testing.T) {
	provider := authtest.NewHMACProvider(secret)
	good := provider.Token()
	head, rest, _ := strings.Cut(good, ".")
	body, sig, _ := strings.Cut(rest, ".")
	now := time.Now()

	cases := map[string]string{
		"empty":                         "",
		"dots":                          "..",
		"an empty signature":            head + "." + body + ".",
		"no signature":                  head + "." + body,
		"an empty header":               "." + body + "." + sig,
		"five segments, as encrypted":   good + ".a.b",
		"huge":                          strings.Repeat("a", 9<<10),
		"huge and well signed":          provider.Token(authtest.Claim("pad", strings.Repeat("a", 8<<10))),
		"many dots":                     strings.Repeat(".", 8000),
		"alg none":                      provider.Token(authtest.None()) + "x",
		"alg none, no signature":        provider.Token(authtest.None()),
		"alg None":                      provider.Token(authtest.Header("alg", "None")),
		"alg a number":                  provider.Token(authtest.Header("alg", 256)),
		"alg null":                      sign(`{"alg":null}`, `{"sub":"a"}`),
		"alg missing":                   sign(`{"typ":"JWT"}`, `{"sub":"a","exp":9999999999}`),
		"alg of another hash":           provider.Token(authtest.SignedWith("HS512", secret)),
		"alg RS256 on a secret":         provider.Token(authtest.Header("alg", "RS256")),
		"alg ES256 on a secret":         provider.Token(authtest.Header("alg", "ES256")),
		"signed with another secret":    provider.Token(authtest.SignedWith("HS256", []byte("another"))),
		"signed with an empty secret":   provider.Token(authtest.SignedWith("HS256", []byte{})),
		"another's signature":           head + "." + body + "." + strings.Split(provider.Token(authtest.Subject("x")), ".")[2],
		"a changed claim":               head + "." + b64(`{"sub":"admin","exp":9999999999}`) + "." + sig,
		"a line break in the header":    head[:8] + "\n" + head[8:] + "." + body + "." + sig,
		"a line break in the signature": head + "." + body + "." + sig[:8] + "\r\n" + sig[8:],
		"a line break at the end":       good + "\n",
		"padding":                       good + "=",
		"standard base64":               head + "." + body + "." + strings.Repeat("+", 43),
		"loose bits in the signature":   loosen(t, good),
		"a header that is no object":    sign(`["HS256"]`, `{"sub":"a","exp":9999999999}`),
		"claims that are no object":     sign(`{"alg":"HS256"}`, `"sub"`),
		"claims null":                   sign(`{"alg":"HS256"}`, `null`),
		"claims and more":               sign(`{"alg":"HS256"}`, `{"sub":"a","exp":9999999999}{}`),
		"a claim twice":                 sign(`{"alg":"HS256"}`, `{"sub":"a","exp":9999999999,"sub":"admin"}`),
		"a claim twice, once escaped":   sign(`{"alg":"HS256"}`, `{"sub":"a","exp":9999999999,"s\u0075b":"admin"}`),
		"a header parameter twice":      sign(`{"alg":"HS256","alg":"HS256"}`, `{"sub":"a","exp":9999999999}`),
		"a sub that is not UTF-8":       sign(`{"alg":"HS256"}`, "{\"sub\":\"a\xff\",\"exp\":9999999999}"),
		"a claim that is not UTF-8":     sign(`{"alg":"HS256"}`, "{\"sub\":\"a\",\"exp\":9999999999,\"x\":\"a\xff\"}"),
		"a header that is not UTF-8":    sign("{\"alg\":\"HS256\",\"x\":\"a\xff\"}", `{"sub":"a","exp":9999999999}`),
		"crit":                          provider.Token(authtest.Header("crit", []string{"exp"})),
		"crit, empty":                   provider.Token(authtest.Header("crit", []string{})),
		"kid a number":                  provider.Token(authtest.Header("kid", 1)),
		"kid empty":                     provider.Token(authtest.Header("kid", "")),
		"kid too long":                  provider.Token(authtest.Header("kid", strings.Repeat("k", 257))),
		"a refresh token":               provider.Token(authtest.Refresh()),
		"a refresh token, shouting":     provider.Token(authtest.Claim("type", "REFRESH")),
		"a type that is no text":        provider.Token(authtest.Claim("type", []string{"refresh"})),
		"no exp":                        provider.Token(authtest.Without("exp")),
		"exp null":                      provider.Token(authtest.Claim("exp", nil)),
		"exp as text":                   provider.Token(authtest.Claim("exp", "9999999999")),
		"exp zero":                      provider.Token(authtest.Claim("exp", 0)),
		"exp negative":                  provider.Token(authtest.Claim("exp", -1)),
		"exp beyond all years":          provider.Token(authtest.Claim("exp", 1e300)),
		"exp in milliseconds":           provider.Token(authtest.Claim("exp", now.Add(time.Hour).UnixMilli())),
		"expired":                       provider.Token(authtest.Expired()),
		"not yet valid":                 provider.Token(authtest.Claim("nbf", now.Add(time.Minute).Unix())),
		"not valid before all years":    provider.Token(authtest.Claim("nbf", 1e300)),
		"nbf as text":                   provider.Token(authtest.Claim("nbf", "tomorrow")),
	}
	for desc, token := range cases {
		t.Run(desc, func(t *testing.T) {
			id, err := verify(t, provider.JWT(), token)
			require.ErrorIs(t, err, auth.ErrInvalidToken)
			assert.Equal(t, http.StatusUnauthorized, auth.Status(err))
			assert.Equal(t, auth.Identity{}, id)
			assert.Less(t, len(err.Error()), 120, "errors do not quote the token")
			assert.True(t, strings.HasPrefix(err.Error(), "auth: "), err)
		})
	}

	// "exp in milliseconds" above is beyond the year 9999; the good token is good.
	_, err := verify(t, provider.JWT(), good)
	require.NoError(t, err)
	_, err = verify(t, provider.JWT(), provider.Token(authtest.Expired()))
	require.ErrorIs(t, err, auth.ErrExpired)
}

// Headers that bring a key of their own are of no use, and do no harm.
func TestKeysInTheHeaderAreIgnored(t *testing.T) {
	provider, mallory := authtest.NewECProvider(), authtest.NewECProvider()
	jwk := authtest.Header("jwk", map[string]string{"kty": "EC"})
	jku := authtest.Header("jku", "https://mallory.example/keys")
	x5u := authtest.Header("x5u", "https://mallory.example/cert")
	x5c := authtest.Header("x5c", []string{"MIIB"})

	_, err := verify(t, provider.JWT(), mallory.Token(jwk, jku, x5u, x5c))
	require.ErrorIs(t, err, auth.ErrInvalidToken)
	_, err = verify(t, provider.JWT(), provider.Token(jwk, jku, x5u, x5c))
	require.NoError(t, err)
	assert.Zero(t, mallory.Fetches())
}

// The public key, which everybody has, must never serve as an HMAC secret.
func TestAlgorithmConfusion(t *testing.T) {
	provider := authtest.NewRSAProvider()
	der, err := x509.MarshalPKIXPublicKey(provider.PublicKey())
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	keys, err := auth.PEM(text)
	require.NoError(t, err)

	for desc, j := range map[string]*auth.JWT{
		"as configured":          {Keys: keys},
		"with HS256 allowed too": {Keys: keys, Methods: []string{"HS256", "RS256"}},
		"of a key set":           {Keys: provider.Keys(), Methods: []string{"HS256", "RS256"}},
	} {
		t.Run(desc, func(t *testing.T) {
			for _, key := range [][]byte{text, der} {
				_, err := verify(t, j, provider.Token(authtest.SignedWith("HS256", key)))
				require.ErrorIs(t, err, auth.ErrInvalidToken)
			}
			_, err := verify(t, j, provider.Token())
			require.NoError(t, err)
		})
	}
}

// What Keys of somebody else return is checked as well.
func TestKeysThatDoNotFitTheAlgorithm(t *testing.T) {
	j := &auth.JWT{Keys: careless{secret}}
	_, err := verify(t, j, authtest.NewECProvider().Token())
	require.ErrorIs(t, err, auth.ErrInvalidToken)
	_, err = verify(t, j, authtest.NewHMACProvider(secret).Token())
	require.NoError(t, err)

	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	_, err = verify(t, &auth.JWT{Keys: careless{&weak.PublicKey}}, authtest.NewRSAProvider().Token(authtest.SignedWith("RS256", weak)))
	require.ErrorIs(t, err, auth.ErrInvalidToken, "a good signature by a weak key")
}

// An error of somebody's Keys says nothing about the token.
func TestKeysThatFail(t *testing.T) {
	broken := errors.New("broken")
	_, err := verify(t, &auth.JWT{Keys: failing{broken}}, authtest.NewProvider().Token())
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Find(context.Context, string, string) ([]any, error) { return nil, f.err }
func (f failing) Generation() uint64                                  { return 0 }

type careless struct{ key any }

func (c careless) Find(context.Context, string, string) ([]any, error) { return []any{c.key}, nil }
func (c careless) Generation() uint64                                  { return 0 }

// Colons, quotes and braces in values are not names.
func TestTokensThatLookAsIfAClaimCameTwice(t *testing.T) {
	for _, claims := range []string{
		`{"sub":"a","exp":9999999999,"x":{"sub":"b","y":{"sub":"c"}},"z":[{"sub":"d"}]}`,
		`{"sub":"a","exp":9999999999,"x":",\"sub\":{[\\","y":":::}]"}`,
		` { "sub" : "a:b" , "exp" : 9999999999 } `,
	} {
		_, err := verify(t, &auth.JWT{Keys: auth.HMAC(secret)}, sign(`{"alg":"HS256","x":{"alg":1}}`, claims))
		assert.NoError(t, err, claims)
	}
}

func TestIssuerAudienceAndType(t *testing.T) {
	provider := authtest.NewHMACProvider(secret)
	claim := authtest.Claim
	strict := func() *auth.JWT {
		return &auth.JWT{Keys: auth.HMAC(secret), Issuer: "https://id", Audience: "tta", TokenType: "at+jwt"}
	}
	iss, aud, typ := claim("iss", "https://id"), claim("aud", "tta"), authtest.Header("typ", "at+jwt")
	cases := []struct {
		desc  string
		token string
		want  error
	}{
		{"as wanted", provider.Token(iss, aud, typ), nil},
		{"the long type, in capitals", provider.Token(iss, aud, authtest.Header("typ", "application/AT+JWT")), nil},
		{"one audience of several", provider.Token(iss, claim("aud", []string{"x", "tta"}), typ), nil},
		{"no iss", provider.Token(aud, typ), auth.ErrInvalidToken},
		{"another iss", provider.Token(claim("iss", "https://id/"), aud, typ), auth.ErrInvalidToken},
		{"no aud", provider.Token(iss, typ), auth.ErrInvalidToken},
		{"another aud", provider.Token(iss, claim("aud", "tta2"), typ), auth.ErrInvalidToken},
		{"aud a number", provider.Token(iss, claim("aud", 1), typ), auth.ErrInvalidToken},
		{"an ID token", provider.Token(iss, aud), auth.ErrInvalidToken},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			_, err := verify(t, strict(), c.token)
			assert.ErrorIs(t, err, c.want)
		})
	}
	_, err := verify(t, &auth.JWT{Keys: auth.HMAC(secret)}, cases[0].token)
	assert.NoError(t, err, "where nothing is configured, nothing is compared")
}

func TestLeewayAndNoExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewHMACProvider(secret)
		token := provider.Token(authtest.ExpiresIn(10 * time.Second))
		strict, lenient := provider.JWT(), &auth.JWT{Keys: auth.HMAC(secret), Leeway: time.Minute, CacheSize: -1}

		time.Sleep(10 * time.Second)
		_, err := verify(t, strict, token)
		require.ErrorIs(t, err, auth.ErrExpired, "exp itself is too late (RFC 7519, section 4.1.4)")
		time.Sleep(time.Minute - time.Nanosecond)
		_, err = verify(t, lenient, token)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = verify(t, lenient, token)
		require.ErrorIs(t, err, auth.ErrExpired)

		forever := &auth.JWT{Keys: auth.HMAC(secret), AllowNoExpiry: true}
		id, err := verify(t, forever, provider.Token(authtest.Without("exp")))
		require.NoError(t, err)
		require.True(t, id.Expires.IsZero())
		_, err = verify(t, forever, provider.Token(authtest.Claim("exp", 0)))
		require.ErrorIs(t, err, auth.ErrInvalidToken, "an exp that is there counts")
	})
}

func TestWrongFieldsHonourNoToken(t *testing.T) {
	j := &auth.JWT{
		Methods: []string{"none", "HS256", "hs256"}, Leeway: time.Hour, MaxLength: -1, DefaultRole: "therapist",
	}
	err := j.Validate()
	require.Error(t, err)
	for _, part := range []string{"JWT.Keys", `"none"`, `"hs256"`, "1h0m0s", "MaxLength", "view_patient_progress"} {
		assert.ErrorContains(t, err, part)
	}
	j.Keys = auth.HMAC(secret)
	_, err = verify(t, j, authtest.NewHMACProvider(secret).Token())
	assert.ErrorIs(t, err, auth.ErrUnavailable)

	assert.ErrorContains(t, (&auth.JWT{Keys: auth.HMAC(nil)}).Validate(), "no secret")
	assert.ErrorContains(t, (&auth.JWT{Keys: auth.HMAC(secret), DefaultRole: "a\nb"}).Validate(), "DefaultRole")
	assert.ErrorContains(t, (&auth.JWT{Keys: &auth.JWKS{URL: "http://id.example/keys"}}).Validate(), "https")
	assert.NoError(t, (&auth.JWT{Keys: auth.HMAC(secret), DefaultRole: "guest"}).Validate())
}

func TestGrantsOfOnesOwn(t *testing.T) {
	provider := authtest.NewHMACProvider(secret)
	table := auth.Grants()
	table["guide"] = []string{"lead"}
	j := &auth.JWT{Keys: auth.HMAC(secret), Grants: table, DefaultRole: "guide"}
	id, err := verify(t, j, provider.Token(authtest.Refreshed()))
	require.NoError(t, err)
	assert.Equal(t, []string{"guide"}, id.Roles)
	assert.Equal(t, []string{"lead"}, id.Permissions)
	table["guide"][0] = "everything"
	id, err = verify(t, j, provider.Token(authtest.Refreshed(), authtest.Subject("another")))
	require.NoError(t, err)
	assert.Equal(t, []string{"lead"}, id.Permissions, "the table was copied")
}

func TestAuthenticate(t *testing.T) {
	provider := authtest.NewProvider()
	j := provider.JWT()
	r := httptest.NewRequest(http.MethodGet, "/?token="+provider.Token(), nil)
	id, err := j.Authenticate(r)
	require.NoError(t, err)
	assert.False(t, id.Known(), "a token in the query is none")

	r.Header.Set("Authorization", "bEARER "+provider.Token())
	id, err = j.Authenticate(r)
	require.NoError(t, err)
	assert.Equal(t, "player-1", id.Subject)
}

// sign signs exactly these texts with the secret.
func sign(header, claims string) string {
	text := b64(header) + "." + b64(claims)
	sig, err := jwt.SigningMethodHS256.Sign(text, secret)
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// loosen sets bits of the last character that carry nothing: another spelling of the same signature.
func loosen(t *testing.T, token string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	loose := token[:len(token)-1] + string(alphabet[last+1])
	a, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[2])
	require.NoError(t, err)
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(loose, ".")[2])
	require.NoError(t, err)
	require.Equal(t, a, b)
	return loose
}

func FuzzVerify(f *testing.F) {
	provider := authtest.NewHMACProvider(secret)
	f.Add(provider.Token())
	f.Add(provider.Token(authtest.None()))
	f.Add("a.b.c")
	f.Add(sign(`{"alg":"HS256","crit":[]}`, `{"sub":"a"}`))
	j := provider.JWT()
	f.Fuzz(func(t *testing.T, token string) {
		id, err := j.Verify(context.Background(), token)
		if err != nil {
			require.ErrorIs(t, err, auth.ErrInvalidToken)
			require.False(t, id.Known())
		}
	})
}

// FuzzClaims signs whatever claims come: nothing may panic, and who comes out has a usable name.
func FuzzClaims(f *testing.F) {
	f.Add(`{"sub":"a","exp":9999999999}`)
	f.Add(`{"sub":"a","exp":9999999999,"roles":["x"],"permissions":[null],"amr":[{}]}`)
	f.Add(`{"sub":{},"exp":[]}`)
	j := &auth.JWT{Keys: auth.HMAC(secret), CacheSize: -1}
	f.Fuzz(func(t *testing.T, claims string) {
		id, err := j.Verify(context.Background(), sign(`{"alg":"HS256"}`, claims))
		if err != nil {
			require.ErrorIs(t, err, auth.ErrInvalidToken)
			return
		}
		require.NotEmpty(t, id.Subject)
		require.NotContains(t, id.Subject+id.Player+id.Session, "\n")
		require.NotEmpty(t, id.Roles)
	})
}
