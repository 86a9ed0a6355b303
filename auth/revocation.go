package auth

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"time"
)

// Revocations is a list of what is no longer to be honoured, although it has not expired.
//
// What is revoked is named by an ID: [TokenID], [SessionID] or [SubjectID]. Revoked tells whether one of the IDs is on
// the list; [JWT] asks it on every request, of tokens in its cache too, and refuses when it cannot tell. Revoke puts
// an ID there until the given time, after which it need not be remembered: a token's expiry, for example. A zero time
// means for good. Revoking again extends the time and never shortens it.
//
// Implementations must be safe for simultaneous use.
type Revocations interface {
	Revoked(ctx context.Context, ids ...string) (bool, error)
	Revoke(ctx context.Context, id string, until time.Time) error
}

// TokenID names a token by a hash of what its signature covers. The signature itself is left out: whoever holds an
// ECDSA-signed token can make a second valid signature for it, and a revoked token must not come back under one.
func TokenID(token string) string {
	if end := strings.LastIndexByte(token, '.'); end >= 0 {
		token = token[:end]
	}
	return revocationID("token", token)
}

// SessionID names all tokens of a session ([Identity.Session]).
func SessionID(session string) string { return revocationID("session", session) }

// SubjectID names all tokens of a subject ([Identity.Subject]), those that are yet to be issued included: to be
// revoked is to be locked out.
func SubjectID(subject string) string { return revocationID("subject", subject) }

// revocationID hashes, so that a shared list holds neither tokens nor names.
func revocationID(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	return kind + ":" + hex.EncodeToString(sum[:])
}

// DefaultMaxRevocations is how many entries a [MemoryRevocations] holds by default: some 20 MB.
const DefaultMaxRevocations = 100_000

// MemoryRevocations is a list in this process's memory: lost at exit and not shared with other instances. The zero
// value is ready to use. It is safe for simultaneous use and must not be copied after first use.
type MemoryRevocations struct {
	// MaxEntries bounds the list; 0 means DefaultMaxRevocations. When it is full of entries that still count, the one
	// that would end first makes room: what is lost is the least remaining time. Evicted tells how often.
	MaxEntries int

	mu      sync.RWMutex
	byID    map[string]*revoked
	ends    revokedHeap
	evicted uint64
}

// revoked is an entry; at is its place in the heap.
type revoked struct {
	id    string
	until time.Time // zero means for good
	at    int
}

// Revoked tells whether one of the IDs is on the list. It never fails.
func (m *MemoryRevocations) Revoked(_ context.Context, ids ...string) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.byID) == 0 {
		return false, nil
	}
	now := time.Now()
	for _, id := range ids {
		if e := m.byID[id]; e != nil && e.counts(now) {
			return true, nil
		}
	}
	return false, nil
}

// Revoke puts the ID on the list. It never fails.
func (m *MemoryRevocations) Revoke(_ context.Context, id string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.sweep(now)
	if e := m.byID[id]; e != nil {
		m.extend(e, until)
		return nil
	}
	if e := (&revoked{id: id, until: until}); e.counts(now) {
		m.add(e)
	}
	return nil
}

// Len is how many entries the list holds. Some of them may have ended.
func (m *MemoryRevocations) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.byID)
}

// Evicted is how many entries had to make room before their time. If it grows, raise MaxEntries.
func (m *MemoryRevocations) Evicted() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.evicted
}

// sweep drops what has ended. mu must be held.
func (m *MemoryRevocations) sweep(now time.Time) {
	for len(m.ends) > 0 && !m.ends[0].counts(now) {
		m.drop()
	}
}

// drop removes the entry that ends first. mu must be held.
func (m *MemoryRevocations) drop() {
	delete(m.byID, heap.Pop(&m.ends).(*revoked).id)
}

// extend moves an entry's end, never back. mu must be held.
func (m *MemoryRevocations) extend(e *revoked, until time.Time) {
	if later(until, e.until) {
		e.until = until
		heap.Fix(&m.ends, e.at)
	}
}

// add puts a new entry there, and makes room for it. mu must be held.
func (m *MemoryRevocations) add(e *revoked) {
	if len(m.ends) >= cmp.Or(max(m.MaxEntries, 0), DefaultMaxRevocations) {
		m.drop()
		m.evicted++
	}
	if m.byID == nil {
		m.byID = make(map[string]*revoked)
	}
	m.byID[e.id] = e
	heap.Push(&m.ends, e)
}

func (e *revoked) counts(now time.Time) bool { return e.until.IsZero() || now.Before(e.until) }

// later tells whether the end a comes after the end b; the zero time is the last of all.
func later(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}

// revokedHeap is a heap.Interface: what ends first is on top.
type revokedHeap []*revoked

func (h revokedHeap) Len() int           { return len(h) }
func (h revokedHeap) Less(i, j int) bool { return later(h[j].until, h[i].until) }
func (h revokedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *revokedHeap) Push(x any) {
	e := x.(*revoked)
	e.at = len(*h)
	*h = append(*h, e)
}

func (h *revokedHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
