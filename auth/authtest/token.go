package authtest

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/theinterneti/tta-gateway/auth"
)

// As returns the request with the identity in its context, as [auth.Gate.Identify] would leave it there.
func As(r *http.Request, id auth.Identity) *http.Request {
	return r.WithContext(auth.NewContext(r.Context(), id))
}

// Token returns a token for the identity, signed with HS256 and the secret. It expires when the identity does, or in
// half an hour if that is never. An identity with roles gets the shape of a login token of the TTA services, one
// without the shape of a refreshed one. The options are applied afterwards.
func Token(t testing.TB, secret []byte, id auth.Identity, options ...Option) string {
	t.Helper()
	if len(secret) == 0 {
		t.Fatal("authtest: Token needs a secret")
	}
	return NewHMACProvider(secret).Token(append([]Option{Of(id)}, options...)...)
}

// Lifetime is how long tokens are valid unless an option says otherwise, as at the TTA services.
const Lifetime = 30 * time.Minute

// draft is a token that is yet to be signed.
type draft struct {
	header map[string]any
	claims map[string]any
	key    any // what to sign with; nil: the provider's
	method jwt.SigningMethod
}

// Option makes a token different. Options apply in order; a later one overrides an earlier one.
type Option func(*draft)

// Of makes the token one for the identity: its names, roles, permissions, second factor, expiry, and what else its
// Claims say.
func Of(id auth.Identity) Option {
	return func(d *draft) {
		Refreshed()(d)
		Without("player_id")(d)
		maps.Copy(d.claims, id.Claims)
		d.claims["sub"] = id.Subject
		setText(d.claims, "player_id", id.Player)
		setText(d.claims, "session_id", id.Session)
		setRoles(d.claims, id)
		if !id.Expires.IsZero() {
			d.claims["exp"] = id.Expires.Unix()
		}
	}
}

func setText(claims map[string]any, name, value string) {
	if value != "" {
		claims[name] = value
	}
}

func setRoles(claims map[string]any, id auth.Identity) {
	switch len(id.Roles) {
	case 0:
	case 1:
		claims["role"] = id.Roles[0]
	default:
		claims["roles"] = id.Roles
	}
	if id.Permissions != nil {
		claims["permissions"] = id.Permissions
	}
	if id.MFA || len(id.Roles) > 0 {
		claims["mfa_verified"] = id.MFA
	}
}

// Subject sets sub, and player_id with it.
func Subject(subject string) Option {
	return func(d *draft) { d.claims["sub"], d.claims["player_id"] = subject, subject }
}

// Login gives the token the shape of those that the TTA services issue at login: with a role, what it grants there,
// and a session.
func Login(role string) Option {
	return func(d *draft) {
		d.claims["role"] = role
		d.claims["permissions"] = auth.Grants()[role]
		d.claims["session_id"] = "5f0c1f4e-4bb2-4f4c-9d1c-7e1f6a0f9b11"
		d.claims["mfa_verified"] = false
	}
}

// Refreshed gives the token the shape of those that the TTA services issue at a refresh: no role, no permissions, no
// session.
func Refreshed() Option {
	return Without("role", "permissions", "session_id", "mfa_verified")
}

// Refresh makes it a refresh token, which is no access token.
func Refresh() Option {
	return func(d *draft) {
		Refreshed()(d)
		d.claims["type"] = "refresh"
		d.claims["exp"] = time.Now().Add(7 * 24 * time.Hour).Unix()
	}
}

// Expired makes it a token that expired a minute and a half ago: beyond any leeway.
func Expired() Option { return ExpiresIn(-90 * time.Second) }

// ExpiresIn sets exp to so much from now.
func ExpiresIn(d time.Duration) Option {
	return Claim("exp", time.Now().Add(d).Unix())
}

// Claim sets a claim.
func Claim(name string, value any) Option {
	return func(d *draft) { d.claims[name] = value }
}

// Without leaves claims out.
func Without(names ...string) Option {
	return func(d *draft) {
		for _, name := range names {
			delete(d.claims, name)
		}
	}
}

// Header sets a parameter of the token's header; nil leaves it out.
func Header(name string, value any) Option {
	return func(d *draft) {
		d.header[name] = value
		if value == nil {
			delete(d.header, name)
		}
	}
}

// None leaves the token unsigned, with the algorithm "none".
func None() Option {
	return func(d *draft) { d.method, d.key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType }
}

// SignedWith signs with another key and algorithm than the provider's: []byte for HS256 and so on, as
// golang-jwt's signing methods want it.
func SignedWith(algorithm string, key any) Option {
	return func(d *draft) { d.method, d.key = jwt.GetSigningMethod(algorithm), key }
}
