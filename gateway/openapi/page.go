package openapi

import (
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("docs").Parse(pageSource))

// Page shows the document at specPath (a path on the same host) to a person.
// The page is whole in itself: it loads the document and nothing else, from
// nowhere else, and its Content-Security-Policy says so.
func Page(specPath string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_ = page.Execute(w, specPath) // the reader left
	})
}
