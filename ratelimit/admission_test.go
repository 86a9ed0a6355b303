package ratelimit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// fill acquires until there is no room, without waiting, and says how often.
func fill(t *testing.T, a *ratelimit.Admission, lane ratelimit.Lane) (n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who comes with a finished context gets room, but never waits
	for a.Acquire(ctx, lane) == nil {
		n++
		require.Less(t, n, 1000)
	}
	return n
}

func TestReserves(t *testing.T) {
	for _, c := range []struct {
		desc                                string
		a                                   *ratelimit.Admission
		background, normal, therapy, crisis int // how many more of each, in this order
	}{
		{"as said", &ratelimit.Admission{Limit: 10, CrisisReserve: 2, TherapeuticReserve: 3}, 5, 0, 3, 2},
		{"by default", &ratelimit.Admission{Limit: 20}, 14, 0, 4, 2},
		{"by default, small", &ratelimit.Admission{Limit: 2}, 1, 0, 0, 1},
		{"by default, one place", &ratelimit.Admission{Limit: 1}, 1, 0, 0, 0},
		{"none", &ratelimit.Admission{Limit: 10, CrisisReserve: -1, TherapeuticReserve: -1}, 10, 0, 0, 0},
		{"too large are cut, the therapeutic first", &ratelimit.Admission{Limit: 5, CrisisReserve: 3, TherapeuticReserve: 9}, 1, 0, 1, 3},
		{"much too large", &ratelimit.Admission{Limit: 5, CrisisReserve: 9, TherapeuticReserve: 9}, 1, 0, 0, 4},
	} {
		t.Run(c.desc, func(t *testing.T) {
			want := []int{c.background, c.normal, c.therapy, c.crisis}
			for i, lane := range lanes {
				assert.Equal(t, want[i], fill(t, c.a, lane), lane)
				assert.Equal(t, want[i], c.a.InUse(lane), lane)
			}
		})
	}
}

// Higher lanes take any room there is, and what they have in their own
// reserve does not count against the others.
func TestReservesAreNoFence(t *testing.T) {
	a := &ratelimit.Admission{Limit: 10, CrisisReserve: 2, TherapeuticReserve: 3}
	assert.Equal(t, 10, fill(t, a, ratelimit.Crisis))

	b := &ratelimit.Admission{Limit: 10, CrisisReserve: 2, TherapeuticReserve: 3}
	require.NoError(t, b.Acquire(t.Context(), ratelimit.Crisis))
	require.NoError(t, b.Acquire(t.Context(), ratelimit.Therapeutic))
	assert.Equal(t, 5, fill(t, b, ratelimit.Normal), "one crisis and one session in their reserves take nothing from the rest")
	assert.Equal(t, 2, fill(t, b, ratelimit.Therapeutic))
	assert.Equal(t, 1, fill(t, b, ratelimit.Crisis))
}

func TestValidateAdmission(t *testing.T) {
	for _, good := range []*ratelimit.Admission{{}, {Limit: 1}, {Limit: 2}, {Limit: 3}, {Limit: 100}, {Limit: 5, CrisisReserve: 2, TherapeuticReserve: 2}} {
		assert.NoError(t, good.Validate())
	}
	assert.ErrorContains(t, (&ratelimit.Admission{Limit: 5, CrisisReserve: 3, TherapeuticReserve: 2}).Validate(), "raise the limit or lower the reserves")
	assert.Error(t, (&ratelimit.Admission{Limit: 5, CrisisReserve: 5, TherapeuticReserve: -1}).Validate())
}

func TestZeroAdmissionCounts(t *testing.T) {
	var a ratelimit.Admission
	for range 500 {
		require.NoError(t, a.Acquire(t.Context(), ratelimit.Background))
	}
	assert.Equal(t, 500, a.InUse(ratelimit.Background))
	for range 500 {
		a.Release(ratelimit.Background)
	}
	assert.Zero(t, a.InUse(ratelimit.Background))
}

// A number that is no lane buys no place.
func TestUnknownLaneIsNormal(t *testing.T) {
	a := &ratelimit.Admission{Limit: 10, CrisisReserve: 2, TherapeuticReserve: 3}
	assert.Equal(t, 5, fill(t, a, ratelimit.Lane(100)))
	assert.Equal(t, 5, a.InUse(ratelimit.Normal))
}

// house is a full house of one place, in which people queue; order is who came in.
type house struct {
	t     *testing.T
	a     *ratelimit.Admission
	mu    sync.Mutex
	order []string
	errs  map[string]error
	all   sync.WaitGroup
}

func fullHouse(t *testing.T, a *ratelimit.Admission) *house {
	h := &house{t: t, a: a, errs: map[string]error{}}
	require.NoError(t, a.Acquire(t.Context(), ratelimit.Crisis))
	return h
}

// queue lets somebody queue who leaves as soon as in.
func (h *house) queue(ctx context.Context, name string, lane ratelimit.Lane) {
	h.all.Go(func() {
		err := h.a.Acquire(ctx, lane)
		h.mu.Lock()
		h.order, h.errs[name] = append(h.order, name), err
		h.mu.Unlock()
		if err == nil {
			h.a.Release(lane)
		}
	})
	synctest.Wait()
}

func (h *house) open() []string {
	h.a.Release(ratelimit.Crisis)
	h.all.Wait()
	return h.order
}

func TestQueueOrder(t *testing.T) {
	for lifo, want := range map[bool][]string{
		false: {"c1", "c2", "t1", "t2", "n1", "n2", "b1", "b2"},
		true:  {"c2", "c1", "t2", "t1", "n2", "n1", "b2", "b1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := fullHouse(t, &ratelimit.Admission{Limit: 1, Queue: 100, LIFO: lifo})
			for _, who := range []struct {
				name string
				lane ratelimit.Lane
			}{{"n1", 0}, {"b1", -1}, {"c1", 2}, {"t1", 1}, {"b2", -1}, {"t2", 1}, {"n2", 0}, {"c2", 2}} {
				h.queue(t.Context(), who.name, who.lane)
			}
			assert.Equal(t, 2, h.a.Waiting(ratelimit.Therapeutic))
			assert.Equal(t, want, h.open(), "LIFO %v", lifo)
			for _, lane := range lanes {
				assert.Zero(t, h.a.Waiting(lane))
				assert.Zero(t, h.a.InUse(lane))
			}
		})
	}
}

// A full queue: the lowest lane gives way, the latest of it, or with LIFO the
// one that waited longest.
func TestQueueSheds(t *testing.T) {
	for lifo, want := range map[bool][]string{
		false: {"n3", "n2", "n1", "n4", "c1", "t1"}, // in the order in which they are done with
		true:  {"n1", "n2", "n3", "n4", "c1", "t1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := fullHouse(t, &ratelimit.Admission{Limit: 1, Queue: 2, LIFO: lifo})
			h.queue(t.Context(), "n1", ratelimit.Normal)
			h.queue(t.Context(), "n2", ratelimit.Normal)
			h.queue(t.Context(), "n3", ratelimit.Normal)
			h.queue(t.Context(), "t1", ratelimit.Therapeutic)
			if lifo {
				h.queue(t.Context(), "n4", ratelimit.Normal)
				h.queue(t.Context(), "c1", ratelimit.Crisis)
			} else {
				h.queue(t.Context(), "c1", ratelimit.Crisis)
				h.queue(t.Context(), "n4", ratelimit.Normal)
			}
			assert.Equal(t, want, h.open(), "LIFO %v", lifo)
			for _, name := range []string{"n1", "n2", "n3", "n4"} {
				assert.ErrorIs(t, h.errs[name], ratelimit.ErrOverloaded, name)
			}
			assert.NoError(t, h.errs["t1"])
			assert.NoError(t, h.errs["c1"])
		})
	}
}

func TestNoQueue(t *testing.T) {
	a := &ratelimit.Admission{Limit: 1, Queue: -1}
	require.NoError(t, a.Acquire(t.Context(), ratelimit.Normal))
	err := a.Acquire(t.Context(), ratelimit.Crisis)
	require.ErrorIs(t, err, ratelimit.ErrOverloaded)
	assert.ErrorContains(t, err, "no waiting")
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fullHouse(t, &ratelimit.Admission{Limit: 1, MaxWait: 3 * time.Second})
		start := time.Now()
		err := h.a.Acquire(t.Context(), ratelimit.Normal)
		require.ErrorIs(t, err, ratelimit.ErrOverloaded)
		assert.Equal(t, 3*time.Second, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = h.a.Acquire(ctx, ratelimit.Normal)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, ratelimit.ErrOverloaded)
		assert.Equal(t, 4*time.Second, time.Since(start))

		gone, leave := context.WithCancel(t.Context())
		leave()
		require.ErrorIs(t, h.a.Acquire(gone, ratelimit.Normal), context.Canceled)
		assert.Zero(t, h.a.Waiting(ratelimit.Normal))
		h.a.Release(ratelimit.Crisis)
	})
}

// leave may be called again, also when the place is long somebody else's.
func TestLeaveTwice(t *testing.T) {
	a := &ratelimit.Admission{Limit: 10}
	leave, err := a.Enter(t.Context(), ratelimit.Normal)
	require.NoError(t, err)
	leave()
	leave()
	other, err := a.Enter(t.Context(), ratelimit.Normal)
	require.NoError(t, err)
	leave()
	assert.Equal(t, 1, a.InUse(ratelimit.Normal), "the place of another was given back")
	other()
	assert.Zero(t, a.InUse(ratelimit.Normal))
	assert.Panics(t, func() { a.Release(ratelimit.Normal) })
	assert.Zero(t, a.InUse(ratelimit.Normal))

	full := &ratelimit.Admission{Limit: 1, Queue: -1}
	require.NoError(t, full.Acquire(t.Context(), ratelimit.Normal))
	leave, err = full.Enter(t.Context(), ratelimit.Normal)
	assert.Error(t, err)
	assert.Nil(t, leave)
}

func TestAdmissionWrap(t *testing.T) {
	a := &ratelimit.Admission{Limit: 2, CrisisReserve: 1, Queue: -1}
	h := a.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, 1, a.InUse(ratelimit.FromContext(r.Context())))
		panic(http.ErrAbortHandler)
	}))
	assert.Panics(t, func() { serve(h) })
	assert.Zero(t, a.InUse(ratelimit.Normal), "a panic gives the place back")

	require.NoError(t, a.Acquire(t.Context(), ratelimit.Normal))
	w := serve(h)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Regexp(t, "^[123]$", w.Header().Get("Retry-After"))

	crisis := httptest.NewRequest("GET", "/", nil)
	crisis = crisis.WithContext(ratelimit.NewContext(crisis.Context(), ratelimit.Crisis))
	assert.Panics(t, func() { h.ServeHTTP(httptest.NewRecorder(), crisis) }, "the reserve is open to a crisis")

	var got error
	a.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		got = err
		assert.NotEmpty(t, w.Header().Get("Retry-After"))
	}
	serve(h)
	assert.ErrorIs(t, got, ratelimit.ErrOverloaded)
}

// The laws, under random schedules: never more than Limit are in; of each lane
// and those below it, never more than its bound; a crisis that finds fewer
// than the reserve of its kind in enters at once; nobody waits while there is
// room; everybody gets an answer, and in the end the house is empty.
func TestAdmissionLaws(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) { playAdmission(t, seed) })
	}
}

func playAdmission(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 7))
	limit := 3 + dice.IntN(12)
	crisis := 1 + dice.IntN(limit/3)
	therapy := 1 + dice.IntN(limit/3)
	a := &ratelimit.Admission{
		Limit: limit, CrisisReserve: crisis, TherapeuticReserve: therapy,
		Queue: dice.IntN(20) - 1, LIFO: dice.IntN(2) == 0, MaxWait: time.Duration(1+dice.IntN(50)) * time.Millisecond,
	}
	most := []int{limit - crisis - therapy, limit - crisis - therapy, limit - crisis, limit}
	laws := func(when string) {
		in, waiting := 0, 0
		for i, lane := range lanes {
			in += a.InUse(lane)
			waiting += a.Waiting(lane)
			require.LessOrEqual(t, in, most[i], "%s, seed %d: lane %v and below", when, seed, lane)
		}
		for i := len(lanes) - 1; i >= 0; i-- {
			if a.Waiting(lanes[i]) == 0 {
				continue
			}
			sum, room := 0, true
			for j, lane := range lanes {
				sum += a.InUse(lane)
				room = room && (j < i || sum < most[j])
			}
			require.False(t, room, "%s, seed %d: %v waits though there is room", when, seed, lanes[i])
		}
		if a.Queue > 0 {
			require.LessOrEqual(t, waiting, a.Queue)
		}
	}
	var all sync.WaitGroup
	for range 400 {
		lane := lanes[dice.IntN(len(lanes))]
		stay := time.Duration(dice.IntN(20)) * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(dice.IntN(100))*time.Millisecond)
		useEnter := dice.IntN(2) == 0
		synctest.Wait()
		owed := lane == ratelimit.Crisis && a.InUse(ratelimit.Crisis) < crisis
		start := time.Now()
		all.Go(func() {
			defer cancel()
			leave, err := func() { a.Release(lane) }, error(nil)
			if useEnter {
				leave, err = a.Enter(ctx, lane)
			} else {
				err = a.Acquire(ctx, lane)
			}
			if owed {
				assert.NoError(t, err, "seed %d: a crisis did not find its reserve", seed)
				assert.Zero(t, time.Since(start), "seed %d: a crisis waited for its reserve", seed)
			}
			if err != nil {
				assert.True(t, errors.Is(err, ratelimit.ErrOverloaded) || errors.Is(err, context.DeadlineExceeded), err)
				return
			}
			time.Sleep(stay)
			leave()
		})
		synctest.Wait()
		laws("after an arrival")
		time.Sleep(time.Duration(dice.IntN(4)) * time.Millisecond / 2)
		synctest.Wait()
		laws("after a while")
	}
	all.Wait()
	for _, lane := range lanes {
		require.Zero(t, a.InUse(lane), "seed %d", seed)
		require.Zero(t, a.Waiting(lane), "seed %d", seed)
	}
}

// The same without a bubble, for the race detector: real goroutines that come
// and give up at any moment.
func TestAdmissionCrowd(t *testing.T) {
	a := &ratelimit.Admission{Limit: 8, CrisisReserve: 2, TherapeuticReserve: 2, Queue: 16, MaxWait: time.Minute}
	var mu sync.Mutex
	in, worst := 0, 0
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		in += by
		worst = max(worst, in)
	}
	var all sync.WaitGroup
	for worker := range 32 {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(worker), 9))
			for range 300 {
				lane := lanes[dice.IntN(len(lanes))]
				ctx, cancel := context.WithCancel(context.Background())
				if dice.IntN(3) == 0 {
					go cancel()
				}
				if a.Acquire(ctx, lane) == nil {
					count(1)
					count(-1)
					a.Release(lane)
				}
				cancel()
			}
		})
	}
	all.Wait()
	assert.LessOrEqual(t, worst, 8)
	for _, lane := range lanes {
		assert.Zero(t, a.InUse(lane))
		assert.Zero(t, a.Waiting(lane))
	}
}

func TestRoomCostsNothing(t *testing.T) {
	a := &ratelimit.Admission{Limit: 100}
	ctx := context.Background()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_ = a.Acquire(ctx, ratelimit.Normal)
		a.Release(ratelimit.Normal)
	}))
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		leave, _ := a.Enter(ctx, ratelimit.Normal)
		leave()
	}), 1.0)
}

func BenchmarkAdmission(b *testing.B) {
	ctx := context.Background()
	b.Run("Acquire", func(b *testing.B) {
		a := &ratelimit.Admission{Limit: 100}
		b.ReportAllocs()
		for b.Loop() {
			_ = a.Acquire(ctx, ratelimit.Normal)
			a.Release(ratelimit.Normal)
		}
	})
	b.Run("Enter", func(b *testing.B) {
		a := &ratelimit.Admission{Limit: 100}
		b.ReportAllocs()
		for b.Loop() {
			leave, _ := a.Enter(ctx, ratelimit.Normal)
			leave()
		}
	})
	b.Run("Acquire, parallel", func(b *testing.B) {
		a := &ratelimit.Admission{Limit: 1 << 20}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = a.Acquire(ctx, ratelimit.Normal)
				a.Release(ratelimit.Normal)
			}
		})
	})
	b.Run("refused", func(b *testing.B) {
		a := &ratelimit.Admission{Limit: 1, Queue: -1}
		_ = a.Acquire(ctx, ratelimit.Normal)
		b.ReportAllocs()
		for b.Loop() {
			_ = a.Acquire(ctx, ratelimit.Normal)
		}
	})
}
