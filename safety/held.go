package safety

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxIdleReads is how often a body may return nothing without an error.
const maxIdleReads = 100

// heldBody is a request body of which the beginning was read and is held. It
// reads as the whole. After drop the held part is gone and reading fails, so
// that a reader which outlives its request cannot see another one's.
type heldBody struct {
	source io.ReadCloser
	passed atomic.Int64 // bytes that were read past what was held

	mu   sync.Mutex // guards the fields below
	hold hold
	off  int
	err  error // what ended the reading, nil while more may come
	gone bool
	lent bool // somebody else has the held bytes
}

// fill reads until the body's end or more than most bytes are held. It returns
// why not all is held, and the error of a body that could not be read.
func (b *heldBody) fill(most int, expected int64) (reason string, err error) {
	if expected > 0 && expected < freeHold {
		b.hold.reserve(int(expected) + 1)
	}
	idle := 0
	for len(b.hold.data) <= most {
		if !b.hold.reserve(1) {
			return SkippedBudget, nil
		}
		room := b.hold.data[len(b.hold.data):min(cap(b.hold.data), most+1)]
		n, err := b.source.Read(room)
		b.hold.data = b.hold.data[:len(b.hold.data)+n]
		if err != nil {
			b.err = err
			return "", notEOF(err)
		}
		if idle++; n > 0 {
			idle = 0
		}
		if idle == maxIdleReads {
			b.err = io.ErrNoProgress
			return "", b.err
		}
	}
	return SkippedTooLarge, nil
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Read reads the held part, then the source.
func (b *heldBody) Read(p []byte) (int, error) {
	n, more, err := b.readHeld(p)
	if !more {
		return n, err
	}
	n, err = b.source.Read(p)
	b.passed.Add(int64(n))
	return n, err
}

// readHeld reads what is held, or says what ended the body; more says that it
// has neither and the source must be asked.
func (b *heldBody) readHeld(p []byte) (n int, more bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.gone:
		return 0, false, http.ErrBodyReadAfterClose
	case b.off < len(b.hold.data):
		n = copy(p, b.hold.data[b.off:])
		b.off += n
		return n, false, nil
	case b.err != nil:
		return 0, false, b.err
	}
	return 0, true, nil
}

// Close closes the source. What is held stays until drop.
func (b *heldBody) Close() error { return b.source.Close() }

// lend gives the held bytes away: they will not be used again.
func (b *heldBody) lend() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lent = true
	return b.hold.data
}

// drop gives the held part back.
func (b *heldBody) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	if b.lent {
		b.hold.lose()
	}
	b.hold.release()
}

// replay reads the held part of a body once more. It has a place of its own.
type replay struct {
	body *heldBody
	off  int
}

func (r *replay) Read(p []byte) (int, error) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	switch {
	case r.body.gone:
		return 0, http.ErrBodyReadAfterClose
	case r.off == len(r.body.hold.data):
		return 0, io.EOF
	}
	n := copy(p, r.body.hold.data[r.off:])
	r.off += n
	return n, nil
}

// Close does nothing: the body belongs to the request.
func (r *replay) Close() error { return nil }
