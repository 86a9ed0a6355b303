package safety

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// mode is what a reply's writer does with what is written.
type mode uint8

const (
	undecided  mode = iota // no status yet
	holding                // kept until it can be judged
	passing                // written through
	discarding             // the rest of a reply that was replaced
)

// reply is the writer of one reply.
type reply struct {
	w       http.ResponseWriter
	passage *Passage

	mode    mode
	status  int
	expects int64 // the declared Content-Length, -1 if there is none
	hold    hold
	passed  int64  // bytes written through without being looked at
	skipped string // and why
}

// Header returns the reply's headers.
func (r *reply) Header() http.Header { return r.w.Header() }

// Unwrap returns the writer beneath, for [http.ResponseController].
func (r *reply) Unwrap() http.ResponseWriter { return r.w }

// WriteHeader decides what becomes of the reply. Informational statuses pass at
// once and decide nothing, except 101, after which the connection speaks
// another protocol.
func (r *reply) WriteHeader(status int) {
	if r.mode == passing || r.mode == undecided && status < 200 && status != http.StatusSwitchingProtocols {
		r.w.WriteHeader(status) // in the first case superfluous, which net/http says better than we
		return
	}
	if r.mode != undecided {
		return
	}
	r.status, r.expects = status, declaredLength(r.w.Header())
	if reason, hold := r.passage.holds(status, r.w.Header()); !hold {
		if reason != "" && r.passage.owes(status) {
			r.answerAnew()
			return
		}
		r.pass(reason)
		return
	}
	r.mode = holding
	if most := int64(r.passage.guard.plan.maxBody); r.expects > 0 {
		r.hold.reserve(int(min(r.expects, most))) // if there is no room now, keep finds out
	}
}

// pass writes the header as it stands and everything that follows through.
func (r *reply) pass(reason string) {
	r.mode, r.skipped = passing, reason
	r.passage.announce(r.w.Header(), false)
	r.w.WriteHeader(r.status)
}

// answerAnew sends an answer of our own in the place of an error whose body will
// not even be looked at. Its body may never end, so this one is sent at once.
func (r *reply) answerAnew() {
	c := composer{passage: r.passage, status: r.status, question: new(inquiry)}
	body, header := c.anew(), r.w.Header()
	r.mode = discarding
	replaceBody(header, len(body), problemType)
	r.passage.announce(header, false)
	r.send(header, body)
	_ = http.NewResponseController(r.w).Flush() // who cannot, sends it at the end
}

// Write holds p, or writes it through.
func (r *reply) Write(p []byte) (int, error) {
	r.begin()
	switch r.mode {
	case holding:
		return r.keep(p)
	case discarding:
		return len(p), nil
	}
	n, err := r.w.Write(p)
	r.passed += int64(n)
	return n, err
}

// begin answers 200 if nothing was answered yet, as net/http does.
func (r *reply) begin() {
	if r.mode == undecided {
		r.WriteHeader(http.StatusOK)
	}
}

// keep holds p. When more comes than is held, what is there is judged and the
// rest passes. Exactly as much is judged however the reply is cut into writes.
func (r *reply) keep(p []byte) (int, error) {
	room := r.passage.guard.plan.maxBody - len(r.hold.data)
	head := p[:min(len(p), room)]
	reason := SkippedTooLarge
	if !r.hold.reserve(len(head)) {
		head, reason = head[:cap(r.hold.data)-len(r.hold.data)], SkippedBudget
	}
	r.hold.data = append(r.hold.data, head...)
	if len(head) == len(p) {
		return len(p), nil
	}
	r.settle(reason)
	n, err := r.Write(p[len(head):])
	return len(head) + n, err
}

// ReadFrom copies from src; once the reply passes, by the writer beneath, which
// may know a faster way.
func (r *reply) ReadFrom(src io.Reader) (total int64, err error) {
	r.begin()
	if r.mode == holding {
		if total, err = r.keepFrom(src); err != nil || r.mode == holding {
			return total, notEOF(err)
		}
	}
	if r.mode == discarding {
		n, err := io.Copy(io.Discard, src)
		return total + n, err
	}
	n, err := io.Copy(r.w, src)
	r.passed += n
	return total + n, err
}

// keepFrom holds src until its end, or until the reply is no longer held.
func (r *reply) keepFrom(src io.Reader) (total int64, err error) {
	block := takeBlock(smallBlock)
	defer giveBlock(block)
	room := (*block)[:smallBlock]
	for r.mode == holding {
		n, err := src.Read(room)
		if n > 0 {
			written, writeErr := r.Write(room[:n])
			if total += int64(written); writeErr != nil {
				return total, writeErr
			}
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Flush sends what may be sent. It does nothing while the reply is held.
func (r *reply) Flush() { _ = r.FlushError() }

// FlushError is Flush with the error of the writer beneath.
func (r *reply) FlushError() error {
	if r.w == nil {
		return http.ErrNotSupported
	}
	if r.begin(); r.mode != passing {
		return nil
	}
	return http.NewResponseController(r.w).Flush()
}

// Hijack hands the connection over. What passes on it is not looked at here.
func (r *reply) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.w).Hijack()
	if err == nil {
		r.mode = passing
	}
	return conn, rw, err
}

// finish judges and sends what is held.
func (r *reply) finish() {
	switch {
	case r.w == nil:
	case r.mode == undecided:
		r.passage.announce(r.w.Header(), false) // nothing was written: net/http will answer 200
	case r.mode == holding:
		r.settle("")
	}
}

// abort forgets what is held. Nothing of it was sent, so whoever answers in its
// place must not send what was said of its body.
func (r *reply) abort() {
	if r.mode == holding {
		r.mode = discarding
		dropValidators(r.w.Header())
	}
}

// settle judges what is held and sends what comes of it. cut says why that is
// not all of the reply; "" means that it is.
func (r *reply) settle(cut string) {
	header := r.w.Header()
	if cut == "" && r.expects > int64(len(r.hold.data)) {
		cut = SkippedPartial // the service broke off: it must not look whole
	}
	answer := r.passage.answer(r.status, header, r.hold.data, cut)
	defer answer.release()
	r.mode, r.skipped = passing, cut
	if answer.changed() {
		replaceBody(header, len(answer.body), answer.contentType)
		r.mode = discarding
	}
	r.passage.announce(header, answer.looked)
	r.send(header, answer.bodyOr(r.hold.data))
}

// send writes header and body. Trailers that the service has set already must
// not go out as headers: they are put aside until the header is written.
func (r *reply) send(header http.Header, body []byte) {
	aside := takeTrailers(header)
	r.w.WriteHeader(r.status)
	for name, values := range aside {
		header[name] = values
	}
	if len(body) == 0 {
		return
	}
	if _, err := r.w.Write(body); err != nil {
		// The client is gone. HTTP/2 returns from a Write whose stream was
		// reset while a frame of it may still be under way, so that these
		// bytes must not become somebody else's.
		r.hold.lose()
	}
}

// takeTrailers removes and returns the values of announced trailers (RFC 9110
// section 6.6.2). Nearly always there are none.
func takeTrailers(header http.Header) (aside http.Header) {
	for _, line := range header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values, set := header[name]; set {
				if aside == nil {
					aside = make(http.Header)
				}
				aside[name] = values
				delete(header, name)
			}
		}
	}
	return aside
}

// dropValidators removes what is true only of the unchanged body, and says that
// no cache may keep the changed one: it is for one person at one moment.
func dropValidators(header http.Header) {
	for _, name := range [...]string{
		"Content-Encoding", "Content-Length", "Etag", "Last-Modified", "Accept-Ranges", "Transfer-Encoding",
		"Digest", "Content-Digest", "Repr-Digest", "Content-Md5", "Expires",
	} {
		delete(header, name)
	}
	header["Cache-Control"] = []string{"no-store"}
}

// replaceBody makes the header that of a changed body. Of one with a type of its
// own nothing is true any more that was said of the old one (RFC 9110 section 8).
func replaceBody(header http.Header, length int, contentType string) {
	dropValidators(header)
	header["Content-Length"] = []string{strconv.Itoa(length)}
	if contentType == "" {
		return
	}
	for _, name := range [...]string{"Content-Disposition", "Content-Language", "Content-Location", "Content-Range"} {
		delete(header, name)
	}
	header["Content-Type"] = []string{contentType}
}

func declaredLength(header http.Header) int64 {
	text := header.Get("Content-Length")
	if text == "" {
		return -1
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// holds says whether a reply is held to be judged, and otherwise why not. No
// reason means that there is nothing to look at.
func (p *Passage) holds(status int, header http.Header) (reason string, hold bool) {
	media := mediaType(header.Get("Content-Type"))
	switch {
	case p.reason != "":
		return p.reason, false
	case status == http.StatusSwitchingProtocols:
		return SkippedStream, false
	case p.method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified:
		return "", false
	case status == http.StatusPartialContent || header["Content-Range"] != nil:
		return SkippedPartial, false
	case isStream(media):
		return SkippedStream, false
	case isBinaryType(media):
		return SkippedBinary, false
	case !decodable(layers(header["Content-Encoding"])):
		return SkippedCoding, false
	}
	return "", true
}

// isStream recognises replies that are read while they are written.
func isStream(media string) bool {
	for _, name := range [...]string{"text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json", "application/grpc", "multipart/x-mixed-replace"} {
		if hasPrefixFold(media, name) {
			return true
		}
	}
	return false
}

// isBinaryType recognises types that hold no text, so that a film is not held
// in memory to find that out.
func isBinaryType(media string) bool {
	for _, prefix := range [...]string{"image/", "audio/", "video/", "font/", "application/octet-stream", "application/pdf", "application/zip", "application/gzip", "application/wasm", "application/x-protobuf"} {
		if hasPrefixFold(media, prefix) {
			return !equalFold(media, "image/svg+xml")
		}
	}
	return false
}

func decodable(codings []string) bool {
	for _, c := range codings {
		switch c {
		case "gzip", "x-gzip", "deflate", "zstd":
		default:
			return false
		}
	}
	return len(codings) <= maxLayers
}

// announce sets the headers that are ours on a reply. What another says of
// being monitored is removed: only who looked may say so.
func (p *Passage) announce(header http.Header, looked bool) {
	if p.guard == nil {
		return
	}
	if p.reason == "" {
		delete(header, monitoredHeader)
		if looked && p.verdict.Skipped == "" {
			header[monitoredHeader] = monitoredValue
		}
	}
	if p.does.help != nil {
		p.does.help.SetHeaders(header)
	}
}
