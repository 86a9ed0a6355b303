package discovery

import (
	"math"
	"sync/atomic"
	"time"
)

// latencyTau is how fast an endpoint's latency is forgotten: after this time
// without a call it is down to 37 %.
const latencyTau = 10 * time.Second

// Bounds of the sample that a failed call counts as: a failure is never
// quicker than minFailure, so that an instance which refuses in microseconds
// does not look like the quickest of all.
const (
	minFailure = 100 * time.Millisecond
	maxFailure = 10 * time.Second
)

// rampFloor is the share of its weight that a warming endpoint starts with.
const rampFloor = 0.1

// An Endpoint is an Instance as the upstream stage sees it: with the calls in
// flight, how quick it has been, and whether it is warming up. It is made by
// [NewEndpoint] or kept by a [Cache], is safe for simultaneous use, and must
// not be copied.
//
// When a registry changes what it says of an instance (its weight, tags,
// draining), a [Cache] puts a new Endpoint in the old one's place; both share
// what was counted as long as ID and URL stay.
type Endpoint struct {
	Instance
	s *endpointState
}

// endpointState is what stays as long as ID and URL do.
type endpointState struct {
	born     time.Time
	hash     uint64
	inFlight atomic.Int64
	ewma     atomic.Uint64 // float64 bits: seconds
	stamp    atomic.Int64  // when ewma was written, in ns since born
	warmFrom atomic.Int64  // ns since born
	warmFor  atomic.Int64  // ns; 0 = warm
	kept     atomic.Value  // of type keptValue
}

type keptValue struct{ v any }

// NewEndpoint returns an endpoint for i without any history.
func NewEndpoint(i Instance) *Endpoint {
	s := &endpointState{born: time.Now(), hash: hashString(i.ID)}
	return &Endpoint{Instance: i, s: s}
}

// with returns an endpoint that says i and shares e's history.
func (e *Endpoint) with(i Instance) *Endpoint {
	return &Endpoint{Instance: i, s: e.s}
}

// Same reports whether e and o share one history: the same instance at the
// same place, whatever else the registry said of it meanwhile.
func (e *Endpoint) Same(o *Endpoint) bool {
	return e != nil && o != nil && e.s == o.s
}

// Enter counts a call that begins. Each Enter is followed by one Leave.
func (e *Endpoint) Enter() { e.s.inFlight.Add(1) }

// Leave counts a call that ended. Latency is the time until the response's
// header, or until the failure; ok says whether the instance did its part. A
// negative latency is not looked at: for calls that say nothing of the
// instance, such as one that the client left.
func (e *Endpoint) Leave(latency time.Duration, ok bool) {
	e.s.inFlight.Add(-1)
	if latency < 0 {
		return
	}
	now := e.s.now()
	if !ok {
		latency = e.failureSample(now, latency)
	}
	e.s.observe(now, latency.Seconds())
}

// failureSample is what a failed call counts as: twice what was expected of
// the instance, within bounds.
func (e *Endpoint) failureSample(now int64, latency time.Duration) time.Duration {
	expected := time.Duration(2 * e.s.latency(now) * float64(time.Second))
	return max(latency, min(max(expected, minFailure), maxFailure))
}

// InFlight returns the number of calls that entered and did not leave yet.
func (e *Endpoint) InFlight() int64 { return e.s.inFlight.Load() }

// Latency returns what a call is expected to take: an average that follows a
// slow call at once and forgets it over about ten seconds ("peak EWMA").
// Failed calls count as slow. It decays towards zero while nobody calls; zero
// means that nothing is known.
func (e *Endpoint) Latency() time.Duration {
	return time.Duration(e.s.latency(e.s.now()) * float64(time.Second))
}

// Warm begins a slow start: from now on the endpoint's share of the work grows
// from a tenth of its weight to all of it over d. A d of zero or less ends one.
func (e *Endpoint) Warm(d time.Duration) {
	e.s.warmFrom.Store(e.s.now())
	e.s.warmFor.Store(int64(max(d, 0)))
}

// Share returns the endpoint's weight as it stands now, slow start included.
func (e *Endpoint) Share() float64 {
	w := e.weight()
	if e.s.warmFor.Load() == 0 {
		return w
	}
	return w * e.s.ramp(e.s.now())
}

// Kept returns what make returned when Kept was first called on this endpoint
// or its predecessors, so that a caller can hang on an endpoint what lives as
// long as it does (a circuit breaker, a metrics handle) and need not look it up.
// There is one place: it belongs to the upstream stage. Of simultaneous first
// calls, one's value wins and is what all get. It does not allocate later on.
func (e *Endpoint) Kept(make func(*Endpoint) any) any {
	if k, ok := e.s.kept.Load().(keptValue); ok {
		return k.v
	}
	e.s.kept.CompareAndSwap(nil, keptValue{make(e)})
	return e.s.kept.Load().(keptValue).v
}

func (e *Endpoint) weight() float64 {
	return float64(max(e.Weight, 1))
}

// now is the time since the endpoint was made. Monotonic, and never zero.
func (s *endpointState) now() int64 { return int64(time.Since(s.born)) + 1 }

// latency returns the decayed average in seconds.
func (s *endpointState) latency(now int64) float64 {
	v := math.Float64frombits(s.ewma.Load())
	return v * forget(now-s.stamp.Load())
}

// observe adds a sample to the average. A sample above it replaces it.
func (s *endpointState) observe(now int64, sample float64) {
	elapsed := now - s.stamp.Swap(now)
	for {
		old := s.ewma.Load()
		if s.ewma.CompareAndSwap(old, math.Float64bits(blend(math.Float64frombits(old), sample, elapsed))) {
			return
		}
	}
}

// blend is the peak EWMA: rise at once, fall over latencyTau.
func blend(average, sample float64, elapsed int64) float64 {
	w := forget(elapsed)
	return max(sample, average*w+sample*(1-w))
}

// forget returns what is left of something that old.
func forget(elapsed int64) float64 {
	if elapsed <= 0 {
		return 1
	}
	return math.Exp(-float64(elapsed) / float64(latencyTau))
}

// ramp returns the share of its weight that a warming endpoint has at now.
func (s *endpointState) ramp(now int64) float64 {
	d, from := s.warmFor.Load(), s.warmFrom.Load()
	if d == 0 || now-from >= d {
		s.warmFor.CompareAndSwap(d, 0) // the clock need not be asked any more
		return 1
	}
	return max(rampFloor, float64(now-from)/float64(d))
}

// hashString is FNV-1a with a finalizer: the same in every process, so that
// all gateways send one key to one instance.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix spreads the bits of x (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
