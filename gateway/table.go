package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// table is the route table: immutable once it is built, swapped as a whole.
// A lookup walks the path's segments, one map access for each; its cost does
// not grow with the number of routes.
type table struct {
	hosts    map[string]*node // exact names
	suffixes map[string]*node // "*.example.com" under "example.com"
	any      *node
	internal *node    // the gateway's own endpoints, under any host
	routes   []*route // in the order given
	warnings []string // routes that can never be reached, and by whom
}

// node is a place in the tree of one host's patterns.
type node struct {
	literals map[string]*node
	param    *node
	exact    []*route // patterns that end here
	slash    []*route // patterns that end here with /{$}
	prefix   []*route // patterns that begin here and end in a slash
}

// match is what a lookup found.
type match struct {
	route  *route
	values []string // of the {name} segments, decoded, in order
	rest   int      // where in the raw path the part below the prefix begins
	allow  []string // methods that other routes of this path serve; set only if route is nil
}

func buildTable(routes []*route, trusted hostList) (*table, error) {
	t := &table{hosts: map[string]*node{}, suffixes: map[string]*node{}, any: &node{}, internal: &node{}, routes: routes}
	var errs []error
	taken := map[string]*route{} // shape + method
	for _, rt := range routes {
		if err := claim(taken, rt); err != nil {
			errs = append(errs, err)
			continue
		}
		t.root(rt).insert(rt)
	}
	t.warnings = shadowed(routes, trusted)
	return t, errors.Join(errs...)
}

// claim notes which methods of a shape a route serves, and complains if
// another route serves one of them.
func claim(taken map[string]*route, rt *route) error {
	var errs []error
	for _, m := range rt.methods {
		key := rt.pattern.shape() + " " + m
		if other, ok := taken[key]; ok {
			errs = append(errs, fmt.Errorf("gateway: route %q conflicts with %q: both serve %s of the same paths; remove one or name other methods", rt.Pattern, other.Pattern, m))
			continue
		}
		taken[key] = rt
	}
	if len(errs) > 0 {
		return errs[0] // one complaint for each pair is enough
	}
	return nil
}

func (t *table) root(rt *route) *node {
	host := rt.pattern.host
	switch {
	case rt.internal:
		return t.internal
	case host == "":
		return t.any
	case strings.HasPrefix(host, "*."):
		return child(t.suffixes, host[2:])
	}
	return child(t.hosts, host)
}

func child(nodes map[string]*node, key string) *node {
	n := nodes[key]
	if n == nil {
		n = &node{}
		nodes[key] = n
	}
	return n
}

func (n *node) insert(rt *route) {
	for _, seg := range rt.pattern.segments {
		if seg.name != "" {
			if n.param == nil {
				n.param = &node{}
			}
			n = n.param
			continue
		}
		if n.literals == nil {
			n.literals = map[string]*node{}
		}
		n = child(n.literals, seg.literal)
	}
	switch {
	case rt.pattern.prefix:
		n.prefix = append(n.prefix, rt)
	case rt.pattern.exact:
		n.slash = append(n.slash, rt)
	default:
		n.exact = append(n.exact, rt)
	}
}

// shadowed reports routes that nothing can reach: their host is not among the
// trusted ones, or a route without a host is taken, for every trusted host, by
// one of the same shape that names the host. Everything else that could shadow
// a route is a conflict, and that is an error.
func shadowed(routes []*route, trusted hostList) []string {
	var out []string
	for _, rt := range routes {
		if own := endpointOver(routes, rt); own != "" {
			out = append(out, fmt.Sprintf("route %q never gets a GET: the gateway's own endpoint %q does, under every host", rt.Pattern, own))
		}
		if len(trusted) == 0 {
			continue
		}
		switch host := rt.pattern.host; {
		case host != "" && !trusted.overlaps(host):
			out = append(out, fmt.Sprintf("route %q is never reached: %q is not among the trusted hosts (%s)", rt.Pattern, host, strings.Join(trusted, ", ")))
		case host == "" && trusted.allTaken(routes, rt):
			out = append(out, fmt.Sprintf("route %q is never reached: routes that name the trusted hosts take all its requests", rt.Pattern))
		}
	}
	return out
}

// endpointOver finds the endpoint of the gateway's own that takes the place of
// a route which names a host. Without a host the two conflict.
func endpointOver(routes []*route, rt *route) string {
	if rt.internal || rt.pattern.host == "" {
		return ""
	}
	p := rt.pattern
	p.host = ""
	for _, own := range routes {
		if own.internal && own.pattern.shape() == p.shape() {
			return own.Pattern
		}
	}
	return ""
}

// hostList is the trusted hosts: exact names, or *.NAME.
type hostList []string

func (l hostList) has(name string) bool {
	for _, h := range l {
		if h == name || h == "*" || strings.HasPrefix(h, "*.") && strings.HasSuffix(name, h[1:]) {
			return true
		}
	}
	return false
}

// overlaps reports whether some name is both trusted and matched by a
// pattern's host.
func (l hostList) overlaps(host string) bool {
	if l.has(strings.TrimPrefix(host, "*.")) || l.has(host) {
		return true
	}
	return strings.HasPrefix(host, "*.") && slices.ContainsFunc(l, func(h string) bool { return strings.HasSuffix(h, host[1:]) })
}

// allTaken reports whether, for every trusted host, a route of rt's shape that
// names the host serves all of rt's methods.
func (l hostList) allTaken(routes []*route, rt *route) bool {
	for _, host := range l {
		p := rt.pattern
		p.host = host
		shape := p.shape()
		covered := slices.ContainsFunc(routes, func(other *route) bool {
			return other.pattern.shape() == shape &&
				!slices.ContainsFunc(rt.methods, func(m string) bool { return !other.serves(m) })
		})
		if !covered {
			return false
		}
	}
	return true
}

// lookup finds the route of a request. raw has passed checkPath, or failed it
// in a way that a route may waive.
func (t *table) lookup(method, host, raw string) match {
	var m match
	if m.find(t.internal, method, raw) {
		return m
	}
	m.allow = nil
	if len(t.hosts) > 0 || len(t.suffixes) > 0 {
		name := hostname(host)
		if n := t.hosts[name]; n != nil && m.find(n, method, raw) {
			return m
		}
		for rest := name; len(t.suffixes) > 0; {
			var ok bool
			if _, rest, ok = strings.Cut(rest, "."); !ok {
				break
			}
			if n := t.suffixes[rest]; n != nil && m.find(n, method, raw) {
				return m
			}
		}
	}
	if !m.find(t.any, method, raw) {
		m.values = nil
	}
	return m
}

// hostname takes the port from a Host and folds its case.
func hostname(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

func (m *match) find(root *node, method, raw string) bool {
	m.values = m.values[:0]
	return m.walk(root, method, raw, 0)
}

// walk tries literal, then {name}, then prefix, so that the most specific
// pattern wins. Each node of the tree is visited once at most, since it stands
// at one depth and the path has one segment there.
func (m *match) walk(n *node, method, raw string, at int) bool {
	if at >= len(raw) { // the path ends here, without a slash
		return m.take(n.exact, method, len(raw)) || m.take(n.prefix, method, len(raw))
	}
	if at == len(raw)-1 { // it ends in a slash
		if m.take(n.slash, method, len(raw)) || m.take(n.prefix, method, at) {
			return true
		}
	}
	seg, next := cutSegment(raw, at)
	if decoded, ok := unescape(seg); ok {
		if c := n.literals[decoded]; c != nil && m.walk(c, method, raw, next) {
			return true
		}
		if n.param != nil && decoded != "" {
			m.values = append(m.values, decoded)
			if m.walk(n.param, method, raw, next) {
				return true
			}
			m.values = m.values[:len(m.values)-1]
		}
	}
	return m.take(n.prefix, method, at)
}

// cutSegment returns the segment that begins after the slash at raw[at], and
// where the next slash is.
func cutSegment(raw string, at int) (seg string, next int) {
	seg = raw[at+1:]
	if i := strings.IndexByte(seg, '/'); i >= 0 {
		return seg[:i], at + 1 + i
	}
	return seg, len(raw)
}

// take chooses among routes of one pattern by method.
func (m *match) take(routes []*route, method string, rest int) bool {
	for _, rt := range routes {
		if rt.serves(method) {
			m.route, m.rest, m.allow = rt, rest, nil
			return true
		}
		for _, allowed := range rt.methods {
			if !slices.Contains(m.allow, allowed) {
				m.allow = append(m.allow, allowed)
			}
		}
	}
	return false
}

func (rt *route) serves(method string) bool {
	return slices.Contains(rt.methods, method)
}

// methodsOf lists what a Route serves, HEAD beside GET.
func methodsOf(methods []string) []string {
	if methods == nil {
		return forwardedMethods
	}
	out := slices.Clone(methods)
	if slices.Contains(out, http.MethodGet) && !slices.Contains(out, http.MethodHead) {
		out = append(out, http.MethodHead)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
