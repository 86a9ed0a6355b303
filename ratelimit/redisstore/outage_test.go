package redisstore_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
)

// soon is far more than any of our deadlines, and less than go-redis would
// wait for a server that hangs if nobody told it not to (5 s and more).
const soon = 4 * time.Second

// roomy is a deadline that a server which lives keeps on any machine.
var roomy = redisstore.WithTimeout(time.Second)

// clients are the two kinds of client that a Store may be given.
func clients(s *server) map[string]redis.UniversalClient {
	return map[string]redis.UniversalClient{"tuned": s.client(), "careless": s.carelessClient()}
}

// asked counts the Takes that reach the shared store.
func asked(store ratelimit.Store) (ratelimit.Store, *atomic.Int64) {
	n := new(atomic.Int64)
	return ratelimit.StoreFunc(func(ctx context.Context, limits ...ratelimit.Limit) (ratelimit.Decision, error) {
		n.Add(1)
		return store.Take(ctx, limits...)
	}), n
}

// eventually asks until the shared store answers again.
func eventually(t *testing.T, f *ratelimit.Fallback, l ratelimit.Limit) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := f.Take(context.Background(), l)
		return err == nil && !f.Degraded()
	}, 30*time.Second, 5*time.Millisecond)
}

// A Redis that hangs answers nothing and refuses nothing, the worst kind of
// dead. One Take pays its deadline; the others pay nothing; limits hold.
func TestRedisHangs(t *testing.T) {
	s := startServer(t)
	for desc, client := range clients(s) {
		t.Run(desc, func(t *testing.T) {
			shared, n := asked(redisstore.New(client, roomy, redisstore.WithPrefix(desc)))
			var changes []bool
			var failures atomic.Int64
			f := &ratelimit.Fallback{
				Store:    shared,
				Pause:    time.Hour,
				OnChange: func(degraded bool) { changes = append(changes, degraded) },
				OnError:  func(error) { failures.Add(1) },
			}
			l := slow(10, "n", "k")
			eventually(t, &ratelimit.Fallback{Store: shared, Pause: time.Nanosecond}, slow(10, "warm-up", "k"))
			n.Store(0)
			for range 4 {
				require.True(t, take(t, f, l).Allowed)
			}
			require.False(t, f.Degraded())
			require.Equal(t, int64(4), n.Swap(0))

			s.hang()
			t.Cleanup(s.wake)
			start := time.Now()
			passed := 0
			for range 1000 {
				if take(t, f, l).Allowed {
					passed++
				}
			}
			elapsed := time.Since(start)
			assert.Less(t, elapsed, soon)
			assert.Equal(t, int64(1), n.Load(), "after one failure the hung server is left alone")
			assert.Equal(t, int64(1), failures.Load())
			assert.Equal(t, 6, passed, "4 of 10 were used before: the local limiter is warm")
			assert.ErrorIs(t, f.Check(t.Context()), ratelimit.ErrDegraded)
			assert.Equal(t, []bool{true}, changes)
			t.Logf("1000 Takes against a hung server: %v", elapsed)
		})
	}
}

// Many at once against a hung server: each pays one deadline at most, and the
// calls that a careless client leaves behind are bounded.
func TestCrowdAgainstHungRedis(t *testing.T) {
	s := startServer(t)
	for desc, client := range clients(s) {
		t.Run(desc, func(t *testing.T) {
			store := redisstore.New(client, redisstore.WithPrefix(desc))
			s.hang()
			t.Cleanup(s.wake)
			start := time.Now()
			var crowd sync.WaitGroup
			for range 500 {
				crowd.Go(func() {
					_, err := store.Take(context.Background(), slow(10, "n", "k"))
					assert.Error(t, err)
				})
			}
			crowd.Wait()
			assert.Less(t, time.Since(start), soon)
			t.Logf("500 at once against a hung server: %v", time.Since(start))
		})
	}
}

// The server wakes up: the shared store counts again, and nothing was lost.
func TestRedisWakesUp(t *testing.T) {
	s := startServer(t)
	for desc, client := range clients(s) {
		t.Run(desc, func(t *testing.T) {
			var mu sync.Mutex
			var changes []bool
			f := &ratelimit.Fallback{
				Store: redisstore.New(client, roomy, redisstore.WithPrefix(desc)),
				Pause: 20 * time.Millisecond,
				OnChange: func(degraded bool) {
					mu.Lock()
					defer mu.Unlock()
					changes = append(changes, degraded)
				},
			}
			l := slow(1000, "n", "k")
			eventually(t, f, l)
			mu.Lock()
			changes = nil
			mu.Unlock()
			s.hang()
			for !f.Degraded() {
				take(t, f, l)
			}
			s.wake()
			eventually(t, f, l)
			mu.Lock()
			defer mu.Unlock()
			require.NotEmpty(t, changes)
			assert.True(t, changes[0])
			assert.False(t, changes[len(changes)-1])
		})
	}
}

// The server is killed and comes back empty: no data, no script.
func TestRedisIsKilledAndComesBack(t *testing.T) {
	s := startServer(t)
	for desc, client := range clients(s) {
		t.Run(desc, func(t *testing.T) {
			f := &ratelimit.Fallback{
				Store: redisstore.New(client, roomy, redisstore.WithPrefix(desc)),
				Pause: 20 * time.Millisecond,
			}
			l := slow(1000, "n", "k")
			eventually(t, f, l)
			s.kill()
			for range 50 {
				require.True(t, take(t, f, l).Allowed)
			}
			assert.True(t, f.Degraded())
			s.start()
			eventually(t, f, l)
			assert.GreaterOrEqual(t, take(t, f, l).Remaining, 990, "the new server has forgotten what was used")
		})
	}
}

// Without a Fallback a Take against a dead server is an error within its
// deadline, never a Decision.
func TestDeadlineHoldsWithAnyClient(t *testing.T) {
	s := startServer(t)
	all := clients(s)
	s.hang()
	t.Cleanup(s.wake)
	for desc, client := range all {
		start := time.Now()
		d, err := redisstore.New(client).Take(context.Background(), slow(5, "n", "k"))
		require.Error(t, err, desc)
		assert.Equal(t, ratelimit.Decision{}, d)
		assert.Less(t, time.Since(start), soon)
		t.Logf("%s client: %v (%v)", desc, time.Since(start), err)
	}
}
