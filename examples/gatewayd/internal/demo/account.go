package demo

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Account is one person who can log in.
type Account struct {
	ID       string
	Username string
	Email    string
	Password string
	Role     string // player, therapist, admin, researcher or moderator
}

// Five wrong passwords within half an hour lock the name until that half hour is over.
const (
	lockAfter  = 5
	lockWindow = 30 * time.Minute
)

// user is an account as it is kept: of the password only a keyed digest, whose key ends with the
// process, as does the store.
type user struct {
	Account
	digest []byte
	failed []time.Time
}

// login is one live login session.
type login struct {
	id, player string
	began      time.Time
}

type securityEvent struct {
	Type      string `json:"event_type"`
	User      string `json:"user_id"`
	Timestamp string `json:"timestamp"`
	Severity  string `json:"severity"`
}

func someAccounts() []Account {
	return []Account{
		{ID: "demo-player-001", Username: "mira", Email: "mira@example.org", Password: somePassword(), Role: "player"},
		{ID: "demo-therapist-001", Username: "tomas", Email: "tomas@example.org", Password: somePassword(), Role: "therapist"},
		{ID: "demo-admin-001", Username: "ada", Email: "ada@example.org", Password: somePassword(), Role: "admin"},
	}
}

func somePassword() string { return "Lantern-" + strings.ToLower(rand.Text()[:10]) }

// newID is a random UUID (RFC 9562, version 4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (w *World) digest(password string) []byte {
	mac := hmac.New(sha256.New, w.pepper)
	mac.Write([]byte(password))
	return mac.Sum(nil)
}

func (w *World) addUser(a Account) {
	digest := w.digest(a.Password)
	a.Password = ""
	w.users.put(strings.ToLower(a.Username), &user{Account: a, digest: digest})
}

// authenticate is nil for an unknown name, a wrong password and a locked name alike. The caller holds w.mu.
func (w *World) authenticate(name, password string) *user {
	u := w.users.get(strings.ToLower(name))
	digest := w.digest(password)
	if u == nil {
		return nil
	}
	u.failed = since(u.failed, time.Now().Add(-lockWindow))
	right := hmac.Equal(u.digest, digest)
	if len(u.failed) >= lockAfter || !right {
		if len(u.failed) < lockAfter {
			u.failed = append(u.failed, time.Now())
		}
		w.noteEvent("login_failed", u.ID, "warning")
		return nil
	}
	u.failed = nil
	return u
}

// openLogin begins a login session and makes the player's profile if this is the first. The caller holds w.mu.
func (w *World) openLogin(a Account) string {
	id := newID()
	w.logins.put(id, &login{id: id, player: a.ID, began: time.Now()})
	if w.players.get(a.ID) == nil {
		w.players.put(a.ID, newPlayer(a.ID, a.Username, a.Email))
	}
	w.noteEvent("login", a.ID, "info")
	return id
}

func (w *World) noteEvent(kind, user, severity string) {
	w.events = append(w.events, securityEvent{kind, user, stamp(time.Now()), severity})
	if len(w.events) > 100 {
		w.events = w.events[len(w.events)-100:]
	}
}

func since(times []time.Time, start time.Time) []time.Time {
	for len(times) > 0 && times[0].Before(start) {
		times = times[1:]
	}
	return times
}

func logIn(i *Instance, r *http.Request, _ caller) (any, error) {
	var in struct {
		Username, Password *string
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Username == nil || in.Password == nil {
		return nil, invalid(missing("username"), missing("password"))
	}
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	u := i.world.authenticate(*in.Username, *in.Password)
	if u == nil {
		return nil, notLive("Invalid username or password")
	}
	return i.world.welcome(u.Account), nil
}

// welcome is the reply to a good login, with the cookie that only the OpenRouter routes read.
func (w *World) welcome(a Account) reply {
	session := w.openLogin(a)
	cookie := &http.Cookie{
		Name: openRouterCookie, Value: session, Path: "/", MaxAge: 86400,
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	return reply{
		status: http.StatusOK,
		header: http.Header{"Set-Cookie": {cookie.String()}},
		body: map[string]any{
			"access_token": w.tokens.login(a, session), "refresh_token": "", "token_type": "bearer",
			"expires_in": int(w.tokens.life.Seconds()), "mfa_required": false, "mfa_challenge": nil,
			"user_info": map[string]any{
				"user_id": a.ID, "username": a.Username, "email": a.Email, "role": a.Role,
				"permissions": permissionsOf(a.Role),
			},
		},
	}
}

type registration struct {
	Username, Email, Password *string
	Role                      string
}

var userName = regexp.MustCompile(`^[A-Za-z0-9_-]{3,50}$`)

// register takes the role that the client asks for, as the real service does: keeping players from
// making themselves administrators is the gateway's part.
func register(i *Instance, r *http.Request, _ caller) (any, error) {
	in := registration{Role: "player"}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if problems := in.problems(); len(problems) > 0 {
		return nil, invalid(problems...)
	}
	if complaint := i.world.enrol(in); complaint != "" {
		return nil, refuse(http.StatusBadRequest, map[string]any{"message": "Registration failed", "errors": []string{complaint}})
	}
	return map[string]any{
		"message": "User registered successfully", "username": *in.Username, "email": *in.Email, "role": in.Role,
	}, nil
}

func (w *World) enrol(in registration) (complaint string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.users.get(strings.ToLower(*in.Username)) != nil:
		return "Username already exists"
	case len(w.users.all(func(u *user) bool { return strings.EqualFold(u.Email, *in.Email) })) > 0:
		return "Email already exists"
	case w.users.full():
		return "The demo has no room for more accounts; start it again"
	}
	w.addUser(Account{ID: newID(), Username: *in.Username, Email: *in.Email, Password: *in.Password, Role: in.Role})
	return ""
}

func (in registration) problems() (found []problem) {
	if in.Username == nil || !userName.MatchString(*in.Username) {
		found = append(found, unfit("username", "3 to 50 letters, digits, hyphens or underscores"))
	}
	if in.Email == nil || !plainAddress(*in.Email) {
		found = append(found, unfit("email", "An email address"))
	}
	if in.Password == nil || !strongPassword(*in.Password) {
		found = append(found, unfit("password", "At least 8 characters with upper case, lower case, a digit and a special character"))
	}
	if !knownRole(in.Role) {
		found = append(found, unfit("role", "A known role"))
	}
	return found
}

func plainAddress(s string) bool {
	address, err := mail.ParseAddress(s)
	return err == nil && address.Address == s && len(s) <= 255
}

func strongPassword(s string) bool {
	var upper, lower, digit, special bool
	for _, c := range s {
		upper = upper || unicode.IsUpper(c)
		lower = lower || unicode.IsLower(c)
		digit = digit || unicode.IsDigit(c)
		special = special || !unicode.IsLetter(c) && !unicode.IsDigit(c)
	}
	return upper && lower && digit && special && len(s) >= 8 && len(s) <= 128
}

func refreshTokens(i *Instance, r *http.Request, _ caller) (any, error) {
	var in struct {
		Token *string `json:"refresh_token"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Token == nil {
		return nil, invalid(missing("refresh_token"))
	}
	who, claims, err := i.world.tokens.read(*in.Token)
	if err != nil || text(claims, "type") != "refresh" {
		return nil, notLive("Invalid refresh token")
	}
	return map[string]any{
		"access_token": i.world.tokens.access(who), "refresh_token": i.world.tokens.refresh(who),
		"token_type": "bearer", "expires_in": int(i.world.tokens.life.Seconds()),
	}, nil
}

// live wraps the routes that want a login token whose login session still lives: a refreshed token
// names none and fails here, as it does at the real service.
func live(next handler) handler {
	return func(i *Instance, r *http.Request, who caller) (any, error) {
		i.world.mu.Lock()
		alive := who.login != "" && i.world.logins.get(who.login) != nil
		i.world.mu.Unlock()
		if !alive || who.username == "" || who.email == "" {
			return nil, notLive("Session not found or expired")
		}
		return next(i, r, who)
	}
}

// permitted wraps the live routes that want a permission.
func permitted(permission string, next handler) handler {
	return live(func(i *Instance, r *http.Request, who caller) (any, error) {
		for _, p := range who.permissions {
			if p == permission {
				return next(i, r, who)
			}
		}
		return nil, refuse(http.StatusForbidden, "Permission required: "+permission)
	})
}

func me(_ *Instance, _ *http.Request, who caller) (any, error) {
	return map[string]any{
		"user_id": who.player, "username": who.username, "email": who.email, "role": who.role,
		"permissions": who.permissions, "mfa_enabled": false, "mfa_verified": false,
		"last_login": nil, "session_id": who.login,
	}, nil
}

func verifyToken(_ *Instance, _ *http.Request, who caller) (any, error) {
	return map[string]any{
		"valid": true, "user_id": who.player, "username": who.username, "role": who.role,
		"permissions": who.permissions, "mfa_verified": false,
	}, nil
}

func myPermissions(_ *Instance, _ *http.Request, who caller) (any, error) {
	return map[string]any{
		"role": who.role, "permissions": who.permissions,
		"is_admin": who.role == "admin", "is_therapist": who.role == "therapist",
	}, nil
}

func listRoles(*Instance, *http.Request, caller) (any, error) { return roles, nil }

func logOut(i *Instance, _ *http.Request, who caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	i.world.logins.remove(who.login)
	return map[string]string{"message": "Successfully logged out"}, nil
}

func logOutEverywhere(i *Instance, _ *http.Request, who caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	for _, l := range i.world.logins.all(func(l *login) bool { return l.player == who.player }) {
		i.world.logins.remove(l.id)
	}
	return map[string]string{"message": "Successfully logged out from all sessions"}, nil
}

func securityEvents(i *Instance, _ *http.Request, _ caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	return append([]securityEvent{}, i.world.events...), nil
}

func securitySessions(i *Instance, _ *http.Request, _ caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	list := []map[string]any{}
	for _, l := range i.world.logins.all(func(*login) bool { return true }) {
		list = append(list, map[string]any{
			"session_id": l.id, "user_id": l.player, "created_at": stamp(l.began), "is_active": true, "mfa_verified": false,
		})
	}
	return list, nil
}

// MFA cannot be completed at the real service either: there is no challenge that could be answered.
func verifyMFA(*Instance, *http.Request, caller) (any, error) {
	return nil, refuse(http.StatusBadRequest, "MFA not set up for this user")
}

const openRouterCookie = "openrouter_session_id"

// openRouterLogin is the login session that the request's cookie names, or nil. The caller holds w.mu.
func (w *World) openRouterLogin(r *http.Request) *login {
	cookie, err := r.Cookie(openRouterCookie)
	if err != nil {
		return nil
	}
	return w.logins.get(cookie.Value)
}

func openRouterStatus(i *Instance, r *http.Request, _ caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	l := i.world.openRouterLogin(r)
	if l == nil {
		return map[string]any{"authenticated": false, "auth_method": nil, "user": nil}, nil
	}
	return map[string]any{"authenticated": true, "auth_method": "standard", "user": map[string]any{"user_id": l.player}}, nil
}

func openRouterUser(i *Instance, r *http.Request, _ caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	l := i.world.openRouterLogin(r)
	if l == nil {
		return nil, refuse(http.StatusUnauthorized, "Not authenticated")
	}
	return map[string]any{"user_id": l.player}, nil
}

func openRouterLogout(*Instance, *http.Request, caller) (any, error) {
	gone := &http.Cookie{Name: openRouterCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	return reply{
		status: http.StatusOK,
		header: http.Header{"Set-Cookie": {gone.String()}},
		body:   map[string]string{"message": "Successfully logged out"},
	}, nil
}

// stamp is a time as the service writes it: UTC, microseconds, no zone.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }
