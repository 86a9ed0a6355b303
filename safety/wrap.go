package safety

import (
	"errors"
	"net/http"
)

// Wrap is the guard as middleware: next gets every request, annotated, with
// its verdict in the context, and its reply is judged.
//
//	mux.Handle("/api/", guard.With(safety.Rule{Reply: "response"}).Wrap(chat))
//
// A request whose body cannot be read is answered by the ErrorHandler. On a nil
// Guard, Wrap returns next.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	if g == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := g.Open(r, 0)
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		defer p.Close()
		p.Annotate(r.Header)
		next.ServeHTTP(p.Writer(w), r.WithContext(NewContext(r.Context(), p.Verdict())))
	})
}

func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if g.ErrorHandler != nil {
		g.ErrorHandler(w, r, err)
		return
	}
	status := http.StatusBadRequest
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	x := g.exchangeOf(r)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, g.book().reply("unreadable", x.fallback, cmpOr(x.region, regionOf(x.fallback))), status)
}
