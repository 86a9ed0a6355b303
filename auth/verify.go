package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// verifier is a JWT's fields, compiled.
type verifier struct {
	keys      Keys
	parser    *jwt.Parser
	validator *jwt.Validator
	tokenType string
	maxLength int
	leeway    time.Duration
	claims    reader
	cache     *cache
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidToken, fmt.Sprintf(format, args...))
}

// checkLength comes before everything else: even a hash of the token costs.
func (v *verifier) checkLength(token string) error {
	if len(token) > v.maxLength {
		return invalid("longer than %d bytes", v.maxLength)
	}
	return nil
}

// checkShape looks at the bytes before anything is parsed: three segments of base64url, none of them empty. It refuses
// the line breaks that Go's base64 decoder would pass over, so that a token has one spelling.
func checkShape(token string) error {
	header, rest, _ := strings.Cut(token, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	for _, segment := range []string{header, claims, signature} {
		if segment == "" || !isAll(segment, base64URL) {
			return invalid("not a JSON Web Token")
		}
	}
	return nil
}

// verify does it all, without the cache.
func (v *verifier) verify(ctx context.Context, token string, generation uint64, now time.Time) (*verified, error) {
	if err := checkShape(token); err != nil {
		return nil, err
	}
	parsed, err := v.parse(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := checkUnique(parsed); err != nil {
		return nil, err
	}
	id, err := v.claims.identity(parsed.Claims.(jwt.MapClaims))
	if err != nil {
		return nil, err
	}
	return &verified{id, revocationIDs(token, id), generation, v.until(id, now)}, nil
}

// until is how long the token may be remembered.
func (v *verifier) until(id Identity, now time.Time) time.Time {
	until := now.Add(maxCached)
	if end := id.Expires.Add(v.leeway); !id.Expires.IsZero() && end.Before(until) {
		return end
	}
	return until
}

func revocationIDs(token string, id Identity) []string {
	ids := []string{TokenID(token), SubjectID(id.Subject)}
	if id.Session != "" {
		ids = append(ids, SessionID(id.Session))
	}
	return ids
}

// parse verifies header, claims and signature. The claims are looked at before a key is asked for: a token that would
// be refused anyhow must not make us fetch keys.
func (v *verifier) parse(ctx context.Context, token string) (*jwt.Token, error) {
	var refusal error
	parsed, err := v.parser.ParseWithClaims(token, jwt.MapClaims{}, func(t *jwt.Token) (any, error) {
		var set jwt.VerificationKeySet
		set, refusal = v.keySet(ctx, t)
		return set, refusal
	})
	switch {
	case refusal != nil:
		return nil, refusal
	case err != nil || !parsed.Valid:
		return nil, unparsed(err)
	}
	return parsed, nil
}

// unparsed tells the class of the parser's error in our words: its own quote the token.
func unparsed(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return invalid("not a JSON Web Token")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return invalid("its signature or algorithm is not accepted")
	}
	return invalid("its algorithm is unknown")
}

func (v *verifier) keySet(ctx context.Context, t *jwt.Token) (jwt.VerificationKeySet, error) {
	kid, err := v.checkHeader(t.Header)
	if err != nil {
		return jwt.VerificationKeySet{}, err
	}
	if err := v.checkClaims(t.Claims.(jwt.MapClaims)); err != nil {
		return jwt.VerificationKeySet{}, err
	}
	return v.find(ctx, t.Method.Alg(), kid)
}

// maxKeyID is the longest kid in bytes that is looked up.
const maxKeyID = 256

// checkHeader refuses what we would have to understand (RFC 7515, section 4.1.11: crit) and returns the kid. Headers
// that bring or point to a key (jwk, jku, x5c, x5u) are not looked at: a token does not choose who vouches for it.
func (v *verifier) checkHeader(header map[string]any) (kid string, err error) {
	if _, critical := header["crit"]; critical {
		return "", invalid("it has critical extensions")
	}
	typ, _ := header["typ"].(string)
	if v.tokenType != "" && mediaType(typ) != v.tokenType {
		return "", invalid("it is not of type %s", v.tokenType)
	}
	value, named := header["kid"]
	if kid, _ = value.(string); named && (kid == "" || len(kid) > maxKeyID) {
		return "", invalid("its kid is not a name")
	}
	return kid, nil
}

// mediaType is the type without the "application/" that RFC 7515, section 4.1.9, allows to leave out.
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// maxDate is the end of the year 9999. Larger dates wrap around in Go's arithmetic, and the far future comes out past.
const maxDate = 253402300799

// checkClaims checks time, issuer and audience.
func (v *verifier) checkClaims(claims jwt.MapClaims) error {
	for _, name := range []string{"exp", "nbf", "iat"} {
		value, ok := claims[name]
		if date, _ := value.(float64); ok && !(date > 0 && date <= maxDate) {
			return invalid("its %s is no date", name)
		}
	}
	err := v.validator.Validate(claims)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return invalid("not valid yet")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return invalid("from another issuer")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return invalid("for another audience")
	}
	return invalid("it lacks a required claim, or one is of the wrong kind")
}

// find asks for keys, and drops those that the algorithm must not be used with, whoever made the Keys.
func (v *verifier) find(ctx context.Context, alg, kid string) (set jwt.VerificationKeySet, err error) {
	keys, err := v.keys.Find(ctx, alg, kid)
	if err != nil {
		return set, classified(err)
	}
	for _, key := range keys {
		if fits(alg, key) {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 {
		return set, errNoKey
	}
	return set, nil
}

// classified gives an error of somebody's Keys a class, if it has none.
func classified(err error) error {
	if errors.Is(err, ErrInvalidToken) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: keys: %w", ErrUnavailable, err)
}

// checkUnique refuses tokens in which a header parameter or a claim occurs twice, or that are not UTF-8: two readers
// of such a token might see different things (RFC 7519, section 4). The token has been parsed and verified.
func checkUnique(t *jwt.Token) error {
	header, rest, _ := strings.Cut(t.Raw, ".")
	claims, _, _ := strings.Cut(rest, ".")
	if !isUnique(header, len(t.Header)) || !isUnique(claims, len(t.Claims.(jwt.MapClaims))) {
		return invalid("it can be read in two ways")
	}
	return nil
}

// isUnique tells whether the segment has as many members as were read from it.
func isUnique(segment string, read int) bool {
	object, err := base64.RawURLEncoding.DecodeString(segment)
	return err == nil && utf8.Valid(object) && members(object) == read
}

// members counts the members of a JSON object, which must be well formed: the colons on its own level.
func members(object []byte) (n int) {
	depth, quoted := 0, false
	for i := 0; i < len(object); i++ {
		switch c := object[i]; {
		case quoted && c == '\\':
			i++ // what is escaped does not end the string
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		case c == ':' && depth == 1:
			n++
		}
	}
	return n
}
