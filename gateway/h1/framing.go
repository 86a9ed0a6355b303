package h1

import (
	"net/http"
	"strings"
)

// extent is how the end of an answer's body is found.
type extent uint8

const (
	extentNone    extent = iota // there is no body
	extentLength                // Content-Length
	extentChunked               // Transfer-Encoding: chunked
	extentClose                 // until the connection ends
)

// framing is where an answer ends, and what becomes of its connection.
type framing struct {
	extent  extent
	chunked bool  // so it says, though there may be no body
	length  int64 // as http.Response.ContentLength has it: -1 for unknown
	close   bool  // no further exchange on this connection
}

// frame decides as RFC 9112, 6.3, says; it takes Transfer-Encoding out of h
// and folds equal Content-Length lines into one. What could be read in two
// ways is refused, where the RFC merely advises it: both fields at once, a
// transfer coding other than chunked, one in HTTP/1.0.
func frame(method string, code, minor int, h http.Header) (framing, error) {
	f := framing{length: -1, close: closes(minor, h["Connection"])}
	length, err := contentLength(h)
	if err != nil {
		return f, err
	}
	chunked, err := transferCoding(h, minor)
	if err != nil {
		return f, err
	}
	f.chunked = chunked
	if chunked && length >= 0 {
		return f, malformed("both Content-Length and Transfer-Encoding")
	}
	switch {
	case method == http.MethodHead:
		f.extent, f.length = extentNone, length
	case code == http.StatusNoContent:
		f.noContent(h, chunked || length > 0)
	case code == http.StatusNotModified:
		f.extent, f.length = extentNone, 0
	case chunked:
		f.extent = extentChunked
	case length > 0:
		f.extent, f.length = extentLength, length
	case length == 0:
		f.extent, f.length = extentNone, 0
	default:
		f.extent, f.close = extentClose, true
	}
	return f, nil
}

// noContent frames a 204. It has no body and must not speak of one (RFC 9110,
// 8.6); from a service that does, anything may follow.
func (f *framing) noContent(h http.Header, lies bool) {
	delete(h, "Content-Length")
	f.extent, f.length = extentNone, 0
	f.close = f.close || lies
}

// contentLength returns -1 when there is none.
func contentLength(h http.Header) (int64, error) {
	values, ok := h["Content-Length"]
	if !ok {
		return -1, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, malformed("differing Content-Length fields")
		}
	}
	if len(values) > 1 {
		h["Content-Length"] = values[:1]
	}
	n, ok := parseLength(values[0])
	if !ok {
		return 0, malformed("Content-Length")
	}
	return n, nil
}

// parseLength takes 1*DIGIT below 2^63, and neither sign nor blank nor list.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return int64(n), n < 1<<63
}

func transferCoding(h http.Header, minor int) (chunked bool, err error) {
	values, ok := h["Transfer-Encoding"]
	if !ok {
		return false, nil
	}
	if minor == 0 {
		return false, malformed("Transfer-Encoding in HTTP/1.0")
	}
	if len(values) != 1 || !strings.EqualFold(values[0], "chunked") {
		return false, malformed("Transfer-Encoding other than chunked")
	}
	delete(h, "Transfer-Encoding")
	return true, nil
}

// closes tells whether the connection ends with this answer (RFC 9112, 9.3).
func closes(minor int, connection []string) bool {
	if minor == 0 {
		return hasToken(connection, "close") || !hasToken(connection, "keep-alive")
	}
	return hasToken(connection, "close")
}

// hasToken looks for want, in lower case, in comma-separated lists.
func hasToken(lists []string, want string) bool {
	for _, list := range lists {
		for more := true; more; {
			var element string
			element, list, more = strings.Cut(list, ",")
			if strings.EqualFold(strings.Trim(element, " \t"), want) {
				return true
			}
		}
	}
	return false
}

// takeTrailer moves the announced trailer names from the Trailer field into a
// map with nil values, as net/http does, once it is known that the body can
// have a trailer section.
func takeTrailer(h http.Header) (http.Header, error) {
	lists, ok := h["Trailer"]
	if !ok {
		return nil, nil
	}
	delete(h, "Trailer")
	var trailer http.Header
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.Trim(name, " \t"); name == "" {
				continue
			}
			name = http.CanonicalHeaderKey(name)
			if !validToken(name) || framingField(name) {
				return nil, malformed("Trailer names a field that cannot be one")
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[name] = nil
		}
	}
	return trailer, nil
}

// framingField tells whether a field frames the message, so that it is not
// the caller's to set and not a trailer's to hold (RFC 9110, 6.5.1).
func framingField(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}
