package gateway

import (
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"
)

// The one path rule: a path is forwarded exactly as it came, or it is refused.
// It is never cleaned, because what the gateway would clean a service might
// read another way, and then policy would be asked about one path and the
// service would serve another.

// The reasons for which a path is refused. All are client faults (400).
var (
	errPathForm      = errors.New("the path must begin with a slash")
	errPathChars     = errors.New("the path has characters that must be percent-encoded")
	errPathEscape    = errors.New("the path has a broken percent-encoding")
	errPathNUL       = errors.New("the path has a NUL")
	errPathDot       = errors.New("the path has a dot segment")
	errPathSlash     = errors.New("the path has an encoded slash")
	errPathBackslash = errors.New("the path has a backslash")
	errPathUTF8      = errors.New("the path has escapes that are not UTF-8")
)

// rawPath returns the path of the request target as it came over the wire,
// without the query.
func rawPath(r *http.Request) string {
	target := r.RequestURI
	if target == "" || r.Method == http.MethodConnect { // made by a program, not read from a wire
		return r.URL.EscapedPath()
	}
	if target[0] != '/' { // absolute-form, RFC 9112 section 3.2.2
		_, rest, ok := strings.Cut(target, "://")
		if !ok {
			return target
		}
		slash := strings.IndexAny(rest, "/?")
		if slash < 0 || rest[slash] == '?' {
			return "/"
		}
		target = rest[slash:]
	}
	if q := strings.IndexByte(target, '?'); q >= 0 {
		target = target[:q]
	}
	// Under http.StripPrefix the URL says what is left of the target.
	if left := r.URL.EscapedPath(); len(left) < len(target) && strings.HasPrefix(left, "/") && strings.HasSuffix(target, left) {
		return left
	}
	return target
}

// checkPath says whether a raw path may be routed and forwarded. A problem of
// which lenient is true may be waived by a route (Route.RawPath).
func checkPath(raw string) (err error, lenient bool) {
	if raw == "" || raw[0] != '/' {
		return errPathForm, false
	}
	if err := checkBytes(raw); err != nil {
		return err, false
	}
	if !strings.Contains(raw, "%") {
		return checkDots(raw), false
	}
	return checkEscapes(raw)
}

// checkBytes refuses bytes that no path carries unescaped. The letters that
// browsers send as they are although RFC 3986 wants them escaped ("|", "^",
// ...) pass; they are forwarded as they came.
func checkBytes(raw string) error {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == 0:
			return errPathNUL
		case c == '\\':
			return errPathBackslash
		case c <= ' ' || c >= 0x7f || c == '#' || c == '?' || c == '<' || c == '>' || c == '"':
			return errPathChars
		}
	}
	// net/url writes a target that begins with two slashes in its own way if
	// there are such letters in it.
	if strings.HasPrefix(raw, "//") && strings.ContainsAny(raw, "^`{|}") {
		return errPathChars
	}
	return nil
}

// checkDots refuses "." and ".." as whole segments, with or without a
// parameter (RFC 3986 section 3.3): some servers strip ";x" before they resolve.
func checkDots(path string) error {
	if !strings.Contains(path, "/.") {
		return nil
	}
	for rest := path; rest != ""; {
		var seg string
		seg, rest, _ = strings.Cut(rest, "/")
		if isDots(seg) {
			return errPathDot
		}
	}
	return nil
}

func isDots(seg string) bool {
	seg, _, _ = strings.Cut(seg, ";")
	return seg == "." || seg == ".."
}

// checkEscapes judges the decoded form of a path that has escapes.
func checkEscapes(raw string) (err error, lenient bool) {
	var waivable error
	for rest := raw; rest != ""; {
		var seg string
		seg, rest, _ = strings.Cut(rest, "/")
		decoded, ok := unescape(seg)
		if !ok {
			return errPathEscape, false
		}
		switch {
		case strings.IndexByte(decoded, 0) >= 0:
			return errPathNUL, false
		case isDots(decoded) || doubleDots(decoded):
			return errPathDot, false
		case strings.IndexByte(decoded, '/') >= 0:
			waivable = errPathSlash
		case strings.IndexByte(decoded, '\\') >= 0:
			waivable = errPathBackslash
		case !utf8.ValidString(decoded):
			waivable = errPathUTF8
		}
	}
	return waivable, waivable != nil
}

// doubleDots reports a dot segment that would appear when a decoded segment
// is split at the separators it hides ("..%2f", "%5c..").
func doubleDots(decoded string) bool {
	if !strings.ContainsAny(decoded, `/\`) {
		return false
	}
	for _, part := range strings.FieldsFunc(decoded, func(r rune) bool { return r == '/' || r == '\\' }) {
		if isDots(part) {
			return true
		}
	}
	return false
}

// unescape decodes the percent-escapes of one segment. It allocates only if
// there are any.
func unescape(seg string) (string, bool) {
	first := strings.IndexByte(seg, '%')
	if first < 0 {
		return seg, true
	}
	out := make([]byte, first, len(seg))
	copy(out, seg)
	for i := first; i < len(seg); i++ {
		if seg[i] != '%' {
			out = append(out, seg[i])
			continue
		}
		if i+2 >= len(seg) {
			return "", false
		}
		hi, lo := unhex(seg[i+1]), unhex(seg[i+2])
		if hi > 15 || lo > 15 {
			return "", false
		}
		out = append(out, hi<<4|lo)
		i += 2
	}
	return string(out), true
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
