package redisregistry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
	"github.com/theinterneti/tta-gateway/discovery/redisregistry"
)

func TestKeepsTheRulesOnAFakeRedis(t *testing.T) {
	var advance func(time.Duration)
	suite := discoverytest.Suite{
		New: func(t *testing.T, all ...discovery.Instance) discovery.Registry {
			r, server, c := fake(t)
			r.Poll = 10 * time.Millisecond
			advance = func(d time.Duration) { c.advance(d); server.FastForward(d) }
			register(t, r, time.Hour, all...)
			return r
		},
		Advance: func(d time.Duration) { advance(d) },
	}
	discoverytest.TestRegistry(t, suite)
	discoverytest.TestRegistrar(t, suite)
	discoverytest.TestWatcher(t, suite)
}

func TestKeepsTheRulesOnARealRedis(t *testing.T) {
	s := startRedis(t)
	suite := discoverytest.Suite{New: func(t *testing.T, all ...discovery.Instance) discovery.Registry {
		client := open(t, s.addr)
		require.NoError(t, client.FlushAll(t.Context()).Err())
		r := redisregistry.New(client)
		r.Timeout = 10 * time.Second
		register(t, r, time.Hour, all...)
		return r
	}}
	discoverytest.TestRegistry(t, suite)
	discoverytest.TestRegistrar(t, suite)
	discoverytest.TestWatcher(t, suite)
}

// python is an entry as the historic gateway wrote it.
const python = `{
	"id": "6f1c1b0e-5d3e-4b8f-9d2a-000000000001", "name": "player-experience-interface", "version": "1.0.0",
	"service_type": "api", "endpoint": {"host": "localhost", "port": 8080, "path": "/api/v1", "scheme": "http"},
	"weight": 100, "priority": 100, "tags": ["api", "Player ", "therapeutic"],
	"metadata": {"owner": "tta", "bolt_port": 7687, "nested": {"a": [1]}}, "status": "healthy",
	"health_check": {"enabled": true, "endpoint": "/health", "interval": 30, "timeout": 5, "retries": 3, "expected_status": 200},
	"metrics": {"request_count": 12, "error_count": 0, "average_response_time": 0.25, "last_response_time": null, "uptime": 1.5, "last_health_check": null},
	"registered_at": "2025-01-02T03:04:05.678901", "last_seen": "2025-01-02T03:04:06",
	"therapeutic_priority": true, "crisis_support": false, "safety_validated": true, "from_the_future": {"x": 12345678901234567890}}`

const pythonID = "6f1c1b0e-5d3e-4b8f-9d2a-000000000001"

func TestReadsWhatPythonWrote(t *testing.T) {
	r, server, _ := fake(t)
	server.HSet("tta:gateway:services", pythonID, python)
	all, err := r.Instances(t.Context(), "player-experience-interface")
	require.NoError(t, err)
	assert.Empty(t, all, "without a health key it is known, and not live")

	require.NoError(t, server.Set("tta:gateway:health:"+pythonID, "unhealthy"))
	all, err = r.Instances(t.Context(), "player-experience-interface")
	require.NoError(t, err)
	assert.Empty(t, all, "nor with one that says unhealthy")

	require.NoError(t, server.Set("tta:gateway:health:"+pythonID, "healthy"))
	all, err = r.Instances(t.Context(), "player-experience-interface")
	require.NoError(t, err)
	require.Len(t, all, 1)
	i := all[0]
	assert.Equal(t, "http://localhost:8080", i.URL.String(), "requests carry the base path already")
	assert.Equal(t, discovery.InstanceID(i.Service, i.URL), i.ID, "its random id would change at each start")
	assert.Equal(t, 100, i.Weight)
	assert.Equal(t, []string{"api", "player", "therapeutic"}, i.Tags)
	assert.Equal(t, map[string]string{"owner": "tta", "bolt_port": "7687", "nested": `{"a": [1]}`, "base_path": "/api/v1"}, i.Metadata)

	records, err := r.Records(t.Context())
	require.NoError(t, err)
	require.Len(t, records, 1)
	assert.Equal(t, pythonID, records[0].Key)
	assert.True(t, records[0].Foreign && records[0].Live())
	assert.Equal(t, "http://localhost:8080/api/v1/health", records[0].HealthURL)
	assert.Equal(t, time.Date(2025, 1, 2, 3, 4, 6, 0, time.UTC), records[0].LastSeen)

	r.UsePath = true
	all, err = r.Instances(t.Context(), "player-experience-interface")
	require.NoError(t, err)
	assert.Equal(t, "http://localhost:8080/api/v1", all[0].URL.String())
}

func TestReadsKindsOfEntries(t *testing.T) {
	tests := []struct {
		desc, raw string
		want      string // URL; "" = passed over
		complaint string
	}{
		{"the least", `{"name":"s","endpoint":{"host":"h","port":80}}`, "http://h:80", ""},
		{"websocket", `{"name":"s","endpoint":{"host":"h","port":80,"scheme":"ws","path":"/"}}`, "http://h:80", ""},
		{"websocket over TLS", `{"name":"s","endpoint":{"host":"h","port":443,"scheme":"wss"}}`, "https://h:443", ""},
		{"IPv6", `{"name":"s","endpoint":{"host":"::1","port":80}}`, "http://[::1]:80", ""},
		{"IPv6 in brackets", `{"name":"s","endpoint":{"host":"[::1]","port":80}}`, "http://[::1]:80", ""},
		{"weight out of range", `{"name":"s","weight":5000,"endpoint":{"host":"h","port":80}}`, "http://h:80", ""},
		{"too many tags", `{"name":"s","tags":["` + strings.Repeat(`a","b","`, 50) + `"],"endpoint":{"host":"h","port":80}}`, "http://h:80", ""},
		{"much metadata", `{"name":"s","metadata":{"a":"` + strings.Repeat("x", 9000) + `"},"endpoint":{"host":"h","port":80}}`, "http://h:80", ""},
		{"ours, but moved by another", `{"name":"s","endpoint":{"host":"new","port":80},"tta_gateway":{"url":"http://old:80"}}`, "http://new:80", ""},
		{"ours, but broken", `{"name":"s","endpoint":{"host":"h","port":80},"tta_gateway":{"url":"gopher://x"}}`, "http://h:80", ""},

		{"a cache", `{"name":"s","endpoint":{"host":"h","port":6379,"scheme":"redis"}}`, "", `scheme "redis"`},
		{"no JSON", `hello`, "", "not JSON"},
		{"null", `null`, "", "service is empty"},
		{"wrong types", `{"name":7}`, "", `member "name" is a number`},
		{"no endpoint", `{"name":"s"}`, "", "no host"},
		{"no port", `{"name":"s","endpoint":{"host":"h"}}`, "", `port "0"`},
		{"bad name", `{"name":"a b","endpoint":{"host":"h","port":80}}`, "", `service "a b"`},
		{"host that is more", `{"name":"s","endpoint":{"host":"u:p@h","port":80}}`, "", "usual notation"},
		{"huge", `{"name":"s","x":"` + strings.Repeat("x", 70000) + `","endpoint":{"host":"h","port":80}}`, "", "at most 65536"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			r, server, _ := fake(t)
			var skipped []string
			r.OnSkip = func(key string, err error) { skipped = append(skipped, key+": "+err.Error()) }
			good := `{"name":"good","endpoint":{"host":"h","port":80}}`
			server.HSet("tta:gateway:services", "one", tt.raw, "two", good)
			require.NoError(t, server.Set("tta:gateway:health:one", "healthy"))
			require.NoError(t, server.Set("tta:gateway:health:two", "healthy"))
			for range 3 {
				all, err := r.Instances(t.Context(), "good")
				require.NoError(t, err)
				assert.Len(t, all, 1, "the others stay")
			}
			all, err := r.Instances(t.Context(), "s")
			if tt.want == "" {
				require.ErrorIs(t, err, discovery.ErrUnknownService)
				require.Len(t, skipped, 1, "told once, not at each look")
				assert.Contains(t, skipped[0], tt.complaint)
				assert.NotContains(t, skipped[0], "hello")
				return
			}
			require.NoError(t, err)
			require.Len(t, all, 1)
			assert.Equal(t, tt.want, all[0].URL.String())
			require.NoError(t, all[0].Validate())
			assert.Empty(t, skipped)
		})
	}
}

func TestWritesWhatPythonReads(t *testing.T) {
	r, server, c := fake(t)
	i := discoverytest.Instances("story", "https://story.internal/base")[0]
	i.Weight, i.Tags = 3, []string{"Therapeutic", "therapeutic", "api"}
	i.Metadata, i.Draining = map[string]string{"zone": "a", "service_type": "therapeutic"}, true
	i.Addrs = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	register(t, r, 90*time.Second, i)

	assert.JSONEq(t, `{
		"id": "`+i.ID+`", "name": "story", "version": "1.0.0", "service_type": "therapeutic",
		"endpoint": {"host": "story.internal", "port": 443, "path": "/base", "scheme": "https"},
		"weight": 300, "priority": 100, "tags": ["therapeutic", "api"], "metadata": {"zone": "a", "service_type": "therapeutic"}, "status": "healthy",
		"health_check": {"enabled": true, "endpoint": "/health", "interval": 30, "timeout": 5, "retries": 3, "expected_status": 200},
		"metrics": {"request_count": 0, "error_count": 0, "average_response_time": 0, "last_response_time": null, "uptime": 0, "last_health_check": null},
		"registered_at": "2026-01-02T03:04:05.000000", "last_seen": "2026-01-02T03:04:05.000000",
		"therapeutic_priority": true, "crisis_support": false, "safety_validated": false,
		"tta_gateway": {"url": "https://story.internal/base", "weight": 3, "tags": ["Therapeutic", "therapeutic", "api"],
			"metadata": {"zone": "a", "service_type": "therapeutic"}, "draining": true, "addresses": ["10.0.0.1"]}}`,
		server.HGet("tta:gateway:services", i.ID))
	assertValue(t, server.Get, "tta:gateway:health:"+i.ID, "healthy")
	assert.Equal(t, 90*time.Second, server.TTL("tta:gateway:health:"+i.ID))
	assertMembers(t, server.Members, "tta:gateway:services:type:therapeutic", i.ID)
	assertMembers(t, server.Members, "tta:gateway:services:tag:api", i.ID)

	c.advance(time.Hour)
	i.Tags = []string{"api"}
	register(t, r, 90*time.Second, i)
	assert.Contains(t, server.HGet("tta:gateway:services", i.ID), `"registered_at":"2026-01-02T03:04:05.000000"`)
	assert.Contains(t, server.HGet("tta:gateway:services", i.ID), `"last_seen":"2026-01-02T04:04:05.000000"`)
	assert.False(t, server.Exists("tta:gateway:services:tag:therapeutic"), "what it is no more is not indexed")

	require.NoError(t, r.Deregister(t.Context(), "story", i.ID))
	assert.Equal(t, []string{"tta:gateway:services:revision"}, server.Keys(), "nothing else is left")
}

func assertValue(t *testing.T, get func(string) (string, error), key, want string) {
	t.Helper()
	got, err := get(key)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func assertMembers(t *testing.T, members func(string) ([]string, error), key string, want ...string) {
	t.Helper()
	got, err := members(key)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// What a Python writer put into an entry, and we do not know, stays.
func TestKeepsUnknownMembers(t *testing.T) {
	r, server, _ := fake(t)
	server.HSet("tta:gateway:services", pythonID, strings.Replace(python, `"scheme": "http"`, `"scheme": "http", "zone": "a"`, 1))
	i := discoverytest.Instances("player-experience-interface", "http://localhost:8080")[0]
	i.ID, i.Metadata = pythonID, map[string]string{"owner": "us"}
	register(t, r, time.Minute, i)
	var entry map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(server.HGet("tta:gateway:services", pythonID)), &entry))
	assert.Equal(t, `{"x":12345678901234567890}`, string(entry["from_the_future"]), "not a digit is lost")
	assert.JSONEq(t, `{"host":"localhost","port":8080,"path":"/","scheme":"http","zone":"a"}`, string(entry["endpoint"]))
	assert.JSONEq(t, `{"owner":"us","bolt_port":7687,"nested":{"a":[1]}}`, string(entry["metadata"]))
	assert.JSONEq(t, `true`, string(entry["safety_validated"]), "what another found out is his to say")
	assert.Contains(t, string(entry["metrics"]), `"request_count":12`)
	assert.JSONEq(t, `"2025-01-02T03:04:05.678901"`, string(entry["registered_at"]))
}

// Other keys in the same Redis belong to others.
func TestTouchesNothingElse(t *testing.T) {
	r, server, _ := fake(t)
	for _, key := range []string{"session:1", "auth:tok:abc", "tta:session:1", "ao:agents:index", "tta:gateway:services:type:cache", "rate_limit:1"} {
		_, err := server.SetAdd(key, "theirs")
		require.NoError(t, err)
	}
	server.HSet("tta:gateway:services", pythonID, python)
	require.NoError(t, server.Set("tta:gateway:health:"+pythonID, "healthy"))
	before := server.Dump()
	i := discoverytest.Instances("chat", "http://10.0.0.1")[0]
	register(t, r, time.Minute, i)
	require.NoError(t, r.Heartbeat(t.Context(), "chat", i.ID, time.Minute))
	require.NoError(t, r.Sweep(t.Context()))
	require.NoError(t, r.Deregister(t.Context(), "player-experience-interface", i.ID), "an id of another service")
	require.NoError(t, r.Deregister(t.Context(), "chat", i.ID))
	server.Del("tta:gateway:services:revision")
	assert.Equal(t, before, server.Dump())
}

// Every worker of a historic gateway, and every start of a service, wrote its
// own entry for the same place.
func TestOnePlaceIsOneInstance(t *testing.T) {
	r, server, _ := fake(t)
	for n := range 4 {
		id := fmt.Sprint("copy-", n)
		server.HSet("tta:gateway:services", id, python)
		require.NoError(t, server.Set("tta:gateway:health:"+id, "healthy"))
	}
	all, err := r.Instances(t.Context(), "player-experience-interface")
	require.NoError(t, err)
	require.Len(t, all, 1)
	register(t, r, time.Minute, discoverytest.Instances("player-experience-interface", "http://localhost:8080")...)
	all, err = r.Instances(t.Context(), "player-experience-interface")
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Empty(t, all[0].Metadata, "ours stands")
}

// The historic default weight is 100, ours is 1: side by side they mean the
// same.
func TestWeightsOfBothKindsCompare(t *testing.T) {
	r, server, _ := fake(t)
	ours := discoverytest.Instances("player-experience-interface", "http://10.0.0.1")[0]
	register(t, r, time.Minute, ours)
	all, err := r.Instances(t.Context(), ours.Service)
	require.NoError(t, err)
	assert.Equal(t, 1, all[0].Weight)
	server.HSet("tta:gateway:services", pythonID, python)
	require.NoError(t, server.Set("tta:gateway:health:"+pythonID, "healthy"))
	all, err = r.Instances(t.Context(), ours.Service)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, all[0].Weight, all[1].Weight)
}

func TestMarkIsThePollersWord(t *testing.T) {
	r, server, _ := fake(t)
	server.HSet("tta:gateway:services", pythonID, python)
	require.ErrorIs(t, r.Mark(t.Context(), "nobody", true, time.Minute), discovery.ErrUnknownInstance)
	require.ErrorIs(t, r.Mark(t.Context(), pythonID, true, -1), discovery.ErrInvalid)
	for _, well := range []bool{true, false, true} {
		require.NoError(t, r.Mark(t.Context(), pythonID, well, time.Minute))
		all, err := r.Instances(t.Context(), "player-experience-interface")
		require.NoError(t, err)
		assert.Equal(t, well, len(all) == 1)
		assert.Equal(t, time.Minute, server.TTL("tta:gateway:health:"+pythonID))
	}
}

func TestSweepRemovesOursOnly(t *testing.T) {
	r, server, c := fake(t)
	server.HSet("tta:gateway:services", pythonID, python)
	all := discoverytest.Instances("chat", "http://10.0.0.1", "http://10.0.0.2")
	register(t, r, 10*time.Second, all...)
	pass := func(d time.Duration) { c.advance(d); server.FastForward(d) }
	pass(11 * time.Second)
	require.NoError(t, r.Sweep(t.Context()))
	keys, err := server.HKeys("tta:gateway:services")
	require.NoError(t, err)
	assert.Len(t, keys, 3, "not at once: its heartbeat may be late")
	register(t, r, time.Hour, all[1])
	pass(redisregistry.DefaultRetain)
	require.NoError(t, r.Sweep(t.Context()))
	keys, err = server.HKeys("tta:gateway:services")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{pythonID, all[1].ID}, keys)
}

func TestIsBounded(t *testing.T) {
	r, server, _ := fake(t)
	r.MaxEntries = 2
	all := discoverytest.Instances("chat", "http://10.0.0.1", "http://10.0.0.2", "http://10.0.0.3")
	register(t, r, time.Minute, all[:2]...)
	require.ErrorIs(t, r.Register(t.Context(), all[2], time.Minute), discovery.ErrFull)
	register(t, r, time.Minute, all[1])
	server.HSet("tta:gateway:services", "third", python)
	_, err := redisregistry.New(open(t, server.Addr())).Instances(t.Context(), "chat")
	require.NoError(t, err)
	_, err = r.Instances(t.Context(), "chat")
	require.ErrorContains(t, err, "raise MaxEntries from 2")
}

// meddler changes an entry between our reading and our writing it, so many
// times.
type meddler struct {
	redis.Hook
	times int
	write func()
}

func (m *meddler) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *meddler) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (m *meddler) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") && m.times > 0 {
			m.times--
			m.write()
		}
		return next(ctx, cmd)
	}
}

// What another writer puts into an entry while we write it is not lost; one
// who never stops is not waited for without end.
func TestTwoWritersOfOneEntry(t *testing.T) {
	for times, wantErr := range map[int]error{1: nil, 3: nil, 1000: redisregistry.ErrUnavailable} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			server, i := miniredis.RunT(t), discoverytest.Instances("chat", "http://10.0.0.1")[0]
			client, n := open(t, server.Addr()), 0
			client.AddHook(&meddler{times: times, write: func() {
				n++
				server.HSet("tta:gateway:services", i.ID, fmt.Sprintf(`{"name":"chat","theirs":%d}`, n))
			}})
			r := redisregistry.New(client)
			r.Timeout = 10 * time.Second
			err := r.Register(t.Context(), i, time.Minute)
			require.ErrorIs(t, err, wantErr)
			assert.Contains(t, server.HGet("tta:gateway:services", i.ID), fmt.Sprintf(`"theirs":%d`, n))
		})
	}
}

func TestParseTime(t *testing.T) {
	want := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []string{"2025-01-02T03:04:05", "2025-01-02T03:04:05Z", "2025-01-02T04:04:05+01:00", "2025-01-02 03:04:05", "2025-01-02T03:04:05.000000"} {
		assert.Equal(t, want, redisregistry.ParseTime(s), s)
	}
	assert.True(t, redisregistry.ParseTime("yesterday").IsZero())
}

func TestTuneLeavesAloneWhatIsSet(t *testing.T) {
	o := redisregistry.Tune(&redis.UniversalOptions{ReadTimeout: time.Second, MaxRetries: 2})
	assert.Equal(t, time.Second, o.ReadTimeout)
	assert.Equal(t, 2, o.MaxRetries)
	assert.Equal(t, 1, o.DialerRetries)
	assert.True(t, o.ContextTimeoutEnabled)
}

func TestRunEndsWithItsContext(t *testing.T) {
	r, _, _ := fake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Run(ctx), context.Canceled)
}

// Whatever stands in an entry, reading it ends well.
func FuzzEntry(f *testing.F) {
	f.Add(python)
	f.Add(`{"name":"s","endpoint":{"host":"h","port":80},"tta_gateway":{"url":"http://h:80","addresses":["::1%x"]}}`)
	f.Add(`{"metadata":{"a":null},"tags":[""],"weight":-1}`)
	f.Fuzz(func(t *testing.T, raw string) {
		i, err := redisregistry.ParseEntry(raw)
		if err != nil {
			require.ErrorIs(t, err, discovery.ErrInvalid)
			return
		}
		require.NoError(t, i.Validate())
		again, err := redisregistry.Rewrite(i, raw)
		if err != nil {
			require.True(t, errors.Is(err, discovery.ErrInvalid), "%v", err)
			return
		}
		require.True(t, i.Equal(again), "written %+v, read %+v", i, again)
	})
}
