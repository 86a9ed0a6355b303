package demo

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	defaultLife = 30 * time.Minute // of access tokens
	refreshLife = 7 * 24 * time.Hour
)

// caller is what a token says of the one who bears it. The zero caller is nobody.
type caller struct {
	player, username, email, role, login string
	permissions                          []string
}

// AccessToken returns a fresh login token of the account: subject, player, name, address, role,
// permissions, login session, MFA flag and expiry, Options.Lifetime ahead. The login is live, as after POST
// /api/v1/auth/login.
func (w *World) AccessToken(a Account) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tokens.login(a, w.openLogin(a))
}

// RefreshToken returns a token that POST /api/v1/auth/refresh takes, good for 7 days. The real
// service's login hands out none; this is how to come by the first.
func (w *World) RefreshToken(a Account) string { return w.tokens.refresh(callerOf(a)) }

func callerOf(a Account) caller { return caller{player: a.ID, username: a.Username, email: a.Email} }

// tokens mints and reads the two shapes in circulation: that of a login, with role, permissions and
// session, and that of a refresh, with none of them.
type tokens struct {
	secret []byte
	life   time.Duration // of access tokens
}

func (t tokens) login(a Account, session string) string {
	return t.sign(jwt.MapClaims{
		"sub": a.ID, "player_id": a.ID, "username": a.Username, "email": a.Email, "role": a.Role,
		"permissions": permissionsOf(a.Role), "session_id": session, "mfa_verified": false,
		"exp": time.Now().Add(t.life).Unix(),
	})
}

func (t tokens) access(who caller) string {
	return t.sign(t.brief(who, t.life))
}

func (t tokens) refresh(who caller) string {
	claims := t.brief(who, refreshLife)
	claims["type"] = "refresh"
	return t.sign(claims)
}

func (tokens) brief(who caller, life time.Duration) jwt.MapClaims {
	return jwt.MapClaims{
		"sub": who.player, "player_id": who.player, "username": nullable(who.username), "email": nullable(who.email),
		"exp": time.Now().Add(life).Unix(),
	}
}

// sign cannot fail: the key is bytes and every claim is plain.
func (t tokens) sign(claims jwt.MapClaims) string {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(t.secret)
	if err != nil {
		panic(fmt.Sprintf("demo: signing a token: %v", err))
	}
	return signed
}

// read verifies a token as the real service does: the signature, the expiry if there is one, and that
// somebody is named. A refresh token passes too, as it does there.
func (t tokens) read(token string) (caller, jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	if _, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return t.secret, nil }); err != nil {
		return caller{}, nil, err
	}
	who := caller{
		player: text(claims, "player_id"), username: text(claims, "username"), email: text(claims, "email"),
		role: text(claims, "role"), login: text(claims, "session_id"), permissions: texts(claims["permissions"]),
	}
	if who.player == "" {
		who.player = text(claims, "sub")
	}
	if who.player == "" {
		return caller{}, nil, errors.New("demo: a token that names nobody")
	}
	return who, claims, nil
}

// bearer is the token of the Authorization header, and whether there was such a header and whether it was well formed.
func bearer(r *http.Request) (token string, present, wellFormed bool) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", false, false
	}
	scheme, token, ok := strings.Cut(header, " ")
	return token, true, ok && strings.EqualFold(scheme, "Bearer")
}

func text(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	return s
}

func texts(v any) []string {
	list, _ := v.([]any)
	found := []string{}
	for _, item := range list {
		if s, ok := item.(string); ok {
			found = append(found, s)
		}
	}
	return found
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
