package redisrevocation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// What a List uses where its fields are zero.
const (
	DefaultPrefix        = "tta:gateway:revoked:"
	DefaultFresh         = time.Second
	DefaultGrace         = 5 * time.Minute
	DefaultTimeout       = 100 * time.Millisecond
	DefaultMaxRemembered = 20_000
)

var errNoClient = errors.New("redisrevocation: List.Client is nil; give a Redis client")

// List is an auth.Revocations on Redis. Client is all it needs. It is used by pointer, is safe for simultaneous use,
// and must neither be copied nor have its fields changed after first use.
type List struct {
	// Client of Redis: single, Sentinel or Cluster. The List does not close it.
	Client redis.UniversalClient
	// Prefix of its keys. Empty: "tta:gateway:revoked:". Gateways that share a list share the prefix.
	Prefix string
	// Fresh is how long an answer is remembered: how late a revocation at another gateway is noticed. 0: a second.
	// Negative: not at all, so that every request asks Redis.
	Fresh time.Duration
	// Grace is how long the last answer serves on while Redis is out of reach. 0: five minutes. Negative: not at all.
	Grace time.Duration
	// Timeout of a round trip; the context may end it earlier. 0: 100 ms.
	Timeout time.Duration
	// MaxRemembered is how many answers are remembered; a token has three. 0: 20,000, which takes some 4 MB.
	MaxRemembered int
	// OnError learns that Redis is out of reach. It must be safe for simultaneous use and must not block. Nil: nobody
	// does.
	OnError func(error)

	mu     sync.Mutex
	recent map[string]answer // two halves: when recent is full it becomes former, and former is forgotten
	former map[string]answer
	failed time.Time // when Redis was last found out of reach; zero if it was reached since
	cause  error
}

// answer is what Redis said of an ID, and when.
type answer struct {
	revoked bool
	asked   time.Time
}

// Revoked tells whether one of the IDs is on the list.
func (l *List) Revoked(ctx context.Context, ids ...string) (bool, error) {
	if revoked, ok := l.remembered(ids, or(l.Fresh, DefaultFresh)); ok {
		return revoked, nil
	}
	revoked, err := l.ask(ctx, ids)
	if err == nil {
		return revoked, nil
	}
	if revoked, ok := l.remembered(ids, or(l.Grace, DefaultGrace)); ok {
		return revoked, nil
	}
	return false, err
}

// Revoke puts the ID on the list until the given time, or for good if that is zero; never for a shorter time than it
// is there already. This gateway knows at once, others within their Fresh.
func (l *List) Revoke(ctx context.Context, id string, until time.Time) error {
	if !until.IsZero() && !until.After(time.Now()) {
		return nil
	}
	if l.Client == nil {
		return errNoClient
	}
	ctx, cancel := context.WithTimeout(ctx, or(l.Timeout, DefaultTimeout))
	defer cancel()
	if err := l.write(ctx, id, until); err != nil {
		return fmt.Errorf("redisrevocation: revoke: %w", err)
	}
	l.remember([]string{id}, []bool{true})
	return nil
}

func (l *List) write(ctx context.Context, id string, until time.Time) error {
	key := l.key(id)
	if until.IsZero() {
		return l.Client.Set(ctx, key, 1, 0).Err()
	}
	_, err := l.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		at := until.UnixMilli() + 1 // not a moment too early
		p.Do(ctx, "set", key, 1, "nx", "pxat", at)
		p.Do(ctx, "pexpireat", key, at, "gt") // "gt" leaves a key alone that is there for good
		return nil
	})
	if errors.Is(err, redis.Nil) { // it was there already
		return nil
	}
	return err
}

// ask asks Redis. Where it was out of reach a moment ago, it is not asked again for Fresh: a thousand waiting requests
// do not bring it back.
func (l *List) ask(ctx context.Context, ids []string) (bool, error) {
	if l.Client == nil {
		return false, errNoClient
	}
	if err := l.resting(); err != nil {
		return false, err
	}
	found, err := l.read(ctx, ids)
	if err != nil {
		return false, l.fail(ctx, err)
	}
	l.remember(ids, found)
	for _, revoked := range found {
		if revoked {
			return true, nil
		}
	}
	return false, nil
}

// read asks for each ID by itself, in one round trip: in a cluster, they live in different places.
func (l *List) read(ctx context.Context, ids []string) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, or(l.Timeout, DefaultTimeout))
	defer cancel()
	asked := make([]*redis.IntCmd, len(ids))
	_, err := l.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			asked[i] = p.Exists(ctx, l.key(id))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := make([]bool, len(ids))
	for i := range asked {
		found[i] = asked[i].Val() > 0
	}
	return found, nil
}

func (l *List) key(id string) string { return cmp.Or(l.Prefix, DefaultPrefix) + id }

// or returns d, the default if it is 0, and 0 if it is negative.
func or(d, otherwise time.Duration) time.Duration {
	return max(cmp.Or(d, otherwise), 0)
}

func (l *List) resting() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.failed.IsZero() && time.Since(l.failed) < or(l.Fresh, DefaultFresh) {
		return l.cause
	}
	return nil
}

// fail notes that Redis is out of reach, unless it was only the caller who left.
func (l *List) fail(ctx context.Context, err error) error {
	err = fmt.Errorf("redisrevocation: %w", err)
	if ctx.Err() != nil {
		return err
	}
	l.mu.Lock()
	l.failed, l.cause = time.Now(), err
	l.mu.Unlock()
	if l.OnError != nil {
		l.OnError(err)
	}
	return err
}

// remembered tells what is known of the IDs, if it is known of all of them and not older than age; one that is known
// to be revoked suffices.
func (l *List) remembered(ids []string, age time.Duration) (revoked, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ok := time.Now(), true
	for _, id := range ids {
		a, known := l.recent[id]
		if !known {
			a, known = l.former[id]
		}
		known = known && now.Sub(a.asked) < age
		if known && a.revoked {
			return true, true
		}
		ok = ok && known
	}
	return false, ok
}

// remember notes what Redis said.
func (l *List) remember(ids []string, found []bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = time.Time{}
	now := time.Now()
	for i, id := range ids {
		if l.recent == nil || len(l.recent) >= max(cmp.Or(l.MaxRemembered, DefaultMaxRemembered)/2, 1) {
			l.recent, l.former = make(map[string]answer), l.recent
		}
		l.recent[id] = answer{found[i], now}
	}
}
