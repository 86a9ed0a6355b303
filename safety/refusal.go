package safety

import (
	"errors"
	"maps"
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

const problemType = "application/problem+json"

// owes reports whether a person whom the service refuses with this status must
// find help in the body of the refusal.
func (p *Passage) owes(status int) bool { return status >= 400 && p.shown() != nil }

// carries reports whether the reply has a place for help: it is a JSON object,
// has the string that [Rule.Reply] names, or is a text.
func (c *composer) carries() bool {
	switch {
	case c.cut || c.question.kind == empty || c.question.kind == binaryData:
		return false
	case c.question.kind != jsonText:
		return c.isPlain()
	}
	j := jsonEditor{doc: c.doc}
	_, _, isObject := j.members()
	return isObject || len(j.strings(c.passage.guard.plan.reply, true)) > 0
}

// anew is a problem document (RFC 9457) for the place of an error that carries no
// help. Its message is in the member that TTA's front end shows, and in the
// standard's.
func (c *composer) anew() []byte {
	sentence, harmful := c.harmful()
	if !harmful {
		sentence = c.passage.exchange.sentence("failed")
	}
	h := c.passage.shown()
	text, title := paragraphs(h.String(), sentence), cmpOr(http.StatusText(c.status), "Error")
	members := map[string]any{
		"title": title, "error": title, "status": c.status, "code": "upstream_error",
		"message": text, "detail": text, "safety": h.mark(),
	}
	maps.Copy(members, h.Members())
	return jsonOf(members)
}
