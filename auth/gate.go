package auth

import "net/http"

// Gate makes middleware of an [Authenticator] and policies. The zero Gate knows nobody, and its Require refuses
// accordingly. It is safe for simultaneous use; its fields must not be changed after first use.
type Gate struct {
	// Authenticator tells who is asking. Nil knows nobody.
	Authenticator Authenticator
	// Realm is named in challenges; empty means "tta".
	Realm string
	// ErrorHandler answers a refused request; [Status] tells with what. WWW-Authenticate (and Retry-After with a 503)
	// are set on the ResponseWriter before it is called. Nil answers with the status and its name in plain text.
	// The error is for the log: it must not be sent to the client.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// Identify puts the caller's identity into the request's context, where [FromContext] and Require find it. A request
// with a bad credential is refused; one without any passes, as nobody.
func (g *Gate) Identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := g.authenticate(r)
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		// Nobody is put there as well: an identity that an outer gate found by other means is not ours to pass on.
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), id)))
	})
}

// Require lets those requests pass whose identity satisfies the policy. It reads the identity that Identify left in
// the context; without Identify before it, everybody is nobody. A nil policy means [Known].
//
// [Owner] reads path values: Require must then stand inside the router, around the route's handler.
func (g *Gate) Require(p Policy) func(http.Handler) http.Handler {
	if p == nil {
		p = Known
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := p.Check(r, FromContext(r.Context())); err != nil {
				g.refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (g *Gate) authenticate(r *http.Request) (Identity, error) {
	if g.Authenticator == nil {
		return Identity{}, nil
	}
	return g.Authenticator.Authenticate(r)
}

func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if challenge := Challenge(g.Realm, err); challenge != "" {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	status := Status(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if g.ErrorHandler != nil {
		g.ErrorHandler(w, r, err)
		return
	}
	http.Error(w, http.StatusText(status), status)
}
