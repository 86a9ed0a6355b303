package safety

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"
)

// kind is what a body turns out to be.
type kind uint8

const (
	empty kind = iota
	jsonText
	form
	multipartForm
	plainText
	binaryData
)

// classify says what a document is. A form's type is believed, because only
// that makes a form of it. All else is looked at: services read JSON whatever
// type it is sent with, so a false type must not hide a text.
func classify(contentType string, doc []byte) kind {
	media := mediaType(contentType)
	switch {
	case len(doc) == 0:
		return empty
	case equalFold(media, "application/x-www-form-urlencoded"):
		return form
	case hasPrefixFold(media, "multipart/"):
		return multipartForm
	case isJSONType(media) || looksLikeJSON(doc):
		return jsonText
	case looksBinary(doc):
		return binaryData
	}
	return plainText
}

// mediaType is the type without its parameters, without allocating.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(media)
}

// isJSONType reports whether a media type is JSON's or has its suffix (RFC 6839).
func isJSONType(media string) bool {
	return equalFold(media, "application/json") || equalFold(media, "text/json") ||
		len(media) > len("+json") && equalFold(media[len(media)-len("+json"):], "+json")
}

func equalFold(a, b string) bool { return a == b || strings.EqualFold(a, b) }

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// looksLikeJSON reports whether a document begins like an object or array.
func looksLikeJSON(doc []byte) bool {
	rest := bytes.TrimLeft(doc[skipBOM(doc):], " \t\r\n")
	return len(rest) > 0 && (rest[0] == '{' || rest[0] == '[')
}

// looksBinary reports whether more than a fifth of a document's beginning is
// neither UTF-8 nor what stands in a text. A stray NUL or a few letters of an
// old encoding make no binary of a text.
func looksBinary(doc []byte) bool {
	head := doc[:min(len(doc), 4096)]
	odd := 0
	for i := 0; i < len(head); {
		r, n := utf8.DecodeRune(head[i:])
		if r == utf8.RuneError && n == 1 || isControl(r) {
			odd++
		}
		i += n
	}
	return odd*5 > len(head)
}

func isControl(r rune) bool { return r < ' ' && (r < '\a' || r > '\r') && r != 0x1b }

// toUTF8 returns the document in UTF-8: as it is, or, where it came as UTF-16,
// UTF-32 or Latin-1, written into room. JSON readers detect the former by
// their zero bytes, so a declared charset is not asked about those.
func toUTF8(contentType string, doc, room []byte) (text []byte, reason string) {
	if width, big := wideCode(doc); width > 0 {
		return fromWide(room[:0], doc, width, big), ""
	}
	switch charset := charsetOf(contentType); charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return doc, ""
	case "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252":
		return fromLatin1(room[:0], doc), ""
	default:
		return doc, SkippedCoding
	}
}

// charsetOf is the declared charset in lower case. It parses only what names one.
func charsetOf(contentType string) string {
	if !strings.Contains(contentType, ";") || equalFold(contentType, "application/json; charset=utf-8") {
		return ""
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return strings.ToLower(params["charset"])
}

// wideCode recognises UTF-16 and UTF-32 by a byte order mark or by the zero
// bytes of two ASCII characters at the beginning (RFC 4627 section 3). 0 = neither.
func wideCode(doc []byte) (width int, big bool) {
	if len(doc) < 4 || doc[0] != 0 && doc[1] != 0 && doc[0] < 0xFE {
		return 0, false
	}
	switch a, b, c, d := doc[0], doc[1], doc[2], doc[3]; {
	case a == 0 && b == 0 && (c == 0 && d != 0 || c == 0xFE && d == 0xFF):
		return 4, true
	case b == 0 && c == 0 && d == 0 || a == 0xFF && b == 0xFE && c == 0 && d == 0:
		return 4, false
	case a == 0 && b != 0 && c == 0 && d != 0 || a == 0xFE && b == 0xFF:
		return 2, true
	case a != 0 && b == 0 && c != 0 && d == 0 || a == 0xFF && b == 0xFE:
		return 2, false
	}
	return 0, false
}

func fromLatin1(out, doc []byte) []byte {
	for _, c := range doc {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}
