package safety

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
)

//go:embed page.html
var pageFile embed.FS

var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(pageFile, "page.html"))
})

// page is what the help page shows.
type page struct {
	Help    Help
	Title   string
	Other   string // "Contacts in other places"
	Regions []pageRegion
	Entries []pageEntry
}

type pageRegion struct{ Code, Name string }

// regionNames are what people call where they live. A region of a host's own
// book that is not here is shown by its code.
var regionNames = map[string]string{
	"AT": "Österreich", "AU": "Australia", "BE": "België / Belgique", "BR": "Brasil", "CA": "Canada",
	"CH": "Schweiz / Suisse / Svizzera", "DE": "Deutschland", "ES": "España", "FR": "France", "GB": "United Kingdom",
	"IE": "Ireland", "IN": "India", "IT": "Italia", "JP": "日本", "KR": "대한민국", "MX": "México", "NL": "Nederland",
	"NZ": "New Zealand", "PT": "Portugal", "US": "United States", "ZA": "South Africa",
}

func regionsOf(codes []string) []pageRegion {
	out := make([]pageRegion, len(codes))
	for i, code := range codes {
		out[i] = pageRegion{code, cmpOr(regionNames[code], code)}
	}
	return out
}

type pageEntry struct {
	Resource
	Dial, Text template.URL
}

// pagePolicy lets the page have its own style, and nothing else.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// HelpPage is the standing help page: a short text and where to turn, as
// accessible HTML without scripts and without anything from elsewhere, or as
// JSON (see [Help.Members]) for who accepts that rather. It needs nothing to
// work: no service, no Inspector, no Guard. The query parameter "region" chooses
// a region of the book; otherwise it is the guard's and the browser's.
func HelpPage(g *Guard) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		h := g.pageHelp(r)
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Vary", "Accept, Accept-Language")
		header.Set("Content-Language", h.Language)
		h.SetHeaders(header)
		if wantsJSON(r.Header["Accept"]) {
			header.Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(h.Members())
			return
		}
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Security-Policy", pagePolicy)
		_ = pageTemplate().Execute(w, pageOf(g.book(), h))
	})
}

// pageHelp is Help for the region that the query names, if the book has it.
func (g *Guard) pageHelp(r *http.Request) Help {
	region := strings.ToUpper(r.URL.Query().Get("region"))
	if slices.Contains(g.book().Regions(), region) {
		return g.book().Help(acceptLanguage(r), region, None)
	}
	return g.Help(r, None)
}

func pageOf(b *Book, h Help) page {
	p := page{Help: h, Title: h.words["page_title"], Other: h.words["page_regions"], Regions: regionsOf(b.Regions())}
	for _, r := range h.Resources {
		p.Entries = append(p.Entries, pageEntry{
			Resource: r,
			// #nosec: of our own data files, and made of digits and hyphens
			Dial: template.URL(dial("tel:", r.Phone)), Text: template.URL(dial("sms:", r.SMS)),
		})
	}
	return p
}

// wantsJSON reports whether JSON is accepted rather than HTML: it is named,
// and HTML is not.
func wantsJSON(accept []string) bool {
	all := strings.ToLower(strings.Join(accept, ","))
	return strings.Contains(all, "json") && !strings.Contains(all, "text/html")
}
