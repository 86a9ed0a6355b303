package auth

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Claims are the claims of a verified token as its JSON says them: strings, float64s, bools, []any, map[string]any.
//
// They are read-only, nested values included: one token's claims are shared by all requests that carry it. Reading is
// safe for simultaneous use. A nil Claims has no claims.
type Claims map[string]any

// Text returns the claim as a string, or "" if there is none or it is of another kind.
func (c Claims) Text(name string) string {
	s, _ := c[name].(string)
	return s
}

// Identity is who is asking. The zero Identity is nobody.
//
// An Identity is a value to be passed around; its slices and Claims are shared and must not be changed.
type Identity struct {
	// Subject names the caller, as the issuer does: a UUID often, but any text up to 128 bytes. Empty means nobody.
	Subject string
	// Player is the player whose data the caller owns. It is Subject unless the token says otherwise.
	Player string
	// Session is the issuer's session, or empty when the credential is not bound to one.
	Session string
	// Roles the caller has. A role that nobody knows may be among them; it grants nothing by itself.
	Roles []string
	// Permissions the caller has, already resolved from its roles.
	Permissions []string
	// MFA tells that the caller has shown a second factor.
	MFA bool
	// Expires is when the credential ceases to be valid; zero means never. Long-lived connections look here.
	Expires time.Time
	// Claims of the token, if the credential was one.
	Claims Claims
}

// Known tells whether this is somebody.
func (id Identity) Known() bool { return id.Subject != "" }

// HasRole tells whether the caller has the role, by exact name. Nobody has no role.
func (id Identity) HasRole(role string) bool {
	return id.Known() && slices.Contains(id.Roles, role)
}

// HasPermission tells whether the caller has the permission, by exact name. Nobody has no permission.
func (id Identity) HasPermission(permission string) bool {
	return id.Known() && slices.Contains(id.Permissions, permission)
}

// String tells the roles and no more: an identity that slips into a log or an error must not name a patient.
func (id Identity) String() string {
	if !id.Known() {
		return "nobody"
	}
	return "somebody(" + strings.Join(id.Roles, ",") + ")"
}

// GoString is String, so that %#v does not tell more either.
func (id Identity) GoString() string { return id.String() }

// LogValue is what a structured log learns of an identity: what String tells, and whether a second factor was shown.
func (id Identity) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Bool("known", id.Known()),
		slog.String("roles", strings.Join(id.Roles, ",")),
		slog.Bool("mfa", id.MFA),
	)
}

// A contextKey has a field because pointers to distinct zero-size variables may be equal.
type contextKey struct{ name string }

// ContextKey is the key of the identity in a context: ctx.Value(ContextKey) is a *Identity, or nil. It is exported for
// contexts that answer Value themselves; others use [NewContext] and [FromContext]. It must not be assigned to.
var ContextKey = &contextKey{"auth identity"}

// NewContext returns a context that carries the identity.
func NewContext(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, ContextKey, &id)
}

// FromContext returns the identity that the context carries, or nobody.
func FromContext(ctx context.Context) Identity {
	if id, _ := ctx.Value(ContextKey).(*Identity); id != nil {
		return *id
	}
	return Identity{}
}
