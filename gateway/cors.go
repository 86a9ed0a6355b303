package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"
)

// exposed are the fields of our answers that a page's script may read.
var exposed = []string{
	"X-Request-ID", "X-Correlation-ID", "Retry-After", "RateLimit", "RateLimit-Policy",
	"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
	"X-Crisis-Support", "X-Crisis-Hotline", "Content-Disposition", "Link",
}

// newCORS compiles the policy, nil if there is none. Preflights are answered
// before routing and authentication, because they carry no credentials
// (Fetch standard, section 3.2.2).
func newCORS(c CORS) *cors.Cors {
	if len(c.Origins) == 0 {
		return nil
	}
	age := c.MaxAge
	if age == 0 {
		age = 10 * time.Minute
	}
	return cors.New(cors.Options{
		AllowedOrigins:       c.Origins,
		AllowedMethods:       forwardedMethods,
		AllowedHeaders:       []string{"*"},
		ExposedHeaders:       exposed,
		AllowCredentials:     true,
		MaxAge:               int(age.Seconds()),
		OptionsSuccessStatus: http.StatusNoContent,
	})
}

// isPreflight reports a CORS preflight (Fetch standard, section 3.2.2).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Origin"] != nil && r.Header["Access-Control-Request-Method"] != nil
}

// corsField reports whether a response field belongs to CORS; a service's own
// are dropped where the gateway speaks for it, or a browser would see two.
func corsField(name string) bool { return strings.HasPrefix(name, "Access-Control-") }

// originMayConnect decides over a WebSocket handshake's Origin (RFC 6455
// section 10.2): none at all (no browser), the host that was asked for, or one
// that was named.
func originMayConnect(r *http.Request, scheme string, named []string) bool {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	origin := values[0]
	if slices.Contains(named, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) && u.Scheme == scheme
}
