package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
)

// The names of our own middleware, for [Route].With.
const (
	playerRegistration = "player_registration"
	logout             = "logout"
)

var middlewareNames = []string{logout, playerRegistration}

// middleware makes what the names stand for. The zero middleware is for
// looking at a table only.
type middleware struct {
	jwt *auth.JWT
}

func (m middleware) named(names []string) []gateway.Middleware {
	var out []gateway.Middleware
	for _, name := range names {
		switch name {
		case playerRegistration:
			out = append(out, PlayerRegistration)
		case logout:
			out = append(out, m.logout)
		}
	}
	return out
}

// PlayerRegistration keeps clients from choosing their own role when they
// register: the player-experience service believes whatever role it is sent.
// A registration that asks for another role than "player" is refused with 403,
// unless an administrator sends it; one that cannot be read for certain is
// refused with 400, because the service might read it differently.
func PlayerRegistration(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			gateway.Refuse(w, r, unreadable(err), err)
			return
		}
		switch err := registersPlayer(body); {
		case err == nil || errors.Is(err, errRole) && auth.FromContext(r.Context()).HasRole(auth.RoleAdmin):
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
		case errors.Is(err, errRole):
			gateway.Refuse(w, r, "forbidden", err)
		default:
			gateway.Refuse(w, r, "malformed_body", err)
		}
	})
}

// unreadable is the code of the problem with a body.
func unreadable(err error) string {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return "body_too_large"
	}
	return "malformed_body"
}

var (
	errRole         = errors.New("config: a registration asks for a role other than player")
	errRegistration = errors.New("config: a registration is not one JSON object in UTF-8")
)

// registersPlayer reads a registration as strictly as no service does: each
// "role" counts, however it is escaped or cased and however many there are.
func registersPlayer(body []byte) error {
	if !utf8.Valid(body) {
		return errRegistration
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errRegistration
	}
	var role error
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errRegistration
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return errRegistration
		}
		if key, _ := name.(string); strings.EqualFold(key, "role") && value != auth.RolePlayer && value != nil {
			role = errRole
		}
	}
	if _, err := d.Token(); err != nil {
		return errRegistration
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errRegistration
	}
	return role
}

// logout revokes the caller's token once the service has said that the logout
// went well: the services' own tokens stay valid otherwise.
func (m middleware) logout(next http.Handler) http.Handler {
	if m.jwt == nil || m.jwt.Revocations == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := auth.Bearer(r)
		watched := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(watched, r)
		if token != "" && watched.status >= 200 && watched.status < 300 && r.Method == http.MethodPost {
			_ = m.jwt.Revoke(context.WithoutCancel(r.Context()), token) // it was let in: what fails is Redis, which health tells
		}
	})
}

// statusWriter notes the status that passes.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
