package demo

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed page.html chat.js chat.css
var pageFiles embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFiles, "page.html"))

// ChatPage is one small page that logs in and chats over /ws/chat of the same origin: no framework, no
// CDN, its script and style beside it, so that a strict Content-Security-Policy may stand. It is made to
// be mounted at /demo/: GET /demo/, /demo/chat.js and /demo/chat.css. The accounts are offered on the
// page, passwords included, so whoever can open it can log in: mount it in a demo only.
func ChatPage(accounts ...Account) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo/{$}", func(w http.ResponseWriter, _ *http.Request) { showPage(w, accounts) })
	mux.HandleFunc("GET /demo/{file}", func(w http.ResponseWriter, r *http.Request) { showFile(w, r, r.PathValue("file")) })
	return mux
}

func showPage(w http.ResponseWriter, accounts []Account) {
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, accounts); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	_, _ = w.Write(page.Bytes())
}

func showFile(w http.ResponseWriter, r *http.Request, name string) {
	switch name {
	case "chat.js", "chat.css":
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, pageFiles, name)
	default:
		http.NotFound(w, r)
	}
}
