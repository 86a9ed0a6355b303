package safety

import (
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep a document may be nested. Deeper ones are judged as if
// they were broken: every word of them, but without knowing what is a name and
// what is a value.
const maxDepth = 64

// walker finds the string values of a JSON document, one after the other. It
// accepts exactly what RFC 8259 calls a JSON text, like encoding/json does,
// and allocates nothing but the room for strings with escapes.
//
// It exists because this is the hot path: encoding/json's decoder allocates
// every token. A fuzz test holds the two against each other.
type walker struct {
	data   []byte
	pos    int
	fields *paths // nil: all strings, except those of credentials
	nulls  bool   // also stop at a null where a string would match

	text       []byte // the current string, decoded
	start, end int    // the current value in data, with its quotes
	unescaped  []byte // room for decoding, used again
	broken     bool   // the document is no JSON text, or nested too deeply
	follows    bool   // because something follows a whole one
	left       int    // bytes of strings that did not count because they are credentials

	depth   int
	started bool
	stack   [maxDepth]level
}

// level is one object or array that the walker stands in.
type level struct {
	mask    uint64 // the paths that lead here
	object  bool
	inside  bool // a path ended at or above: every string counts
	secret  bool // below a credential's name: no string counts
	entered bool // the first member or element was read
}

// reset makes the walker ready for a document; it keeps its room.
func (w *walker) reset(data []byte, fields *paths) {
	w.data, w.fields = data, fields
	w.pos, w.depth, w.started, w.broken, w.nulls = skipBOM(data), 0, false, false, false
	w.text, w.start, w.end, w.follows, w.left = nil, 0, 0, false, 0
}

// another goes on to the document that follows this one, if one does.
func (w *walker) another() bool {
	if !w.follows {
		return false
	}
	w.follows, w.broken, w.started = false, false, false
	return true
}

func skipBOM(data []byte) int {
	if len(data) >= 3 && data[0] == 0xEF && data[1] == 0xBB && data[2] == 0xBF {
		return 3
	}
	return 0
}

// next goes on to the next string that counts. It returns false at the end of
// the document, or with broken set where the document goes wrong.
func (w *walker) next() bool {
	for !w.broken {
		here, ok := w.advance()
		if !ok {
			return false
		}
		if w.value(here) {
			return true
		}
	}
	return false
}

// advance goes on to the beginning of the next value and says what leads there.
func (w *walker) advance() (here level, ok bool) {
	if !w.started {
		w.started = true
		w.space()
		return w.root(), true
	}
	for w.depth > 0 {
		w.space()
		in := &w.stack[w.depth-1]
		if w.pos < len(w.data) && w.data[w.pos] == in.closing() {
			w.pos++
			w.depth--
			continue
		}
		if !w.comma(in) {
			return level{}, w.fail()
		}
		if in.object {
			return w.member(in)
		}
		return w.element(in), true
	}
	if w.space(); w.pos < len(w.data) {
		w.follows = true
		return level{}, w.fail()
	}
	return level{}, false
}

func (l *level) closing() byte {
	if l.object {
		return '}'
	}
	return ']'
}

// root is what leads to the document itself. A lone string always counts.
func (w *walker) root() level {
	if w.fields == nil {
		return level{inside: true}
	}
	lone := w.pos < len(w.data) && w.data[w.pos] == '"'
	return level{mask: w.fields.all(), inside: lone}
}

// comma reads what separates members and elements: nothing before the first.
func (w *walker) comma(in *level) bool {
	if !in.entered {
		in.entered = true
		return true
	}
	if w.pos >= len(w.data) || w.data[w.pos] != ',' {
		return false
	}
	w.pos++
	w.space()
	return true
}

// member reads a name and its colon.
func (w *walker) member(in *level) (level, bool) {
	key, ok := w.readString()
	if !ok {
		return level{}, w.fail()
	}
	here := w.below(in, key)
	w.space()
	if w.pos >= len(w.data) || w.data[w.pos] != ':' {
		return level{}, w.fail()
	}
	w.pos++
	w.space()
	return here, true
}

func (w *walker) below(in *level, key []byte) level {
	if w.fields == nil || in.inside {
		return level{inside: true, secret: in.secret || isCredential(key)}
	}
	mask, hit := w.fields.member(in.mask, w.depth-1, key)
	return level{mask: mask, inside: hit}
}

func (w *walker) element(in *level) level {
	if in.inside || w.fields == nil {
		return level{inside: true, secret: in.secret}
	}
	mask, hit := w.fields.element(in.mask, w.depth-1)
	return level{mask: mask, inside: hit}
}

// value reads the value at pos and reports whether it is one to stop at.
func (w *walker) value(here level) bool {
	if w.pos >= len(w.data) {
		return w.fail()
	}
	switch c := w.data[w.pos]; c {
	case '{', '[':
		if w.depth == maxDepth {
			return w.fail()
		}
		here.object = c == '{'
		w.stack[w.depth] = here
		w.depth++
		w.pos++
		return false
	case '"':
		start := w.pos
		text, ok := w.readString()
		if !ok {
			return w.fail()
		}
		w.text, w.start, w.end = text, start, w.pos
		if here.secret {
			w.left += w.end - w.start
		}
		return here.inside && !here.secret
	case 't':
		return w.word("true")
	case 'f':
		return w.word("false")
	case 'n':
		w.text, w.start, w.end = nil, w.pos, w.pos+len("null")
		w.word("null")
		return w.nulls && here.inside && !w.broken
	default:
		return w.number()
	}
}

func (w *walker) fail() bool {
	w.broken = true
	return false
}

func (w *walker) space() {
	for w.pos < len(w.data) {
		switch w.data[w.pos] {
		case ' ', '\t', '\n', '\r':
			w.pos++
		default:
			return
		}
	}
}

func (w *walker) word(want string) bool {
	if len(w.data)-w.pos < len(want) || string(w.data[w.pos:w.pos+len(want)]) != want {
		return w.fail()
	}
	w.pos += len(want)
	return false
}

// number reads a number as RFC 8259 section 6 draws it.
func (w *walker) number() bool {
	w.accept('-')
	if !w.accept('0') && !w.digits() {
		return w.fail()
	}
	if w.accept('.') && !w.digits() {
		return w.fail()
	}
	if w.accept('e') || w.accept('E') {
		_ = w.accept('+') || w.accept('-')
		if !w.digits() {
			return w.fail()
		}
	}
	return false
}

func (w *walker) accept(c byte) bool {
	if w.pos < len(w.data) && w.data[w.pos] == c {
		w.pos++
		return true
	}
	return false
}

func (w *walker) digits() bool {
	start := w.pos
	for w.pos < len(w.data) && w.data[w.pos] >= '0' && w.data[w.pos] <= '9' {
		w.pos++
	}
	return w.pos > start
}

// readString reads the string at pos. Without escapes the result is a part of
// the document; with them it is w.unescaped, which the next string overwrites.
func (w *walker) readString() ([]byte, bool) {
	if w.pos >= len(w.data) || w.data[w.pos] != '"' {
		return nil, false
	}
	for i := w.pos + 1; i < len(w.data); i++ {
		switch c := w.data[i]; {
		case c == '"':
			text := w.data[w.pos+1 : i]
			w.pos = i + 1
			return text, true
		case c == '\\':
			return w.readEscaped(i)
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// readEscaped is readString from the first escape, at i, on.
func (w *walker) readEscaped(i int) ([]byte, bool) {
	out := append(w.unescaped[:0], w.data[w.pos+1:i]...)
	defer func() { w.unescaped = out }()
	for i < len(w.data) {
		switch c := w.data[i]; {
		case c == '"':
			w.pos = i + 1
			return out, true
		case c < ' ':
			return nil, false
		case c == '\\':
			var n int
			if out, n = appendEscape(out, w.data[i:]); n == 0 {
				return nil, false
			}
			i += n
		default:
			out = append(out, c)
			i++
		}
	}
	return nil, false
}

// appendEscape appends what the escape at the beginning of in stands for and
// returns its length, 0 for one that does not exist. Half a surrogate pair
// stands for U+FFFD, as with encoding/json.
func appendEscape(out, in []byte) ([]byte, int) {
	if len(in) < 2 {
		return out, 0
	}
	switch in[1] {
	case '"', '\\', '/':
		return append(out, in[1]), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
		return appendUnicode(out, in)
	}
	return out, 0
}

func appendUnicode(out, in []byte) ([]byte, int) {
	r, ok := hex4(in)
	if !ok {
		return out, 0
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(out, r), 6
	}
	if low, ok := hex4(in[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return utf8.AppendRune(out, pair), 12
		}
	}
	return utf8.AppendRune(out, utf8.RuneError), 6
}

// hex4 reads a \uXXXX at the beginning of in.
func hex4(in []byte) (r rune, ok bool) {
	if len(in) < 6 || in[0] != '\\' || in[1] != 'u' {
		return 0, false
	}
	for _, c := range in[2:6] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// unescapeLoosely undoes every JSON escape in a text that is no JSON, so that
// a broken document hides nothing behind them.
func unescapeLoosely(out, in []byte) []byte {
	for i := 0; i < len(in); {
		if in[i] == '\\' {
			var n int
			if out, n = appendEscape(out, in[i:]); n > 0 {
				i += n
				continue
			}
		}
		out = append(out, in[i])
		i++
	}
	return out
}
