package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/ratelimittest"
	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is a deadline that no slow machine misses: for tests that are not
// about deadlines.
var patient = redisstore.WithTimeout(time.Minute)

// patientClient has no short timeouts either.
func patientClient(t *testing.T, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, ReadTimeout: time.Minute, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A miniredis is quick, and its clock can be moved.
func TestStoreOnMiniredis(t *testing.T) {
	mini := miniredis.RunT(t)
	now := time.Now()
	mini.SetTime(now)
	advance := func(d time.Duration) {
		now = now.Add(d)
		mini.SetTime(now)
		mini.FastForward(d)
	}
	client := patientClient(t, mini.Addr())
	ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store {
		mini.FlushAll()
		return redisstore.New(client, patient)
	}, ratelimittest.Advance(advance))
}

func TestStoreOnRedis(t *testing.T) {
	s := startServer(t)
	client := patientClient(t, s.addr)
	n := 0
	ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store {
		n++
		return redisstore.New(client, patient, redisstore.WithPrefix(fmt.Sprint("test", n, ":")))
	})
}

// A client that ignores contexts keeps the rules too.
func TestStoreOnCarelessClient(t *testing.T) {
	s := startServer(t)
	client := s.carelessClient()
	n := 0
	ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store {
		n++
		return redisstore.New(client, patient, redisstore.WithPrefix(fmt.Sprint("test", n, ":")))
	})
}

// A real Cluster of one node: it refuses scripts over more than one slot.
func TestStoreOnCluster(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--cluster-enabled", "yes")
	one := patientClient(t, s.addr)
	require.NoError(t, one.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	require.Eventually(t, func() bool {
		return strings.Contains(one.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	}, 30*time.Second, 50*time.Millisecond)

	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.addr}, ContextTimeoutEnabled: true, ReadTimeout: time.Minute})
	t.Cleanup(func() { _ = client.Close() })
	n := 0
	ratelimittest.TestStore(t, func(*testing.T) ratelimit.Store {
		n++
		return redisstore.New(client, patient, redisstore.WithPrefix(fmt.Sprint("test", n, ":")))
	})

	t.Run("one server's client is refused there, so the test above tests something", func(t *testing.T) {
		_, err := redisstore.New(one, patient).Take(t.Context(), slow(5, "a", "one"), slow(5, "a", "two"))
		require.ErrorContains(t, err, "CROSSSLOT")
	})
}

// A Ring sends each subject to its own server.
func TestStoreOnRing(t *testing.T) {
	a, b := miniredis.RunT(t), miniredis.RunT(t)
	client := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": a.Addr(), "b": b.Addr()}})
	t.Cleanup(func() { _ = client.Close() })
	store := redisstore.New(client, patient)
	for i := range 40 {
		require.True(t, take(t, store, slow(100, "all", ""), slow(1, "own", fmt.Sprint(i))).Allowed)
		require.False(t, take(t, store, slow(100, "all", ""), slow(1, "own", fmt.Sprint(i))).Allowed)
	}
	assert.Equal(t, 59, take(t, store, slow(100, "all", "")).Remaining, "what the second refused was not given back")
	assert.NotEmpty(t, a.Keys())
	assert.NotEmpty(t, b.Keys())
}

func slow(n int, name, key string) ratelimit.Limit {
	return ratelimit.Limit{Name: name, Key: key, Rate: ratelimit.Rate{N: n, Per: 10_000 * time.Hour}}
}

func take(t testing.TB, s ratelimit.Store, limits ...ratelimit.Limit) ratelimit.Decision {
	t.Helper()
	d, err := s.Take(t.Context(), limits...)
	require.NoError(t, err)
	return d
}

// Several gateways, each with its own client and store, count together: over
// the time that the server itself measured, no more than Burst + N·T/Per pass.
func TestStoresCountTogether(t *testing.T) {
	s := startServer(t)
	judge := patientClient(t, s.addr)
	rate := ratelimit.Rate{N: 500, Per: time.Second, Burst: 40}
	var units atomic.Int64
	var crowd sync.WaitGroup
	start := judge.Time(t.Context()).Val()
	for gateway := range 2 {
		store := redisstore.New(patientClient(t, s.addr), patient)
		for worker := range 4 {
			crowd.Go(func() {
				dice := rand.New(rand.NewPCG(uint64(gateway), uint64(worker)))
				for range 300 {
					l := ratelimit.Limit{Name: "n", Key: "k", Rate: rate, Cost: 1 + dice.IntN(5)}
					d, err := store.Take(t.Context(), l)
					if assert.NoError(t, err) && d.Allowed {
						units.Add(int64(l.Cost))
					}
				}
			})
		}
	}
	crowd.Wait()
	elapsed := judge.Time(t.Context()).Val().Sub(start)
	most := float64(rate.Size()) + float64(rate.N)*elapsed.Seconds()
	assert.LessOrEqual(t, float64(units.Load()), most, "in %v", elapsed)
	assert.GreaterOrEqual(t, units.Load(), int64(rate.Size()))
	t.Logf("%d units in %v; at most %.0f were due", units.Load(), elapsed, most)
}

// One Take is one command for the server, whatever the number of limits.
func TestOneRoundTrip(t *testing.T) {
	s := startServer(t)
	client := s.client()
	store := redisstore.New(client, patient)
	limits := []ratelimit.Limit{slow(1e6, "a", "x"), slow(1e6, "b", "x"), slow(1e6, "all", "")}
	take(t, store, limits...) // the script is loaded
	counter := new(commands)
	client.AddHook(counter)
	for range 10 {
		take(t, store, limits...)
	}
	assert.Equal(t, int64(10), counter.sent.Load())
}

type commands struct{ sent atomic.Int64 }

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.sent.Add(1)
		return next(ctx, cmd)
	}
}

func TestKeysExpireAndNameNobody(t *testing.T) {
	s := startServer(t)
	client := patientClient(t, s.addr)
	store := redisstore.New(client, patient)
	l := ratelimit.Limit{Name: "default", Key: "ada@example.org", Rate: ratelimit.Rate{N: 10, Per: time.Minute}}
	take(t, store, l)

	keys := client.Keys(t.Context(), "*").Val()
	require.Equal(t, []string{store.Key(l)}, keys)
	assert.Regexp(t, `^tta:gateway:rl:\{[A-Za-z0-9_-]{20}\}:default$`, keys[0])
	assert.NotContains(t, keys[0], "ada")
	ttl := client.PTTL(t.Context(), keys[0]).Val()
	assert.Positive(t, ttl)
	assert.LessOrEqual(t, ttl, 7*time.Second+10*time.Millisecond, "6 s until it is full, and one more")

	require.NoError(t, client.Del(t.Context(), store.Key(l)).Err())
	assert.Equal(t, 9, take(t, store, l).Remaining, "an operator gives somebody a fresh start")
}

// What stands under a key that is not ours is not believed, and does no harm.
func TestForeignValues(t *testing.T) {
	mini := miniredis.RunT(t)
	store := redisstore.New(patientClient(t, mini.Addr()), patient)
	l := slow(3, "n", "k")
	for _, value := range []string{"", "x", "1", "1 2 3", "nan nan x", "-5 0", "99999999 x"} {
		require.NoError(t, mini.Set(store.Key(l), value))
		assert.Equal(t, 2, take(t, store, l).Remaining, "value %q", value)
	}
	mini.Del(store.Key(l))
	mini.HSet(store.Key(l), "field", "value")
	_, err := store.Take(t.Context(), l)
	require.Error(t, err)
	assert.NotErrorIs(t, err, ratelimit.ErrLimit)
}

// The server's clock is set back: the bucket neither fills up nor locks.
func TestClockSetBack(t *testing.T) {
	mini := miniredis.RunT(t)
	now := time.Now()
	mini.SetTime(now)
	store := redisstore.New(patientClient(t, mini.Addr()), patient)
	l := ratelimit.Limit{Name: "n", Key: "k", Rate: ratelimit.Rate{N: 10, Per: 10 * time.Second, Burst: 3}}
	for range 3 {
		require.True(t, take(t, store, l).Allowed)
	}
	mini.SetTime(now.Add(-time.Hour))
	assert.False(t, take(t, store, l).Allowed)
	assert.LessOrEqual(t, take(t, store, l).RetryAfter, time.Second+5*time.Microsecond)
}

// A server that was restarted has lost its scripts.
func TestScriptCacheLost(t *testing.T) {
	s := startServer(t)
	client := patientClient(t, s.addr)
	store := redisstore.New(client, patient)
	assert.Equal(t, 4, take(t, store, slow(5, "n", "k")).Remaining)
	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	assert.Equal(t, 3, take(t, store, slow(5, "n", "k")).Remaining)
	s.kill()
	s.start()
	require.Eventually(t, func() bool { // the dead connections are found dead first
		_, err := store.Take(t.Context(), slow(5, "n", "k"))
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}

// On a Cluster, a later group's error gives back what an earlier one took.
func TestGivesBackAfterAnError(t *testing.T) {
	mini := miniredis.RunT(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{mini.Addr()}, ContextTimeoutEnabled: true, ReadTimeout: time.Minute})
	t.Cleanup(func() { _ = client.Close() })
	store := redisstore.New(client, patient)
	broken := slow(5, "n", "broken")
	mini.HSet(store.Key(broken), "field", "value")
	_, err := store.Take(t.Context(), slow(5, "n", "k"), broken)
	require.Error(t, err)
	assert.Equal(t, 4, take(t, store, slow(5, "n", "k")).Remaining)
}

// With nobody at the address, a Take is an error, and soon.
func TestNobodyThere(t *testing.T) {
	o, err := redisstore.Options("redis://"+freeAddr(t), 0, "")
	require.NoError(t, err)
	store := redisstore.New(closing(t, redis.NewUniversalClient(o)))
	start := time.Now()
	d, err := store.Take(t.Context(), slow(5, "n", "k"))
	require.Error(t, err)
	assert.Equal(t, ratelimit.Decision{}, d)
	t.Logf("refused connection: %v (%v)", time.Since(start), err)
}

func TestCallerGone(t *testing.T) {
	mini := miniredis.RunT(t)
	for desc, client := range map[string]redis.UniversalClient{
		"tuned":    patientClient(t, mini.Addr()),
		"careless": closing(t, redis.NewClient(&redis.Options{Addr: mini.Addr()})),
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := redisstore.New(client, patient).Take(ctx, slow(5, "n", desc))
		require.Error(t, err)
		assert.True(t, errors.Is(err, context.Canceled), "%s: %v", desc, err)
	}
}

func BenchmarkTake(b *testing.B) {
	mini := miniredis.RunT(b)
	o, err := redisstore.Options("redis://"+mini.Addr(), 0, "")
	require.NoError(b, err)
	client := redis.NewUniversalClient(o)
	defer client.Close()
	store := redisstore.New(client, patient)
	l := slow(1_000_000_000, "n", "k")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Take(b.Context(), l); err != nil {
			b.Fatal(err)
		}
	}
}
