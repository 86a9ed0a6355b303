package safety

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// fromWide appends UTF-16 or UTF-32 text as UTF-8, without its byte order
// mark. What is no character becomes U+FFFD.
func fromWide(out, doc []byte, width int, big bool) []byte {
	var order binary.ByteOrder = binary.LittleEndian
	if big {
		order = binary.BigEndian
	}
	if width == 4 {
		return from32(out, doc, order)
	}
	return from16(out, doc, order)
}

func from32(out, doc []byte, order binary.ByteOrder) []byte {
	for ; len(doc) >= 4; doc = doc[4:] {
		out = appendWide(out, rune(order.Uint32(doc)))
	}
	return out
}

func from16(out, doc []byte, order binary.ByteOrder) []byte {
	for len(doc) >= 2 {
		r := rune(order.Uint16(doc))
		doc = doc[2:]
		if utf16.IsSurrogate(r) && len(doc) >= 2 {
			if pair := utf16.DecodeRune(r, rune(order.Uint16(doc))); pair != utf8.RuneError {
				r, doc = pair, doc[2:]
			}
		}
		out = appendWide(out, r)
	}
	return out
}

func appendWide(out []byte, r rune) []byte {
	if r == 0xFEFF {
		return out
	}
	return utf8.AppendRune(out, r)
}
