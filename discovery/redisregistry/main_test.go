package redisregistry_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/redisregistry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a client of addr as users make it.
func open(t testing.TB, addr string) redis.UniversalClient {
	t.Helper()
	options := &redis.UniversalOptions{
		Addrs:       []string{addr}, // the rest is patience: the machine may be busy
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second, PoolTimeout: time.Second,
	}
	client := redis.NewUniversalClient(redisregistry.Tune(options))
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// clock is a clock that the tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fake returns a registry on a fake Redis, and both.
func fake(t *testing.T) (*redisregistry.Registry, *miniredis.Miniredis, *clock) {
	t.Helper()
	server, c := miniredis.RunT(t), newClock()
	server.SetTime(c.Now())
	r := redisregistry.New(open(t, server.Addr()))
	r.SetNow(c.Now)
	r.Timeout = 10 * time.Second // the machine may be busy
	return r, server, c
}

// server is a real redis-server that may be stopped, killed and started again.
type server struct {
	t    *testing.T
	addr string
	dir  string
	cmd  *exec.Cmd
}

// startRedis starts a real redis-server on a free port.
func startRedis(t *testing.T) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("TTA_GATEWAY_TEST_REQUIRE_REDIS") == "1" {
			t.Fatal("redis-server is not on the PATH, and TTA_GATEWAY_TEST_REQUIRE_REDIS=1 wants it")
		}
		t.Skip("SKIPPED, NOT TESTED: redis-server is not on the PATH")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{t: t, addr: ln.Addr().String(), dir: t.TempDir()}
	require.NoError(t, ln.Close())
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	require.NoError(s.t, err)
	s.cmd = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir)
	require.NoError(s.t, s.cmd.Start())
	client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	eventually(s.t, "redis-server answers", func() bool { return client.Ping(context.Background()).Err() == nil })
}

// hang makes the server accept everything and answer nothing.
func (s *server) hang()   { require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGSTOP)) }
func (s *server) resume() { require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGCONT)) }

// kill ends the server, and with it all that it held.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// eventually waits for something that must happen; how fast is not tested.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "did not happen: "+what)
		}
	}
}

func register(t *testing.T, r *redisregistry.Registry, ttl time.Duration, all ...discovery.Instance) {
	t.Helper()
	for _, i := range all {
		require.NoError(t, r.Register(t.Context(), i, ttl))
	}
}
