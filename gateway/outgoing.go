package gateway

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
)

// openBody decides how the body travels: whole, if the guard holds it whole;
// otherwise as it comes, while the answer may already be on its way back.
func (j *job) openBody() {
	b := j.x.body
	if b == nil {
		return
	}
	if j.x.passage != nil && j.x.passage.Whole() {
		j.isHeld = true
		delete(j.header, "Expect") // nothing is left to ask for
		return
	}
	_ = j.x.w.EnableFullDuplex()
	if idempotent(j.r.Method) && j.r.ContentLength > 0 && j.r.ContentLength <= replayCap && j.streams() {
		b.keepUpTo(replayCap)
	}
}

// streams reports whether what is sent is the caller's own stream, and not
// what a guard made of it.
func (j *job) streams() bool { return j.r.Body == io.ReadCloser(j.x.body) }

// request builds what is sent to an instance: the caller's request with its
// own path and query byte for byte, on another host.
func (a *attempt) request() *http.Request {
	j := a.j
	out := j.r.WithContext(httptrace.WithClientTrace(a, &a.trace))
	out.URL = j.rt.target(j.r, j.x, a.inst.base)
	out.Header = j.header
	out.RequestURI, out.Close, out.TransferEncoding, out.Response = "", false, nil, nil
	out.GetBody = nil // who repeats a request is us
	a.connectionFields(out)
	a.attachBody(out)
	return out
}

// connectionFields are those that depend on who carries the request.
func (a *attempt) connectionFields(out *http.Request) {
	lean := a.j.rt.service.carrier.lean(a.inst.base.Scheme)
	switch {
	case lean && out.Header["Te"] != nil: // RFC 9110 section 10.1.4
		out.Header["Connection"] = connectionTE
	case !lean && out.Header["User-Agent"] == nil:
		out.Header["User-Agent"] = noAgent // or http.Transport would add its own
	}
}

var (
	connectionTE = []string{"TE"}
	noAgent      = []string{""}
)

// attachBody gives the request what is sent this time: the held message
// afresh, or the caller's stream, which a transport must not close under us.
func (a *attempt) attachBody(out *http.Request) {
	j := a.j
	out.Trailer = nil
	switch {
	case j.x.body == nil:
		out.Body, out.ContentLength = j.empty(), 0
	case j.isHeld:
		body, n := j.x.passage.Replay()
		if out.Body, out.ContentLength = (heldBody{body, int(n)}), n; n == 0 {
			out.Body = j.empty()
		}
	case j.streams():
		s := &sending{b: j.x.body, from: j.r.Trailer, to: sentTrailers(j.r.Trailer)}
		if a.timer != nil {
			s.progress = a.progress
		}
		out.Body, out.Trailer = s, s.to
	default:
		out.Body = unclosed{j.r.Body}
	}
}

// sentTrailers are the trailers that may go on: a trailer must not say what a
// header may not (RFC 9110 section 6.5.1).
func sentTrailers(announced http.Header) http.Header {
	var out http.Header
	for name := range announced {
		if stripped(name) || !trailerField(name) {
			continue
		}
		if out == nil {
			out = http.Header{}
		}
		out[name] = nil
	}
	return out
}

// heldBody is a message in memory. Its Len tells h1 so, which then sends head
// and body in one piece.
type heldBody struct {
	io.ReadCloser
	n int
}

// Len is how much is in memory.
func (b heldBody) Len() int { return b.n }

type unclosed struct{ io.Reader }

func (unclosed) Close() error { return nil }

// empty is the body of a request without one. http.Transport repeats by
// itself what has an Idempotency-Key and no body that it knows of; a body that
// it must read first stops it, because whether anything is sent twice is
// decided here.
func (j *job) empty() io.ReadCloser {
	if j.r.Header["Idempotency-Key"] != nil || j.r.Header["X-Idempotency-Key"] != nil {
		return io.NopCloser(strings.NewReader(""))
	}
	return http.NoBody
}

// answersOptions keeps OPTIONS from going further than it asks to (RFC 9110
// section 7.6.2).
func (rt *route) answersOptions(w http.ResponseWriter, r *http.Request) bool {
	values := r.Header["Max-Forwards"]
	if len(values) != 1 {
		return false
	}
	n, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil {
		return false
	}
	if n > 0 {
		r.Header["Max-Forwards"] = []string{strconv.FormatUint(n-1, 10)}
		return false
	}
	w.Header()["Allow"] = []string{strings.Join(rt.methods, ", ")}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// target is the address on an instance.
func (rt *route) target(r *http.Request, x *exchange, base *url.URL) *url.URL {
	u := &url.URL{
		Scheme:     base.Scheme,
		Host:       base.Host,
		Path:       r.URL.Path,
		RawPath:    r.URL.RawPath,
		RawQuery:   rt.query(r),
		ForceQuery: r.URL.ForceQuery,
	}
	if rt.Rewrite == "" && (base.Path == "" || base.Path == "/") && u.EscapedPath() == x.raw {
		return u
	}
	setRawPath(u, strings.TrimSuffix(base.EscapedPath(), "/")+rt.rewritten(x))
	return u
}

// setRawPath makes u's request target begin with exactly raw.
func setRawPath(u *url.URL, raw string) {
	u.Path, _ = unescape(raw)
	u.RawPath = raw
	if u.EscapedPath() != raw && !strings.HasPrefix(raw, "//") {
		u.Opaque = raw // has letters that net/url would escape
	}
}

// rewritten is the path with what the pattern spells replaced.
func (rt *route) rewritten(x *exchange) string {
	if rt.Rewrite == "" {
		return x.raw
	}
	to := rt.Rewrite
	for i, name := range rt.names {
		to = strings.ReplaceAll(to, "{"+name+"}", url.PathEscape(x.match.values[i]))
	}
	rest := x.raw[min(x.match.rest, len(x.raw)):]
	if !rt.pattern.prefix {
		return to
	}
	return strings.TrimSuffix(to, "/") + rest
}

// query is the raw query, byte for byte, without the parameters that the route
// keeps to itself.
func (rt *route) query(r *http.Request) string {
	q := r.URL.RawQuery
	for _, name := range rt.StripQuery {
		q = withoutParam(q, name)
	}
	return q
}

// withoutParam takes a parameter out of a raw query and leaves every other
// byte where it was.
func withoutParam(raw, name string) string {
	if !strings.Contains(raw, name) && !strings.Contains(raw, "%") {
		return raw
	}
	kept := make([]string, 0, 8)
	for part := range strings.SplitSeq(raw, "&") {
		key, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(key); err == nil && decoded == name {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}

// outHeader is what the service is told: the caller's fields without those of
// this hop and those that only we may send, and then ours.
func (rt *route) outHeader(r *http.Request, x *exchange) http.Header {
	return rt.fillHeader(make(http.Header, len(r.Header)+12), r, x)
}

func (rt *route) fillHeader(h http.Header, r *http.Request, x *exchange) http.Header {
	for name, values := range r.Header {
		if !stripped(name) {
			h[name] = values
		}
	}
	for _, name := range connectionListed(r.Header) {
		delete(h, name)
	}
	if cookies := h["Cookie"]; len(cookies) > 1 { // one field for services that read only the first (RFC 9113 section 8.2.3)
		h["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	if teTrailers(r) { // what gRPC needs; TE itself is a matter of each hop
		h["Te"] = trailersOnly
	}
	rt.address(h, r, x)
	h["Via"] = viaValue(r)
	x.inject(h)
	x.identityHeaders(h)
	if x.passage != nil {
		x.passage.Annotate(h)
	}
	if rt.guard != nil {
		decodableOnly(h)
		delete(h, "Range") // a part of a reply cannot be judged
		delete(h, "If-Range")
	}
	return h
}

var trailersOnly = []string{"trailers"}

// viaValue adds us to those who have passed the request on.
func viaValue(r *http.Request) []string {
	ours := via11
	switch {
	case r.ProtoMajor >= 2:
		ours = via20
	case r.ProtoMinor == 0:
		ours = via10
	}
	if before := r.Header["Via"]; before != nil {
		return append(before[:len(before):len(before)], ours...)
	}
	return ours
}

var (
	via10 = []string{"1.0 " + via}[:1:1]
	via11 = []string{"1.1 " + via}[:1:1]
	via20 = []string{"2.0 " + via}[:1:1]
)

// address says where the request came from: one hop, ours to vouch for.
// Nothing is appended to what a stranger says.
func (rt *route) address(h http.Header, r *http.Request, x *exchange) {
	how := rt.state.forwarded
	if how == ForwardedX || how == ForwardedBoth {
		if x.client.IsValid() {
			h["X-Forwarded-For"] = x.field(fieldClient, x.clientText())
		}
		h["X-Forwarded-Proto"] = x.field(fieldScheme, x.scheme)
		h["X-Forwarded-Host"] = x.field(fieldHost, r.Host)
	}
	if how == ForwardedStandard || how == ForwardedBoth {
		h["Forwarded"] = x.field(fieldForwarded, forwardedElement(x.client, x.scheme, r.Host))
	}
	id := x.field(fieldID, x.id)
	h["X-Request-Id"], h["X-Gateway-Request-Id"] = id, id
}

func teTrailers(r *http.Request) bool {
	for _, line := range r.Header["Te"] {
		for token := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(token, ";")
			if strings.EqualFold(strings.TrimSpace(name), "trailers") {
				return true
			}
		}
	}
	return false
}

// decodableOnly asks the service only for codings that the guard can read.
func decodableOnly(h http.Header) {
	for _, line := range h["Accept-Encoding"] {
		for token := range strings.SplitSeq(line, ",") {
			name, q, _ := strings.Cut(token, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && strings.TrimSpace(q) != "q=0" {
				h["Accept-Encoding"] = gzipOnly
				return
			}
		}
	}
	h["Accept-Encoding"] = identityOnly
}

var (
	gzipOnly     = []string{"gzip"}
	identityOnly = []string{"identity"}
)
