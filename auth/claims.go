package auth

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// maxName is the longest name in bytes that a claim may give to a subject, a player, a session or a role.
const maxName = 128

// reader makes an Identity of claims.
type reader struct {
	defaultRole string
	grants      map[string][]string
}

func newReader(j *JWT) reader {
	table := grants
	if j.Grants != nil {
		table = make(map[string][]string, len(j.Grants))
		for role, names := range j.Grants {
			table[role] = slices.Clone(names)
		}
	}
	return reader{cmp.Or(j.DefaultRole, RolePlayer), table}
}

// identity reads verified claims.
func (c reader) identity(claims jwt.MapClaims) (Identity, error) {
	if isRefresh(claims) {
		return Identity{}, invalid("a refresh token, not an access token")
	}
	names, err := readNames(claims)
	if err != nil {
		return Identity{}, err
	}
	roles, granted, err := c.roles(claims)
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		Subject:     names.subject,
		Player:      cmp.Or(names.player, names.subject),
		Session:     names.session,
		Roles:       roles,
		Permissions: granted,
		MFA:         isMFA(claims),
		Expires:     expiry(claims),
		Claims:      Claims(claims),
	}, nil
}

// isRefresh tells whether the token says that it is a refresh token. A type that is no text says nothing we know, and
// is not believed to say "access".
func isRefresh(claims jwt.MapClaims) bool {
	value, ok := claims["type"]
	if !ok || value == nil {
		return false
	}
	kind, isText := value.(string)
	return !isText || strings.Contains(strings.ToLower(kind), "refresh")
}

type names struct{ subject, player, session string }

func readNames(claims jwt.MapClaims) (n names, err error) {
	for name, field := range map[string]*string{"sub": &n.subject, "player_id": &n.player, "session_id": &n.session} {
		if *field, err = text(claims, name); err != nil {
			return n, err
		}
	}
	if n.subject == "" {
		return n, invalid("it has no sub")
	}
	return n, nil
}

// text returns the claim, which must be a name if it is there at all; null and "" are as good as absent.
func text(claims jwt.MapClaims, name string) (string, error) {
	value := claims[name]
	if value == nil || value == "" {
		return "", nil
	}
	s, _ := value.(string)
	if !isName(s) {
		return "", invalid("its %s is not a name", name)
	}
	return s, nil
}

// isName tells whether s may name somebody or something: it will stand in headers, in log lines and in keys. U+FFFD
// is what JSON decoding leaves of broken text, by which different names would become the same.
func isName(s string) bool {
	odd := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, odd) && strings.TrimSpace(s) == s
}

// roles returns the token's roles and what it may do.
func (c reader) roles(claims jwt.MapClaims) (roles, granted []string, err error) {
	if roles, err = readRoles(claims); err != nil {
		return nil, nil, err
	}
	unsaid := len(roles) == 0
	if unsaid {
		roles = []string{c.defaultRole}
	}
	granted = c.granted(roles)
	listed, given, err := list(claims, "permissions")
	switch {
	case err != nil:
		return nil, nil, err
	case given && unsaid: // never more than the default role
		granted = slices.DeleteFunc(listed, func(p string) bool { return !slices.Contains(granted, p) })
	case given:
		granted = listed
	}
	return roles, slices.Clip(granted), nil
}

// granted is what the roles grant together.
func (c reader) granted(roles []string) []string {
	var all []string
	for _, role := range roles {
		for _, p := range c.grants[role] {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// readRoles returns what role and roles say together.
func readRoles(claims jwt.MapClaims) ([]string, error) {
	role, err := text(claims, "role")
	if err != nil {
		return nil, err
	}
	roles, _, err := list(claims, "roles")
	if err != nil {
		return nil, err
	}
	if role != "" && !slices.Contains(roles, role) {
		roles = append([]string{role}, roles...)
	}
	return slices.Clip(roles), nil
}

// list returns the names in a claim that is an array of them, and whether there was such a claim; null is none.
func list(claims jwt.MapClaims, name string) (all []string, given bool, err error) {
	value := claims[name]
	if value == nil {
		return nil, false, nil
	}
	items, ok := value.([]any)
	if !ok {
		return nil, false, invalid("its %s are not a list", name)
	}
	for _, item := range items {
		s, _ := item.(string)
		if !isName(s) {
			return nil, false, invalid("its %s are not names", name)
		}
		all = append(all, s)
	}
	return all, true, nil
}

// isMFA tells whether the issuer says that a second factor was shown.
func isMFA(claims jwt.MapClaims) bool {
	if shown, _ := claims["mfa_verified"].(bool); shown {
		return true
	}
	methods, _ := claims["amr"].([]any)
	return slices.Contains(methods, any("mfa"))
}

func expiry(claims jwt.MapClaims) time.Time {
	seconds, ok := claims["exp"].(float64)
	if !ok {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
