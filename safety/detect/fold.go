package detect

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// What a byte of ASCII is to the tokeniser. The table answers for nearly all
// traffic; only other bytes go through [foldRune].
const (
	kindSpace = iota // separates words
	kindLetter
	kindDigit
	kindApostrophe
	kindStop   // ends a sentence when a space follows
	kindBreak  // ends a clause
	kindQuote  // opens or closes speech
	kindJoiner // may hide inside a word: s-u-i-c-i-d-e, k.m.s, s*icide
	kindSymbol // may stand for a letter inside a word: d!e, $uicide
	kindBracket
	kindIgnore // invisible
)

var asciiKind = [128]uint8{
	'\n': kindBreak, '\'': kindApostrophe, '`': kindApostrophe,
	'.': kindStop, '!': kindStop, '?': kindStop,
	',': kindBreak, ';': kindBreak, ':': kindBreak, '(': kindBracket, ')': kindBracket, '[': kindBracket, ']': kindBracket,
	'"': kindQuote, '-': kindJoiner, '_': kindJoiner, '*': kindJoiner, '~': kindJoiner, '/': kindJoiner, '#': kindJoiner, '%': kindJoiner,
	'@': kindSymbol, '$': kindSymbol, '|': kindSymbol, '+': kindSymbol,
	0x7f: kindIgnore,
	'0':  kindDigit, '1': kindDigit, '2': kindDigit, '3': kindDigit, '4': kindDigit,
	'5': kindDigit, '6': kindDigit, '7': kindDigit, '8': kindDigit, '9': kindDigit,
	'a': kindLetter, 'b': kindLetter, 'c': kindLetter, 'd': kindLetter, 'e': kindLetter, 'f': kindLetter, 'g': kindLetter,
	'h': kindLetter, 'i': kindLetter, 'j': kindLetter, 'k': kindLetter, 'l': kindLetter, 'm': kindLetter, 'n': kindLetter,
	'o': kindLetter, 'p': kindLetter, 'q': kindLetter, 'r': kindLetter, 's': kindLetter, 't': kindLetter, 'u': kindLetter,
	'v': kindLetter, 'w': kindLetter, 'x': kindLetter, 'y': kindLetter, 'z': kindLetter,
	'A': kindLetter, 'B': kindLetter, 'C': kindLetter, 'D': kindLetter, 'E': kindLetter, 'F': kindLetter, 'G': kindLetter,
	'H': kindLetter, 'I': kindLetter, 'J': kindLetter, 'K': kindLetter, 'L': kindLetter, 'M': kindLetter, 'N': kindLetter,
	'O': kindLetter, 'P': kindLetter, 'Q': kindLetter, 'R': kindLetter, 'S': kindLetter, 'T': kindLetter, 'U': kindLetter,
	'V': kindLetter, 'W': kindLetter, 'X': kindLetter, 'Y': kindLetter, 'Z': kindLetter,
}

// folded is what one rune becomes: up to four lower-case ASCII letters, or one
// byte of punctuation, or an emoji's name, or nothing.
type folded struct {
	kind    uint8
	n       uint8
	letters [4]byte
	emoji   string
}

func letters(s string) folded {
	f := folded{kind: kindLetter, n: uint8(len(s))}
	copy(f.letters[:], s)
	return f
}

// foldRune maps a rune outside ASCII to what a reader sees in it: letters that
// look Latin become Latin, decorations and invisible runes vanish, curly
// punctuation becomes plain.
func foldRune(r rune) folded {
	if s, ok := lookalikes[r]; ok {
		return letters(s)
	}
	if name, ok := emoji[r]; ok {
		return folded{kind: kindLetter, emoji: name}
	}
	if kind, ok := punctuation[r]; ok {
		return folded{kind: kind}
	}
	switch {
	case invisible(r):
		return folded{kind: kindIgnore}
	case r >= 0x1F170 && r <= 0x1F189: // negative squared letters
		return letters(string('a' + (r - 0x1F170)))
	case r >= 0x1F150 && r <= 0x1F169: // negative circled letters
		return letters(string('a' + (r - 0x1F150)))
	case r >= 0x1F1E6 && r <= 0x1F1FF: // regional indicators
		return letters(string('a' + (r - 0x1F1E6)))
	}
	return decompose(r)
}

// invisible reports runes that change nothing a reader sees: joiners, marks of
// direction, soft hyphens, variation selectors, tags, combining marks.
func invisible(r rune) bool {
	switch {
	case r == 0x00AD, r == 0x034F, r == 0x061C, r == 0x180E, r == 0xFEFF, r == 0x3164, r == 0x115F, r == 0x1160, r == 0x2800:
		return true
	case r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2060 && r <= 0x206F:
		return true
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0000 && r <= 0xE01EF, r >= 0x1F3FB && r <= 0x1F3FF:
		return true
	}
	return unicode.In(r, unicode.Mn, unicode.Me)
}

// decompose takes a rune apart by compatibility (NFKD) and keeps its letters.
func decompose(r rune) folded {
	var raw [utf8.UTFMax]byte
	size := utf8.EncodeRune(raw[:], r)
	parts := norm.NFKD.Properties(raw[:size]).Decomposition()
	if len(parts) == 0 {
		return plain(r)
	}
	out := folded{kind: kindSpace}
	for len(parts) > 0 {
		p, n := utf8.DecodeRune(parts)
		parts = parts[n:]
		out = out.with(p)
	}
	return out
}

// with appends what p contributes to a decomposition.
func (f folded) with(p rune) folded {
	if s, ok := lookalikes[p]; ok && len(s) == 1 {
		p = rune(s[0])
	}
	if p >= utf8.RuneSelf || f.n == uint8(len(f.letters)) {
		return f
	}
	if kind := asciiKind[p]; kind == kindLetter || kind == kindDigit {
		f.kind, f.letters[f.n] = kind, lower(byte(p))
		f.n++
	}
	return f
}

// plain is a rune without a decomposition: a letter of another script is kept
// as an unknown letter, so that words keep their borders.
func plain(r rune) folded {
	if unicode.IsLetter(r) {
		return letters("\x01")
	}
	return folded{kind: kindSpace}
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// punctuation maps typographic marks to their kinds.
var punctuation = map[rune]uint8{
	'’': kindApostrophe, '‘': kindApostrophe, 'ʼ': kindApostrophe, '´': kindApostrophe, '＇': kindApostrophe, 'ʹ': kindApostrophe, '′': kindApostrophe,
	'“': kindQuote, '”': kindQuote, '„': kindQuote, '«': kindQuote, '»': kindQuote, '‟': kindQuote, '＂': kindQuote,
	'…': kindBreak, '–': kindBreak, '—': kindBreak, '，': kindBreak, '；': kindBreak, '：': kindBreak, '。': kindStop, '！': kindStop, '？': kindStop,
	'‐': kindJoiner, '‑': kindJoiner, '·': kindJoiner, '•': kindJoiner, '∙': kindJoiner, '・': kindJoiner, '＊': kindJoiner, '＿': kindJoiner,
	'¿': kindSpace, '¡': kindSpace, '\u2028': kindBreak, '\u2029': kindBreak,
}

// emoji names the few pictures that carry meaning here.
var emoji = map[rune]string{
	'💊': ":pill:", '🔪': ":knife:", '🗡': ":knife:", '🔫': ":gun:", '💀': ":skull:", '☠': ":skull:", '⚰': ":coffin:", '🪦': ":coffin:",
	'😂': ":laugh:", '🤣': ":laugh:", '😆': ":laugh:", '😹': ":laugh:", '😭': ":cry:", '😢': ":cry:", '😔': ":sad:", '😞': ":sad:", '🩸': ":blood:", '🪢': ":noose:",
	'🙃': ":upside:", '🎮': ":game:", '⚔': ":sword:", '🏹': ":sword:", '🐉': ":dragon:", '🧙': ":dragon:",
}

// lookalikes are letters of other scripts, and letter-like signs, that a
// reader takes for Latin ones. What compatibility decomposition already undoes
// (full-width, mathematical, circled, accented letters) is not repeated here.
var lookalikes = map[rune]string{
	// Cyrillic
	'а': "a", 'в': "b", 'с': "c", 'ԁ': "d", 'е': "e", 'ё': "e", 'ѓ': "r", 'һ': "h", 'н': "h", 'і': "i", 'ї': "i", 'ј': "j", 'к': "k", 'ӏ': "l", 'м': "m", 'п': "n", 'о': "o", 'р': "p", 'ԛ': "q", 'г': "r", 'ѕ': "s", 'т': "t", 'ц': "u", 'ѵ': "v", 'ԝ': "w", 'х': "x", 'у': "y", 'ѳ': "o", 'б': "b", 'и': "n", 'ь': "b",
	'А': "a", 'В': "b", 'С': "c", 'Е': "e", 'Ё': "e", 'Н': "h", 'І': "i", 'Ї': "i", 'Ј': "j", 'К': "k", 'М': "m", 'О': "o", 'Р': "p", 'Ѕ': "s", 'Т': "t", 'Ү': "y", 'У': "y", 'Х': "x", 'Ӏ': "i", 'Ԝ': "w", 'Я': "r", 'И': "n", 'Ԁ': "d", 'З': "e", 'з': "e",
	// Greek
	'α': "a", 'β': "b", 'ϲ': "c", 'δ': "d", 'ε': "e", 'έ': "e", 'η': "n", 'ι': "i", 'ί': "i", 'κ': "k", 'λ': "l", 'μ': "u", 'ν': "v", 'ο': "o", 'ό': "o", 'π': "n", 'ρ': "p", 'σ': "o", 'ς': "s", 'τ': "t", 'υ': "u", 'χ': "x", 'ω': "w", 'γ': "y", 'ϳ': "j",
	'Α': "a", 'Β': "b", 'Ε': "e", 'Ζ': "z", 'Η': "h", 'Ι': "i", 'Κ': "k", 'Μ': "m", 'Ν': "n", 'Ο': "o", 'Ρ': "p", 'Τ': "t", 'Υ': "y", 'Χ': "x", 'Σ': "e", 'Λ': "a",
	// Armenian, Cherokee and Lisu shapes, phonetic and small capital letters
	'օ': "o", 'ս': "u", 'հ': "h", 'ո': "n", 'ԍ': "g", 'ց': "g", 'ı': "i", 'ɩ': "i", 'ɪ': "i", 'ᴀ': "a", 'ʙ': "b", 'ᴄ': "c", 'ᴅ': "d", 'ᴇ': "e", 'ꜰ': "f", 'ɢ': "g", 'ʜ': "h", 'ᴊ': "j", 'ᴋ': "k", 'ʟ': "l", 'ᴍ': "m", 'ɴ': "n", 'ᴏ': "o", 'ᴘ': "p", 'ꞯ': "q", 'ʀ': "r", 'ꜱ': "s", 'ᴛ': "t", 'ᴜ': "u", 'ᴠ': "v", 'ᴡ': "w", 'ʏ': "y", 'ᴢ': "z",
	'ɑ': "a", 'ɓ': "b", 'ɖ': "d", 'ɛ': "e", 'ɡ': "g", 'ɦ': "h", 'ɨ': "i", 'ɫ': "l", 'ɱ': "m", 'ɲ': "n", 'ɵ': "o", 'ʂ': "s", 'ʈ': "t", 'ʋ': "u", 'ʌ': "v", 'ɯ': "w", 'ʐ': "z", 'ɐ': "a", 'ǝ': "e", 'ə': "e", 'ƙ': "k", 'ʞ': "k", 'ɥ': "h", 'ɹ': "r", 'ʇ': "t", 'ʎ': "y", 'ɟ': "f", 'ƃ': "g",
	// letters that Unicode does not decompose
	'ß': "ss", 'ẞ': "ss", 'æ': "ae", 'Æ': "ae", 'œ': "oe", 'Œ': "oe", 'ø': "o", 'Ø': "o", 'ł': "l", 'Ł': "l", 'đ': "d", 'Đ': "d", 'ħ': "h", 'ŧ': "t", 'þ': "th", 'ð': "d", 'ŋ': "n", 'ɇ': "e", 'ƀ': "b", 'ȼ': "c", 'ⱥ': "a",
	// signs
	'€': "e", '£': "l", '¥': "y", '¢': "c", '©': "c", '®': "r", '∂': "d", '∑': "e", '†': "t", 'ℓ': "l",
}
