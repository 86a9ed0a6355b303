package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// stream tells the session's present scene as server-sent events, a sentence at a time, flushed one by one.
func stream(i *Instance, r *http.Request, who caller) (any, error) {
	return ownSession(func(w *World, _ *http.Request, s *session) (any, error) {
		here := s.Tale.look(s.ID)
		return telling{pieces: sentences(here.Text), scene: here.Scene, pace: w.options.Pace}, nil
	})(i, r, who)
}

// telling is a scene on its way out.
type telling struct {
	pieces []string
	scene  string
	pace   time.Duration
}

func (t telling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	for n, piece := range t.pieces {
		if n > 0 && !(fault{delay: t.pace}).wait(r) || event(w, n, "piece", map[string]any{"text": piece, "scene": t.scene}) != nil || out.Flush() != nil {
			return
		}
	}
	_ = event(w, len(t.pieces), "done", map[string]any{"pieces": len(t.pieces)})
}

func event(w http.ResponseWriter, id int, name string, data map[string]any) error {
	encoded, err := json.Marshal(data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", id, name, encoded)
	return err
}

// sentences cuts a text after its full stops, and loses nothing of it.
func sentences(s string) []string { return strings.SplitAfter(s, ". ") }
