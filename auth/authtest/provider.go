package authtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/theinterneti/tta-gateway/auth"
)

// JWKSURL is where a Provider's key set is found by its own client, and nowhere else.
const JWKSURL = "https://identity.test/.well-known/jwks.json"

// Provider is an identity provider. It is an http.Handler that serves its public keys, and an http.RoundTripper that
// asks that handler without a network. It is safe for simultaneous use.
type Provider struct {
	make func() (jwt.SigningMethod, any)

	mu       sync.Mutex
	keys     []signingKey // the current one is last
	made     int
	fetches  int
	failing  error
	hang     chan struct{}
	rotating *auth.Rotating // of a provider with secrets
}

type signingKey struct {
	id     string
	method jwt.SigningMethod
	key    any
}

// NewProvider returns a provider that signs with HS256 and random secrets.
func NewProvider() *Provider { return NewHMACProvider(randomSecret()) }

// NewHMACProvider returns a provider that signs with HS256 and the secret; once rotated, with random ones.
func NewHMACProvider(secret []byte) *Provider {
	next := bytes.Clone(secret)
	p := newProvider(func() (jwt.SigningMethod, any) {
		key := next
		next = randomSecret()
		return jwt.SigningMethodHS256, key
	})
	p.rotating = auth.NewRotating(p.secrets())
	return p
}

// NewECProvider returns a provider that signs with ES256.
func NewECProvider() *Provider {
	return newProvider(func() (jwt.SigningMethod, any) {
		return jwt.SigningMethodES256, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	})
}

// NewRSAProvider returns a provider that signs with RS256. Its keys take a while to make.
func NewRSAProvider() *Provider {
	return newProvider(func() (jwt.SigningMethod, any) {
		return jwt.SigningMethodRS256, must(rsa.GenerateKey(rand.Reader, 2048))
	})
}

// NewEd25519Provider returns a provider that signs with EdDSA.
func NewEd25519Provider() *Provider {
	return newProvider(func() (jwt.SigningMethod, any) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return jwt.SigningMethodEdDSA, must(key, err)
	})
}

func newProvider(build func() (jwt.SigningMethod, any)) *Provider {
	p := &Provider{make: build}
	p.add()
	return p
}

func randomSecret() []byte {
	secret := make([]byte, 48)
	_, _ = rand.Read(secret) // never fails, as its documentation says
	return secret
}

// must panics on errors of key generation, of which there are none.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Errorf("authtest: %w", err))
	}
	return v
}

// Rotate makes a new key and signs with it from now on. Earlier keys remain good until Retire.
func (p *Provider) Rotate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add()
	p.spread()
}

// Retire withdraws all keys but the current one.
func (p *Provider) Retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = p.keys[len(p.keys)-1:]
	p.spread()
}

// add makes a key. mu must be held, or p not yet shared.
func (p *Provider) add() {
	method, key := p.make()
	p.made++
	p.keys = append(p.keys, signingKey{fmt.Sprintf("key-%d", p.made), method, key})
}

// spread tells verifiers of secrets, who cannot fetch them. mu must be held.
func (p *Provider) spread() {
	if p.rotating != nil {
		p.rotating.Set(p.secrets())
	}
}

// secrets are the current secret and the older ones. mu must be held, or p not yet shared.
func (p *Provider) secrets() auth.Keys {
	var all [][]byte
	for _, k := range slices.Backward(p.keys) {
		all = append(all, k.key.([]byte))
	}
	return auth.HMAC(all[0], all[1:]...)
}

// Secret is the current secret, of a provider that has one; nil otherwise.
func (p *Provider) Secret() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	secret, _ := p.keys[len(p.keys)-1].key.([]byte)
	return bytes.Clone(secret)
}

// Keys returns what verifies this provider's tokens: secrets that follow Rotate and Retire at once, or an [auth.JWKS]
// that fetches the public keys by this provider's Client, with no Cooldown to speak of: a token that names a new key is
// accepted at once.
func (p *Provider) Keys() auth.Keys {
	if p.rotating != nil {
		return p.rotating
	}
	return &auth.JWKS{URL: JWKSURL, Client: p.Client(), Cooldown: time.Nanosecond}
}

// JWT returns an authenticator for this provider's tokens, to be changed before its first use.
func (p *Provider) JWT() *auth.JWT { return &auth.JWT{Keys: p.Keys()} }

// Token returns a token, signed with the current key. Without options it is one for the player "player-1" in the shape
// of a login token of the TTA services, valid for half an hour.
func (p *Provider) Token(options ...Option) string {
	d := p.draft()
	for _, option := range options {
		option(d)
	}
	d.header["alg"] = overridden(d.header["alg"], d.method.Alg())
	token := &jwt.Token{Header: d.header, Claims: jwt.MapClaims(d.claims), Method: d.method}
	return must(token.SignedString(d.key))
}

func (p *Provider) draft() *draft {
	p.mu.Lock()
	defer p.mu.Unlock()
	current := p.keys[len(p.keys)-1]
	d := &draft{header: map[string]any{"typ": "JWT"}, claims: map[string]any{}, key: current.key, method: current.method}
	if p.rotating == nil { // tokens of the TTA services name no key
		d.header["kid"] = current.id
	}
	d.claims["username"], d.claims["email"] = "somebody", "somebody@example.org"
	d.claims["exp"] = time.Now().Add(Lifetime).Unix()
	Subject("player-1")(d)
	Login(auth.RolePlayer)(d)
	return d
}

// overridden is the algorithm that the header claims: the one that signs, unless an option said otherwise.
func overridden(claimed any, actual string) any {
	if claimed != nil {
		return claimed
	}
	return actual
}

// ServeHTTP serves the public keys as a JSON Web Key Set (RFC 7517), at any path.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": p.public()}) // the client is gone, or it is not
}

// public are the public keys. A provider with secrets has none to publish.
func (p *Provider) public() []map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := []map[string]string{}
	for _, k := range p.keys {
		if signer, ok := k.key.(crypto.Signer); ok {
			jwk := map[string]string{"kid": k.id, "alg": k.method.Alg(), "use": "sig"}
			maps.Copy(jwk, parameters(signer.Public()))
			set = append(set, jwk)
		}
	}
	return set
}

// parameters are a key's own (RFC 7518, section 6; RFC 8037, section 2).
func parameters(key crypto.PublicKey) map[string]string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(k.Bytes())[1:] // uncompressed: 0x04, x, y
		half := len(point) / 2
		return map[string]string{"kty": "EC", "crv": k.Curve.Params().Name,
			"x": encode(point[:half]), "y": encode(point[half:])}
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(k)}
	}
	panic(fmt.Errorf("authtest: %T cannot be published", key))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// PublicKey is the public half of the current key; nil for a provider with secrets.
func (p *Provider) PublicKey() crypto.PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	if signer, ok := p.keys[len(p.keys)-1].key.(crypto.Signer); ok {
		return signer.Public()
	}
	return nil
}

// Client returns a client whose requests, wherever they go, this provider answers.
func (p *Provider) Client() *http.Client { return &http.Client{Transport: p} }

// RoundTrip answers the request by ServeHTTP, or as Fail and Hang say.
func (p *Provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.fetches++
	failing, hang := p.failing, p.hang
	p.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if failing != nil {
		return nil, failing
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

// Fetches is how often the keys have been asked for by the Client.
func (p *Provider) Fetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// Fail makes the Client's requests fail, until Recover.
func (p *Provider) Fail() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = errors.New("authtest: the provider is down")
}

// Hang makes the Client's requests wait, until Recover or until they give up.
func (p *Provider) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hang == nil {
		p.hang = make(chan struct{})
	}
}

// Recover ends Fail and Hang.
func (p *Provider) Recover() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = nil
	if p.hang != nil {
		close(p.hang)
		p.hang = nil
	}
}
