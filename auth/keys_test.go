package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

func TestHMACHonoursOlderSecrets(t *testing.T) {
	older, oldest := []byte("older-0123456789abcdef0123456789"), []byte("oldest-0123456789abcdef012345678")
	j := &auth.JWT{Keys: auth.HMAC(secret, nil, older, []byte{}, oldest)}
	for _, s := range [][]byte{secret, older, oldest} {
		_, err := verify(t, j, authtest.NewHMACProvider(s).Token())
		assert.NoError(t, err)
	}
	_, err := verify(t, j, authtest.NewHMACProvider([]byte("another")).Token())
	assert.ErrorIs(t, err, auth.ErrInvalidToken)
}

func TestHMACOtherHashesOnlyOnDemand(t *testing.T) {
	token := authtest.NewHMACProvider(secret).Token(authtest.SignedWith("HS512", secret))
	_, err := verify(t, &auth.JWT{Keys: auth.HMAC(secret)}, token)
	assert.ErrorIs(t, err, auth.ErrInvalidToken)
	_, err = verify(t, &auth.JWT{Keys: auth.HMAC(secret), Methods: []string{"HS512"}}, token)
	assert.NoError(t, err)
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	keys := auth.HMAC(secret)
	assert.Equal(t, "HMAC(1 secrets) HMAC(1 secrets) HMAC(1 secrets)", fmt.Sprintf("%v %+v %#v", keys, keys, keys))
}

func TestHMACCopiesItsSecret(t *testing.T) {
	mine := []byte("0123456789abcdef0123456789ABCDEF")
	keys := auth.HMAC(mine)
	clear(mine)
	_, err := verify(t, &auth.JWT{Keys: keys}, authtest.NewHMACProvider(secret).Token())
	assert.NoError(t, err)
}

func TestStatic(t *testing.T) {
	ec, ed := authtest.NewECProvider(), authtest.NewEd25519Provider()
	keys, err := auth.Static(map[string]crypto.PublicKey{"key-1": ec.PublicKey(), "": ed.PublicKey()})
	require.NoError(t, err)
	j := &auth.JWT{Keys: keys}
	kid := authtest.Header
	cases := []struct {
		desc  string
		token string
		want  error
	}{
		{"the key it names", ec.Token(), nil},
		{"no name: whichever fits", ec.Token(kid("kid", nil)), nil},
		{"no name, the other kind", ed.Token(kid("kid", nil)), nil},
		{"an unknown name: the nameless key", ed.Token(kid("kid", "other")), nil},
		{"an unknown name, and the nameless key is of another kind", ec.Token(kid("kid", "other")), auth.ErrInvalidToken},
		{"a name that is another's", ed.Token(), auth.ErrInvalidToken},
		{"a secret", authtest.NewProvider().Token(), auth.ErrInvalidToken},
		{"another of the kind", authtest.NewECProvider().Token(), auth.ErrInvalidToken},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			_, err := verify(t, j, c.token)
			assert.ErrorIs(t, err, c.want)
		})
	}
}

func TestStaticRefusesWeakKeys(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)

	_, err = auth.Static(map[string]crypto.PublicKey{
		"weak": &weak.PublicKey, "small": &small.PublicKey, "private": private, "secret": []byte("x"), "nil": nil,
		"hollow": (*rsa.PublicKey)(nil), "short": ed25519.PublicKey("x"),
	})
	require.Error(t, err)
	for _, part := range []string{`key "weak": an RSA key of 1024 bits`, `key "small": an ECDSA key on an unknown curve`,
		`key "private"`, "private key; give its public half", `key "secret": []uint8`, `key "nil"`,
		`key "hollow"`, `key "short"`} {
		assert.ErrorContains(t, err, part)
	}
	_, err = auth.Static(nil)
	assert.ErrorContains(t, err, "no public keys")
}

// The curve belongs to the algorithm: ES256 on P-384 is not a thing.
func TestECAlgorithmsAreBoundToTheirCurves(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	keys, err := auth.Static(map[string]crypto.PublicKey{"": &key.PublicKey})
	require.NoError(t, err)
	for alg, want := range map[string]bool{"ES256": false, "ES384": true, "ES512": false, "RS256": false, "HS256": false} {
		_, err := keys.Find(context.Background(), alg, "")
		assert.Equal(t, want, err == nil, alg)
	}
}

func TestPEM(t *testing.T) {
	ec, ed := authtest.NewECProvider(), authtest.NewEd25519Provider()
	certified, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	data := append(block(t, ec.PublicKey()), block(t, ed.PublicKey())...)
	data = append(data, certificate(t, certified)...)
	keys, err := auth.PEM(data)
	require.NoError(t, err)

	j := &auth.JWT{Keys: keys}
	for _, token := range []string{ec.Token(), ed.Token(), ec.Token(authtest.SignedWith("ES256", certified))} {
		_, err := verify(t, j, token)
		assert.NoError(t, err)
	}

	_, err = auth.PEM([]byte("no key"))
	assert.ErrorContains(t, err, "no public keys")
	_, err = auth.PEM(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	assert.ErrorContains(t, err, `PEM block 1: "PRIVATE KEY" is no public key`)
	_, err = auth.PEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	assert.ErrorContains(t, err, "PEM block 1")
	for range 2 {
		data = append(data, data...)
	}
	_, err = auth.PEM(data)
	assert.ErrorContains(t, err, "12 keys without names")
}

func block(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func certificate(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "id"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestRotating(t *testing.T) {
	var keys auth.Rotating
	j := &auth.JWT{Keys: &keys}
	token := authtest.NewHMACProvider(secret).Token()

	_, err := verify(t, j, token)
	require.ErrorIs(t, err, auth.ErrUnavailable, "no keys yet")
	keys.Set(auth.HMAC(secret))
	_, err = verify(t, j, token)
	require.NoError(t, err)
	keys.Set(nil)
	_, err = verify(t, j, token)
	require.ErrorIs(t, err, auth.ErrUnavailable, "taken away")
	require.NoError(t, keys.Validate())
	keys.Set(auth.HMAC(nil))
	require.Error(t, keys.Validate())
}

func TestWeakSecret(t *testing.T) {
	cases := []struct {
		secret string
		reason string // "" if it is not weak
	}{
		{"", "0 bytes"},
		{"short", "5 bytes"},
		{"0123456789abcdef0123456789abcde", "31 bytes"},
		{"0123456789abcdef0123456789abcdef", ""},
		{"your-secret-key-change-in-production", "placeholder"},
		{"YOUR-SECRET-KEY-change-in-production\n", "placeholder"},
		{"homelab_jwt_secret_key_minimum_32_chars", "placeholder"},
		{"CHANGE_ME_SECURE_JWT_SECRET_MINIMUM_64_CHARACTERS_LONG", "placeholder"},
		{"please-changeme-before-you-go-to-production", "placeholder"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1 different bytes"},
		{"passwordpasswordpasswordpassword", "7 different bytes"},
		{"kR9vX2mQ7pL4wZ8nB3tY6sD1fH5jG0cA", ""},
	}
	for _, c := range cases {
		t.Run(c.secret, func(t *testing.T) {
			err := auth.WeakSecret([]byte(c.secret))
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, auth.ErrWeakSecret)
			assert.ErrorContains(t, err, c.reason)
			if len(c.secret) > 0 {
				assert.NotContains(t, err.Error(), c.secret)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	assert.Len(t, auth.Permissions(), 21)
	table := auth.Grants()
	assert.Len(t, table, 5)
	assert.Len(t, table[auth.RolePlayer], 6)
	assert.Len(t, table[auth.RoleAdmin], 21)
	for role, names := range table {
		assert.Subset(t, auth.Permissions(), names, role)
	}
	table[auth.RolePlayer][0] = "manage_users"
	assert.NotContains(t, auth.Grants()[auth.RolePlayer], "manage_users", "it is a copy")
}
