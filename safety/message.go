package safety

import "context"

// Message is one message of a conversation that is not an HTTP exchange, whole
// and uncompressed: what one WebSocket message carries.
type Message struct {
	Direction Direction
	Route     string
	Session   string // the conversation, "" unknown: then the Subject's
	Subject   string
	Region    string // ISO 3166, "" unknown: then that of Language
	Language  string // a tag, or the Accept-Language of the handshake; "" unknown
	Data      []byte // not changed
	Binary    bool   // it came as a binary message; text in it is judged nevertheless
}

// Outcome is what becomes of a [Message].
type Outcome struct {
	Verdict  Verdict
	Level    Severity // of the conversation, after this message
	Data     []byte   // to be delivered: the message itself, or what stands in its place
	Replaced bool     // Data is not the message
	Help     *Help    // to be given to the person now, if not nil
}

// Message judges one message, does what follows, and says what to deliver. It
// never holds back what a person says: for a [Request], Data is the message.
// It does not look at its size: bound it before.
//
// In a message from the service the strings that would do harm are replaced, in
// their own place; where nothing could be judged, what [Rule.Reply] names gets a
// footer or, with [Rule.Hold], a sentence in its place.
func (g *Guard) Message(ctx context.Context, m Message) Outcome {
	if g == nil {
		return Outcome{Verdict: Verdict{Skipped: SkippedNotInspected}, Data: m.Data}
	}
	x := exchange{
		guard: g, transport: "websocket", route: cmpOr(m.Route, g.rule.Route),
		session: m.Session, subject: m.Subject, region: m.Region, fallback: m.Language,
	}
	if reason, yes := g.inspects(); !yes {
		return x.pass(ctx, m, reason)
	}
	if m.Direction == Response {
		return x.reply(ctx, m)
	}
	return x.request(ctx, m)
}

// pass delivers a message that nobody looks at, and counts it.
func (x *exchange) pass(ctx context.Context, m Message, reason string) Outcome {
	x.countSkipped(m.Direction, int64(len(m.Data)), reason)
	return Outcome{Verdict: Verdict{Skipped: reason}, Level: x.level(ctx), Data: m.Data}
}

func (x *exchange) request(ctx context.Context, m Message) Outcome {
	q := x.look(ctx, m, x.guard.ready().fields)
	does := x.follow(ctx, q.verdict, x.pursue(ctx, q.said), Imminent)
	return Outcome{Verdict: q.verdict, Level: does.level, Data: m.Data, Help: does.help}
}

func (x *exchange) reply(ctx context.Context, m Message) Outcome {
	q := x.look(ctx, m, x.guard.ready().replyFields)
	level := x.level(ctx)
	p := Passage{guard: x.guard, exchange: *x, ctx: ctx}
	c := composer{
		passage: &p, doc: q.doc, contentType: "text/plain", question: q,
		actions: x.guard.plan.table.of(Response, q.verdict), failed: q.verdict.Skipped == SkippedInspectorFailed,
	}
	out := Outcome{Verdict: q.verdict, Level: level, Data: m.Data}
	if body, _ := c.compose(); body != nil {
		out.Data, out.Replaced = body, true
	}
	x.recordVerdict(ctx, Response, q.verdict, consequences{level: level, done: c.done}, c.actions)
	return out
}

// look judges a message and counts it.
func (x *exchange) look(ctx context.Context, m Message, fields *paths) *inquiry {
	started := x.guard.started()
	q := x.guard.inquire(x.route, x.key(), m.Direction)
	q.content.Language, q.doc, q.fields = languageOf(m.Language), m.Data, fields
	if m.Direction == Response {
		q.harm = x.guard.plan.table
	} else {
		q.follows = x.isFollowed()
	}
	q.run(ctx)
	x.count(m.Direction, len(m.Data), q, since(started))
	return q
}

// languageOf is the language that somebody prefers, as far as they say.
func languageOf(accept string) string {
	if tags := tagsOf(accept); len(tags) > 0 {
		return tags[0].name
	}
	return ""
}
