package health

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// What an Outlier without settings uses.
const (
	DefaultOutlierFailures = 5
	DefaultOutlierInterval = 10 * time.Second
	DefaultDeviation       = 1.9
	DefaultGap             = 0.2
	DefaultMaxEjected      = 0.5
	DefaultEjection        = 30 * time.Second
	DefaultMaxEjection     = 5 * time.Minute
)

// An Outlier compares the instances of one service by the calls that are made to them anyway, and lets those that stand out rest: a
// [Breaker] sees one instance alone, this one sees them side by side.
//
// An instance is ejected after Failures failed calls in a row, or when at the end of an Interval its share of successes is below the
// mean of the others by more than Deviation times their standard deviation and by more than Gap. (Each is measured against the others,
// not against all: among three or four, one bad instance spoils a common mean so much that it would never stand out.) It returns by
// itself after Ejection, twice that the second time, three times the third, up to MaxEjection; every Interval spent well takes one of
// these back.
//
// Never more than MaxEjected of the instances are out at once, and never the last one: when everything looks bad, the fault is
// elsewhere, and some answer is better than none.
//
// The zero value is ready, and a setting that makes no sense counts as zero; a nil *Outlier ejects nobody. It needs no goroutine: calls that end move it on. Fields must not change after
// first use. All methods are safe for simultaneous use; it must not be copied after first use.
type Outlier struct {
	Failures    int           // in a row; 0 = 5, negative = their number ejects nobody
	Interval    time.Duration // between comparisons; 0 = 10 s
	MinCalls    int           // calls of an instance within an Interval before it is compared; 0 = 20
	Deviation   float64       // 0 = 1.9; negative = instances are not compared
	Gap         float64       // 0 = 0.2, that is 20 of 100 calls
	MaxEjected  float64       // share of the instances, 0 to 1; 0 = 0.5. With two or more, one may always be out.
	Ejection    time.Duration // the first time; 0 = 30 s
	MaxEjection time.Duration // 0 = 5 min

	// OnChange, if set, is told who was ejected and who is back, one at a time and in order. A return is noticed when the next call
	// of the service ends.
	OnChange func(instance string, ejected bool)

	mu      sync.Mutex // guards members, and of each member what says so
	members map[string]*Member
	epoch   time.Time    // the beginning of clock
	next    atomic.Int64 // when to compare again, on clock
	news    changes[moved]
}

type moved struct {
	instance string
	ejected  bool
}

// A Member is one instance of the service. A nil *Member is always available and counts nothing.
type Member struct {
	of *Outlier
	id string

	until           atomic.Int64 // on the Outlier's clock; 0 = not ejected. Written under the Outlier's mu.
	streak          atomic.Int64
	calls, failures atomic.Int64 // since the last comparison
	times           int          // how often ejected of late; guarded by the Outlier's mu
}

// Join makes an instance known, and returns the same Member if it already is.
func (o *Outlier) Join(instance string) *Member {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.members == nil {
		o.members = make(map[string]*Member)
		o.epoch = time.Now()
		o.next.Store(int64(positive(o.Interval, DefaultOutlierInterval)))
	}
	m := o.members[instance]
	if m == nil {
		m = &Member{of: o, id: instance}
		o.members[instance] = m
	}
	return m
}

// Available says whether the instance of that name may be called: it is not ejected, or not known. Who holds the [Member] asks that.
func (o *Outlier) Available(instance string) bool {
	if o == nil {
		return true
	}
	o.mu.Lock()
	m := o.members[instance]
	o.mu.Unlock()
	return m.Available()
}

// Ejected names the instances that are out now, sorted.
func (o *Outlier) Ejected() []string {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, m := range o.members {
		if !m.Available() {
			out = append(out, m.id)
		}
	}
	slices.Sort(out)
	return out
}

// Available says whether the instance may be called. It neither locks nor allocates.
func (m *Member) Available() bool {
	if m == nil {
		return true
	}
	until := m.until.Load()
	return until == 0 || m.of.clock() >= until
}

// Done says how a call to the instance ended: nil for well. A context.Canceled counts neither way, and what is not the service's
// fault should not be told at all. It allocates only when somebody is ejected or returns.
func (m *Member) Done(err error) {
	if m == nil || errors.Is(err, context.Canceled) || !m.Available() {
		return
	}
	m.calls.Add(1)
	if err == nil {
		m.streak.Store(0)
	} else {
		m.failures.Add(1)
		m.of.suspect(m, m.streak.Add(1))
	}
	m.of.compare()
}

// Leave takes the instance out of the comparison, for good: the service has it no more.
func (m *Member) Leave() {
	if m == nil {
		return
	}
	o := m.of
	o.mu.Lock()
	if o.members[m.id] == m {
		delete(o.members, m.id)
		m.until.Store(0)
		o.makeRoom()
	}
	o.mu.Unlock()
	o.tell()
}

// clock is the time since epoch: it does not jump when somebody sets the wall clock.
func (o *Outlier) clock() int64 { return int64(time.Since(o.epoch)) }

func (o *Outlier) suspect(m *Member, streak int64) {
	most := int64(or(o.Failures, DefaultOutlierFailures))
	if most < 0 || streak < most {
		return
	}
	o.mu.Lock()
	o.eject(m)
	o.mu.Unlock()
	o.tell()
}

// eject takes m out if that leaves enough. The caller holds mu.
func (o *Outlier) eject(m *Member) {
	if o.members[m.id] != m || !m.Available() || o.out()+1 > o.allowed() {
		return
	}
	m.until.Store(o.clock() + int64(o.rest(m)))
	m.forget()
	o.note(moved{m.id, true})
}

// rest is how long m stays out this time. What is at its longest does not count further, so that it can be forgiven in the end.
func (o *Outlier) rest(m *Member) time.Duration {
	first, longest := positive(o.Ejection, DefaultEjection), positive(o.MaxEjection, DefaultMaxEjection)
	if first*time.Duration(m.times) < longest {
		m.times++
	}
	return min(first*time.Duration(m.times), longest)
}

func (m *Member) forget() {
	m.streak.Store(0)
	m.calls.Store(0)
	m.failures.Store(0)
}

func (o *Outlier) out() int {
	n := 0
	for _, m := range o.members {
		if !m.Available() {
			n++
		}
	}
	return n
}

// allowed is how many may be out at once: the share, one at least, but never all.
func (o *Outlier) allowed() int {
	n := len(o.members)
	share := positive(o.MaxEjected, DefaultMaxEjected)
	return max(0, min(n-1, max(1, int(share*float64(n)))))
}

// makeRoom takes back those who would have returned first, when fewer are left to lean on.
func (o *Outlier) makeRoom() {
	for o.out() > o.allowed() {
		var first *Member
		for _, m := range o.members {
			if !m.Available() && (first == nil || m.until.Load() < first.until.Load()) {
				first = m
			}
		}
		first.until.Store(0)
		o.note(moved{first.id, false})
	}
}

// compare does what is due at the end of an Interval, on the goroutine that comes by first.
func (o *Outlier) compare() {
	now, due := o.clock(), o.next.Load()
	if now < due || !o.next.CompareAndSwap(due, now+int64(positive(o.Interval, DefaultOutlierInterval))) {
		return
	}
	o.mu.Lock()
	o.welcome(now)
	for _, m := range o.standingOut() {
		o.eject(m)
	}
	o.begin()
	o.mu.Unlock()
	o.tell()
}

// welcome notes those whose time is over.
func (o *Outlier) welcome(now int64) {
	for _, id := range slices.Sorted(maps.Keys(o.members)) {
		m := o.members[id]
		if until := m.until.Load(); until != 0 && now >= until {
			m.until.Store(0)
			o.note(moved{m.id, false})
		}
	}
}

// begin starts the next Interval; those in service have earned a little trust back.
func (o *Outlier) begin() {
	for _, m := range o.members {
		if m.Available() && m.failures.Load() == 0 && m.calls.Load() > 0 {
			m.times = max(0, m.times-1)
		}
		m.calls.Store(0)
		m.failures.Store(0)
	}
}

// standingOut are the members that do markedly worse than the others, the worst first.
func (o *Outlier) standingOut() []*Member {
	if o.Deviation < 0 {
		return nil
	}
	rates := o.rates()
	var bad []*Member
	for m, rate := range rates {
		mean, deviation := others(rates, m)
		if rate < mean-or(o.Deviation, DefaultDeviation)*deviation && rate < mean-positive(o.Gap, DefaultGap) {
			bad = append(bad, m)
		}
	}
	slices.SortFunc(bad, func(a, b *Member) int {
		return cmp.Or(cmp.Compare(rates[a], rates[b]), cmp.Compare(a.id, b.id))
	})
	return bad
}

// rates are the shares of successes of those with enough calls.
func (o *Outlier) rates() map[*Member]float64 {
	rates := make(map[*Member]float64)
	for _, m := range o.members {
		calls := m.calls.Load()
		if m.Available() && calls >= int64(positive(o.MinCalls, DefaultMinCalls)) {
			rates[m] = 1 - float64(m.failures.Load())/float64(calls)
		}
	}
	return rates
}

// others are the mean and the standard deviation without m; an m that stands alone is compared with itself.
func others(rates map[*Member]float64, m *Member) (mean, deviation float64) {
	n := float64(len(rates) - 1)
	if n == 0 {
		return rates[m], 0
	}
	for o, rate := range rates {
		if o != m {
			mean += rate / n
		}
	}
	for o, rate := range rates {
		if o != m {
			deviation += (rate - mean) * (rate - mean) / n
		}
	}
	return mean, math.Sqrt(deviation)
}

func (o *Outlier) note(news moved) {
	if o.OnChange != nil {
		o.news.add(news)
	}
}

func (o *Outlier) tell() {
	if o.OnChange != nil {
		o.news.tell(func(n moved) { o.OnChange(n.instance, n.ejected) })
	}
}
