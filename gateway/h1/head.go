package h1

import (
	"bytes"
	"net/http"
)

// maxFields bounds the field lines of one header or trailer section: a
// mebibyte of two-byte lines would otherwise become tens of mebibytes of map.
const maxFields = 2000

// field is one field line, as offsets into the section it stands in.
type field struct{ name, nameEnd, value, valueEnd uint32 }

// section parses a header section (with a status line before it) or a trailer
// section (without), line by line as bytes arrive: what is wrong is refused
// at the first wrong line, and no byte is looked at twice however slowly they
// come. Names are brought to canonical form in place, so that the section can
// then become one string from which every key and value is a slice.
//
// It is stricter than RFC 9112 obliges a client to be: a line ends with CRLF
// and nothing else (2.2), folded lines (5.2) and blanks before the colon
// (5.1) are refused, and so is every control byte but the tab in a value.
type section struct {
	trailer bool // no status line
	pos     int  // start of the line being read
	scan    int  // there is no line feed between pos and here
	minor   int  // HTTP/1.minor
	code    int
	status  int     // end of the status line, without its CRLF
	fields  []field // its array is reused
}

func (s *section) reset(trailer bool) { *s = section{trailer: trailer, fields: s.fields[:0]} }

// parse looks at b, which begins with the section and may have grown since
// the last call. It returns the section's length, empty line included, or 0
// when more bytes are needed.
func (s *section) parse(b []byte) (int, error) {
	for {
		i := bytes.IndexByte(b[s.scan:], '\n')
		if i < 0 {
			s.scan = len(b)
			return 0, s.plausible(b)
		}
		line, err := s.line(b, s.scan+i)
		if err != nil {
			return 0, err
		}
		start := s.pos
		s.pos = s.scan + i + 1
		s.scan = s.pos
		switch {
		case start == 0 && !s.trailer:
			err = s.parseStatus(line)
		case len(line) == 0:
			return s.pos, nil
		default:
			err = s.parseField(line, start)
		}
		if err != nil {
			return 0, err
		}
	}
}

func (s *section) line(b []byte, lf int) ([]byte, error) {
	if lf == s.pos || b[lf-1] != '\r' {
		return nil, malformed("a line ends without carriage return")
	}
	return b[s.pos : lf-1], nil
}

// plausible refuses what cannot become an HTTP/1 answer before its first line
// is complete: a service of another protocol may never send a line feed.
func (s *section) plausible(b []byte) error {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	if s.trailer || s.pos > 0 || string(b[:n]) == start[:n] {
		return nil
	}
	return malformed("does not begin with HTTP/1")
}

// parseStatus takes a status line: "HTTP/1.1 200 OK". The reason may be
// empty, and the blank before it missing then (RFC 9112, 4, asks for the
// blank; many forget it).
func (s *section) parseStatus(line []byte) error {
	if !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return malformed("does not begin with HTTP/1")
	}
	if len(line) < 12 || !isDigit(line[7]) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return malformed("status line")
	}
	for _, c := range line[9:12] {
		if !isDigit(c) {
			return malformed("status code")
		}
		s.code = s.code*10 + int(c-'0')
	}
	if s.code < 100 || !validValue(line[12:]) {
		return malformed("status line")
	}
	s.minor, s.status = int(line[7]-'0'), len(line)
	return nil
}

func (s *section) parseField(line []byte, at int) error {
	if len(s.fields) == maxFields {
		return malformed("too many header fields")
	}
	if line[0] == ' ' || line[0] == '\t' {
		return malformed("folded header line")
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !canonicalise(line[:colon]) {
		return malformed("header field name")
	}
	from, to := colon+1, len(line)
	for from < to && isBlank(line[from]) {
		from++
	}
	for to > from && isBlank(line[to-1]) {
		to--
	}
	if !validValue(line[from:to]) {
		return malformed("control byte in a header value")
	}
	s.fields = append(s.fields, field{uint32(at), uint32(at + colon), uint32(at + from), uint32(at + to)})
	return nil
}

// header makes the map from text, which is the parsed section. It costs the
// map and one slice for all values.
func (s *section) header(text string) http.Header {
	h := make(http.Header, len(s.fields))
	values := make([]string, len(s.fields))
	for i, f := range s.fields {
		name, value := text[f.name:f.nameEnd], text[f.value:f.valueEnd]
		if others, ok := h[name]; ok {
			h[name] = append(others, value)
			continue
		}
		values[i] = value
		h[name] = values[i : i+1 : i+1]
	}
	return h
}

// canonicalise brings a field name to the form of http.CanonicalHeaderKey, in
// place; it reports whether the name is a token (RFC 9110, 5.1).
func canonicalise(name []byte) bool {
	upper := true
	for i, c := range name {
		if !tokenBytes[c] {
			return false
		}
		if upper && 'a' <= c && c <= 'z' {
			name[i] = c - ('a' - 'A')
		} else if !upper && 'A' <= c && c <= 'Z' {
			name[i] = c + ('a' - 'A')
		}
		upper = c == '-'
	}
	return true
}

func validValue[T []byte | string](v T) bool {
	for i := range len(v) {
		if controlBytes[v[i]] {
			return false
		}
	}
	return true
}

func validToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// tokenBytes are those of a token (RFC 9110, 5.6.2), controlBytes those that no
// field value may hold (5.5), hostBytes those of a Host field (RFC 3986, 3.2.2).
var (
	tokenBytes   = table("!#$%&'*+-.^_`|~" + alphanumeric)
	hostBytes    = table("-._~!$&'()*+,;=:[]%" + alphanumeric)
	controlBytes = controls()
)

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func table(members string) (t [256]bool) {
	for i := range len(members) {
		t[members[i]] = true
	}
	return t
}

func controls() (t [256]bool) {
	for c := range 0x20 {
		t[c] = c != '\t'
	}
	t[0x7f] = true
	return t
}
