package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Keys are what tokens are verified with.
//
// Find returns the keys that may have made a signature with the algorithm, for a token whose header names kid ("" if
// it names none): []byte for HS…, *rsa.PublicKey for RS… and PS…, *ecdsa.PublicKey for ES…, ed25519.PublicKey for
// EdDSA. The kid comes from an unverified token: it is a name to be compared, and nothing else. When no key fits, the
// error wraps [ErrInvalidToken]; when that cannot be known now, [ErrUnavailable].
//
// Generation changes whenever a key that Find once returned may no longer be good. [JWT] forgets what it verified in
// earlier generations.
//
// Implementations must be safe for simultaneous use.
type Keys interface {
	Find(ctx context.Context, alg, kid string) ([]any, error)
	Generation() uint64
}

// MinSecret is the shortest secret in bytes that HS256 deserves (RFC 7518, section 3.2).
const MinSecret = 32

// minRSA is the shortest RSA modulus in bits (RFC 7518, section 3.3).
const minRSA = 2048

// HMAC are shared secrets: the current one, and older ones that are still honoured while tokens signed with them are
// about. Empty secrets are left out; without any, every token is ErrUnavailable. HMAC does not judge a secret's
// strength: see [WeakSecret].
func HMAC(secret []byte, older ...[]byte) Keys {
	var all secrets
	for _, s := range append([][]byte{secret}, older...) {
		if len(s) > 0 {
			all = append(all, bytes.Clone(s))
		}
	}
	return all
}

// secrets holds each secret as []byte in an any, as the verifier wants it.
type secrets []any

func (s secrets) Find(_ context.Context, alg, _ string) ([]any, error) {
	if len(s) == 0 {
		return nil, fmt.Errorf("%w: no secret is configured", ErrUnavailable)
	}
	if !strings.HasPrefix(alg, "HS") {
		return nil, errNoKey
	}
	return s, nil
}

func (s secrets) Generation() uint64 { return 0 }

// Validate is for JWT.Validate: a forgotten secret is to be heard of at start, not at the first token.
func (s secrets) Validate() error {
	if len(s) == 0 {
		return errors.New("auth: HMAC has no secret; give one of 32 random bytes or more")
	}
	return nil
}

// String keeps the secrets out of logs.
func (s secrets) String() string { return fmt.Sprintf("HMAC(%d secrets)", len(s)) }

// GoString keeps the secrets out of logs.
func (s secrets) GoString() string { return s.String() }

var errNoKey = fmt.Errorf("%w: no key for it", ErrInvalidToken)

// Static are public keys by the kid of their tokens. The key under "" serves tokens with a kid that no other key has;
// a token without a kid is tried with every key that fits its algorithm. All complaints come at once: an empty table,
// a private key, an RSA key below 2048 bits, a curve other than P-256, P-384 and P-521.
func Static(keys map[string]crypto.PublicKey) (Keys, error) {
	var errs []error
	if len(keys) == 0 {
		errs = append(errs, errors.New("auth: no public keys are given; a Static without keys verifies nothing"))
	}
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		if err := checkPublic(keys[kid]); err != nil {
			errs = append(errs, fmt.Errorf("auth: key %q: %w", kid, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return static(maps.Clone(keys)), nil
}

type static map[string]crypto.PublicKey

func (s static) Find(_ context.Context, alg, kid string) ([]any, error) {
	if kid == "" {
		return oneOf(alg, slices.Collect(maps.Values(s)))
	}
	key, ok := s[kid]
	if !ok {
		key = s[""]
	}
	if key == nil || !fits(alg, key) {
		return nil, errNoKey
	}
	return []any{key}, nil
}

func (s static) Generation() uint64 { return 0 }

// maxTries is how many keys an unnamed signature is tried with. Each try costs a public key operation, which anybody
// could make us do.
const maxTries = 4

// oneOf returns those of the keys that fit the algorithm, for a token that does not say which.
func oneOf(alg string, keys []crypto.PublicKey) ([]any, error) {
	var fitting []any
	for _, key := range keys {
		if fits(alg, key) {
			fitting = append(fitting, key)
		}
	}
	switch {
	case len(fitting) == 0:
		return nil, errNoKey
	case len(fitting) > maxTries:
		return nil, fmt.Errorf("%w: it names no key, and %d could be meant", ErrInvalidToken, len(fitting))
	}
	return fitting, nil
}

// PEM reads public keys and certificates (of which only the key counts: neither validity nor chain is looked at), as
// they stand in a file: every block is a key. The kid of a token does not matter, so that there may be 4 keys at most;
// for more, name them with [Static]. Else the same complaints.
func PEM(data []byte) (Keys, error) {
	keys := make(map[string]crypto.PublicKey)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("auth: PEM block %d: %w", len(keys)+1, err)
		}
		keys[fmt.Sprintf("block %d", len(keys)+1)] = key
	}
	if len(keys) > maxTries {
		return nil, fmt.Errorf("auth: %d keys without names; give %d at most, or name them with Static", len(keys), maxTries)
	}
	checked, err := Static(keys)
	if err != nil {
		return nil, err
	}
	return anonymous{checked}, nil
}

// anonymous are keys whose names do not matter.
type anonymous struct{ Keys }

func (a anonymous) Find(ctx context.Context, alg, _ string) ([]any, error) {
	return a.Keys.Find(ctx, alg, "")
}

func publicKey(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, fmt.Errorf("%q is no public key; give PUBLIC KEY or CERTIFICATE blocks", block.Type)
}

// checkPublic tells whether a key is one that tokens may be verified with.
func checkPublic(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return checkRSA(k)
	case *ecdsa.PublicKey:
		return checkEC(k)
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("an Ed25519 key of %d bytes; it has %d", len(k), ed25519.PublicKeySize)
		}
		return nil
	case crypto.Signer:
		return fmt.Errorf("%T is a private key; give its public half", key)
	}
	return fmt.Errorf("%T is no public key for tokens; give RSA, ECDSA or Ed25519", key)
}

func checkRSA(k *rsa.PublicKey) error {
	if k == nil || k.N == nil {
		return errors.New("an RSA key without a modulus")
	}
	if bits := k.N.BitLen(); bits < minRSA {
		return fmt.Errorf("an RSA key of %d bits; give one of %d or more", bits, minRSA)
	}
	return nil
}

func checkEC(k *ecdsa.PublicKey) error {
	if k == nil || k.Curve == nil || curves[k.Curve.Params().BitSize] == "" {
		return errors.New("an ECDSA key on an unknown curve; give P-256, P-384 or P-521")
	}
	return nil
}

// curves are the algorithms of the curves, by size (RFC 7518, section 3.4).
var curves = map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}

// fits tells whether the key may have signed with the algorithm. It is what keeps a public key from being taken for
// an HMAC secret (RFC 8725, section 3.1).
func fits(alg string, key any) bool {
	switch k := key.(type) {
	case []byte:
		return strings.HasPrefix(alg, "HS") && len(k) > 0
	case *rsa.PublicKey:
		return (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")) && checkRSA(k) == nil
	case *ecdsa.PublicKey:
		return checkEC(k) == nil && curves[k.Curve.Params().BitSize] == alg
	case ed25519.PublicKey:
		return alg == "EdDSA" && len(k) == ed25519.PublicKeySize
	}
	return false
}

// Rotating is a set of Keys that can be exchanged for another while requests are served: on reload, for example. The
// zero Rotating has no keys, and every token is ErrUnavailable. It must not be copied after first use.
type Rotating struct {
	current atomic.Pointer[rotation]
}

type rotation struct {
	keys  Keys
	count uint64
}

// NewRotating returns a Rotating that begins with the keys.
func NewRotating(keys Keys) *Rotating {
	r := new(Rotating)
	r.Set(keys)
	return r
}

// Set exchanges the keys; nil takes them away. Tokens verified with the earlier ones are verified anew, so that older
// secrets which are to be honoured for a while must be among the new keys.
func (r *Rotating) Set(keys Keys) {
	for {
		old := r.current.Load()
		next := &rotation{keys: keys, count: 1}
		if old != nil {
			next.count = old.count + 1
		}
		if r.current.CompareAndSwap(old, next) {
			return
		}
	}
}

// Validate tells what is wrong with the current keys, as far as they can tell.
func (r *Rotating) Validate() error {
	now := r.current.Load()
	if now == nil {
		return nil
	}
	if keys, ok := now.keys.(interface{ Validate() error }); ok {
		return keys.Validate()
	}
	return nil
}

// Find asks the current keys.
func (r *Rotating) Find(ctx context.Context, alg, kid string) ([]any, error) {
	now := r.current.Load()
	if now == nil || now.keys == nil {
		return nil, fmt.Errorf("%w: no keys are configured", ErrUnavailable)
	}
	return now.keys.Find(ctx, alg, kid)
}

// Generation changes with Set, and with the generation of the current keys.
func (r *Rotating) Generation() uint64 {
	now := r.current.Load()
	if now == nil {
		return 0
	}
	if now.keys == nil {
		return now.count << 32
	}
	return now.count<<32 + now.keys.Generation()
}
