package auth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Authenticator tells who sent a request.
//
//   - A request without a credential of the kind that the Authenticator reads: the zero [Identity] and nil.
//   - A good credential: an Identity that is Known, and nil.
//   - A bad one: an error of [ErrMalformed], [ErrInvalidToken] or [ErrUnavailable].
//
// Implementations must be safe for simultaneous use, must not change the request, and must not read its body.
type Authenticator interface {
	Authenticate(*http.Request) (Identity, error)
}

// AuthenticatorFunc makes an [Authenticator] of a function.
type AuthenticatorFunc func(*http.Request) (Identity, error)

// Authenticate calls the function.
func (f AuthenticatorFunc) Authenticate(r *http.Request) (Identity, error) { return f(r) }

// First asks one authenticator after the other and takes the first who knows the caller: for two issuers, or for
// tokens beside API keys. An error of one does not keep the next from being asked, but when nobody knows the caller
// the error stands: a bad credential is never taken for none. Of several errors, [ErrUnavailable] comes first (who
// cannot be asked might have known), then the earliest. Nil authenticators are passed over; First() knows nobody.
func First(all ...Authenticator) Authenticator {
	return AuthenticatorFunc(func(r *http.Request) (Identity, error) { return first(all, r) })
}

func first(all []Authenticator, r *http.Request) (Identity, error) {
	var refusal error
	for _, a := range all {
		if a == nil {
			continue
		}
		id, err := a.Authenticate(r)
		if err == nil && id.Known() {
			return id, nil
		}
		refusal = worse(refusal, err)
	}
	return Identity{}, refusal
}

// worse returns the error that a caller should hear of when both occurred: the first, unless the second alone says
// that something could not be decided.
func worse(first, second error) error {
	if first == nil || errors.Is(second, ErrUnavailable) && !errors.Is(first, ErrUnavailable) {
		return second
	}
	return first
}

// Bearer returns the token of "Authorization: Bearer <token>" (RFC 6750, section 2.1); the scheme may be written in
// any case. It returns "" and nil when the request has no such header, or one of another scheme, and [ErrMalformed]
// when there are several Authorization headers, no token behind the scheme, or one with characters that no token has.
// Tokens in the query or in a form are never looked at: they end in logs.
func Bearer(r *http.Request) (token string, err error) {
	lines := r.Header["Authorization"]
	switch len(lines) {
	case 0:
		return "", nil
	case 1:
		return bearer(lines[0])
	}
	return "", fmt.Errorf("%w: %d Authorization headers", ErrMalformed, len(lines))
}

func bearer(line string) (string, error) {
	scheme, rest, _ := strings.Cut(strings.Trim(line, " \t"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	token := strings.TrimLeft(rest, " ") // RFC 9110, section 11.4: 1*SP
	if token == "" {
		return "", fmt.Errorf("%w: no token after Bearer", ErrMalformed)
	}
	if !isToken68(token) {
		return "", fmt.Errorf("%w: not a bearer token", ErrMalformed)
	}
	return token, nil
}

// isToken68 tells whether s is a token68 (RFC 9110, section 11.2), which RFC 6750 calls b64token.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && isAll(s, token68)
}

// alphabet is a set of bytes. A look into it is several times faster than comparisons, and every request's token is
// looked at.
type alphabet [256]bool

func newAlphabet(members string) *alphabet {
	a := new(alphabet)
	for i := range len(members) {
		a[members[i]] = true
	}
	return a
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

var (
	base64URL = newAlphabet(letters)
	token68   = newAlphabet(letters + ".~+/")
	wordBytes = newAlphabet(letters + ".:/@*") // of names in policies
)

func isAll(s string, a *alphabet) bool {
	for i := range len(s) {
		if !a[s[i]] {
			return false
		}
	}
	return true
}
