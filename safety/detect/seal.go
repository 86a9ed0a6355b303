package detect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
)

// A sealer hides the words of the last messages in an encoded trajectory: a
// store must not hold what somebody said, not even as numbers. Its key is made
// at random for each detector and never leaves the process, so that only the
// process that heard the pieces of a sentence can put them together.
type sealer struct{ aead cipher.AEAD }

func newSealer() (sealer, error) {
	var key [32]byte
	rand.Read(key[:]) // never fails: crypto/rand crashes the program instead
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

// seal encodes the last words and how many of them the last message had.
func (s sealer) seal(tail []uint16, piece int) []byte {
	plain := []byte{byte(min(piece, 255))}
	for _, w := range tail {
		plain = binary.LittleEndian.AppendUint16(plain, w)
	}
	return s.aead.Seal(nil, nil, plain, nil)
}

// open undoes seal; what another process sealed is nothing.
func (s sealer) open(sealed []byte) (tail []uint16, piece int) {
	plain, err := s.aead.Open(nil, nil, sealed, nil)
	if err != nil || len(plain) == 0 || len(plain) > 1+2*tailWords {
		return nil, 0
	}
	for i := 1; i+1 < len(plain); i += 2 {
		tail = append(tail, binary.LittleEndian.Uint16(plain[i:]))
	}
	return tail, int(plain[0])
}
