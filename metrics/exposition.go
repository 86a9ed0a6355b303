package metrics

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers GET and HEAD with everything in the registry, in the text format, OpenMetrics or protobuf, as the scraper asks. A nil
// *Metrics answers 404; one whose registry cannot be read 501, and says what to do ([WithGatherer]).
func (m *Metrics) Handler() http.Handler {
	switch {
	case m == nil:
		return http.NotFoundHandler()
	case m.gatherer == nil:
		return asked(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "metrics: the registry cannot be read here; give New a WithGatherer", http.StatusNotImplemented)
		})
	}
	h := promhttp.HandlerFor(m.gatherer, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		ErrorHandling:       promhttp.ContinueOnError, // one bad collector in a shared registry must not hide the others
		MaxRequestsInFlight: 8,
	})
	return asked(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}

// ByAccept answers with json unless the request's Accept field prefers a format of Prometheus (text/plain, OpenMetrics, protobuf): one
// path then serves people, the TTA front end and scrapers. Where both are wanted as much, a format that is named goes before one that
// only a wildcard covers, and json before text.
func ByAccept(json, text http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if prefersText(r.Header.Values("Accept")) {
			text.ServeHTTP(w, r)
			return
		}
		json.ServeHTTP(w, r)
	})
}

// wish is how much a media type is wanted: its quality, and how exactly it was named (RFC 9110, section 12.5.1).
type wish struct {
	exact   int // 0 not at all, 1 by */*, 2 by type/*, 3 by name
	quality float64
}

func prefersText(accept []string) bool {
	var text, json wish
	for field := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, quality := mediaRange(field)
		switch media {
		case "text/plain", "application/openmetrics-text", "application/vnd.google.protobuf":
			text = text.orRather(wish{3, quality})
		case "application/json":
			json = json.exactly(wish{3, quality})
		case "application/*":
			json = json.exactly(wish{2, quality})
		case "*/*":
			json = json.exactly(wish{1, quality})
		}
	}
	if text.quality != json.quality {
		return text.quality > json.quality
	}
	return text.exact > json.exact
}

// orRather is the stronger of two wishes, for several types of which any will do.
func (w wish) orRather(o wish) wish {
	if o.quality > w.quality {
		return o
	}
	return w
}

// exactly is the more exact of two wishes: it decides about its type, even if it wants it less.
func (w wish) exactly(o wish) wish {
	if o.exact > w.exact {
		return o
	}
	return w
}

// mediaRange is one element of an Accept field: its lower-case type and its quality. A quality that cannot be read counts as 0:
// what is not understood is not preferred.
func mediaRange(field string) (media string, quality float64) {
	media, params, _ := strings.Cut(field, ";")
	quality = 1
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			quality = qvalue(strings.TrimSpace(value))
		}
	}
	return strings.ToLower(strings.TrimSpace(media)), quality
}

func qvalue(s string) float64 {
	q, err := strconv.ParseFloat(s, 64)
	if err != nil || !(q >= 0 && q <= 1) { // NaN, too
		return 0
	}
	return q
}

// asked lets only questions through: GET and HEAD.
func asked(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "metrics: only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	})
}
