package redisrevocation_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/auth/redisrevocation"
)

var _ auth.Revocations = (*redisrevocation.List)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a real redis-server of this test's own.
type server struct {
	address string
	process *os.Process
}

func start(t *testing.T) *server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("TTA_GATEWAY_TEST_REQUIRE_REDIS") == "1" {
			t.Fatal("redis-server is not on the PATH, and TTA_GATEWAY_TEST_REQUIRE_REDIS=1 asks for it")
		}
		t.Skip("NOT TESTED: redis-server is not on the PATH")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(free.Addr().String())
	require.NoError(t, err)
	require.NoError(t, free.Close())
	cmd := exec.Command(path, "--port", port, "--bind", host, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be dead already
		_ = cmd.Wait()         // "signal: killed"
	})
	s := &server{net.JoinHostPort(host, port), cmd.Process}
	s.await(t)
	return s
}

func (s *server) await(t *testing.T) {
	t.Helper()
	client := s.client(t)
	require.Eventually(t, func() bool { return client.Ping(context.Background()).Err() == nil },
		30*time.Second, 10*time.Millisecond)
}

func (s *server) client(t *testing.T) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.address, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func (s *server) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	require.NoError(t, s.process.Signal(sig))
}

// patient gives a loaded machine the time it needs.
const patient = 20 * time.Second

func TestListIsARevocations(t *testing.T) {
	client := start(t).client(t)
	authtest.TestRevocations(t, func(*testing.T) auth.Revocations {
		return &redisrevocation.List{Client: client, Timeout: patient}
	})
	authtest.TestRevocations(t, func(*testing.T) auth.Revocations {
		return &redisrevocation.List{Client: client, Timeout: patient, Fresh: -1, Grace: -1}
	})
}

func TestALogoutAtOneGatewayIsALogoutAtAll(t *testing.T) {
	ctx, redis := context.Background(), start(t)
	here := &redisrevocation.List{Client: redis.client(t), Timeout: patient}
	there := &redisrevocation.List{Client: redis.client(t), Timeout: patient, Fresh: -1}
	provider := authtest.NewProvider()
	mine := &auth.JWT{Keys: provider.Keys(), Revocations: here}
	theirs := &auth.JWT{Keys: provider.Keys(), Revocations: there}
	token, other := provider.Token(), provider.Token(authtest.Subject("other"), authtest.Refreshed())
	for _, j := range []*auth.JWT{mine, theirs} {
		_, err := j.Verify(ctx, token)
		require.NoError(t, err)
	}
	require.NoError(t, mine.Revoke(ctx, token))
	for _, j := range []*auth.JWT{mine, theirs} {
		_, err := j.Verify(ctx, token)
		require.ErrorIs(t, err, auth.ErrInvalidToken)
		_, err = j.Verify(ctx, other)
		require.NoError(t, err)
	}
}

func TestEntriesEndAndAreNeverShortened(t *testing.T) {
	ctx, redis := context.Background(), start(t)
	client := redis.client(t)
	list := &redisrevocation.List{Client: client, Timeout: patient, Fresh: -1, Prefix: "x:"}
	now := time.Now()
	ttl := func(id string) time.Duration {
		d, err := client.PTTL(ctx, "x:"+id).Result()
		require.NoError(t, err)
		return d
	}
	require.NoError(t, list.Revoke(ctx, "a", now.Add(time.Hour)))
	require.NoError(t, list.Revoke(ctx, "a", now.Add(time.Minute)))
	assert.Greater(t, ttl("a"), 50*time.Minute, "not shortened")
	require.NoError(t, list.Revoke(ctx, "a", now.Add(2*time.Hour)))
	assert.Greater(t, ttl("a"), 110*time.Minute, "extended")
	assert.LessOrEqual(t, ttl("a"), 2*time.Hour+time.Second, "and not for ever")
	require.NoError(t, list.Revoke(ctx, "a", time.Time{}))
	require.NoError(t, list.Revoke(ctx, "a", now.Add(time.Minute)))
	assert.EqualValues(t, -1, ttl("a"), "for good is for good")
	require.NoError(t, list.Revoke(ctx, "over", now.Add(-time.Second)))
	assert.EqualValues(t, -2, ttl("over"), "what is over is not written")

	revoked, err := list.Revoked(ctx, "b", "a")
	require.NoError(t, err)
	assert.True(t, revoked)
	revoked, err = list.Revoked(ctx, "b", "c")
	require.NoError(t, err)
	assert.False(t, revoked)
}

func TestRedisHangsDiesAndComesBack(t *testing.T) {
	ctx, redis := context.Background(), start(t)
	var failures atomic.Int64
	list := &redisrevocation.List{Client: redis.client(t), Timeout: patient, Fresh: time.Nanosecond,
		OnError: func(error) { failures.Add(1) }}
	revoked, err := list.Revoked(ctx, "seen")
	require.NoError(t, err)
	require.False(t, revoked)
	require.NoError(t, list.Revoke(ctx, "gone", time.Now().Add(time.Hour)))

	hasty := func() context.Context {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		t.Cleanup(cancel)
		return short
	}
	redis.signal(t, syscall.SIGSTOP)
	check := func(how string) {
		revoked, err = list.Revoked(hasty(), "seen")
		require.NoError(t, err, "%s: the last answer serves on", how)
		require.False(t, revoked)
		revoked, err = list.Revoked(hasty(), "never seen", "gone")
		require.NoError(t, err, "%s: what is revoked remains so", how)
		require.True(t, revoked)
		_, err = list.Revoked(hasty(), "never seen")
		require.Error(t, err, "%s: nobody can tell", how)
	}
	check("hung")
	redis.signal(t, syscall.SIGCONT)
	require.Eventually(t, func() bool {
		_, err := list.Revoked(ctx, "never seen")
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)

	redis.signal(t, syscall.SIGKILL)
	_, err = redis.process.Wait()
	require.NoError(t, err)
	_, err = list.Revoked(ctx, "somebody else")
	require.Error(t, err)
	require.Positive(t, failures.Load())
	require.Error(t, list.Revoke(ctx, "x", time.Now().Add(time.Hour)), "a logout that did not happen is not reported as one")
}

// unreachable makes a client that never reaches anything, and counts how often it tries.
func unreachable(t *testing.T, tries *atomic.Int64) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "192.0.2.1:6379", MaxRetries: -1, DialerRetries: 1,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			tries.Add(1)
			return nil, fmt.Errorf("no route")
		}})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestRedisOutOfReachIsNotAskedByEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		client := unreachable(t, &tries)
		defer client.Close()
		list := &redisrevocation.List{Client: client}
		for range 100 {
			_, err := list.Revoked(context.Background(), "a")
			require.ErrorContains(t, err, "redisrevocation: ")
		}
		first := tries.Load()
		require.LessOrEqual(t, first, int64(2))
		time.Sleep(redisrevocation.DefaultFresh)
		_, err := list.Revoked(context.Background(), "a")
		require.Error(t, err)
		require.Greater(t, tries.Load(), first)
	})
}

// trips counts round trips, and cuts the line when told to.
type trips struct {
	redis.Hook
	count atomic.Int64
	cut   atomic.Bool
}

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.count.Add(1)
		if h.cut.Load() {
			return errors.New("the line is cut")
		}
		return next(ctx, cmds)
	}
}

func (h *trips) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func counted(t *testing.T) (*trips, *redis.Client) {
	t.Helper()
	client, hook := start(t).client(t), new(trips)
	client.AddHook(hook)
	warm := &redisrevocation.List{Client: client, Timeout: patient}
	_, err := warm.Revoked(context.Background(), "warm") // a connection begins with a pipeline of its own
	require.NoError(t, err)
	return hook, client
}

func TestAnswersAreRememberedAndBounded(t *testing.T) {
	hook, client := counted(t)
	list := &redisrevocation.List{Client: client, Timeout: patient, Fresh: time.Hour, MaxRemembered: 4}
	cost := func(ids ...string) int64 {
		before := hook.count.Load()
		revoked, err := list.Revoked(context.Background(), ids...)
		require.NoError(t, err)
		require.False(t, revoked)
		return hook.count.Load() - before
	}
	for _, id := range []string{"a", "b", "c"} {
		assert.EqualValues(t, 1, cost(id))
	}
	for _, id := range []string{"a", "b", "c"} {
		assert.Zero(t, cost(id), "%s is remembered", id)
	}
	assert.EqualValues(t, 1, cost("a", "z"), "one is not known: one trip for all")
	assert.EqualValues(t, 1, cost("x"))
	assert.EqualValues(t, 1, cost("y"))
	assert.EqualValues(t, 1, cost("b"), "and forgotten in the end")
}

func TestACallerWhoLeavesSaysNothingAboutRedis(t *testing.T) {
	_, client := counted(t)
	list := &redisrevocation.List{Client: client, Timeout: patient, Fresh: time.Hour,
		OnError: func(err error) { t.Error(err) }}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := list.Revoked(gone, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = list.Revoked(context.Background(), "a")
	require.NoError(t, err)
}

func TestOneSuccessEndsTheRest(t *testing.T) {
	ctx := context.Background()
	hook, client := counted(t)
	list := &redisrevocation.List{Client: client, Timeout: patient, Fresh: time.Hour}
	hook.cut.Store(true)
	_, err := list.Revoked(ctx, "a")
	require.ErrorContains(t, err, "the line is cut")
	hook.cut.Store(false)
	_, err = list.Revoked(ctx, "a")
	require.ErrorContains(t, err, "the line is cut", "not asked again so soon")
	require.NoError(t, list.Revoke(ctx, "b", time.Now().Add(time.Hour)), "a logout is tried in any case")
	_, err = list.Revoked(ctx, "a")
	require.NoError(t, err, "and shows that Redis is back")
}

// scripted answers in place of Redis: whether everything is revoked, or an error.
type scripted struct {
	trips
	revoked atomic.Int64
}

func (h *scripted) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return h.trips.ProcessPipelineHook(func(_ context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			cmd.(*redis.IntCmd).SetVal(h.revoked.Load())
		}
		return nil
	})
}

func TestFreshAndGraceEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		client, hook := unreachable(t, &tries), new(scripted)
		defer client.Close()
		client.AddHook(hook)
		list := &redisrevocation.List{Client: client}
		ask := func() (bool, error) { return list.Revoked(context.Background(), "a") }

		revoked, err := ask()
		require.NoError(t, err)
		require.False(t, revoked)
		hook.revoked.Store(1) // by another gateway
		time.Sleep(redisrevocation.DefaultFresh - time.Nanosecond)
		revoked, err = ask()
		require.NoError(t, err)
		require.False(t, revoked, "not noticed yet")
		time.Sleep(time.Nanosecond)
		revoked, err = ask()
		require.NoError(t, err)
		require.True(t, revoked, "noticed within Fresh")

		hook.cut.Store(true)
		time.Sleep(redisrevocation.DefaultGrace - time.Nanosecond)
		revoked, err = ask()
		require.NoError(t, err)
		require.True(t, revoked, "the last answer serves on")
		time.Sleep(time.Nanosecond)
		_, err = ask()
		require.Error(t, err, "but not for ever")
	})
}

func TestNoClient(t *testing.T) {
	list := new(redisrevocation.List)
	_, err := list.Revoked(context.Background(), "a")
	require.ErrorContains(t, err, "Client is nil")
	require.ErrorContains(t, list.Revoke(context.Background(), "a", time.Time{}), "Client is nil")
}

func ExampleList() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "127.0.0.1:6379",
		ContextTimeoutEnabled: true, // a Redis that hangs costs milliseconds, not seconds
		MaxRetries:            -1,
	})
	defer client.Close()
	j := &auth.JWT{
		Keys:        auth.HMAC([]byte("32 random bytes or more, from the environment")),
		Revocations: &redisrevocation.List{Client: client},
	}
	fmt.Println(j.Validate())
	// Output: <nil>
}
