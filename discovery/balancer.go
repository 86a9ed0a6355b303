package discovery

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
)

// A Balancer chooses the instance that gets a request.
//
// Rules for those who implement it:
//
//  1. Pick is safe for simultaneous use and quick: it waits for nothing.
//  2. It returns one of all, and nil only if all is empty.
//  3. It passes over endpoints that drain while another one is left.
//  4. It neither keeps nor changes all, which may differ from call to call:
//     unwell instances, and those tried before, are left out by the caller.
//  5. It does not count: the caller calls Enter and Leave on what it uses.
type Balancer interface {
	Pick(r *http.Request, all []*Endpoint) *Endpoint
}

// BalancerFunc makes a Balancer of a function.
type BalancerFunc func(r *http.Request, all []*Endpoint) *Endpoint

// Pick calls f.
func (f BalancerFunc) Pick(r *http.Request, all []*Endpoint) *Endpoint { return f(r, all) }

// balancers are the names that [ParseBalancer] knows, in the order in which
// its error lists them.
var balancers = []struct {
	name string
	make func() Balancer
}{
	{"least_loaded", func() Balancer { return NewLeastLoaded() }},
	{"health_based", func() Balancer { return NewLeastLoaded() }},
	{"least_connections", func() Balancer { return NewLeastConnections() }},
	{"round_robin", func() Balancer { return NewRoundRobin() }},
	{"weighted", func() Balancer { return NewWeighted() }},
	{"weighted_round_robin", func() Balancer { return NewWeighted() }},
	{"consistent_hash", func() Balancer { return NewHash(nil) }},
}

// ParseBalancer returns a new balancer by its name: least_loaded (and
// health_based, its older name; also for ""), least_connections, round_robin,
// weighted (also weighted_round_robin), or consistent_hash, a [Hash] whose Key
// the caller may set. The error names the remedy.
func ParseBalancer(name string) (Balancer, error) {
	if name == "" {
		return NewLeastLoaded(), nil
	}
	known := ""
	for _, b := range balancers {
		if b.name == name {
			return b.make(), nil
		}
		known += " " + b.name
	}
	return nil, fmt.Errorf("discovery: unknown balancer %q: use one of%s", clip(name), known)
}

// RoundRobin sends to one after the other, whatever they weigh. An endpoint
// that warms up is passed over in proportion. Use [NewRoundRobin] or a zero
// RoundRobin; it must not be copied after first use.
type RoundRobin struct {
	turn atomic.Uint64
}

// NewRoundRobin returns a balancer that starts with the first endpoint.
func NewRoundRobin() *RoundRobin { return &RoundRobin{} }

// Pick implements [Balancer].
func (b *RoundRobin) Pick(_ *http.Request, all []*Endpoint) *Endpoint {
	var warming *Endpoint
	for range all {
		e := all[int((b.turn.Add(1)-1)%uint64(len(all)))]
		if e.Draining {
			continue
		}
		if admitWarming(e) {
			return e
		}
		warming = cmp.Or(warming, e)
	}
	return cmp.Or(warming, leastInFlight(all))
}

// admitWarming lets a warming endpoint take its turn as often as its ramp says.
func admitWarming(e *Endpoint) bool {
	if e.s.warmFor.Load() == 0 {
		return true
	}
	return rand.Float64() < e.s.ramp(e.s.now())
}

// Weighted sends to each endpoint in proportion to its weight, evenly spread:
// a heavy one does not get its share in one run. It walks the weights by the
// golden ratio (a low-discrepancy sequence), so that in every stretch of
// requests each share is met to within a few, without a lock and whatever
// subset of the endpoints is offered. Use [NewWeighted] or a zero Weighted; it
// must not be copied after first use.
type Weighted struct {
	turn atomic.Uint64
}

// NewWeighted returns a balancer that starts with the first endpoint.
func NewWeighted() *Weighted { return &Weighted{} }

// goldenStep is 2^64 divided by the golden ratio. Its multiples, taken modulo
// 2^64, are as evenly spread as those of any number can be.
const goldenStep = 0x9e3779b97f4a7c15

// Pick implements [Balancer].
func (b *Weighted) Pick(_ *http.Request, all []*Endpoint) *Endpoint {
	total := 0.0
	for _, e := range all {
		total += usableShare(e)
	}
	if total <= 0 {
		return leastInFlight(all)
	}
	point := float64(((b.turn.Add(1)-1)*goldenStep)>>11) / (1 << 53) * total
	return cmp.Or(drawOther(all, nil, point), leastInFlight(all))
}

// usableShare is the weight of an endpoint that takes new work, else zero.
func usableShare(e *Endpoint) float64 {
	if e.Draining {
		return 0
	}
	return e.Share()
}

// LeastLoaded draws an endpoint at random, by weight, and a second one to
// challenge it: the one that is likely to answer sooner gets the request, by
// calls in flight for its weight and by how long its calls take
// ([Endpoint.Latency]). The surer, the more they differ: of two instances, one
// ten times slower gets one request in two hundred, enough to notice that it has
// recovered; of two that are alike, each gets its weight's share. Use
// [NewLeastLoaded] or a zero LeastLoaded.
//
// Taking the better of two, and not the best of all, keeps gateways that see
// the same numbers from rushing to the same instance (Mitzenmacher, "The Power
// of Two Choices in Randomized Load Balancing", 1996).
type LeastLoaded struct{}

// NewLeastLoaded returns the default balancer.
func NewLeastLoaded() *LeastLoaded { return &LeastLoaded{} }

// Pick implements [Balancer].
func (*LeastLoaded) Pick(_ *http.Request, all []*Endpoint) *Endpoint {
	if len(all) < 2 {
		return only(all)
	}
	total := 0.0
	for _, e := range all {
		total += usableShare(e)
	}
	first := drawOther(all, nil, rand.Float64()*total)
	if first == nil {
		return leastInFlight(all)
	}
	second := drawOther(all, first, rand.Float64()*(total-first.Share()))
	if second != nil && rand.Float64() < advantage(second, first) {
		return second
	}
	return first
}

// only returns the endpoint of a list that has one or none.
func only(all []*Endpoint) *Endpoint {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// drawOther walks the weights, without that of not, to the endpoint that
// covers point. It returns nil if there is none that takes new work.
func drawOther(all []*Endpoint, not *Endpoint, point float64) *Endpoint {
	var last *Endpoint
	for _, e := range all {
		share := usableShare(e)
		if share == 0 || e == not {
			continue
		}
		if last = e; point < share {
			return e
		}
		point -= share
	}
	return last // rounding, or a share that shrank meanwhile
}

// advantage is how likely e is to be taken in place of than: never if it costs
// as much, nearly always if it costs far less.
func advantage(e, than *Endpoint) float64 {
	we, wt := e.Share(), than.Share()
	mean := (we + wt) / 2
	le, lt := expected(e, than)
	ratio := le * (1 + float64(e.InFlight())*mean/we) / (lt * (1 + float64(than.InFlight())*mean/wt))
	return 1 - ratio*ratio
}

// expected returns the latencies of both in seconds. Of one that is not known
// nothing better or worse is expected than of the other. What is quicker than
// the noise of a network counts as that.
func expected(a, b *Endpoint) (la, lb float64) {
	const noise = 200e-6
	la, lb = a.s.latency(a.s.now()), b.s.latency(b.s.now())
	if la == 0 {
		la = lb
	}
	if lb == 0 {
		lb = la
	}
	return max(la, noise), max(lb, noise)
}

// LeastConnections sends to the endpoint with the fewest calls in flight for
// its weight, and to a random one among equals. It looks at every endpoint; it
// suits long calls and sockets. Use [NewLeastConnections] or a zero
// LeastConnections.
type LeastConnections struct{}

// NewLeastConnections returns the balancer.
func NewLeastConnections() *LeastConnections { return &LeastConnections{} }

// Pick implements [Balancer].
func (*LeastConnections) Pick(_ *http.Request, all []*Endpoint) *Endpoint {
	var best *Endpoint
	lowest, equals := math.Inf(1), 0
	for _, e := range all {
		if e.Draining {
			continue
		}
		load := float64(e.InFlight()) / e.Share()
		if load < lowest {
			lowest, equals = load, 0
		}
		if load > lowest {
			continue
		}
		if equals++; rand.IntN(equals) == 0 { // each of the equals is as likely
			best = e
		}
	}
	return cmp.Or(best, leastInFlight(all))
}

// leastInFlight is what balancers fall back to when every endpoint drains:
// someone has to take the request.
func leastInFlight(all []*Endpoint) *Endpoint {
	var best *Endpoint
	for _, e := range all {
		if best == nil || better(e, best) {
			best = e
		}
	}
	return best
}

func better(e, than *Endpoint) bool {
	if e.Draining != than.Draining {
		return than.Draining
	}
	return e.InFlight() < than.InFlight()
}
