package ratelimittest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// An Option changes how [TestStore] goes about it.
type Option func(*suite)

// Advance says how time is made to pass for the store; by default by
// sleeping. A store with a clock that tests can move need not wait.
func Advance(f func(d time.Duration)) Option {
	return func(s *suite) { s.advance = f }
}

// TestStore checks that the stores that open makes keep the rules of
// [ratelimit.Store]. Each rule is a subtest with the rule's number, and gets a
// store of its own; buckets of one must not be those of another. Nothing in it
// depends on how fast the machine is: where counts matter, the periods are so
// long that nothing comes back meanwhile, and where time matters, more of it
// does no harm. It must not be called inside a synctest bubble, where there
// are no subtests.
func TestStore(t *testing.T, open func(t *testing.T) ratelimit.Store, options ...Option) {
	t.Helper()
	s := &suite{open: open, advance: time.Sleep}
	for _, option := range options {
		option(s)
	}
	for _, rule := range []struct {
		desc string
		test func(*testing.T, *suite)
	}{
		{"rule 1, bad limits are refused as such, and nothing is taken", testValidity},
		{"rule 2, all or none", testAllOrNone},
		{"rule 3, no more than the burst at once", testBurst},
		{"rule 3, no more than the burst among many goroutines", testCrowd},
		{"rule 3, units come back at the rate and no faster", testRefill},
		{"rule 4, a refusal costs nothing", testRefusalIsFree},
		{"rule 5, buckets are told apart by name and key", testBuckets},
		{"rule 5, a bucket named twice pays twice", testTwice},
		{"rule 5, cost", testCost},
		{"rule 6, no limit", testUnlimited},
		{"rule 7, the strictest limit speaks", testStrictest},
		{"rule 7, a new rate counts at once", testNewRate},
		{"rule 8, retry after", testRetryAfter},
		{"rule 10, no reference to the slice is kept", testSlice},
	} {
		t.Run(rule.desc, func(t *testing.T) { rule.test(t, s) })
	}
}

type suite struct {
	open    func(*testing.T) ratelimit.Store
	advance func(time.Duration)
}

// slow is a rate of which nothing comes back while a test runs.
func slow(n int) ratelimit.Rate { return ratelimit.Rate{N: n, Per: 10_000 * time.Hour} }

func limit(name, key string, rate ratelimit.Rate) ratelimit.Limit {
	return ratelimit.Limit{Name: name, Key: key, Rate: rate}
}

func take(t *testing.T, store ratelimit.Store, limits ...ratelimit.Limit) ratelimit.Decision {
	t.Helper()
	d, err := store.Take(t.Context(), limits...)
	require.NoError(t, err)
	return d
}

// exhaust takes until the store refuses, and returns how often it allowed.
func exhaust(t *testing.T, store ratelimit.Store, l ratelimit.Limit) int {
	t.Helper()
	for n := 0; ; n++ {
		require.LessOrEqual(t, n, 10_000, "the store never refuses")
		if !take(t, store, l).Allowed {
			return n
		}
	}
}

func testValidity(t *testing.T, s *suite) {
	store := s.open(t)
	good := limit("good", "k", slow(1))
	for desc, bad := range map[string]ratelimit.Limit{
		"a negative cost":       {Name: "a", Rate: slow(5), Cost: -1},
		"a cost above burst":    {Name: "a", Rate: slow(5), Cost: 6},
		"a rate without N":      {Name: "a", Rate: ratelimit.Rate{Per: time.Second}},
		"a rate without period": {Name: "a", Rate: ratelimit.Rate{N: 1}},
		"a name for no header":  {Name: "a\nb", Rate: slow(5)},
	} {
		d, err := store.Take(t.Context(), good, bad)
		require.ErrorIs(t, err, ratelimit.ErrLimit, desc)
		assert.Equal(t, ratelimit.Decision{}, d, "%s: rule 9, an error comes with the zero Decision", desc)
	}
	assert.True(t, take(t, store, good).Allowed, "a Take that failed took from the good limit beside the bad one")
}

func testAllOrNone(t *testing.T, s *suite) {
	for _, keys := range [][2]string{{"k", "k"}, {"k", "other"}} {
		store := s.open(t)
		wide, narrow := limit("wide", keys[0], slow(5)), limit("narrow", keys[1], slow(2))
		assert.True(t, take(t, store, wide, narrow).Allowed)
		assert.True(t, take(t, store, narrow, wide).Allowed)
		assert.False(t, take(t, store, wide, narrow).Allowed)
		assert.False(t, take(t, store, narrow, wide).Allowed)
		assert.Equal(t, 3, exhaust(t, store, wide), "what the narrow limit refused was taken from the wide one (keys %v)", keys)
	}
}

func testBurst(t *testing.T, s *suite) {
	store := s.open(t)
	assert.Equal(t, 7, exhaust(t, store, limit("n", "k", slow(7))), "without a Burst, N pass at once")
	more := slow(2)
	more.Burst = 9
	assert.Equal(t, 9, exhaust(t, store, limit("more", "k", more)))
	less := slow(9)
	less.Burst = 2
	assert.Equal(t, 2, exhaust(t, store, limit("less", "k", less)))
}

func testCrowd(t *testing.T, s *suite) {
	const people, tries, each, together = 8, 10, 15, 40
	store := s.open(t)
	var passed [people]atomic.Int64
	var crowd sync.WaitGroup
	for i := range people {
		crowd.Go(func() {
			for range tries {
				for who := range people {
					own := limit("own", fmt.Sprint("person ", (who+i)%people), slow(each))
					d, err := store.Take(t.Context(), own, limit("together", "all", slow(together)))
					if assert.NoError(t, err) && d.Allowed {
						passed[(who+i)%people].Add(1)
					}
				}
			}
		})
	}
	crowd.Wait()
	sum := int64(0)
	for i := range people {
		assert.LessOrEqual(t, passed[i].Load(), int64(each))
		sum += passed[i].Load()
	}
	assert.LessOrEqual(t, sum, int64(together))
	assert.Positive(t, sum)
}

func testRefill(t *testing.T, s *suite) {
	store := s.open(t)
	const period = 40 * time.Millisecond
	l := limit("n", "k", ratelimit.Rate{N: 2, Per: period})
	for range 5 {
		take(t, store, l)
	}
	s.advance(period)
	assert.True(t, take(t, store, l).Allowed, "nothing came back")

	yearly := limit("yearly", "k", ratelimit.Rate{N: 1, Per: 10_000 * time.Hour, Burst: 3})
	assert.Equal(t, 3, exhaust(t, store, yearly))
	s.advance(period)
	assert.Equal(t, 0, exhaust(t, store, yearly), "units came back faster than the rate")
}

func testRefusalIsFree(t *testing.T, s *suite) {
	store := s.open(t)
	l := limit("n", "k", slow(3))
	exhaust(t, store, l)
	first := take(t, store, l)
	for range 50 {
		take(t, store, l)
	}
	assert.LessOrEqual(t, take(t, store, l).RetryAfter, first.RetryAfter, "hammering makes the wait longer")

	big := limit("big", "k", slow(3))
	assert.True(t, take(t, store, big).Allowed)
	big.Cost = 3
	assert.False(t, take(t, store, big).Allowed)
	big.Cost = 2
	assert.True(t, take(t, store, big).Allowed, "a refused Take took units all the same")
}

func testBuckets(t *testing.T, s *suite) {
	store := s.open(t)
	long := string(make([]byte, 500))
	for _, bucket := range [][2]string{
		{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"", ""},
		{"a", "}"}, {"a", "{"}, {"a", "{}"}, {"a", "b:c"}, {"a:b", "c"}, {"a", "\x00"}, {"a", "\xff"},
		{"a", long}, {"a", long + "x"}, {"a", long + "y"}, {"A", "bc"}, {"a", "BC"}, {"a", "bc "},
	} {
		assert.Equal(t, 2, exhaust(t, store, limit(bucket[0], bucket[1], slow(2))),
			"bucket %.20q, %.20q is another's, or none", bucket[0], bucket[1])
	}
}

func testTwice(t *testing.T, s *suite) {
	store := s.open(t)
	l := limit("n", "k", slow(3))
	assert.True(t, take(t, store, l, l).Allowed)
	assert.False(t, take(t, store, l, l).Allowed, "one unit is left, two were asked for")
	assert.True(t, take(t, store, l).Allowed)
	assert.False(t, take(t, store, l).Allowed)
}

func testCost(t *testing.T, s *suite) {
	store := s.open(t)
	l := limit("n", "k", slow(10))
	l.Cost = 4
	assert.Equal(t, 6, take(t, store, l).Remaining)
	assert.Equal(t, 2, take(t, store, l).Remaining)
	refused := take(t, store, l)
	assert.False(t, refused.Allowed)
	assert.Equal(t, 2, refused.Remaining)
	l.Cost = 2
	assert.True(t, take(t, store, l).Allowed)
	whole := limit("whole", "k", slow(10))
	whole.Cost = 10
	assert.True(t, take(t, store, whole).Allowed, "a cost of the whole burst is not above it")
}

func testUnlimited(t *testing.T, s *suite) {
	store := s.open(t)
	assert.Equal(t, ratelimit.Decision{Allowed: true}, take(t, store), "no limits at all")
	for range 100 {
		d := take(t, store, limit("free", "k", ratelimit.Rate{}))
		assert.True(t, d.Allowed)
		assert.True(t, d.Limit.Rate.Unlimited())
	}
	d := take(t, store, limit("free", "k", ratelimit.Rate{}), limit("n", "k", slow(3)))
	assert.Equal(t, "n", d.Limit.Name, "a limit speaks before none")
	assert.Equal(t, 2, d.Remaining)
}

func testStrictest(t *testing.T, s *suite) {
	store := s.open(t)
	a, b := limit("a", "k", slow(5)), limit("b", "k", slow(3))
	d := take(t, store, a, b)
	assert.Equal(t, b, d.Limit, "the limit as it was passed in")
	assert.Equal(t, 2, d.Remaining)
	assert.Zero(t, d.RetryAfter)
	assert.Positive(t, d.Reset)
	exhaust(t, store, a)
	d = take(t, store, a, b)
	assert.False(t, d.Allowed)
	assert.Equal(t, a, d.Limit)
	assert.Zero(t, d.Remaining)
	assert.Positive(t, d.RetryAfter)
	assert.GreaterOrEqual(t, d.Reset, d.RetryAfter)
}

func testNewRate(t *testing.T, s *suite) {
	store := s.open(t)
	assert.Equal(t, 5, exhaust(t, store, limit("n", "k", slow(5))))
	assert.Zero(t, exhaust(t, store, limit("n", "k", slow(3))), "a smaller rate does not fill the bucket")
	quick := limit("n", "k", ratelimit.Rate{N: 3, Per: 3 * time.Millisecond})
	s.advance(take(t, store, quick).RetryAfter)
	assert.True(t, take(t, store, quick).Allowed, "a faster rate fills it faster")
}

func testRetryAfter(t *testing.T, s *suite) {
	store := s.open(t)
	l := limit("n", "k", ratelimit.Rate{N: 100, Per: 2 * time.Second, Burst: 2})
	for range 3 {
		var d ratelimit.Decision
		for tries := 0; tries == 0 || d.Allowed && tries < 20; tries++ {
			d = take(t, store, l)
		}
		if d.Allowed {
			t.Skip("this machine is so slow that units come back between two Takes")
		}
		require.Positive(t, d.RetryAfter)
		require.LessOrEqual(t, d.RetryAfter, 20*time.Millisecond+5*time.Microsecond)
		s.advance(d.RetryAfter)
		assert.True(t, take(t, store, l).Allowed, "refused after RetryAfter, %v, has passed", d.RetryAfter)
	}
}

func testSlice(t *testing.T, s *suite) {
	store := s.open(t)
	limits := []ratelimit.Limit{limit("n", "k", slow(2))}
	d := take(t, store, limits...)
	limits[0] = limit("other", "other", slow(9))
	assert.Equal(t, "n", d.Limit.Name)
	assert.Equal(t, 1, exhaust(t, store, limit("n", "k", slow(2))))
	assert.Equal(t, 9, exhaust(t, store, limits[0]))
}
