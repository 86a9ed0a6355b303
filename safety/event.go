package safety

import (
	"context"
	"time"
)

// Event is one line of the audit trail: who, when, where, what was found and
// what was done. It holds no text of a message or reply, ever: rules and
// categories stand for it.
//
// Session and Subject are the host's own identifiers, for an [Escalator] has
// to know whom it is about. What stores events should store pseudonyms, as
// safety/audit does.
type Event struct {
	ID        string    `json:"id"`   // unique; an idempotency key for whoever receives it more than once
	Time      time.Time `json:"time"` // UTC
	Kind      string    `json:"kind"` // one of the Kind… constants
	Direction Direction `json:"direction"`
	Transport string    `json:"transport"` // "http" or "websocket"
	Route     string    `json:"route,omitempty"`
	Session   string    `json:"session,omitempty"`
	Subject   string    `json:"subject,omitempty"`

	Severity   Severity   `json:"severity"`
	Level      Severity   `json:"level"` // of the conversation, after this message
	Categories []Category `json:"categories,omitempty"`
	Rules      []string   `json:"rules,omitempty"` // the findings' rules, without repetition
	Score      float64    `json:"score,omitempty"`
	Language   string     `json:"language,omitempty"`
	Model      string     `json:"model,omitempty"`
	Skipped    string     `json:"skipped,omitempty"`

	Actions []string `json:"actions,omitempty"` // what was done: "help", "replace", "hold", "footer", "raise", "escalate"
	Message string   `json:"message,omitempty"` // language and version of the help text that was shown
	Related string   `json:"related,omitempty"` // the ID of the event that this one is about
	Outcome string   `json:"outcome,omitempty"` // of an escalation: "acknowledged", "failed", "dropped"
}

// The kinds of events.
const (
	KindVerdict    = "verdict"    // something was found
	KindUnknown    = "unknown"    // a verdict was due and could not be had, or only on a part
	KindEscalation = "escalation" // what became of telling a human
)

// Auditor keeps events. Record must be safe for simultaneous use and must not
// keep the event's slices. A [Guard] calls it from its own background worker,
// one event after the other in the order in which they happened, with a context
// that has the request's values and not its end, and in it, for [FromContext], the
// verdict on what the person said. An error is counted as an [Observation] with
// Action "audit failed".
type Auditor interface {
	Record(context.Context, Event) error
}

// AuditorFunc is a function that is an [Auditor].
type AuditorFunc func(context.Context, Event) error

// Record calls f.
func (f AuditorFunc) Record(ctx context.Context, e Event) error { return f(ctx, e) }

// Observation tells what was looked at, what was not and why, and what was
// done. It is for metrics: it holds no text and no identifiers.
type Observation struct {
	Route     string
	Direction Direction
	Transport string // "http" or "websocket"

	// Bytes are those of a body or message as they passed, before any
	// decoding. An observation of an Action alone has none, so that a sum
	// counts every byte once.
	Bytes     int64
	Inspected bool   // these bytes were looked at
	Skipped   string // why they were not, or, beside Inspected, what was wrong with them or missing
	Verdict   Verdict
	Duration  time.Duration // of judging

	// Action is what was done: "help", "replace", "hold", "footer", "raise",
	// "escalate", "escalated", "escalation failed", "audit failed", "audit
	// lost"; empty for what was only looked at.
	Action string
}
