package safety

import "net/http"

// Wrap is the guard as middleware: next gets every request, annotated, with
// its verdict in the context, and its reply is judged.
//
//	mux.Handle("/api/", guard.With(safety.Rule{Reply: "response"}).Wrap(chat))
//
// A request whose body cannot be read is answered by the ErrorHandler, which
// finds in the [BodyError] what was said until then. On a nil
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
