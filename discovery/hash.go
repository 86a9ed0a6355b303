package discovery

import (
	"math"
	"net/http"
	"net/textproto"
	"strings"
)

// Hash sends all requests of one key to one instance, for services that keep
// something of a user in memory. It asks every instance for its bid on the key
// and takes the highest (weighted rendezvous hashing, Thaler and Ravishankar
// 1998), so that every gateway makes the same choice without any state, an
// instance that leaves moves only its own keys, and one that comes takes only
// its share. It is made by [NewHash]; its fields may be set before first use.
//
// Load is bounded (Mirrokni, Thorup and Zadimoghaddam 2016): a key whose
// instance has far more calls in flight than its share goes to its next bidder
// until that is over.
type Hash struct {
	// Key says what belongs together: [HeaderKey], [CookieKey], [FirstKey], or
	// the caller's own function, for example the user's name. Requests for which
	// it returns "" go to the least loaded instance. Nil means [AddressKey].
	Key func(*http.Request) string
	// Bound is how many times its share of the calls in flight an instance may
	// have before keys pass it over. Zero means 1.25. A negative Bound never
	// passes over: a key then moves only when its instance goes.
	Bound float64
	// Slack is how many calls in flight, above Bound times its share, an
	// instance may have besides. It keeps keys where they are while there is
	// little to do at all, when a single user may be more than a fair share.
	// Zero means 16; a negative Slack means none.
	Slack int

	spill LeastLoaded
}

// NewHash returns a consistent-hash balancer of the given key.
func NewHash(key func(*http.Request) string) *Hash { return &Hash{Key: key} }

// Pick implements [Balancer].
func (b *Hash) Pick(r *http.Request, all []*Endpoint) *Endpoint {
	if len(all) < 2 {
		return only(all)
	}
	key := b.key(r)
	if key == "" {
		return b.spill.Pick(r, all)
	}
	if e := highestBid(hashString(key), all, b.limit(all)); e != nil {
		return e
	}
	return leastInFlight(all)
}

func (b *Hash) key(r *http.Request) string {
	if b.Key == nil {
		return AddressKey(r)
	}
	return b.Key(r)
}

// capacity is how many calls an endpoint may have before keys pass it over:
// perShare for each unit of weight, and slack.
type capacity struct{ perShare, slack float64 }

func (c capacity) full(e *Endpoint, share float64) bool {
	return float64(e.InFlight()) >= math.Ceil(c.perShare*share)+c.slack
}

// limit returns what an endpoint may have in flight, this request included.
func (b *Hash) limit(all []*Endpoint) capacity {
	if b.Bound < 0 {
		return capacity{perShare: math.Inf(1)}
	}
	calls, shares := 1.0, 0.0
	for _, e := range all {
		calls += float64(e.InFlight())
		shares += usableShare(e)
	}
	return capacity{perShare: b.bound() * calls / max(shares, 1e-9), slack: b.slack()}
}

func (b *Hash) bound() float64 {
	if b.Bound == 0 {
		return 1.25
	}
	return max(b.Bound, 1)
}

func (b *Hash) slack() float64 {
	if b.Slack == 0 {
		return 16
	}
	return float64(max(b.Slack, 0))
}

// highestBid returns the endpoint with room that bids most for key, or nil.
func highestBid(key uint64, all []*Endpoint, limit capacity) *Endpoint {
	var best *Endpoint
	highest := math.Inf(-1)
	for _, e := range all {
		share := usableShare(e)
		if share == 0 || limit.full(e, share) {
			continue
		}
		if bid := bid(key, e.s.hash, share); bid > highest {
			best, highest = e, bid
		}
	}
	return best
}

// bid is the logarithm method of weighted rendezvous hashing: share / -ln(u),
// with u evenly spread over (0, 1) for each pair of key and instance.
func bid(key, instance uint64, share float64) float64 {
	u := (float64(mix(key^instance)>>11) + 0.5) / (1 << 53)
	return share / -math.Log(u)
}

// HeaderKey returns a key function: the value of a header field. It does not
// allocate.
func HeaderKey(name string) func(*http.Request) string {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return func(r *http.Request) string {
		if v := r.Header[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
}

// CookieKey returns a key function: the value of a cookie, the first of its
// name. It does not allocate, and reads cookies split over several fields, as
// HTTP/2 may send them (RFC 9113, section 8.2.3).
func CookieKey(name string) func(*http.Request) string {
	return func(r *http.Request) string {
		for _, line := range r.Header["Cookie"] {
			if v := cookie(line, name); v != "" {
				return v
			}
		}
		return ""
	}
}

// cookie finds name in a Cookie field (RFC 6265, section 4.2.1).
func cookie(line, name string) string {
	for line != "" {
		var pair string
		pair, line, _ = strings.Cut(line, ";")
		if n, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && n == name {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// AddressKey is a key function: the address of the direct caller, without its
// port. Behind another proxy that is the proxy's.
func AddressKey(r *http.Request) string {
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 {
		return r.RemoteAddr[:i]
	}
	return r.RemoteAddr
}

// FirstKey returns a key function: the first of keys that says something.
func FirstKey(keys ...func(*http.Request) string) func(*http.Request) string {
	return func(r *http.Request) string {
		for _, key := range keys {
			if k := key(r); k != "" {
				return k
			}
		}
		return ""
	}
}
