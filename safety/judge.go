package safety

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultDeadline is how long an [Inspector] may take over one message, unless
// [Guard.Deadline] says otherwise.
const DefaultDeadline = 200 * time.Millisecond

// ErrInspector says that a text could not be judged: the [Inspector] returned
// an error, panicked, or did not answer in time. Errors of [Guard.Judge] wrap it.
var ErrInspector = errors.New("safety: inspector failed")

const (
	// maxLeftBehind bounds how many inspections of an Inspector that is no
	// Prompt may run at once, those included that nobody waits for any more.
	maxLeftBehind = 1024
	// maxPieces and maxJoined bound what is judged as one text besides.
	maxPieces = 64
	maxJoined = 16 << 10
	// maxSingles is how many texts of a message are judged each by itself; the
	// rest is judged in bulks of bulkSize, so that a body of a hundred thousand
	// tiny strings costs no more than one long text. An Inspector that is no
	// Prompt is asked by itself about fewer.
	maxSingles      = 1024
	maxSinglesAside = 32
	bulkSize        = 4 << 10
	// maxParts bounds the parts of a multipart body.
	maxParts = 256
)

// inquiry is the judging of one message or reply.
type inquiry struct {
	guard       *Guard
	content     Content // all but Text
	contentType string
	doc         []byte
	fields      *paths
	harm        *table // of a reply: which strings of a JSON document to note

	verdict  Verdict
	kind     kind
	matched  bool // something stood where the fields say
	pieces   int
	gravest  Severity // of a single piece
	harmful  []span   // values of a JSON document that are harm by themselves
	together bool     // only the pieces together are harm
	follows  bool     // said is wanted
	said     []byte   // all texts joined
	recoded  bool     // doc came in another charset than UTF-8
	left     int      // bytes of credentials that nobody was shown
	partial  *atomic.Pointer[Verdict]
}

// span is the place of a value in a document.
type span struct{ start, end int }

// run judges the document. It never panics and never returns without a verdict.
func (q *inquiry) run(ctx context.Context) {
	if _, ok := q.guard.Inspector.(Prompt); ok {
		s := scratches.Get().(*scratch)
		q.read(ctx, s)
		s.release()
		return
	}
	q.runAside(ctx)
}

// runAside judges a copy of the document on a goroutine of its own and leaves
// it behind when the time is up. What it had found until then stays found.
func (q *inquiry) runAside(ctx context.Context) {
	running := &q.guard.shared().inspections
	if running.Add(1) > maxLeftBehind {
		running.Add(-1)
		q.timeUp(nil)
		return
	}
	// A person who closes the page has still said what they said.
	ctx, cancel := context.WithTimeout(apart(ctx, FromContext(ctx)), q.guard.deadline())
	aside, done := *q, make(chan struct{})
	aside.doc, aside.partial = bytes.Clone(q.doc), new(atomic.Pointer[Verdict])
	partial := aside.partial
	defer cancel()
	go func() {
		defer running.Add(-1)
		aside.read(ctx, new(scratch))
		close(done)
	}()
	select {
	case <-done:
		if aside.partial = nil; !aside.recoded {
			aside.doc = q.doc
		}
		*q = aside
	case <-ctx.Done():
		q.timeUp(partial.Load())
	}
}

// timeUp keeps what was found before the time was up, if anything was.
func (q *inquiry) timeUp(found *Verdict) {
	if q.kind = classify(q.contentType, q.doc); q.kind == jsonText && !isValidJSON(q.doc) {
		q.kind = plainText
	}
	if found != nil {
		q.verdict = Highest(q.verdict, *found)
	}
	q.verdict.Skipped = SkippedInspectorFailed
}

// read takes the document apart and judges its texts.
func (q *inquiry) read(ctx context.Context, s *scratch) {
	text, reason := toUTF8(q.contentType, q.doc, s.plain)
	if len(text) > 0 && &text[0] != &q.doc[0] {
		s.plain = text
		q.keepRecoded(text)
	}
	q.skip(reason)
	s.joined, s.bulk = s.joined[:0], s.bulk[:0]
	kind := classify(q.contentType, text)
	q.readKind(ctx, s, text, kind)
	if q.fields.some() && !q.matched {
		q.fields, q.pieces, q.left = nil, 0, 0
		s.joined, s.bulk = s.joined[:0], s.bulk[:0]
		q.readKind(ctx, s, text, kind)
	}
	q.judgeBulk(ctx, s)
	q.readJoined(ctx, s)
	if q.follows {
		q.said = bytes.Clone(bytes.TrimSuffix(s.joined, []byte(" ")))
	}
}

// keepRecoded goes on with a document in UTF-8 where its places are noted.
func (q *inquiry) keepRecoded(text []byte) {
	if q.harm != nil {
		q.doc, q.recoded = bytes.Clone(text), true
	}
}

// recodedType is the type of a JSON document that is no longer in the charset
// it came in, "" if it still is.
func (q *inquiry) recodedType() string {
	if q.recoded {
		return "application/json"
	}
	return ""
}

func isValidJSON(doc []byte) bool {
	var w walker
	w.reset(doc, nil)
	for w.next() {
		continue // only the end matters
	}
	return !w.broken
}

func (q *inquiry) skip(reason string) { q.verdict.Skipped = cmpOr(q.verdict.Skipped, reason) }

// readKind takes a document apart as what it is. A form that looks like JSON is
// read as both: many a service reads JSON whatever it is said to be.
func (q *inquiry) readKind(ctx context.Context, s *scratch, text []byte, kind kind) {
	switch q.kind = kind; kind {
	case jsonText:
		q.readJSON(ctx, s, text)
	case form:
		isJSON := looksLikeJSON(text)
		q.readForm(ctx, s, text, !isJSON)
		if isJSON {
			q.readJSON(ctx, s, text)
		}
	case multipartForm:
		q.readMultipart(ctx, s, text)
	case plainText:
		q.matched = true
		q.piece(ctx, s, text)
	case binaryData:
		q.matched = true
		q.skip(SkippedBinary)
	}
}

func (q *inquiry) readJSON(ctx context.Context, s *scratch, doc []byte) {
	w := &s.walker
	w.reset(doc, q.fields)
	for q.readDocument(ctx, s, w); w.another(); q.readDocument(ctx, s, w) {
		q.noJSON()
	}
	if q.left += w.left; w.broken {
		q.readBroken(ctx, s, doc)
	}
}

func (q *inquiry) readDocument(ctx context.Context, s *scratch, w *walker) {
	for w.next() {
		q.matched = true
		v := q.piece(ctx, s, w.text)
		if q.harm != nil && q.harm.of(Response, v)&Replace != 0 {
			q.harmful = append(q.harmful, span{w.start, w.end})
		}
	}
}

// noJSON says that a document is none that could be edited. If it was said to be
// JSON, then some reader may make more of it than we do, and that is noted.
func (q *inquiry) noJSON() {
	if isJSONType(mediaType(q.contentType)) || q.contentType == "" {
		q.skip(SkippedMalformed)
	}
	q.kind, q.harmful = plainText, nil
}

// readBroken judges all of what only looked like JSON as a text.
func (q *inquiry) readBroken(ctx context.Context, s *scratch, doc []byte) {
	q.noJSON()
	q.matched, q.left = true, 0
	loose := unescapeLoosely(s.walker.unescaped[:0], doc)
	s.walker.unescaped = loose
	q.piece(ctx, s, loose)
}

// readForm judges the values of a form. With loose also what no form holds: a
// pair without a name, or with several words for one, is what somebody said who
// did not put it into a form, or who wrote an & in the middle.
func (q *inquiry) readForm(ctx context.Context, s *scratch, doc []byte, loose bool) {
	for pair := range bytes.SplitSeq(doc, []byte("&")) {
		rawName, rawValue, named := bytes.Cut(pair, []byte("="))
		name := q.unescape(rawName)
		text := rawValue
		if loose && (!named || severalWords(name)) {
			text = pair
		}
		switch {
		case named && q.wants(name):
			q.matched = true
			q.piece(ctx, s, q.unescape(text))
		case named && isCredential(name):
			q.leaveOut(rawValue)
		case loose && (!named || severalWords(name)):
			q.piece(ctx, s, q.unescape(text))
		}
	}
}

// leaveOut counts a credential that is not judged because of its name. What is
// not judged because other fields were named is not.
func (q *inquiry) leaveOut(value []byte) {
	if q.fields == nil {
		q.left += len(value)
	}
}

// unescape reads a form's name or value; one with a broken escape stays as it is.
func (q *inquiry) unescape(raw []byte) []byte {
	if !bytes.ContainsAny(raw, "%+") {
		return raw
	}
	text, err := url.QueryUnescape(string(raw))
	if err != nil {
		q.skip(SkippedMalformed)
		return raw
	}
	return []byte(text)
}

// wants reports whether a form's value of this name is judged.
func (q *inquiry) wants(name []byte) bool {
	if q.fields == nil {
		return !isCredential(name)
	}
	return q.fields.named(name)
}

func (q *inquiry) readMultipart(ctx context.Context, s *scratch, doc []byte) {
	_, params, err := mime.ParseMediaType(q.contentType)
	if err != nil || params["boundary"] == "" {
		q.skip(SkippedMalformed)
		q.piece(ctx, s, doc)
		return
	}
	r := multipart.NewReader(bytes.NewReader(doc), params["boundary"])
	for range maxParts {
		part, err := r.NextPart()
		if err == io.EOF {
			return
		}
		if err != nil {
			break
		}
		q.readPart(ctx, s, part)
	}
	q.skip(SkippedMalformed)
	q.piece(ctx, s, doc)
}

// readPart judges one part: by its name like a form's value, by its looks if it is a file.
func (q *inquiry) readPart(ctx context.Context, s *scratch, part *multipart.Part) {
	sent, err := io.ReadAll(part)
	if err != nil {
		q.skip(SkippedMalformed)
	}
	if part.FileName() == "" {
		if !q.wants([]byte(part.FormName())) {
			q.leaveOut(sent)
			return
		}
		q.matched = true
	}
	text := q.decodePart(part.Header.Get("Content-Transfer-Encoding"), sent)
	switch {
	case looksBinary(text):
		q.skip(SkippedBinary)
		if !looksBinary(sent) { // most services take a part as it was sent
			q.piece(ctx, s, sent)
		}
	case looksLikeJSON(text):
		q.readJSONPart(ctx, s, text)
	default:
		q.piece(ctx, s, text)
	}
}

// decodePart undoes a part's transfer encoding, which RFC 7578 section 4.7
// deprecates and some services still read. multipart undoes quoted-printable.
func (q *inquiry) decodePart(encoding string, sent []byte) []byte {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return sent
	case "base64":
		text := make([]byte, base64.StdEncoding.DecodedLen(len(sent)))
		n, err := base64.StdEncoding.Decode(text, sent)
		if err != nil {
			q.skip(SkippedMalformed)
			return sent
		}
		return text[:n]
	}
	q.skip(SkippedCoding)
	return sent
}

func (q *inquiry) readJSONPart(ctx context.Context, s *scratch, text []byte) {
	w := &s.walker
	w.reset(text, nil)
	for w.next() {
		q.piece(ctx, s, w.text)
	}
	if w.broken {
		q.piece(ctx, s, text)
		return
	}
	q.left += w.left
}

// piece judges one text and remembers it for the whole.
func (q *inquiry) piece(ctx context.Context, s *scratch, text []byte) Verdict {
	if len(text) == 0 || machineMade(text) {
		return Verdict{}
	}
	if q.pieces++; q.pieces <= maxPieces && len(s.joined)+len(text) < maxJoined {
		s.joined = append(append(s.joined, text...), ' ')
	}
	if q.pieces > q.singles() {
		q.addToBulk(ctx, s, text)
		return Verdict{}
	}
	v := q.judge(ctx, text)
	q.gravest = max(q.gravest, v.Severity)
	return v
}

func (q *inquiry) singles() int {
	if q.partial != nil {
		return maxSinglesAside
	}
	return maxSingles
}

// addToBulk judges a text together with its neighbours.
func (q *inquiry) addToBulk(ctx context.Context, s *scratch, text []byte) {
	if len(s.bulk)+len(text) > bulkSize {
		q.judgeBulk(ctx, s)
	}
	s.bulk = append(append(s.bulk, text...), '\n')
}

func (q *inquiry) judgeBulk(ctx context.Context, s *scratch) {
	if len(s.bulk) == 0 {
		return
	}
	v := q.judge(ctx, s.bulk)
	if q.harm != nil && q.harm.of(Response, v)&Replace != 0 {
		q.together = true
	}
	s.bulk = s.bulk[:0]
}

// readJoined judges all texts of a message as one, in their order, so that a
// sentence which was cut over several fields is found. It counts only if it
// says more than the pieces did: two harmless fields side by side are no reason.
func (q *inquiry) readJoined(ctx context.Context, s *scratch) {
	if q.pieces < 2 || q.pieces > maxPieces || len(s.joined) == 0 {
		return
	}
	before := q.verdict
	v := q.judge(ctx, s.joined[:len(s.joined)-1])
	if v.Severity <= q.gravest {
		before.Skipped = cmpOr(before.Skipped, v.Skipped)
		q.verdict = before
		return
	}
	q.together = true
}

// judge asks the inspector about one text and adds its answer.
func (q *inquiry) judge(ctx context.Context, text []byte) Verdict {
	c := q.content
	c.Text = text
	v, err := q.guard.ask(ctx, c)
	if err != nil {
		v.Skipped = cmpOr(v.Skipped, SkippedInspectorFailed)
	}
	q.verdict = Highest(q.verdict, v)
	if q.partial != nil {
		known := q.verdict
		q.partial.Store(&known)
	}
	return v
}

// ask asks the inspector and survives it.
func (g *Guard) ask(ctx context.Context, c Content) (v Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = Verdict{}, fmt.Errorf("%w: %s", ErrInspector, panicked(p))
		}
	}()
	if v, err = g.Inspector.Inspect(ctx, c); err != nil {
		err = fmt.Errorf("%w: %w", ErrInspector, err)
	}
	v.Severity = min(max(v.Severity, None), Imminent)
	return v, err
}

// panicked describes a panic without its text, which might quote a message.
func panicked(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic of type %T", p)
}

// machineMade reports whether a text is an identifier or a time rather than
// anything said: at least eight characters, half of them digits, and no letter
// beyond those of hexadecimal numbers and of RFC 3339.
func machineMade(text []byte) bool {
	if len(text) < 8 || len(text) > 64 {
		return false
	}
	digits := 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', slices.Contains(machineMarks, c):
		default:
			return false
		}
	}
	return digits*5 >= len(text)*2
}

var machineMarks = []byte("-:.+TZ")
