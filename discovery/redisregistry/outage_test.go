package redisregistry_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
	"github.com/theinterneti/tta-gateway/discovery/redisregistry"
)

// asks asks once and says whether the answer is fresh.
func asks(t *testing.T, r *redisregistry.Registry, want int) (fresh bool) {
	t.Helper()
	all, err := r.Instances(t.Context(), "chat")
	require.Len(t, all, want)
	if err != nil {
		require.ErrorIs(t, err, discovery.ErrStale)
	}
	return err == nil
}

// A Redis that hangs, is killed, and comes back empty: the last good answer
// stays throughout, and heartbeats put everything back.
func TestOutage(t *testing.T) {
	s := startRedis(t)
	r := redisregistry.New(open(t, s.addr))
	r.Timeout = 2 * time.Second
	all := discoverytest.Instances("chat", "http://10.0.0.1", "http://10.0.0.2")
	register(t, r, time.Minute, all...)
	eventually(t, "a fresh answer", func() bool { return asks(t, r, 2) })

	s.hang()
	assert.False(t, asks(t, r, 2), "hung: the last good answer stays")
	require.ErrorIs(t, r.Heartbeat(t.Context(), "chat", all[0].ID, time.Minute), redisregistry.ErrUnavailable)
	require.ErrorIs(t, r.Register(t.Context(), all[0], time.Minute), redisregistry.ErrUnavailable)
	s.resume()
	eventually(t, "a fresh answer after the hang", func() bool { return asks(t, r, 2) })

	s.kill()
	assert.False(t, asks(t, r, 2), "killed: it stays")
	require.ErrorIs(t, r.Heartbeat(t.Context(), "chat", all[0].ID, time.Minute), redisregistry.ErrUnavailable)
	s.start()
	eventually(t, "Redis is asked again", func() bool {
		_, err := r.Instances(t.Context(), "chat")
		return err == nil || !errors.Is(err, redisregistry.ErrUnavailable)
	})
	assert.False(t, asks(t, r, 2), "it came back empty: that is no answer yet")
	stranger := redisregistry.New(open(t, s.addr))
	require.ErrorIs(t, stranger.Heartbeat(t.Context(), "chat", all[0].ID, time.Minute), discovery.ErrUnknownInstance)

	require.NoError(t, r.Heartbeat(t.Context(), "chat", all[0].ID, time.Minute))
	assert.False(t, asks(t, r, 2), "one of two has come back")
	require.NoError(t, r.Heartbeat(t.Context(), "chat", all[1].ID, time.Minute))
	assert.True(t, asks(t, r, 2))
	got, err := stranger.Instances(t.Context(), "chat")
	require.NoError(t, err)
	assert.Len(t, got, 2, "and everybody sees them")
}

// What has not come back after the grace has gone.
func TestGraceEnds(t *testing.T) {
	r, server, c := fake(t)
	all := discoverytest.Instances("chat", "http://10.0.0.1", "http://10.0.0.2")
	register(t, r, time.Hour, all...)
	assert.True(t, asks(t, r, 2))
	server.FlushAll()
	assert.False(t, asks(t, r, 2))
	c.advance(redisregistry.DefaultGrace - time.Second)
	assert.False(t, asks(t, r, 2))
	c.advance(time.Second)
	_, err := r.Instances(t.Context(), "chat")
	require.ErrorIs(t, err, discovery.ErrUnknownService)
}

// Leaving on purpose, even as the last one, is no loss.
func TestTheLastOneMayLeave(t *testing.T) {
	r, _, _ := fake(t)
	i := discoverytest.Instances("chat", "http://10.0.0.1")[0]
	register(t, r, time.Hour, i)
	assert.True(t, asks(t, r, 1))
	require.NoError(t, r.Deregister(t.Context(), "chat", i.ID))
	_, err := r.Instances(t.Context(), "chat")
	require.ErrorIs(t, err, discovery.ErrUnknownService)
}

// An instance whose heartbeats stopped is not put back by a late one.
func TestALateHeartbeatComesTooLate(t *testing.T) {
	r, server, c := fake(t)
	i := discoverytest.Instances("chat", "http://10.0.0.1")[0]
	register(t, r, 10*time.Second, i)
	c.advance(11 * time.Second)
	server.FastForward(11 * time.Second)
	require.ErrorIs(t, r.Heartbeat(t.Context(), "chat", i.ID, 10*time.Second), discovery.ErrUnknownInstance)
}

// On a port where connections are accepted and nothing is ever said, each
// question gives up by itself.
func TestAHungRedisCostsNoMoreThanTheTimeout(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	r := redisregistry.New(open(t, ln.Addr().String()))
	r.Timeout = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = r.Instances(ctx, "chat")
	require.ErrorIs(t, err, redisregistry.ErrUnavailable)
	require.NoError(t, ctx.Err(), "it gave up by itself")
}

// A cache on a Redis that comes and goes: its endpoints stay, it says that
// they are old, and it follows again afterwards.
func TestCacheThroughAnOutage(t *testing.T) {
	s := startRedis(t)
	r := redisregistry.New(open(t, s.addr))
	r.Timeout = 2 * time.Second
	r.Poll = 20 * time.Millisecond
	cache := &discovery.Cache{Registry: r, Every: 20 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }()

	all := discoverytest.Instances("chat", "http://10.0.0.1", "http://10.0.0.2")
	register(t, r, time.Minute, all[0])
	count := func() int {
		got, _ := cache.Endpoints(ctx, "chat")
		return len(got)
	}
	eventually(t, "the cache sees one", func() bool { return count() == 1 })
	before, err := cache.Endpoints(ctx, "chat")
	require.NoError(t, err)

	s.kill()
	eventually(t, "the cache says that it is old", func() bool { return cache.Degraded("chat") != nil })
	after, err := cache.Endpoints(ctx, "chat")
	require.NoError(t, err)
	assert.Same(t, before[0], after[0])

	s.start()
	eventually(t, "a heartbeat is heard", func() bool { return r.Heartbeat(ctx, "chat", all[0].ID, time.Minute) == nil })
	eventually(t, "the cache is fresh", func() bool { return cache.Degraded("chat") == nil })
	require.Equal(t, 1, count())
	require.NoError(t, r.Register(ctx, all[1], time.Minute))
	eventually(t, "the cache sees two", func() bool { return count() == 2 })
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// What one gateway takes in, another one is told of, long before it would
// look.
func TestWatchIsToldByOtherGateways(t *testing.T) {
	s := startRedis(t)
	here, there := redisregistry.New(open(t, s.addr)), redisregistry.New(open(t, s.addr))
	here.Poll, here.Timeout, there.Timeout = time.Hour, 10*time.Second, 10*time.Second
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var told []int
	ended := make(chan error, 1)
	go func() {
		ended <- here.Watch(ctx, func(_ string, all []discovery.Instance) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, len(all))
		})
	}()
	i := discoverytest.Instances("chat", "http://10.0.0.1")[0]
	seen := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(told, n)
		}
	}
	watcher := open(t, s.addr)
	eventually(t, "the watch listens", func() bool {
		n, err := watcher.PubSubNumSub(ctx, "tta:gateway:services:changed").Result()
		return err == nil && n["tta:gateway:services:changed"] == 1
	})
	register(t, there, time.Minute, i)
	eventually(t, "the watch tells of one", seen(1))
	require.NoError(t, there.Deregister(ctx, "chat", i.ID))
	eventually(t, "the watch tells of none", seen(0))
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
