package safety

import (
	"context"
	"time"
)

// Content is a text to be judged, with what is known about it.
type Content struct {
	// Text is the decoded text: the value of a JSON string with its escapes
	// undone, a form value, a line of prose. It belongs to the caller: an
	// Inspector must neither keep nor change it, for its memory is used again.
	Text      []byte
	Direction Direction
	Route     string // the route's pattern, for example "/api/v1/gameplay/"
	Session   string // the conversation, "" unknown; opaque
	Language  string // BCP 47 as far as the host knows it, "" unknown
	InGame    bool   // the text is an action or narration of a story
}

// Inspector judges a text. Inspect must be safe for simultaneous use, must not
// keep Content.Text after it returned, and should obey the context's deadline:
// a [Guard] that runs into it delivers without a verdict.
//
// An error says that the text could not be judged; what is known nevertheless
// may stand in the Verdict beside it. An Inspector never decides what is done:
// that is the Guard's [Policy].
type Inspector interface {
	Inspect(context.Context, Content) (Verdict, error)
}

// InspectorFunc is a function that is an [Inspector].
type InspectorFunc func(context.Context, Content) (Verdict, error)

// Inspect calls f.
func (f InspectorFunc) Inspect(ctx context.Context, c Content) (Verdict, error) { return f(ctx, c) }

// Prompt is an optional promise of an [Inspector]: it answers out of its own
// head (no network, no disk, no waiting for others) in a time that is bounded by
// the length of the text. A [Guard] calls such an Inspector on the request's own
// goroutine, without copying the text and without a timer. Every other
// Inspector gets a copy of the text and is left behind when its time is up.
type Prompt interface {
	Inspector
	Prompt()
}

// Follower is optional too: an Inspector that follows a conversation, in which
// no message may be grave and the whole is. A [Guard] hands it each message of a
// person whose conversation has a key, all its texts joined, after it was
// judged by itself.
//
// The trajectory is the Follower's own: it comes back as it was returned last,
// nil for a new conversation, and must hold no text and little of anything.
// session is the level of the conversation after this message. Where it rises
// to high or above by more than the message itself says, the Guard does what its
// Policy says of that severity. On an error nothing changes.
type Follower interface {
	Prompt
	Follow(ctx context.Context, c Content, trajectory []byte, now time.Time) (v Verdict, session Severity, next []byte, err error)
}

// StreamInspector judges a text that arrives in pieces. It is optional: an
// [Inspector] may be one too. Open's Content carries everything but the text.
//
// The contract: the verdict depends on the bytes alone, never on how they were
// cut into pieces, not even within one rune; and after everything is written
// Close says the same as Inspect would have said of the whole.
type StreamInspector interface {
	Open(context.Context, Content) (Stream, error)
}

// Stream is one text in the making. It is not safe for simultaneous use. Close
// must be called once; a Stream must not be used afterwards.
type Stream interface {
	// Write adds a piece, which stays the caller's, and returns the verdict
	// so far. A verdict so far is never graver than the one on the whole
	// text would be, except where later words take earlier ones back.
	Write(p []byte) (Verdict, error)
	// Close says that the text is whole and returns the verdict on it.
	Close() (Verdict, error)
}
