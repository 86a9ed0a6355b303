package auth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The classes of refusal. Every error of this package wraps one of them; authenticators and policies of your own
// should do so as well, with detail for the log: the detail never reaches the client through this package.
var (
	// ErrMalformed: the credential is not one, or there are several. Status 400, invalid_request.
	ErrMalformed = errors.New("auth: malformed credential")
	// ErrInvalidToken: the credential is well formed and not valid. Status 401, invalid_token.
	ErrInvalidToken = errors.New("auth: invalid token")
	// ErrExpired is the ErrInvalidToken of a token that was valid once: the client may refresh it.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalidToken)
	// ErrUnauthenticated: nobody asks where somebody must. Status 401 with a bare challenge.
	ErrUnauthenticated = errors.New("auth: authentication required")
	// ErrForbidden: we know who asks, and they may not. Status 403.
	ErrForbidden = errors.New("auth: forbidden")
	// ErrMFARequired is the ErrForbidden of a caller who may, once a second factor has been shown. Status 403.
	ErrMFARequired = fmt.Errorf("%w: second factor required", ErrForbidden)
	// ErrUnavailable: keys or revocations cannot be reached, or the authenticator is misconfigured, so that nothing can
	// be said about the credential. Status 503: telling a client that its good token is bad would log people out.
	ErrUnavailable = errors.New("auth: verification unavailable")
)

// ScopeError is the ErrForbidden that names the permissions which would have sufficed together.
type ScopeError struct {
	Scopes []string
}

func (e *ScopeError) Error() string {
	return ErrForbidden.Error() + ": needs " + strings.Join(e.Scopes, " ")
}

// Unwrap makes a ScopeError an [ErrForbidden].
func (e *ScopeError) Unwrap() error { return ErrForbidden }

// Status is the HTTP status for an error of an [Authenticator] or a [Policy]: 200 for nil, 500 for an error that
// belongs to none of the classes. Where several classes apply, not knowing (503) comes before knowing better.
func Status(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrMalformed):
		return http.StatusBadRequest
	case errors.Is(err, ErrInvalidToken), errors.Is(err, ErrUnauthenticated):
		return http.StatusUnauthorized
	case errors.Is(err, ErrForbidden):
		return http.StatusForbidden
	}
	return http.StatusInternalServerError
}

// Challenge is the value of WWW-Authenticate that belongs to the error, or "" when none is due. An empty realm is
// "tta". Where no credential was sent the challenge is bare (RFC 6750, section 3.1: no error code then); otherwise it
// carries an error code and a fixed sentence that tells an attacker nothing.
func Challenge(realm string, err error) string {
	var b strings.Builder
	switch Status(err) {
	case http.StatusBadRequest:
		challenge(&b, realm, "invalid_request", "The request carries a malformed credential, or more than one")
	case http.StatusUnauthorized:
		unauthorized(&b, realm, err)
	case http.StatusForbidden:
		forbidden(&b, realm, err)
	}
	return b.String()
}

func unauthorized(b *strings.Builder, realm string, err error) {
	switch {
	case errors.Is(err, ErrExpired):
		challenge(b, realm, "invalid_token", "The access token expired")
	case errors.Is(err, ErrInvalidToken):
		challenge(b, realm, "invalid_token", "The access token is not valid")
	default:
		challenge(b, realm, "", "")
	}
}

func forbidden(b *strings.Builder, realm string, err error) {
	if errors.Is(err, ErrMFARequired) {
		// RFC 9470, section 3: the client is to come back with a stronger authentication.
		challenge(b, realm, "insufficient_user_authentication", "A second factor is required")
		return
	}
	challenge(b, realm, "insufficient_scope", "The access token does not grant this")
	var scope *ScopeError
	if errors.As(err, &scope) {
		parameter(b, ", scope", strings.Join(scope.Scopes, " "))
	}
}

// challenge writes the scheme and its parameters. There is always a realm: RFC 6750, section 3, wants one parameter
// at least.
func challenge(b *strings.Builder, realm, code, description string) {
	if realm == "" {
		realm = "tta"
	}
	parameter(b, "Bearer realm", realm)
	if code != "" {
		parameter(b, ", error", code)
		parameter(b, ", error_description", description)
	}
}

// parameter writes name="value" as a quoted-string (RFC 9110, section 5.6.4) of printable ASCII.
func parameter(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteString(`="`)
	for i := range len(value) {
		switch c := value[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= ' ' && c < 0x7f:
			b.WriteByte(c)
		default:
			b.WriteByte('?')
		}
	}
	b.WriteByte('"')
}
