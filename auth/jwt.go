package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What a JWT uses where its fields are zero.
const (
	DefaultMaxLength = 8 << 10 // bytes of a token
	DefaultCacheSize = 10_000  // tokens
	MaxLeeway        = time.Minute
)

// defaultMethods are the algorithms that are honoured unless JWT.Methods says otherwise, as far as the keys can make
// them: with shared secrets HS256 only.
var defaultMethods = []string{"HS256",
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// knownMethods are the algorithms that can be named. "none" is not among them.
var knownMethods = append([]string{"HS384", "HS512"}, defaultMethods...)

// JWT is the [Authenticator] for JSON Web Tokens in the Authorization header. Keys is all it needs. It is used by
// pointer, is safe for simultaneous use, and must neither be copied nor have its fields changed after first use.
//
// These claims are read: sub (required; any text up to 128 bytes), player_id (sub if absent), session_id, role or
// roles, permissions, mfa_verified or "mfa" in amr (RFC 8176), exp (required), nbf; iss and aud if configured. A token
// whose claim type says "refresh" is not honoured: it was made for another purpose. All other claims are handed on
// in [Identity.Claims].
//
// A token's permissions are those it lists, else those its roles grant. A token without a role, as the refresh
// endpoint of the TTA services issues them, has DefaultRole and at most what that grants.
//
// Verified tokens are remembered, by hash, until they expire, the keys change, or five minutes have passed.
type JWT struct {
	// Keys verify signatures. Without Keys, every token is ErrUnavailable.
	Keys Keys
	// Issuer that tokens must name in iss. Empty: any, or none.
	Issuer string
	// Audience that tokens must name in aud, maybe among others. Empty: any, or none.
	Audience string
	// TokenType that the header must name in typ: "at+jwt" keeps ID tokens of an issuer that follows RFC 9068 from
	// being taken for access tokens. Empty: any, or none.
	TokenType string
	// Methods are the algorithms to honour. Empty: HS256 for shared secrets; RS, PS and ES 256 to 512, and EdDSA, for
	// public keys. An algorithm is always bound to the kind of the key (RFC 8725, section 3.1).
	Methods []string
	// Leeway is how far clocks may disagree in exp and nbf: 0 to one minute.
	Leeway time.Duration
	// MaxLength of a token in bytes, looked at before anything is parsed. 0: 8 KiB.
	MaxLength int
	// AllowNoExpiry honours tokens that have no exp. They are valid for ever: use it in tests of old clients only.
	AllowNoExpiry bool
	// DefaultRole of tokens that name none. Empty: "player". It may not grant more than "player" does, as long as
	// Grants is nil; one that grants nothing ("guest") is fine.
	DefaultRole string
	// Grants tells what each role grants, to tokens that list no permissions. Nil: the roles of the TTA services. A
	// role that is not in it grants nothing.
	Grants map[string][]string
	// CacheSize is how many verified tokens are remembered. 0: 10,000, which takes some 20 MB. Negative: none.
	CacheSize int
	// Revocations are asked about every token, remembered or not. Nil: none is revoked. When they fail, the token is
	// ErrUnavailable.
	Revocations Revocations

	once     sync.Once
	verifier *verifier
	invalid  error
}

// Validate tells all that is wrong with the fields, or nil. A JWT with wrong fields honours no token: all are
// ErrUnavailable.
func (j *JWT) Validate() error {
	return errors.Join(j.checkKeys(), j.checkMethods(), j.checkBounds(), j.checkDefaultRole())
}

func (j *JWT) checkKeys() error {
	if j.Keys == nil {
		return errors.New("auth: JWT.Keys is nil; give HMAC(secret), Static(keys) or a *JWKS")
	}
	if keys, ok := j.Keys.(interface{ Validate() error }); ok {
		return keys.Validate()
	}
	return nil
}

func (j *JWT) checkMethods() error {
	var errs []error
	for _, m := range j.Methods {
		if !slices.Contains(knownMethods, m) {
			errs = append(errs, fmt.Errorf("auth: JWT.Methods names %q; there are %s", m, strings.Join(knownMethods, ", ")))
		}
	}
	return errors.Join(errs...)
}

func (j *JWT) checkBounds() error {
	var errs []error
	if j.Leeway < 0 || j.Leeway > MaxLeeway {
		errs = append(errs, fmt.Errorf("auth: JWT.Leeway is %v; give 0 to %v and keep clocks in step", j.Leeway, MaxLeeway))
	}
	if j.MaxLength < 0 {
		errs = append(errs, fmt.Errorf("auth: JWT.MaxLength is %d; give 0 for %d bytes, or more", j.MaxLength, DefaultMaxLength))
	}
	return errors.Join(errs...)
}

func (j *JWT) checkDefaultRole() error {
	if j.DefaultRole != "" && !isName(j.DefaultRole) {
		return fmt.Errorf("auth: JWT.DefaultRole is %q, which no role is called", j.DefaultRole)
	}
	if j.Grants != nil {
		return nil
	}
	for _, p := range grants[j.DefaultRole] {
		if !slices.Contains(grants[RolePlayer], p) {
			return fmt.Errorf("auth: JWT.DefaultRole %q grants %s, which a token that names no role must not have; "+
				"give one that grants no more than %q", j.DefaultRole, p, RolePlayer)
		}
	}
	return nil
}

// Authenticate verifies the bearer token of the request. A request without one is nobody's.
func (j *JWT) Authenticate(r *http.Request) (Identity, error) {
	token, err := Bearer(r)
	if err != nil || token == "" {
		return Identity{}, err
	}
	return j.Verify(r.Context(), token)
}

// Verify tells whose token it is: Authenticate for tokens that came by another way. The context bounds the time spent
// on fetching keys and asking for revocations.
func (j *JWT) Verify(ctx context.Context, token string) (Identity, error) {
	v, err := j.known(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	return v.identity, nil
}

// Revoke puts a valid token on the list of Revocations until it expires: a logout. A token that has expired or is
// revoked already needs nothing; one that is not valid is an error.
func (j *JWT) Revoke(ctx context.Context, token string) error {
	if j.Revocations == nil {
		return fmt.Errorf("%w: JWT.Revocations is nil", ErrUnavailable)
	}
	v, err := j.known(ctx, token)
	switch {
	case errors.Is(err, ErrExpired), errors.Is(err, errRevoked):
		return nil
	case err != nil:
		return err
	}
	until := v.identity.Expires
	if !until.IsZero() {
		until = until.Add(j.Leeway)
	}
	if err := j.Revocations.Revoke(ctx, v.ids[0], until); err != nil {
		return fmt.Errorf("%w: revocations: %w", ErrUnavailable, err)
	}
	return nil
}

var errRevoked = fmt.Errorf("%w: revoked", ErrInvalidToken)

// known looks the token up, or else verifies and remembers it.
func (j *JWT) known(ctx context.Context, token string) (*verified, error) {
	ver, err := j.compiled()
	if err != nil {
		return nil, err
	}
	if err := ver.checkLength(token); err != nil {
		return nil, err
	}
	now := time.Now()
	key, generation := ver.cache.key(token), j.Keys.Generation() // before Find, so that a change in between is noticed
	v := ver.cache.get(key, generation, now)
	if v == nil {
		if v, err = ver.verify(ctx, token, generation, now); err != nil {
			return nil, err
		}
		ver.cache.put(key, v, now)
	}
	return v, j.checkRevoked(ctx, v)
}

func (j *JWT) checkRevoked(ctx context.Context, v *verified) error {
	if j.Revocations == nil {
		return nil
	}
	revoked, err := j.Revocations.Revoked(ctx, v.ids...)
	if err != nil {
		return fmt.Errorf("%w: revocations: %w", ErrUnavailable, err)
	}
	if revoked {
		return errRevoked
	}
	return nil
}

// compiled returns the verifier that the fields describe. It is made once: the fields do not change after first use.
func (j *JWT) compiled() (*verifier, error) {
	j.once.Do(func() {
		if err := j.Validate(); err != nil {
			j.invalid = fmt.Errorf("%w: %w", ErrUnavailable, err)
			return
		}
		j.verifier = newVerifier(j)
	})
	return j.verifier, j.invalid
}

func newVerifier(j *JWT) *verifier {
	methods := defaultMethods
	if len(j.Methods) > 0 {
		methods = slices.Clone(j.Methods)
	}
	return &verifier{
		keys:      j.Keys,
		parser:    jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
		validator: jwt.NewValidator(validation(j)...),
		tokenType: mediaType(j.TokenType),
		maxLength: cmp.Or(j.MaxLength, DefaultMaxLength),
		leeway:    j.Leeway,
		claims:    newReader(j),
		cache:     newCache(cmp.Or(j.CacheSize, DefaultCacheSize)),
	}
}

func validation(j *JWT) []jwt.ParserOption {
	options := []jwt.ParserOption{jwt.WithLeeway(j.Leeway)}
	if !j.AllowNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	if j.Issuer != "" {
		options = append(options, jwt.WithIssuer(j.Issuer))
	}
	if j.Audience != "" {
		options = append(options, jwt.WithAudience(j.Audience))
	}
	return options
}
