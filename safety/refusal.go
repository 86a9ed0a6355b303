package safety

import (
	"errors"
	"net/http"
)

// BodyError is the error of [Guard.Open]: a request's body could not be read to
// its end. What had arrived by then was judged, and what follows from that has
// happened: the level is raised, the event recorded, a human told. All that is
// left to do is to give the person who is refused the help that is due to them.
type BodyError struct {
	Err     error    // what reading the body returned, for example an [http.MaxBytesError]
	Verdict Verdict  // on what had arrived
	Level   Severity // of the conversation, after it; at least the Verdict's severity
	Help    *Help    // to be given with the refusal, nil if none is due
}

// Error says what reading the body returned.
func (e *BodyError) Error() string { return "safety: read the body: " + e.Err.Error() }

// Unwrap returns what reading the body returned.
func (e *BodyError) Unwrap() error { return e.Err }

// refuse answers a request whose body could not be read.
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
	text := x.sentence("unreadable")
	if broken := (*BodyError)(nil); errors.As(err, &broken) && broken.Help != nil {
		broken.Help.SetHeaders(w.Header())
		if g.shows(broken.Help) {
			text = paragraphs(broken.Help.String(), text)
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}
