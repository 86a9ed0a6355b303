package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/theinterneti/tta-gateway/safety"
)

// entry is what a record says: an event with its place in the chain.
type entry struct {
	Seq uint64 `json:"seq"`
	safety.Event
	Key  string `json:"key,omitempty"`        // names the key of the pseudonyms
	Torn int64  `json:"torn_bytes,omitempty"` // of a recovered file
	Lost uint64 `json:"lost,omitempty"`       // events, of a gap
}

// record is a line that was read.
type record struct {
	entry      entry
	prev, hash [sha256.Size]byte
}

// line is the form of a line. The event is hashed as it stands there, byte for
// byte, so that no two programs have to agree on how to write JSON.
type line struct {
	Event json.RawMessage `json:"event"`
	Prev  string          `json:"prev"`
	Hash  string          `json:"hash"`
}

// render writes an entry as a line, with the newline, and returns its hash.
func render(e entry, prev [sha256.Size]byte) (text []byte, hash [sha256.Size]byte, err error) {
	event, err := json.Marshal(e)
	if err != nil {
		return nil, hash, fmt.Errorf("audit: write an event: %w", err)
	}
	hash = chain(prev, event)
	return layOut(event, prev, hash), hash, nil
}

func layOut(event []byte, prev, hash [sha256.Size]byte) []byte {
	text := make([]byte, 0, len(event)+180)
	text = append(append(text, `{"event":`...), event...)
	text = hex.AppendEncode(append(text, `,"prev":"`...), prev[:])
	text = hex.AppendEncode(append(text, `","hash":"`...), hash[:])
	return append(text, "\"}\n"...)
}

// chain is the hash of a record: of the hash before it and of its event.
func chain(prev [sha256.Size]byte, event []byte) (hash [sha256.Size]byte) {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(event)
	h.Sum(hash[:0])
	return hash
}

// parse reads a line, with or without its newline, and checks that it is
// written as we write them and that its hash is right.
func parse(text []byte) (r record, err error) {
	text = bytes.TrimSuffix(text, []byte("\n"))
	var l line
	if err := strictly(text, &l); err != nil {
		return r, err
	}
	if err := errors.Join(unhex(r.prev[:], l.Prev), unhex(r.hash[:], l.Hash)); err != nil {
		return r, err
	}
	if !bytes.Equal(append(bytes.Clone(text), '\n'), layOut(l.Event, r.prev, r.hash)) {
		return r, errors.New("it is not laid out as a record")
	}
	if chain(r.prev, l.Event) != r.hash {
		return r, errors.New("its hash does not fit what it says")
	}
	return r, json.Unmarshal(l.Event, &r.entry)
}

func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func unhex(into []byte, text string) error {
	n, err := hex.Decode(into, []byte(text[:min(len(text), 2*len(into))]))
	if err != nil || n != len(into) || len(text) != 2*n {
		return errors.New("a hash is not 64 hexadecimal digits")
	}
	return nil
}

// overflowLine is an event outside the chain, for whoever collects what the
// disk did not take.
func overflowLine(e safety.Event, key string) []byte {
	text, err := json.Marshal(struct {
		Audit string `json:"audit"`
		entry
	}{"not written", entry{Event: e, Key: key}})
	if err != nil {
		return []byte("{\"audit\":\"not written\"}\n")
	}
	return append(text, '\n')
}
