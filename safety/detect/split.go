package detect

import "unicode/utf8"

// nextBlock returns how many bytes of text form the next block, 0 if that
// cannot be said before more of the text is known. It looks at nothing but the
// bytes of the block and the one after it, so that a text falls into the same
// blocks however it arrives. A block is a sentence, or [blockSize] bytes of one.
func nextBlock(text []byte, whole bool) int {
	for i, b := range text[:min(len(text), blockSize)] {
		switch b {
		case '.', '!', '?':
			if i+1 < len(text) && i+1 < blockSize && spaceByte(text[i+1]) {
				return i + 2
			}
		case '\n':
			if i > 0 && text[i-1] == '\n' {
				return i + 1
			}
		}
	}
	if len(text) > blockSize {
		return cutSentence(text[:blockSize])
	}
	if whole {
		return len(text)
	}
	return 0
}

// cutSentence cuts a block without an end at its last space, or at least
// between two runes.
func cutSentence(text []byte) int {
	for i := len(text); i > len(text)-overlap; i-- {
		if spaceByte(text[i-1]) {
			return i
		}
	}
	for i := len(text) - 1; i > len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			return i
		}
	}
	return len(text)
}

func spaceByte(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }
