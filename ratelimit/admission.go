package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// ErrOverloaded says that there is no room now: HTTP 503. What wraps it says
// why.
var ErrOverloaded = errors.New("ratelimit: overloaded")

// The reasons are made once: refusing must stay cheap when everything is late.
var (
	errNoQueue  = fmt.Errorf("%w: no room, and no waiting", ErrOverloaded)
	errFull     = fmt.Errorf("%w: no room, and the queue is full", ErrOverloaded)
	errShed     = fmt.Errorf("%w: gave way in the queue to a higher lane or a later comer", ErrOverloaded)
	errTooLong  = fmt.Errorf("%w: no room within the time to wait", ErrOverloaded)
	errReserves = errors.New("ratelimit: bad admission")
)

// An Admission lets so many requests at once have their way and no more, and
// decides who goes first when there are more. The zero value lets everybody
// in and counts. Used by pointer; safe for simultaneous use; its fields must
// not change after first use.
//
//	Limit ────────────────────────────────────────────────────┐
//	│ background and normal, at most │                        │
//	│ therapeutic and those, at most              │           │
//	│ crisis and everybody else, at most                      │
//	└────────────────────────────────┴────────────┴───────────┘
//	                                 │ Therapeutic│  Crisis
//	                                 │   Reserve  │  Reserve
//
// Reserved room is kept free of lower lanes, always, so the lane that it is
// for finds it at once. It is not a fence on the other side: a higher lane
// takes any room there is, and what it has in its own reserve does not count
// against the others. No room that anybody waiting may use stays empty.
//
// Who finds no room waits in a bounded queue: higher lanes first, and within
// a lane the longest waiting (or, with LIFO, the latest). When the queue is
// full the lowest lane gives way. Lower lanes can so be starved for as long
// as higher ones fill the house; MaxWait bounds what they wait.
type Admission struct {
	// Limit is how many may be in at once. 0 (or less) means no limit.
	Limit int
	// CrisisReserve is the part of Limit that [Crisis] alone may use; 0 means
	// a tenth, but at least 1 (of a Limit of 1, none). Negative means none.
	CrisisReserve int
	// TherapeuticReserve is the part that [Therapeutic] and Crisis alone may
	// use; 0 means a fifth. Negative means none.
	//
	// The reserves never take the last place from everybody else: too large
	// ones are cut, the therapeutic first. [Admission.Validate] complains.
	TherapeuticReserve int

	// Queue is how many may wait; 0 means as many as Limit. Negative means
	// nobody waits.
	Queue int
	// MaxWait is how long one waits; 0 (or less) means one second.
	MaxWait time.Duration
	// LIFO lets the latest comer of a lane go first. Under a long overload
	// those who waited longest have probably given up; under a short one it
	// is unfair. When the queue is full it is then the longest waiting of the
	// lowest lane that gives way.
	LIFO bool

	// ErrorHandler answers what [Admission.Wrap] does not let in; Retry-After
	// is set already. nil means a plain 503.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	mu      sync.Mutex // guards all below
	ready   bool
	most    [laneCount]int // most[i]: how many of lane i and lower may be in; settled at first use
	inUse   [laneCount]int
	waiting [laneCount]queue
	queued  int
	idle    *ticket // tickets of Enter that are not in use
}

// Validate reports reserves that leave no place for anybody else.
func (a *Admission) Validate() error {
	crisis, therapeutic := a.reserves()
	if a.Limit > 0 && crisis+therapeutic >= a.Limit {
		return fmt.Errorf("%w: of a limit of %d, reserves of %d (crisis) and %d (therapeutic) leave no place for others; "+
			"raise the limit or lower the reserves", errReserves, a.Limit, crisis, therapeutic)
	}
	return nil
}

// Acquire takes a place for lane, and waits for one if there is a queue. It
// returns nil, and then [Admission.Release] must be called once, with the same
// lane; or an error that wraps [ErrOverloaded], or ctx's when that is done
// while waiting. Where there is room it neither waits nor allocates.
func (a *Admission) Acquire(ctx context.Context, lane Lane) error {
	i := lane.index()
	a.mu.Lock()
	if a.fits(i) {
		a.inUse[i]++
		a.mu.Unlock()
		return nil
	}
	w, err := a.line(i)
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return a.wait(ctx, w)
}

// Release gives a place of lane back, to the first in the queue if somebody
// waits. It panics when no place of that lane is taken: then somebody gave
// back twice, and the limit would no longer hold.
func (a *Admission) Release(lane Lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.release(lane.index())
}

// Enter is [Admission.Acquire] with a func that gives the place back. leave may
// be called more than once and by any goroutine; the first call counts. It is
// nil when err is not.
func (a *Admission) Enter(ctx context.Context, lane Lane) (leave func(), err error) {
	if err := a.Acquire(ctx, lane); err != nil {
		return nil, err
	}
	t, number := a.ticket()
	return func() { a.leave(t, number, lane.index()) }, nil
}

// Wrap lets requests in by the [Lane] of their context, for as long as next
// takes to answer. A refusal carries Retry-After: one to three seconds, drawn
// by lot, so that those who were refused together do not return together.
func (a *Admission) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lane := FromContext(r.Context())
		if err := a.Acquire(r.Context(), lane); err != nil {
			w.Header().Set(fieldNames[fieldRetryAfter], strconv.Itoa(1+rand.IntN(3)))
			refuse(w, r, err, a.ErrorHandler)
			return
		}
		defer a.Release(lane)
		next.ServeHTTP(w, r)
	})
}

// InUse is how many of a lane are in.
func (a *Admission) InUse(lane Lane) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inUse[lane.index()]
}

// Waiting is how many of a lane wait.
func (a *Admission) Waiting(lane Lane) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting[lane.index()].length
}

// reserves are the two reserves as they are meant.
func (a *Admission) reserves() (crisis, therapeutic int) {
	crisis = reserve(a.CrisisReserve, min(max(1, a.Limit/10), a.Limit-1))
	return crisis, reserve(a.TherapeuticReserve, a.Limit/5)
}

func reserve(said, usual int) int {
	if said == 0 {
		return usual
	}
	return max(0, said)
}

// fits reports whether one more of lane i may come in. mu is held.
//
// Whoever comes in is counted in the bound of its own lane and of all above,
// so if a lower lane fits, every higher one does: nobody who waits may come in
// before somebody of a higher lane does.
func (a *Admission) fits(i int) bool {
	if a.Limit <= 0 {
		return true
	}
	if !a.ready {
		a.settle()
	}
	in := 0
	for lane, n := range a.inUse {
		in += n
		if lane >= i && in >= a.most[lane] {
			return false
		}
	}
	return true
}

// settle works out the bounds from the settings.
func (a *Admission) settle() {
	crisis, therapeutic := a.reserves()
	crisis = min(crisis, a.Limit-1)
	therapeutic = min(therapeutic, a.Limit-1-crisis)
	others := a.Limit - crisis - therapeutic
	a.most = [laneCount]int{others, others, others + therapeutic, a.Limit}
	a.ready = true
}

func (a *Admission) release(i int) {
	if a.inUse[i] == 0 {
		panic("ratelimit: Admission.Release of a place that is not taken")
	}
	a.inUse[i]--
	a.callIn()
}

// callIn gives room to those who wait, highest lane first. mu is held.
func (a *Admission) callIn() {
	for i := laneCount - 1; i >= 0 && a.queued > 0; i-- {
		for w := a.waiting[i].first; w != nil && a.fits(i); w = a.waiting[i].first {
			a.inUse[i]++
			a.answer(w, nil)
		}
	}
}

// line puts somebody of lane i into the queue, or says why not. mu is held.
func (a *Admission) line(i int) (*waiter, error) {
	room := a.Queue
	if room == 0 {
		room = a.Limit
	}
	if room < 0 {
		return nil, errNoQueue
	}
	if a.queued >= room && !a.shed(i) {
		return nil, errFull
	}
	w := &waiter{lane: i, called: make(chan error, 1)}
	a.waiting[i].add(w, a.LIFO)
	a.queued++
	return w, nil
}

// shed makes room in a full queue for somebody of lane i, at the expense of
// the lowest lane: of those, whoever would come in last.
func (a *Admission) shed(i int) bool {
	highest := i - 1
	if a.LIFO {
		highest = i
	}
	for lane := 0; lane <= highest; lane++ {
		if w := a.waiting[lane].last; w != nil {
			a.answer(w, errShed)
			return true
		}
	}
	return false
}

// answer takes w out of the queue and tells it what came of it. mu is held.
func (a *Admission) answer(w *waiter, err error) {
	a.waiting[w.lane].remove(w)
	a.queued--
	w.called <- err // never blocks: there is room for the one answer
}

// wait waits for w's answer, for MaxWait, or for ctx.
func (a *Admission) wait(ctx context.Context, w *waiter) error {
	patience := a.MaxWait
	if patience <= 0 {
		patience = time.Second
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-w.called:
		return err
	case <-timer.C:
		return a.giveUp(w, errTooLong)
	case <-ctx.Done():
		return a.giveUp(w, fmt.Errorf("ratelimit: no longer waiting for room: %w", ctx.Err()))
	}
}

// giveUp takes w out of the queue, unless its answer came in the same moment:
// a place that was given must not be lost.
func (a *Admission) giveUp(w *waiter, reason error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case err := <-w.called:
		return err
	default:
	}
	a.waiting[w.lane].remove(w)
	a.queued--
	return reason
}

// A waiter is somebody in the queue. It is in its lane's row exactly as long
// as called is empty.
type waiter struct {
	lane       int
	called     chan error // one answer: nil for a place
	next, prev *waiter
}

// A queue is the row of one lane; first goes in next.
type queue struct {
	first, last *waiter
	length      int
}

func (q *queue) add(w *waiter, front bool) {
	q.length++
	switch {
	case q.first == nil:
		q.first, q.last = w, w
	case front:
		w.next, q.first.prev, q.first = q.first, w, w
	default:
		w.prev, q.last.next, q.last = q.last, w, w
	}
}

func (q *queue) remove(w *waiter) {
	q.length--
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
}

// A ticket makes leaving twice harmless without an allocation of its own: it
// is used again and again, each time under the next number, and who holds an
// old number holds nothing.
type ticket struct {
	number uint64
	next   *ticket
}

func (a *Admission) ticket() (t *ticket, number uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t = a.idle; t == nil {
		t = new(ticket)
	} else {
		a.idle, t.next = t.next, nil
	}
	return t, t.number
}

func (a *Admission) leave(t *ticket, number uint64, i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.number != number {
		return
	}
	t.number++
	t.next, a.idle = a.idle, t
	a.release(i)
}
