package audit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
)

// The kinds of records that a Trail writes of itself.
const (
	KindRecovered = "recovered" // a half-written last line was cut off when the file was opened
	KindGap       = "gap"       // so many events were lost while the disk failed
)

var (
	// ErrHeld says that an event could not be written and waits in memory.
	ErrHeld = errors.New("audit: not written yet, held in memory")
	// ErrLost says that an event could not be written and is not held either.
	ErrLost = errors.New("audit: not written, lost")
	// ErrClosed says that the trail was closed.
	ErrClosed = errors.New("audit: trail is closed")
)

// Options say how a trail is kept. The zero Options are careful.
type Options struct {
	// Key makes pseudonyms of subjects and sessions: 32 random bytes, kept
	// apart from the trail. Without it a random key is made for this process:
	// nobody can then follow a person from one run to the next.
	Key []byte
	// Reserve is how many events of high severity and above wait in memory
	// while the disk fails. 0 means 1024.
	Reserve int
	// Overflow gets one line of JSON for each event of high severity and above
	// that found the reserve full: os.Stderr, usually. nil: nobody does.
	Overflow io.Writer
}

const (
	defaultReserve = 1024
	syncInterval   = time.Second
)

// Stats count what a trail did since it was opened.
type Stats struct {
	Written  uint64 // records in the file
	Held     int    // events that wait in memory now
	Lost     uint64 // events that were neither written nor held
	Failures uint64 // attempts to write or sync that failed
}

// Trail is an append-only file of events. It is safe for simultaneous use; one
// process may have a file open at a time. It starts no goroutine: [Trail.Run]
// does the work between events.
type Trail struct {
	pseudonyms pseudonyms
	options    Options
	path       string

	mu      sync.Mutex // guards the fields below
	file    file
	size    int64 // of whole lines
	dirty   bool  // something was written and not synced
	torn    bool  // half a line may stand behind the last whole one
	closed  bool
	last    link
	reserve []safety.Event
	gap     uint64 // lost since the last record
	stats   Stats
	trouble error // the last failure, nil while all is well
}

// file is what a Trail needs of an *os.File.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// link is the end of a chain.
type link struct {
	seq  uint64
	hash [sha256.Size]byte
}

// Open opens the trail at path, and makes it, readable by its owner only, if
// there is none. It goes on with the chain that it finds there. A last line that
// was not written to its end is cut off, which is recorded; a last line that is
// whole but not a record of a chain is an error: somebody else wrote it.
func Open(path string, options Options) (*Trail, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	t := &Trail{path: path, options: options, file: f}
	if err := t.begin(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

func (t *Trail) begin(f *os.File) (err error) {
	if t.pseudonyms, err = newPseudonyms(t.options.Key); err != nil {
		return err
	}
	if err := lock(f); err != nil {
		return fmt.Errorf("audit: %s is open in another process: %w", t.path, err)
	}
	if err := f.Chmod(0o600); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	torn, err := t.find(f)
	if err != nil {
		return err
	}
	if torn == 0 {
		return nil
	}
	if err := f.Truncate(t.size); err != nil {
		return fmt.Errorf("audit: cut the half-written last line off %s: %w", t.path, err)
	}
	return t.append(entry{Event: own(KindRecovered), Torn: torn}, true)
}

// find finds the end of the chain, and how many bytes follow the last whole line.
func (t *Trail) find(f *os.File) (torn int64, err error) {
	line, end, size, err := lastLine(f)
	if err != nil {
		return 0, fmt.Errorf("audit: read %s: %w", t.path, err)
	}
	t.size = end
	if len(line) == 0 {
		return size - end, nil
	}
	r, err := parse(line)
	if err != nil {
		return 0, fmt.Errorf("audit: the last line of %s is no record of a trail (%w): keep the file as it is and name another", t.path, err)
	}
	t.last = link{r.entry.Seq, r.hash}
	return size - end, nil
}

// own is an event that the trail writes of itself.
func own(kind string) safety.Event {
	return safety.Event{ID: rand.Text(), Time: time.Now().UTC(), Kind: kind}
}

// Record writes an event, with pseudonyms for its session and subject. One of
// high severity or above, or of a conversation of that level, is on the disk when Record returns; others are within
// a second, if Run runs. An error says that it is not in the file: it wraps
// [ErrHeld] or [ErrLost].
func (t *Trail) Record(_ context.Context, e safety.Event) error {
	grave := max(e.Severity, e.Level) >= safety.High
	e = t.pseudonyms.hide(e)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	if err := t.drain(); err != nil {
		return t.keep(e, grave, err)
	}
	if err := t.append(entry{Event: e, Key: t.pseudonyms.id}, grave); err != nil {
		return t.keep(e, grave, err)
	}
	return nil
}

// drain writes what waits in memory, and what was lost meanwhile.
func (t *Trail) drain() error {
	if t.trouble == nil && len(t.reserve) == 0 && t.gap == 0 {
		return nil
	}
	for len(t.reserve) > 0 {
		if err := t.append(entry{Event: t.reserve[0], Key: t.pseudonyms.id}, false); err != nil {
			return err
		}
		t.reserve = t.reserve[1:]
	}
	if t.gap > 0 {
		if err := t.append(entry{Event: own(KindGap), Lost: t.gap}, false); err != nil {
			return err
		}
		t.gap = 0
	}
	return t.sync()
}

// append writes one record and makes it the end of the chain. A line that could
// not be written to its end is taken back, so that the next begins on its own.
func (t *Trail) append(e entry, durably bool) error {
	if err := t.mend(); err != nil {
		return t.fail(err)
	}
	e.Seq = t.last.seq + 1
	line, hash, err := render(e, t.last.hash)
	if err != nil {
		return t.fail(err)
	}
	if _, err := t.file.Write(line); err != nil {
		t.torn = true
		return t.fail(errors.Join(err, t.mend()))
	}
	t.size += int64(len(line))
	t.last, t.dirty = link{e.Seq, hash}, true
	t.stats.Written++
	if durably {
		// The record is in the file and in the chain. A failing sync is trouble
		// that Healthy tells of, but no reason to write the event twice.
		_ = t.sync()
	}
	return nil
}

// mend takes half a line back that a failed write left.
func (t *Trail) mend() error {
	if !t.torn {
		return nil
	}
	if err := t.file.Truncate(t.size); err != nil {
		return err
	}
	t.torn = false
	return nil
}

func (t *Trail) sync() error {
	if !t.dirty {
		t.trouble = nil
		return nil
	}
	if err := t.file.Sync(); err != nil {
		return t.fail(err)
	}
	t.dirty, t.trouble = false, nil
	return nil
}

func (t *Trail) fail(err error) error {
	t.stats.Failures++
	t.trouble = fmt.Errorf("audit: %s: %w", t.path, err)
	return t.trouble
}

// keep holds a grave event that could not be written, if there is room.
func (t *Trail) keep(e safety.Event, grave bool, cause error) error {
	limit := t.options.Reserve
	if limit <= 0 {
		limit = defaultReserve
	}
	if grave && len(t.reserve) < limit {
		t.reserve = append(t.reserve, e)
		return fmt.Errorf("%w: %w", ErrHeld, cause)
	}
	t.gap++
	t.stats.Lost++
	if grave && t.options.Overflow != nil {
		_, _ = t.options.Overflow.Write(overflowLine(e, t.pseudonyms.id))
	}
	return fmt.Errorf("%w: %w", ErrLost, cause)
}

// Run syncs the file once a second and tries again what failed, until the
// context ends. It returns the error of the last attempt, nil if all is written.
func (t *Trail) Run(ctx context.Context) error {
	tick := time.NewTicker(syncInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = t.Flush() // Healthy tells
		case <-ctx.Done():
			return t.Flush()
		}
	}
}

// Flush writes everything that waits and syncs the file.
func (t *Trail) Flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	return t.flush()
}

func (t *Trail) flush() error {
	if err := t.drain(); err != nil {
		return err
	}
	return t.sync()
}

// Close flushes and closes the file. Events that still wait in memory go to
// Overflow. A second Close does nothing.
func (t *Trail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	err := t.flush()
	for _, e := range t.reserve {
		if t.options.Overflow != nil {
			_, _ = t.options.Overflow.Write(overflowLine(e, t.pseudonyms.id))
		}
	}
	t.closed = true
	return errors.Join(err, t.file.Close())
}

// Healthy returns what is wrong with the trail, nil if nothing is: a health
// check may ask it. It does not touch the disk.
func (t *Trail) Healthy(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return ErrClosed
	case len(t.reserve) > 0 || t.trouble != nil:
		return fmt.Errorf("audit: %d events wait in memory, %d were lost: %w", len(t.reserve), t.stats.Lost, t.trouble)
	}
	return nil
}

// Stats returns the counters.
func (t *Trail) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Held = len(t.reserve)
	return s
}

// Last returns the number and hash of the last record, 0 and 64 zeros of an
// empty trail.
func (t *Trail) Last() (seq uint64, hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last.seq, hex.EncodeToString(t.last.hash[:])
}

// KeyID names the key of the pseudonyms without giving it away.
func (t *Trail) KeyID() string { return t.pseudonyms.id }

// Pseudonym returns under what a subject or session stands in the trail, for
// who looks for one.
func (t *Trail) Pseudonym(id string) string { return t.pseudonyms.of(id) }
