package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/theinterneti/tta-gateway/safety"
)

// minKey is the shortest key that is taken: with a shorter one somebody could
// find out by trying.
const minKey = 16

// pseudonyms makes names of which only the holder of the key can tell whose
// they are. A plain hash would not do: identifiers are few enough to try all.
type pseudonyms struct {
	key []byte
	id  string
}

func newPseudonyms(key []byte) (p pseudonyms, err error) {
	switch {
	case len(key) == 0:
		p.key = make([]byte, sha256.Size)
		_, _ = rand.Read(p.key) // never fails, see crypto/rand
	case len(key) < minKey:
		return p, fmt.Errorf("audit: the key has %d bytes: give %d or more random ones, or none", len(key), minKey)
	default:
		p.key = slices.Clone(key)
	}
	p.id = p.sum("key id")[:8]
	return p, nil
}

func (p pseudonyms) sum(text string) string {
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// of is the pseudonym of an identifier, "" of none.
func (p pseudonyms) of(id string) string {
	if id == "" {
		return ""
	}
	return p.sum("id\x00" + id)[:32]
}

func (p pseudonyms) hide(e safety.Event) safety.Event {
	e.Session, e.Subject = p.of(e.Session), p.of(e.Subject)
	return e
}
