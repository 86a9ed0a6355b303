package health

import (
	"encoding/json"
	"net/http"
	"time"
)

// Handler answers GET and HEAD with the [Report] as JSON, always with 200: the question was answered, whatever the answer is; probes
// that act on a status ask [Live] or [Ready]. Callers whom [Monitor.Detail] does not let in get {status, timestamp} only. The answer
// comes from memory and must not be cached.
func (m *Monitor) Handler() http.Handler {
	return asked(func(w http.ResponseWriter, r *http.Request) {
		report := m.Report()
		if m.Detail != nil && m.Detail(r) {
			answer(w, http.StatusOK, report)
			return
		}
		answer(w, http.StatusOK, stateJSON{report.Status, epoch(report.Timestamp)})
	})
}

// Live answers GET and HEAD with {"status":"alive"}: the process serves requests. It looks at nothing else, on purpose: a liveness
// probe that depended on another service would have this one killed for that one's illness.
func Live() http.Handler {
	return asked(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, stateJSON{"alive", epoch(time.Now())})
	})
}

type stateJSON struct {
	Status    string  `json:"status"`
	Timestamp float64 `json:"timestamp"`
}

// asked lets only questions through: GET and HEAD (RFC 9110, section 15.5.6 for the Allow field).
func asked(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			answer(w, http.StatusMethodNotAllowed, refusalJSON{Detail: "Method Not Allowed"})
			return
		}
		h(w, r)
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a time beyond what a float64 writes as JSON; nothing here makes one
		http.Error(w, "health: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the asker has gone: nobody is left to tell
}
