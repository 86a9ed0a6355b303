package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// maxCached is how long a verified token is believed without a fresh look at the keys. It bounds how late a key that
// was withdrawn is noticed, where Keys look for themselves only when asked.
const maxCached = 5 * time.Minute

// cache remembers verified tokens, by a hash that only this process can make: it holds no token, and nobody outside
// can aim at one of its shards. Failures are not remembered: an attacker has no end of different ones, and could but
// push out what is worth keeping.
type cache struct {
	salt   [sha256.Size]byte
	shards []shard
	room   int // entries per shard
}

type cacheKey [sha256.Size]byte

type shard struct {
	mu      sync.RWMutex
	entries map[cacheKey]*verified
	_       [32]byte // keeps neighbouring locks off one cache line
}

// verified is what became of a token. It is not changed after it was put into the cache.
type verified struct {
	identity   Identity
	ids        []string // of revocations
	generation uint64   // of the keys, as of before they were asked
	until      time.Time
}

const shardCount = 32

// newCache returns a cache for size tokens, rounded up to its shards; nil for none.
func newCache(size int) *cache {
	if size <= 0 {
		return nil
	}
	c := &cache{shards: make([]shard, min(shardCount, size))}
	c.room = (size + len(c.shards) - 1) / len(c.shards)
	_, _ = rand.Read(c.salt[:]) // never fails, as its documentation says
	for i := range c.shards {
		c.shards[i].entries = make(map[cacheKey]*verified)
	}
	return c
}

// key hashes the whole token: what the signature covers, and the signature. Without the latter, a forged token would
// find the entry of the true one.
func (c *cache) key(token string) cacheKey {
	if c == nil {
		return cacheKey{}
	}
	var buf [2048]byte // most tokens: keeps the input off the heap
	return sha256.Sum256(append(append(buf[:0], c.salt[:]...), token...))
}

// get returns what is known of the token, if that still holds.
func (c *cache) get(key cacheKey, generation uint64, now time.Time) *verified {
	if c == nil {
		return nil
	}
	s := c.shard(key)
	s.mu.RLock()
	v := s.entries[key]
	s.mu.RUnlock()
	if v == nil || v.holds(generation, now) {
		return v
	}
	s.forget(key, v)
	return nil
}

// put remembers a verified token.
func (c *cache) put(key cacheKey, v *verified, now time.Time) {
	if c == nil {
		return
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy(c.room, v.generation, now)
	s.entries[key] = v
}

func (c *cache) shard(key cacheKey) *shard {
	return &c.shards[int(key[0])%len(c.shards)]
}

func (c *cache) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.entries)
		s.mu.RUnlock()
	}
	return n
}

func (v *verified) holds(generation uint64, now time.Time) bool {
	return v.generation == generation && now.Before(v.until)
}

// forget drops an entry, unless another took its place meanwhile.
func (s *shard) forget(key cacheKey, v *verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[key] == v {
		delete(s.entries, key)
	}
}

// samples is how many entries tidy looks at.
const samples = 8

// tidy looks at a few entries as the map happens to hand them out, drops those that no longer hold, and if the shard
// is full all the same, the one among them that would end first. Sampling spares readers the bookkeeping of an exact
// order. mu must be held.
func (s *shard) tidy(room int, generation uint64, now time.Time) {
	var victim cacheKey
	var first *verified
	looked := 0
	for key, v := range s.entries {
		if looked++; looked > samples {
			break
		}
		if !v.holds(generation, now) {
			delete(s.entries, key)
		} else if first == nil || v.until.Before(first.until) {
			victim, first = key, v
		}
	}
	if first != nil && len(s.entries) >= room {
		delete(s.entries, victim)
	}
}
