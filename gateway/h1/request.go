package h1

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// outgoing is a request as it will stand on the wire.
type outgoing struct {
	method  string
	wire    *[]byte // the header, and an inline body behind it; pooled
	body    io.ReadCloser
	size    int64 // of the body; 0 for none, -1 for unknown (chunked)
	inline  bool  // the body, if any, is in wire
	expects bool  // Expect: 100-continue
	upgrade bool  // asks for another protocol
	close   bool  // says that the connection ends
}

// prepare checks req and writes its header into a buffer. Whatever the caller
// put into the request, the bytes are one well-formed message or an error.
func (o *outgoing) prepare(req *http.Request) error {
	o.body = req.Body
	if err := o.check(req); err != nil {
		return err
	}
	o.measure(req)
	o.wire = outBuffers.Get().(*[]byte)
	b, err := o.appendHeader(*o.wire, req)
	if err == nil && o.inline && o.size > 0 {
		b, err = o.appendBody(b)
	}
	*o.wire = b
	if err == nil && o.inline && o.body != nil {
		o.body.Close()
		o.body = nil
	}
	return err
}

func (o *outgoing) check(req *http.Request) error {
	switch {
	case req.URL == nil:
		return refuse("request without URL")
	case req.URL.Scheme == "https":
		return refuse("https is not spoken here: use http.Transport for TLS services")
	case req.URL.Scheme != "http":
		return refuse("scheme %q is not spoken here", req.URL.Scheme)
	case req.URL.Host == "":
		return refuse("request URL without host")
	}
	if o.method = req.Method; o.method == "" {
		o.method = http.MethodGet
	}
	if o.method == http.MethodConnect {
		return refuse("CONNECT is not spoken here")
	}
	if !validToken(o.method) {
		return refuse("invalid method")
	}
	return nil
}

// measure finds how the body is framed and whether it can go out inline.
func (o *outgoing) measure(req *http.Request) {
	o.size = req.ContentLength
	memory := inMemory(req)
	switch {
	case o.body == nil || o.body == http.NoBody || memory == 0:
		o.size = 0
	case o.size <= 0 || len(req.Trailer) > 0 || slices.Contains(req.TransferEncoding, "chunked"):
		o.size = -1
	}
	o.expects = o.size != 0 && hasToken(req.Header["Expect"], "100-continue")
	o.inline = o.size == 0 || memory > 0 && o.size > 0 && o.size <= inlineBody && !o.expects
}

// inMemory tells how many bytes of the body are at hand, so that reading them
// takes no time, or -1 if that is not known. A body says so by a method
// Len() int, as *bytes.Reader, *bytes.Buffer and *strings.Reader have;
// http.NewRequest hides it, but sets GetBody for just these.
func inMemory(req *http.Request) int64 {
	if b, ok := req.Body.(interface{ Len() int }); ok {
		return int64(b.Len())
	}
	if req.GetBody != nil && req.ContentLength > 0 {
		return req.ContentLength
	}
	return -1
}

func (o *outgoing) appendHeader(b []byte, req *http.Request) ([]byte, error) {
	b = append(b, o.method...)
	b = append(b, ' ')
	b, err := appendTarget(b, req.URL, o.method)
	if err != nil {
		return b, err
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if b, err = appendHost(b, req); err != nil {
		return b, err
	}
	if b, err = o.appendFields(b, req.Header); err != nil {
		return b, err
	}
	if req.Close && !o.close {
		o.close = true
		b = append(b, "Connection: close\r\n"...)
	}
	if b, err = o.appendFraming(b, req.Trailer); err != nil {
		return b, err
	}
	return append(b, "\r\n"...), nil
}

// appendTarget writes the request target as URL.RequestURI has it, but a
// RawPath that means Path is sent byte for byte even where RequestURI would
// escape it anew, so that a proxied path arrives as it came.
func appendTarget(b []byte, u *url.URL, method string) ([]byte, error) {
	start := len(b)
	switch {
	case u.Opaque != "":
		if strings.HasPrefix(u.Opaque, "//") {
			b = append(b, "http:"...)
		}
		b = append(b, u.Opaque...)
	case rawPathFits(u):
		b = append(b, u.RawPath...)
	case u.Path == "":
		b = append(b, '/')
	default:
		b = append(b, u.EscapedPath()...)
	}
	if u.ForceQuery || u.RawQuery != "" {
		b = append(b, '?')
		b = append(b, u.RawQuery...)
	}
	target := b[start:]
	if u.Opaque == "" && target[0] != '/' && (method != http.MethodOptions || string(target) != "*") {
		return b, refuse("path of the URL must begin with a slash")
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return b, refuse("blank or control byte in the URL")
		}
	}
	return b, nil
}

func rawPathFits(u *url.URL) bool {
	if u.RawPath == "" || strings.ContainsAny(u.RawPath, "?#") {
		return false
	}
	path, err := url.PathUnescape(u.RawPath)
	return err == nil && path == u.Path
}

// appendHost writes the value of Host and the line's end. An IPv6 zone means
// nothing to the other side and is left out (RFC 6874, 4).
func appendHost(b []byte, req *http.Request) ([]byte, error) {
	name := req.Host
	if name == "" {
		name = req.URL.Host
	}
	name = withoutZone(name)
	for i := range len(name) {
		if !hostBytes[name[i]] {
			return b, refuse("invalid Host")
		}
	}
	b = append(b, name...)
	return append(b, "\r\n"...), nil
}

func withoutZone(name string) string {
	if !strings.HasPrefix(name, "[") {
		return name
	}
	end := strings.LastIndexByte(name, ']')
	zone := strings.IndexByte(name, '%')
	if zone < 0 || zone > end {
		return name
	}
	return name[:zone] + name[end:]
}

// appendFields writes the caller's fields, all but those that frame the
// message: they are ours, however their names are spelt.
func (o *outgoing) appendFields(b []byte, h http.Header) ([]byte, error) {
	for name, values := range h {
		if framingField(name) {
			continue
		}
		if !validToken(name) {
			return b, refuse("invalid header field name")
		}
		o.note(name, values)
		for _, v := range values {
			if !validValue(v) {
				return b, refuse("control byte in the value of header field %s", name)
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, strings.Trim(v, " \t")...)
			b = append(b, "\r\n"...)
		}
	}
	return b, nil
}

// note remembers what the connection fields mean for the exchange.
func (o *outgoing) note(name string, values []string) {
	switch {
	case len(name) == len("Connection") && strings.EqualFold(name, "Connection"):
		o.close = o.close || hasToken(values, "close")
	case len(name) == len("Upgrade") && strings.EqualFold(name, "Upgrade"):
		o.upgrade = len(values) > 0
	}
}

// appendFraming writes Content-Length, or Transfer-Encoding and Trailer. A
// method that usually has a body says so when it has none (RFC 9110, 8.6).
func (o *outgoing) appendFraming(b []byte, trailer http.Header) ([]byte, error) {
	switch {
	case o.size > 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, o.size, 10)
		return append(b, "\r\n"...), nil
	case o.size < 0:
		return appendAnnouncement(append(b, "Transfer-Encoding: chunked\r\n"...), trailer)
	case o.method == http.MethodPost, o.method == http.MethodPut, o.method == http.MethodPatch:
		return append(b, "Content-Length: 0\r\n"...), nil
	}
	return b, nil
}

func appendAnnouncement(b []byte, trailer http.Header) ([]byte, error) {
	separator := "Trailer: "
	for name := range trailer {
		if !validToken(name) || framingField(name) {
			return b, refuse("invalid trailer field name")
		}
		b = append(b, separator...)
		b = append(b, name...)
		separator = ", "
	}
	if len(trailer) > 0 {
		b = append(b, "\r\n"...)
	}
	return b, nil
}

// appendBody reads a body that is in memory. It must be as long as announced.
func (o *outgoing) appendBody(b []byte) ([]byte, error) {
	start, size := len(b), int(o.size)
	b = slices.Grow(b, size+1)[:start+size+1]
	n, err := io.ReadFull(o.body, b[start:])
	b = b[:start+n]
	switch {
	case n > size:
		return b, &BodyError{Err: errLongBody}
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return b, &BodyError{Err: err}
	case n < size:
		return b, &BodyError{Err: errShortBody}
	}
	return b, nil
}

// idempotent methods may be sent twice (RFC 9110, 9.2.2). An Idempotency-Key
// does not make a method so: whether the service honours it is not ours to
// know.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
