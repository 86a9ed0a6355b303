package ratelimit

import (
	"context"
	"crypto/sha256"
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Memory is a [Store] in this process, on golang.org/x/time/rate. The zero
// value is ready. It is used by pointer, is safe for simultaneous use, and
// must not be copied after first use.
//
// It needs no goroutine and no sweeping from outside: a bucket that is full
// again says no more than one that never was, and is forgotten in passing.
//
// # At the bound
//
// A flood of different keys, from a botnet or an IPv6 network, must neither
// fill the memory nor wash out the buckets that hold somebody back. So the
// number of keys is bounded, and where a new one finds no room, the *least
// used* of sixteen buckets is forgotten, never simply the oldest. What a key
// loses then is the little debt it had. To get a used-up bucket forgotten and
// start with a fresh one, an attacker must first use up the buckets around it
// too: about MaxKeys keys, each to its burst. (Limits with a burst of 1 or 2
// are the exception: there each key is used up at once, and MaxKeys requests
// under different keys are enough. Key such limits by something that costs
// more than an address.)
type Memory struct {
	// MaxKeys bounds the buckets that are remembered; each is about 300
	// bytes. 0 means 65,536; less than 64 counts as 64. It must not change
	// after first use.
	MaxKeys int

	once   sync.Once
	seed   maphash.Seed
	mask   uint64 // number of shards in use, less one
	shards [maxShards]shard
}

const (
	defaultMaxKeys = 65_536
	minMaxKeys     = 64
	maxShards      = 64  // as many as a uint64 has bits: a set of shards is one word
	maxKeyLength   = 128 // longer keys are remembered by their hash
	sample         = 16  // buckets looked at to find one to forget
	sweep          = 2   // buckets looked at in passing, for each new one
)

// Take takes from all limits or none. It never blocks, and does not look at
// the context.
func (m *Memory) Take(_ context.Context, limits ...Limit) (Decision, error) {
	if err := validate(limits); err != nil {
		return Decision{}, err
	}
	m.once.Do(m.open)
	set := m.shardsOf(limits)
	m.lock(set)
	defer m.unlock(set)
	return m.take(time.Now(), limits), nil // the time is read under the lock, so that no bucket sees it go back
}

// Len is the number of buckets that are remembered.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.all)
		s.mu.Unlock()
	}
	return n
}

// open divides MaxKeys among the shards; fewer keys make fewer shards, so
// that each has enough to choose from.
func (m *Memory) open() {
	keys := m.MaxKeys
	if keys == 0 {
		keys = defaultMaxKeys
	}
	keys = max(keys, minMaxKeys)
	shards := min(maxShards, 1<<(bits.Len(uint(keys/minMaxKeys))-1))
	m.seed, m.mask = maphash.MakeSeed(), uint64(shards-1)
	for i := range shards {
		m.shards[i].max = keys / shards
	}
}

// index is the number of a key's shard. Limits that share a key share a shard,
// so most Takes lock one. The seed is secret: nobody can aim at a shard.
func (m *Memory) index(key string) uint64 { return maphash.String(m.seed, key) & m.mask }

func (m *Memory) shardsOf(limits []Limit) (set uint64) {
	for i := range limits {
		if !limits[i].Rate.Unlimited() {
			set |= 1 << m.index(limits[i].Key)
		}
	}
	return set
}

// lock locks a set of shards, always in ascending order.
func (m *Memory) lock(set uint64) {
	for ; set != 0; set &= set - 1 {
		m.shards[bits.TrailingZeros64(set)].mu.Lock()
	}
}

func (m *Memory) unlock(set uint64) {
	for ; set != 0; set &= set - 1 {
		m.shards[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

// take looks at every bucket before it touches one. All shards are locked.
func (m *Memory) take(now time.Time, limits []Limit) Decision {
	strictest := Decision{Allowed: true}
	for i := range limits {
		if limits[i].Rate.Unlimited() {
			continue
		}
		if d := m.look(now, limits, i); stricter(&d, &strictest) {
			strictest = d
		}
	}
	if strictest.Allowed {
		for i := range limits {
			m.pay(now, &limits[i])
		}
	}
	return strictest
}

// look is the Decision of one limit alone, after those before it that name
// the same bucket were paid.
func (m *Memory) look(now time.Time, limits []Limit, i int) Decision {
	l := &limits[i]
	units, size := float64(l.Units()), float64(l.Rate.Size())
	tokens := size
	if b := m.shards[m.index(l.Key)].byName[nameOf(l)]; b != nil {
		tokens = b.at(now, l.Rate)
	}
	for j := range limits[:i] {
		if limits[j].Name == l.Name && limits[j].Key == l.Key {
			tokens -= float64(limits[j].Units())
		}
	}
	return decide(*l, tokens, units, size)
}

// decide is the arithmetic of one bucket with so many tokens in it.
func decide(l Limit, tokens, units, size float64) Decision {
	if wait := l.Rate.refill(units - tokens); wait > 0 {
		return Decision{
			Limit:      l,
			Remaining:  max(0, int(tokens)),
			RetryAfter: roundUp(wait),
			Reset:      roundUp(l.Rate.refill(size - tokens)),
		}
	}
	tokens = max(0, tokens-units)
	return Decision{Allowed: true, Limit: l, Remaining: int(tokens), Reset: roundUp(l.Rate.refill(size - tokens))}
}

// roundUp makes a duration a whole number of microseconds, so that floating
// point never promises a unit a hair too early.
func roundUp(d time.Duration) time.Duration {
	if d > 0 && d < 1<<63-1-time.Microsecond {
		d = d.Truncate(time.Microsecond) + time.Microsecond
	}
	return d
}

// pay takes what look has found to be there.
func (m *Memory) pay(now time.Time, l *Limit) {
	if l.Rate.Unlimited() {
		return
	}
	s := &m.shards[m.index(l.Key)]
	name := nameOf(l)
	b := s.byName[name]
	if b == nil {
		b = s.add(now, name, l.Rate)
	}
	b.tokens.AllowN(now, l.Units())
}

// A bucketName tells buckets apart.
type bucketName struct{ name, key string }

func nameOf(l *Limit) bucketName {
	if len(l.Key) > maxKeyLength {
		sum := sha256.Sum256([]byte(l.Key))
		return bucketName{l.Name, string(sum[:])}
	}
	return bucketName{l.Name, l.Key}
}

// A bucket is one limiter, and where it stands in its shard.
type bucket struct {
	name   bucketName
	place  int
	rate   Rate
	tokens *rate.Limiter
}

// at is the number of tokens now, under a rate that may be a new one.
func (b *bucket) at(now time.Time, r Rate) float64 {
	if b.rate != r {
		b.rate = r
		b.tokens.SetLimitAt(now, rate.Limit(r.perSecond()))
		b.tokens.SetBurstAt(now, r.Size())
	}
	return b.tokens.TokensAt(now)
}

// debt is the part of the bucket that is used, 0 to 1.
func (b *bucket) debt(now time.Time) float64 {
	size := float64(b.rate.Size())
	return (size - b.tokens.TokensAt(now)) / size
}

// A shard is a part of the buckets under one lock: by name, and in a row for
// the hand that goes round. mu guards all fields but max.
type shard struct {
	mu     sync.Mutex
	byName map[bucketName]*bucket
	all    []*bucket
	hand   int
	max    int
	_      [64]byte // neighbours do not share a cache line
}

// add makes a full bucket, and room for it. Names are cloned, since they may
// be slices of something large.
func (s *shard) add(now time.Time, name bucketName, r Rate) *bucket {
	s.forget(now, sweep, len(s.all) >= s.max)
	if s.byName == nil {
		s.byName = make(map[bucketName]*bucket)
	}
	b := &bucket{
		name:   bucketName{strings.Clone(name.name), strings.Clone(name.key)},
		place:  len(s.all),
		rate:   r,
		tokens: rate.NewLimiter(rate.Limit(r.perSecond()), r.Size()),
	}
	s.all = append(s.all, b)
	s.byName[b.name] = b
	return b
}

// forget drops the buckets that are full among the next few, and, where there
// must be room, the least used one of a larger sample if none was full.
func (s *shard) forget(now time.Time, few int, must bool) {
	if must {
		few = sample
	}
	var least *bucket
	lowest, before := 2.0, len(s.all)
	for range min(few, before) {
		s.hand = (s.hand + 1) % len(s.all)
		b := s.all[s.hand]
		switch debt := b.debt(now); {
		case debt <= 0:
			s.drop(b)
		case debt < lowest:
			least, lowest = b, debt
		}
		if len(s.all) == 0 {
			return
		}
	}
	if must && len(s.all) == before {
		s.drop(least)
	}
}

// drop forgets b and puts the last of the row in its place.
func (s *shard) drop(b *bucket) {
	last := s.all[len(s.all)-1]
	s.all[b.place], last.place = last, b.place
	s.all[len(s.all)-1] = nil
	s.all = s.all[:len(s.all)-1]
	delete(s.byName, b.name)
}
