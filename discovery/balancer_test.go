package discovery_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

var someRequest = httptest.NewRequest(http.MethodGet, "/", nil)

// every is each kind of balancer, by the name that ParseBalancer knows.
func every(t testing.TB) map[string]discovery.Balancer {
	all := map[string]discovery.Balancer{}
	for _, name := range []string{"least_loaded", "least_connections", "round_robin", "weighted", "consistent_hash"} {
		b, err := discovery.ParseBalancer(name)
		require.NoError(t, err)
		all[name] = b
	}
	return all
}

// share counts how n picks are spread over all.
func share(b discovery.Balancer, all []*discovery.Endpoint, n int) []int {
	got := make([]int, len(all))
	for k := range n {
		got[indexOf(all, b.Pick(requestOf(k), all))]++
	}
	return got
}

func requestOf(user int) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-User", fmt.Sprint("user-", user))
	return r
}

func indexOf(all []*discovery.Endpoint, e *discovery.Endpoint) int {
	for n := range all {
		if all[n] == e {
			return n
		}
	}
	return -1
}

// assertShares checks counts against expected shares, to within six standard
// deviations of a random choice: an honest balancer fails this once in a
// hundred million runs.
func assertShares(t *testing.T, want []float64, got []int) {
	t.Helper()
	total := 0.0
	for _, n := range got {
		total += float64(n)
	}
	for n, p := range want {
		assert.InDelta(t, p*total, got[n], 6*math.Sqrt(total*p*(1-p))+2, "endpoint %d of %v", n, got)
	}
}

func TestEveryBalancerKeepsTheRules(t *testing.T) {
	for name, b := range every(t) {
		t.Run(name, func(t *testing.T) {
			assert.Nil(t, b.Pick(someRequest, nil))
			one := discoverytest.Weighted("chat", 1)
			assert.Same(t, one[0], b.Pick(someRequest, one))

			some := discoverytest.Weighted("chat", 1, 2, 3)
			some[1].Draining = true
			for k := range 300 {
				e := b.Pick(requestOf(k), some)
				require.NotNil(t, e)
				require.NotSame(t, some[1], e, "a draining endpoint is passed over")
			}
			for _, e := range some {
				e.Draining = true
			}
			assert.NotNil(t, b.Pick(someRequest, some), "unless all drain")
			require.NotNil(t, b.Pick(someRequest, some[:2]))
		})
	}
}

// What drains leaves its share to all others alike, not to its neighbour.
func TestDrainingFavoursNobody(t *testing.T) {
	for name, b := range every(t) {
		t.Run(name, func(t *testing.T) {
			if h, ok := b.(*discovery.Hash); ok {
				h.Key = discovery.HeaderKey("X-User")
			}
			all := discoverytest.Weighted("chat", 1, 1, 1, 1)
			all[1].Draining = true
			assertShares(t, []float64{1. / 3, 0, 1. / 3, 1. / 3}, share(b, all, 9000))
		})
	}
}

func TestParseBalancer(t *testing.T) {
	tests := []struct {
		name string
		want discovery.Balancer
	}{
		{"", &discovery.LeastLoaded{}},
		{"least_loaded", &discovery.LeastLoaded{}},
		{"health_based", &discovery.LeastLoaded{}},
		{"least_connections", &discovery.LeastConnections{}},
		{"round_robin", &discovery.RoundRobin{}},
		{"weighted", &discovery.Weighted{}},
		{"weighted_round_robin", &discovery.Weighted{}},
		{"consistent_hash", &discovery.Hash{}},
	}
	for _, tt := range tests {
		b, err := discovery.ParseBalancer(tt.name)
		require.NoError(t, err)
		assert.IsType(t, tt.want, b, "%q", tt.name)
	}
	_, err := discovery.ParseBalancer("fastest")
	assert.EqualError(t, err, `discovery: unknown balancer "fastest": use one of least_loaded health_based least_connections round_robin weighted weighted_round_robin consistent_hash`)
}

func TestRoundRobinTakesTurns(t *testing.T) {
	all := discoverytest.Weighted("chat", 1, 100, 7)
	b := discovery.NewRoundRobin()
	for k := range 30 {
		assert.Same(t, all[k%3], b.Pick(someRequest, all))
	}
}

// In every stretch of requests, each endpoint gets its weight to within a few,
// and a heavy one does not get its share in one run.
func TestWeightedIsSmooth(t *testing.T) {
	for _, weights := range [][]int{{1, 1}, {5, 1, 1}, {100, 150, 120, 130}, {1, 1000}, {3, 2, 0}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			all := discoverytest.Weighted("chat", weights...)
			total := 0.0
			for _, w := range weights {
				total += math.Max(float64(w), 1)
			}
			b, seen := discovery.NewWeighted(), make([]float64, len(all))
			for k := 1; k <= 5000; k++ {
				seen[indexOf(all, b.Pick(someRequest, all))]++
				for n := range all {
					want := float64(k) * math.Max(float64(weights[n]), 1) / total
					require.InDelta(t, want, seen[n], 4, "endpoint %d after %d picks", n, k)
				}
			}
		})
	}
}

// Idle and equal, least loaded spreads by weight.
func TestLeastLoadedSpreadsEvenlyWhenIdle(t *testing.T) {
	b := discovery.NewLeastLoaded()
	assertShares(t, []float64{.25, .25, .25, .25}, share(b, discoverytest.Weighted("chat", 1, 1, 1, 1), 20000))
	assertShares(t, []float64{.75, .25}, share(b, discoverytest.Weighted("chat", 3, 1), 20000))
	assertShares(t, []float64{.75, .25}, share(b, discoverytest.Weighted("chat", 300, 100), 20000))
}

// A slow instance gets little, but something, so that its recovery is seen.
func TestLeastLoadedAvoidsTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := discoverytest.Weighted("chat", 1, 1)
		call(all[0], 10*time.Millisecond, true)
		call(all[1], 100*time.Millisecond, true)
		got := share(discovery.NewLeastLoaded(), all, 20000)
		assertShares(t, []float64{0.995, 0.005}, got)

		call(all[0], 300*time.Microsecond, false)
		got = share(discovery.NewLeastLoaded(), all, 20000)
		assertShares(t, []float64{.5, .5}, got)
	})
}

// Of an instance that nothing is known of, nothing special is expected.
func TestLeastLoadedDoesNotRushToTheUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := discoverytest.Weighted("chat", 1, 1)
		call(all[0], time.Second, true)
		assertShares(t, []float64{.5, .5}, share(discovery.NewLeastLoaded(), all, 20000))
	})
}

// A flood of calls that stay: two random choices keep the fullest instance
// close to the mean, where one random choice would not.
func TestLeastLoadedLevelsCallsInFlight(t *testing.T) {
	const n, perEndpoint = 50, 40
	all := discoverytest.Weighted("chat", make([]int, n)...)
	b := discovery.NewLeastLoaded()
	for range n * perEndpoint {
		b.Pick(someRequest, all).Enter()
	}
	fullest := int64(0)
	for _, e := range all {
		fullest = max(fullest, e.InFlight())
	}
	assert.LessOrEqual(t, fullest, int64(perEndpoint*1.35), "one random choice would give about %d", perEndpoint+3*6)
}

// The same with weights: calls in flight follow them.
func TestLeastLoadedFollowsWeightsUnderLoad(t *testing.T) {
	all := discoverytest.Weighted("chat", 4, 2, 1, 1)
	b := discovery.NewLeastLoaded()
	for range 4000 {
		b.Pick(someRequest, all).Enter()
	}
	assert.InDelta(t, 2000, all[0].InFlight(), 200)
	assert.InDelta(t, 1000, all[1].InFlight(), 150)
	assert.InDelta(t, 500, all[2].InFlight(), 100)
	assert.InDelta(t, 500, all[3].InFlight(), 100)
}

// A simulated hour in small: four instances, one ten times slower, and one
// that fails at once in the middle of it. The slow one gets the least of the
// well ones, the failing one nearly nothing while it fails, its share again
// when it is well.
func TestLeastLoadedThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := discoverytest.Weighted("chat", 1, 1, 1, 1)
		b := discovery.NewLeastLoaded()
		phase := func(calls int, failing int) []int {
			got := make([]int, len(all))
			for range calls {
				time.Sleep(10 * time.Millisecond)
				n := indexOf(all, b.Pick(someRequest, all))
				got[n]++
				switch n {
				case failing:
					call(all[n], 100*time.Microsecond, false)
				case 3:
					call(all[n], 100*time.Millisecond, true)
				default:
					call(all[n], 10*time.Millisecond, true)
				}
			}
			return got
		}
		well := phase(6000, -1)
		assert.Less(t, well[3], well[0]/5, "the slow one: %v", well)
		assert.Greater(t, well[3], 10, "is not forgotten: %v", well)
		outage := phase(6000, 0)
		assert.Less(t, outage[0], 120, "the failing one: %v", outage)
		phase(6000, -1)
		again := phase(6000, -1)
		assert.Greater(t, again[0], 1200, "and when it is well again: %v", again)
	})
}

func TestLeastConnectionsTakesTheEmptiest(t *testing.T) {
	all := discoverytest.Weighted("chat", 2, 1, 1)
	b := discovery.NewLeastConnections()
	for range 4000 {
		b.Pick(someRequest, all).Enter()
	}
	assert.InDelta(t, 2000, all[0].InFlight(), 2)
	assert.InDelta(t, 1000, all[1].InFlight(), 2)
	assert.InDelta(t, 1000, all[2].InFlight(), 2)
}

func TestHashSpreadsKeysByWeight(t *testing.T) {
	b := discovery.NewHash(discovery.HeaderKey("X-User"))
	assertShares(t, []float64{.25, .25, .25, .25}, share(b, discoverytest.Weighted("chat", 1, 1, 1, 1), 20000))
	assertShares(t, []float64{.5, .3, .2}, share(b, discoverytest.Weighted("chat", 5, 3, 2), 20000))
}

// Every gateway, with endpoints of its own, in whatever order, sends a user to
// the same instance.
func TestHashIsTheSameEverywhere(t *testing.T) {
	here, there := discoverytest.Weighted("chat", 1, 2, 3, 4), discoverytest.Weighted("chat", 1, 2, 3, 4)
	there[0], there[3] = there[3], there[0]
	a, b := discovery.NewHash(discovery.HeaderKey("X-User")), discovery.NewHash(discovery.HeaderKey("X-User"))
	for k := range 500 {
		assert.Equal(t, a.Pick(requestOf(k), here).ID, b.Pick(requestOf(k), there).ID)
	}
}

// When an instance leaves only its users move; when one comes, users move to
// it only, and no more than its share.
func TestHashMovesFew(t *testing.T) {
	const users = 10000
	b := discovery.NewHash(discovery.HeaderKey("X-User"))
	all := discoverytest.Weighted("chat", 1, 1, 1, 1, 1)
	moved := 0
	for k := range users {
		before, after := b.Pick(requestOf(k), all), b.Pick(requestOf(k), all[:4])
		if before != after {
			moved++
			require.Same(t, all[4], before, "user %d moved though his instance stayed", k)
		}
	}
	assertShares(t, []float64{.2, .8}, []int{moved, users - moved})
}

// A key that all the world asks for does not drown its instance.
func TestHashBoundsTheLoad(t *testing.T) {
	all := discoverytest.Weighted("chat", 1, 1, 1, 1)
	b := &discovery.Hash{Key: discovery.HeaderKey("X-User"), Slack: -1}
	for range 1000 {
		b.Pick(requestOf(1), all).Enter()
	}
	for _, e := range all {
		assert.LessOrEqual(t, e.InFlight(), int64(313), "1.25 times the mean")
	}

	free := discoverytest.Weighted("chat", 1, 1, 1, 1)
	b = &discovery.Hash{Key: discovery.HeaderKey("X-User"), Bound: -1}
	home := b.Pick(requestOf(1), free)
	for range 1000 {
		b.Pick(requestOf(1), free).Enter()
	}
	assert.EqualValues(t, 1000, home.InFlight(), "a negative bound never passes over")
}

// With little to do, a single busy user stays where his session is.
func TestHashKeepsABusyUserAtHome(t *testing.T) {
	all := discoverytest.Weighted("chat", 1, 1, 1)
	b := discovery.NewHash(discovery.HeaderKey("X-User"))
	home := b.Pick(requestOf(7), all)
	for range 16 {
		assert.Same(t, home, b.Pick(requestOf(7), all))
		home.Enter()
	}
}

func TestHashWithoutAKeySpreads(t *testing.T) {
	all := discoverytest.Weighted("chat", 1, 1)
	b := discovery.NewHash(discovery.HeaderKey("X-Nobody-Sends-This"))
	assertShares(t, []float64{.5, .5}, share(b, all, 10000))

	byAddress := discovery.NewHash(nil)
	home := byAddress.Pick(someRequest, all)
	for range 100 {
		assert.Same(t, home, byAddress.Pick(someRequest, all))
	}
}

func TestKeys(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.Header.Set("X-User", "ann")
	r.Header["Cookie"] = []string{`a=1; sessionx=no`, `b=2;session="s 1"; session=second`}
	tests := []struct {
		desc string
		key  func(*http.Request) string
		want string
	}{
		{"header", discovery.HeaderKey("x-user"), "ann"},
		{"no such header", discovery.HeaderKey("X-Other"), ""},
		{"cookie", discovery.CookieKey("session"), "s 1"},
		{"cookie at the front", discovery.CookieKey("a"), "1"},
		{"no such cookie", discovery.CookieKey("sess"), ""},
		{"address", discovery.AddressKey, "[2001:db8::1]"},
		{"first that says something", discovery.FirstKey(discovery.HeaderKey("X-Other"), discovery.CookieKey("b")), "2"},
		{"nobody says anything", discovery.FirstKey(discovery.HeaderKey("X-Other")), ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) { assert.Equal(t, tt.want, tt.key(r)) })
	}
	r.RemoteAddr = "@"
	assert.Equal(t, "@", discovery.AddressKey(r), "a unix socket has no port")
}

// A newcomer gets a tenth of its share at first, half of it half-way, all of
// it in the end.
func TestSlowStart(t *testing.T) {
	for _, name := range []string{"round_robin", "weighted", "least_loaded", "consistent_hash"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := every(t)[name]
				if h, ok := b.(*discovery.Hash); ok {
					h.Key = discovery.HeaderKey("X-User")
				}
				all := discoverytest.Weighted("chat", 1, 1)
				all[1].Warm(time.Minute)
				assertShares(t, []float64{10. / 11, 1. / 11}, share(b, all, 10000))
				time.Sleep(30 * time.Second)
				assertShares(t, []float64{2. / 3, 1. / 3}, share(b, all, 10000))
				time.Sleep(30 * time.Second)
				assertShares(t, []float64{.5, .5}, share(b, all, 10000))
			})
		})
	}
}

// When all are new, none is favoured.
func TestSlowStartOfAll(t *testing.T) {
	for name, b := range every(t) {
		t.Run(name, func(t *testing.T) {
			if h, ok := b.(*discovery.Hash); ok {
				h.Key = discovery.HeaderKey("X-User")
			}
			all := discoverytest.Weighted("chat", 1, 1, 1)
			for _, e := range all {
				e.Warm(time.Hour)
			}
			assertShares(t, []float64{1. / 3, 1. / 3, 1. / 3}, share(b, all, 9000))
		})
	}
}

func BenchmarkPick(b *testing.B) {
	r := requestOf(1)
	r.Header.Set("Cookie", "a=b; session=0123456789; c=d")
	all := discoverytest.Weighted("chat", 1, 2, 3, 4, 5, 6, 7, 8)
	for _, e := range all {
		call(e, time.Millisecond, true)
	}
	balancers := every(b)
	balancers["consistent_hash"].(*discovery.Hash).Key = discovery.CookieKey("session")
	for name, balancer := range balancers {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e := balancer.Pick(r, all)
				e.Enter()
				e.Leave(time.Millisecond, true)
			}
		})
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	r := requestOf(1)
	r.Header.Set("Cookie", "a=b; session=0123456789; c=d")
	all := discoverytest.Weighted("chat", 1, 2, 3, 4)
	all[1].Warm(time.Hour)
	all[2].Draining = true
	balancers := every(t)
	balancers["consistent_hash"].(*discovery.Hash).Key = discovery.FirstKey(discovery.HeaderKey("X-None"), discovery.CookieKey("session"))
	for name, b := range balancers {
		got := testing.AllocsPerRun(200, func() {
			e := b.Pick(r, all)
			e.Enter()
			e.Leave(time.Millisecond, true)
		})
		assert.Zero(t, got, name)
	}
}
