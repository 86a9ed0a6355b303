package redisstore_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
)

// A server is a real redis-server of this test's own.
type server struct {
	t    *testing.T
	addr string
	args []string
	conf string // a configuration file, for a Sentinel
	cmd  *exec.Cmd
}

// startServer starts a redis-server that lives as long as the test. Where
// there is none on the PATH the test is skipped, or fails if
// TTA_GATEWAY_TEST_REQUIRE_REDIS is 1.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("TTA_GATEWAY_TEST_REQUIRE_REDIS") == "1" {
			t.Fatal("redis-server is not on the PATH, and TTA_GATEWAY_TEST_REQUIRE_REDIS is 1")
		}
		t.Skip("SKIPPED, NOT TESTED: redis-server is not on the PATH; install it to test against the real one")
	}
	s := &server{t: t, addr: freeAddr(t), args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// start starts the server, for the first time or again, and waits until it
// answers.
func (s *server) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	args := []string{"--port", port, "--bind", "127.0.0.1", "--dir", s.t.TempDir()}
	if s.conf != "" {
		args = append([]string{s.conf}, args...)
	} else {
		args = append(args, "--save", "", "--appendonly", "no")
	}
	s.cmd = exec.Command("redis-server", append(args, s.args...)...)
	require.NoError(s.t, s.cmd.Start())
	probe := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	defer probe.Close()
	require.Eventually(s.t, func() bool { return probe.Ping(context.Background()).Err() == nil },
		20*time.Second, 20*time.Millisecond, "redis-server does not answer")
}

// hang stops the process without ending it: connections stay, nobody answers.
func (s *server) hang() { s.signal(syscall.SIGSTOP) }

// wake undoes hang.
func (s *server) wake() { s.signal(syscall.SIGCONT) }

// kill ends the process at once, and with it data and script cache.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(sig))
}

// client is a client as Options makes it.
func (s *server) client() redis.UniversalClient {
	s.t.Helper()
	o, err := redisstore.Options("redis://"+s.addr, 0, "")
	require.NoError(s.t, err)
	return closing(s.t, redis.NewUniversalClient(o))
}

// carelessClient is a client as go-redis makes it when nobody says anything.
func (s *server) carelessClient() redis.UniversalClient {
	return closing(s.t, redis.NewClient(&redis.Options{Addr: s.addr}))
}

func closing(t *testing.T, c redis.UniversalClient) redis.UniversalClient {
	t.Cleanup(func() { _ = c.Close() })
	return c
}
