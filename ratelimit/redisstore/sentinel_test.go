package redisstore_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
)

// startSentinel starts a Sentinel that watches master under the name tta.
func startSentinel(t *testing.T, master *server) *server {
	t.Helper()
	host, port, err := net.SplitHostPort(master.addr)
	require.NoError(t, err)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "sentinel monitor tta %s %s 1\n"+
		"sentinel down-after-milliseconds tta 300\nsentinel failover-timeout tta 2000\n", host, port), 0o600))
	s := &server{t: t, addr: freeAddr(t), args: []string{"--sentinel"}, conf: conf}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// The master dies, the Sentinel makes the replica the master, and the shared
// store answers again by itself, with what the replica knew.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	master := startServer(t)
	host, port, err := net.SplitHostPort(master.addr)
	require.NoError(t, err)
	replica := startServer(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	sentinel := startSentinel(t, master)
	watcher := redis.NewSentinelClient(&redis.Options{Addr: sentinel.addr})
	t.Cleanup(func() { _ = watcher.Close() })
	require.Eventually(t, func() bool {
		known, err := watcher.Replicas(t.Context(), "tta").Result()
		return err == nil && len(known) == 1 && known[0]["master-link-status"] == "ok"
	}, 60*time.Second, 50*time.Millisecond, "the Sentinel does not see the replica")

	options, err := redisstore.Options("redis://"+sentinel.addr+"?master_name=tta", 0, "")
	require.NoError(t, err)
	client := closing(t, redis.NewUniversalClient(options))
	f := &ratelimit.Fallback{Store: redisstore.New(client, roomy), Pause: 20 * time.Millisecond}
	l := slow(100, "n", "k")
	eventually(t, f, l)
	for range 20 {
		take(t, f, l)
	}
	left := take(t, f, l).Remaining
	key := redisstore.New(client).Key(l)
	there, here := patientClient(t, master.addr), patientClient(t, replica.addr)
	require.Eventually(t, func() bool {
		was := there.Get(t.Context(), key).Val()
		return was != "" && was == here.Get(t.Context(), key).Val()
	}, 60*time.Second, 10*time.Millisecond, "the replica does not follow")

	master.kill()
	for !f.Degraded() {
		take(t, f, l)
	}
	eventually(t, f, slow(1_000_000, "other", "k"))
	assert.Equal(t, "master", here.InfoMap(t.Context(), "replication").Item("Replication", "role"))
	assert.Less(t, take(t, f, l).Remaining, left, "the new master knows what was used")
}
