package safety

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// The headers that tell the service what was found. A client's own are removed.
const (
	SeverityHeader     = "X-Safety-Severity"      // none, low, moderate, high, imminent, or unknown
	CategoriesHeader   = "X-Safety-Categories"    // a list with commas
	SessionLevelHeader = "X-Safety-Session-Level" // as a severity
)

// The headers that tell the person's program where help is.
const (
	SupportHeader = "X-Crisis-Support" // "available"
	HotlineHeader = "X-Crisis-Hotline" // the number to call in the person's region, or where to find one
)

// monitoredHeader says that both ways of an exchange were looked at.
const monitoredHeader = "X-Therapeutic-Safety"

// Passage is one request on its way through a Guard, and its reply. [Guard.Open]
// makes it; [Passage.Close] must end it. It is not safe for simultaneous use,
// but for the request's body and the reply's writer, which are as safe as those
// they stand for.
type Passage struct {
	guard    *Guard
	exchange exchange
	ctx      context.Context
	method   string
	reason   string // why nothing is looked at, "" if it is

	verdict Verdict
	said    []byte // what a Follower is to hear
	does    consequences
	body    heldBody
	hasBody bool
	whole   bool   // the body is held from beginning to end
	rest    string // why the rest of the body is not looked at
	reply   reply
	closed  bool
}

// Open reads the request's body up to max bytes (0, or more than MaxBody, means
// MaxBody), judges it,
// and does what follows: the conversation's level is raised, the event is
// recorded, a human is told. It puts the body back whole: r.Body reads as it
// came, byte for byte, whatever its length.
//
// An error is a [*BodyError] and says that the body could not be read: it is too
// large for an [http.MaxBytesReader] around it, it is broken, the client is gone.
// What had arrived by then was judged nevertheless, and the error says what was
// found. There is no Passage then.
//
// Only bodies are judged: not paths, queries or headers.
func (g *Guard) Open(r *http.Request, max int64) (*Passage, error) {
	p := &Passage{guard: g, ctx: r.Context(), method: r.Method}
	p.reply.passage = p
	if g == nil {
		p.reason = SkippedNotInspected
		p.verdict.Skipped = SkippedNotInspected
		return p, nil
	}
	p.exchange = g.exchangeOf(r)
	p.body.hold.budget, p.reply.hold.budget = g.ready().budget, g.plan.budget
	reason, inspected := g.inspects()
	if r.Body != nil && r.Body != http.NoBody {
		p.hasBody = true
		p.body.source = r.Body
		r.Body = &p.body
	}
	if !inspected {
		p.reason, p.rest, p.verdict.Skipped = reason, reason, reason
		p.does.level = p.exchange.level(p.ctx)
		return p, nil
	}
	if err := p.judgeBody(r, max); err != nil {
		p.body.drop()
		r.Body = p.body.source
		return nil, &BodyError{Err: err, Verdict: p.verdict, Level: p.Level(), Help: p.does.help}
	}
	return p, nil
}

func (g *Guard) exchangeOf(r *http.Request) exchange {
	return exchange{
		guard: g, transport: "http", route: cmpOr(g.rule.Route, r.Pattern),
		session: ask(g.Session, r), subject: ask(g.Subject, r),
		region: ask(g.Region, r), fallback: acceptLanguage(r),
	}
}

// judgeBody holds the body, judges it and does what follows.
func (p *Passage) judgeBody(r *http.Request, max int64) (err error) {
	if p.hasBody {
		most := p.guard.plan.maxBody
		if max > 0 && max < int64(most) {
			most = int(max)
		}
		p.rest, err = p.body.fill(most, r.ContentLength)
		p.whole = p.rest == "" && err == nil
		p.judgeHeld(r.Header, most)
	}
	p.does = p.exchange.follow(p.ctx, p.verdict, p.exchange.pursue(p.ctx, p.said), Moderate)
	p.said = nil
	return err
}

func (p *Passage) judgeHeld(h http.Header, most int) {
	started := p.guard.started()
	q := p.guard.inquire(p.exchange.route, p.exchange.key(), Request)
	q.follows = p.exchange.isFollowed()
	q.contentType, q.doc, q.fields = h.Get("Content-Type"), p.body.hold.data, p.guard.plan.fields
	plain := hold{budget: p.guard.plan.budget}
	defer plain.release()
	if codings := layers(h["Content-Encoding"]); len(codings) > 0 {
		q.skip(decode(codings, q.doc, &plain, most))
		q.doc = plain.data
	}
	q.skip(p.rest)
	q.run(p.ctx)
	p.verdict, p.said = q.verdict, q.said
	p.exchange.count(Request, len(p.body.hold.data), q, since(started))
}

// inquire prepares the judging of a text on this guard's route.
func (g *Guard) inquire(route, session string, d Direction) *inquiry {
	return &inquiry{guard: g, content: Content{Direction: d, Route: route, Session: session, InGame: g.rule.InGame}}
}

// count tells the observer of bytes that were looked at, or could not be.
func (x *exchange) count(d Direction, n int, q *inquiry, took time.Duration) {
	if x.guard.Observe == nil || n == 0 {
		return
	}
	if left := min(q.left, n); left > 0 && len(q.doc) == n && looked(q) {
		x.countSkipped(d, int64(left), SkippedCredential)
		n -= left
	}
	x.guard.Observe(Observation{
		Route: x.route, Direction: d, Transport: x.transport, Bytes: int64(n),
		Inspected: looked(q), Skipped: q.verdict.Skipped, Verdict: q.verdict, Duration: took,
	})
}

// countSkipped tells the observer of bytes that nobody looked at.
func (x *exchange) countSkipped(d Direction, n int64, reason string) {
	if n > 0 {
		x.guard.observe(Observation{
			Route: x.route, Direction: d, Transport: x.transport, Bytes: n, Skipped: reason,
			Verdict: Verdict{Skipped: reason},
		})
	}
}

// looked reports whether a document was looked at: it was if any of it was.
func looked(q *inquiry) bool {
	switch q.verdict.Skipped {
	case "", SkippedTooLarge, SkippedMalformed, SkippedBudget:
		return true
	}
	return q.pieces > 0 && q.verdict.Skipped != SkippedInspectorFailed
}

// started is the time, where somebody wants to know how long it takes.
func (g *Guard) started() (t time.Time) {
	if g.Observe != nil {
		t = time.Now()
	}
	return t
}

func since(started time.Time) time.Duration {
	if started.IsZero() {
		return 0
	}
	return time.Since(started)
}

// Verdict returns what was found in the request. Its Skipped says why nothing
// could be, where that is so.
func (p *Passage) Verdict() Verdict { return p.verdict }

// Level returns the level of the conversation after this message: at least the
// severity of its verdict, and more where something graver was said before.
func (p *Passage) Level() Severity { return max(p.does.level, p.verdict.Severity) }

// Help returns the help that goes into the reply, nil if none does.
func (p *Passage) Help() *Help { return p.does.help }

// Whole reports whether all of the request's body is held, so that it can be
// sent more than once. A request without a body is whole.
func (p *Passage) Whole() bool { return p.whole || !p.hasBody }

// Replay returns another reader of the request's body, from its beginning, and
// its length; nil where not all of it is held. Like r.Body it fails after Close,
// so that a transport which still reads then never sends another one's words.
func (p *Passage) Replay() (body io.ReadCloser, n int64) {
	if !p.Whole() {
		return nil, 0
	}
	if !p.hasBody {
		return http.NoBody, 0
	}
	return &replay{body: &p.body}, int64(len(p.body.hold.data))
}

// Body returns the bytes of the request's body as far as they are held, and
// whether that is all of it. They must not be changed. They stay as they are
// also after Close, which costs their memory: to send them, use [Passage.Replay].
func (p *Passage) Body() (held []byte, whole bool) { return p.body.lend(), p.Whole() }

// Annotate sets on the headers of the request to the service what was found:
// [SeverityHeader], [CategoriesHeader], [SessionLevelHeader]. Whatever a client
// had sent under these names is removed, also where nothing was looked at and
// nothing is claimed.
func (p *Passage) Annotate(h http.Header) {
	delete(h, SeverityHeader)
	delete(h, CategoriesHeader)
	delete(h, SessionLevelHeader)
	if level := p.Level(); level > None {
		h[SessionLevelHeader] = severityValues[level]
	}
	switch {
	case p.reason != "" || !p.hasBody:
		return
	case p.verdict.Unknown():
		h[SeverityHeader] = unknownValue
		return
	}
	h[SeverityHeader] = severityValues[min(max(p.verdict.Severity, None), Imminent)]
	if len(p.verdict.Categories) > 0 {
		h[CategoriesHeader] = []string{listed(p.verdict.Categories)}
	}
}

// Values of headers that are set often. Their capacity is their length, so
// that nobody can append to them.
var (
	severityValues = [...][]string{{"none"}, {"low"}, {"moderate"}, {"high"}, {"imminent"}}
	unknownValue   = []string{"unknown"}
	availableValue = []string{"available"}
	monitoredValue = []string{"monitored"}
)

func listed(categories []Category) string {
	var b strings.Builder
	for i, c := range categories {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(c))
	}
	return b.String()
}

// Writer returns the writer that the service's reply goes to. It judges the
// reply, puts help into it where help is due, and replaces what would do harm:
//
//   - The reply is held up to MaxBody and sent when it is judged, at Close or
//     when it grows past that. One that needs no change is sent byte for byte,
//     compressed or not. One that is changed is sent uncompressed, without its
//     Content-Length, ETag and digests, and with Cache-Control: no-store.
//   - Help is put first in the string that [Rule.Reply] names; a JSON object also
//     gets the members "crisis_resources" and "safety", and with a status of 400
//     or above help comes first in its "message" and "detail". A text/plain
//     reply gets it first. Every other byte stays as it was.
//   - Where help is due to somebody whom the service refuses, with a status of 400
//     or above, and the error's body can carry none (it is empty, an array, HTML,
//     undecodable, a stream), a problem document (RFC 9457) stands in its place:
//     with the same status, the code "upstream_error", and the help.
//   - Every other reply (an array, HTML, no content, a part of something, a
//     stream) stays as it is. Wherever help is due, the headers
//     [SupportHeader] and [HotlineHeader] say so.
//   - Event streams (text/event-stream, NDJSON), images, sounds and the like pass
//     at once and uncut, counted as skipped. So does everything after a
//     protocol switch.
//
// The writer has Flush, which does nothing while a reply is held, Hijack,
// ReadFrom, and Unwrap for [http.ResponseController]. Call Writer once.
func (p *Passage) Writer(w http.ResponseWriter) http.ResponseWriter {
	p.reply.w = w
	return &p.reply
}

// Close ends the passage: it judges and sends what is held of the reply, and
// gives memory back. It must be called after the service has answered; a second
// call does nothing.
//
// Call it by a defer statement of its own. Then it notices when the service
// panics: what is held is dropped, for a short reply must not look like a whole
// one, and the panic goes on. Who recovers the panic himself calls [Passage.Abort].
func (p *Passage) Close() {
	if cause := recover(); cause != nil {
		p.Abort()
		panic(cause)
	}
	if p.closed {
		return
	}
	p.reply.finish()
	p.end()
}

// Abort ends the passage without sending what is held of the reply.
func (p *Passage) Abort() {
	if !p.closed {
		p.reply.abort()
		p.end()
	}
}

func (p *Passage) end() {
	p.closed = true
	if p.guard == nil {
		return
	}
	p.exchange.countSkipped(Request, p.body.passed.Load(), p.rest)
	p.exchange.countSkipped(Response, p.reply.passed, p.reply.skipped)
	p.body.drop()
	p.reply.hold.release()
}
