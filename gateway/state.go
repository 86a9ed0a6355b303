package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/rs/cors"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// state is everything that a request lives under, compiled from parts and
// immutable. A reload builds another one and swaps it in whole.
type state struct {
	*parts
	gateway   *Gateway
	table     *table
	cors      *cors.Cors
	headers   headerSet
	tracing   tracing
	services  map[string]*service
	guard     *safety.Guard    // the host's, with our signals filled in
	cache     *discovery.Cache // what the registry said last
	afterEdge http.Handler
	unmatched routeCounts
	origins   []string // that may open sockets

	addresses    *ratelimit.Memory // the address quota, always local
	crisisCap    *ratelimit.Memory // what one caller may have of the crisis lane
	quotaWarning *rarely
}

// rarely lets one of many through in a while.
type rarely struct{ last atomic.Int64 }

func (r *rarely) due(now time.Time, every time.Duration) bool {
	last := r.last.Load()
	return now.UnixNano()-last >= int64(every) && r.last.CompareAndSwap(last, now.UnixNano())
}

func typeName(v any) string { return fmt.Sprintf("%T", v) }

// assemble compiles parts, or returns every complaint about them.
func (g *Gateway) assemble(p *parts, before *state) (*state, error) {
	s := &state{
		parts:    p,
		gateway:  g,
		cors:     newCORS(p.cors),
		headers:  p.headers.compile(),
		tracing:  newTracing(p.tracer),
		origins:  append(append([]string(nil), p.cors.Origins...), p.webSocket.Origins...),
		services: map[string]*service{},
	}
	s.inherit(before)
	s.watchGuard()
	s.mayBeSeen()
	errs := []error{p.check()}
	routes, err := s.compileRoutes()
	errs = append(errs, err)
	if p.guard != nil {
		errs = append(errs, p.guard.Check())
	}
	if before != nil {
		errs = append(errs, p.sameAs(before.parts))
	}
	table, err := buildTable(routes, p.trustedHosts)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.table = table
	s.unmatched.done = p.metrics.Route("unmatched", "")
	s.afterEdge = chain(http.HandlerFunc(s.dispatch), p.slots[AfterEdge])
	return s, nil
}

// inherit keeps what must outlive a reload: counts of quotas that callers have
// used, so that a reload gives nobody a fresh bucket.
func (s *state) inherit(before *state) {
	if before != nil {
		s.keepParts(before.parts)
		s.cache, s.services = before.cache, maps.Clone(before.services)
		s.addresses, s.crisisCap, s.quotaWarning = before.addresses, before.crisisCap, before.quotaWarning
		return
	}
	s.keepParts(&parts{ready: &health.Ready{}, quotas: Quotas{Store: &ratelimit.Memory{}}})
	s.addresses, s.crisisCap, s.quotaWarning = &ratelimit.Memory{}, &ratelimit.Memory{}, &rarely{}
	s.cache = &discovery.Cache{Registry: s.registry, OnChange: s.gateway.instancesChanged}
}

// keepParts takes from others what the host left to us: the store of quotas
// and the gates of readiness.
func (s *state) keepParts(of *parts) {
	if s.quotas.Store == nil {
		s.quotas.Store = of.quotas.Store
	}
	if s.ready == nil {
		s.ready = of.ready
	}
}

// watchGuard makes the guard that requests meet: the host's own, sharing all
// that it remembers, with the gateway's signals where the host said nothing.
func (s *state) watchGuard() {
	if s.parts.guard == nil {
		return
	}
	g := s.parts.guard.With(safety.Rule{})
	if g.Subject == nil {
		g.Subject = subject
	}
	theirs := g.Observe
	g.Observe = func(o safety.Observation) {
		s.observe(o)
		if theirs != nil {
			theirs(o)
		}
	}
	s.guard = g
}

// mayBeSeen lets those see the health report's detail who may see the
// endpoints', unless the host has decided itself.
func (s *state) mayBeSeen() {
	if s.endpoints == nil {
		return
	}
	if s.monitor != nil && s.monitor.Detail == nil {
		s.monitor.Detail = s.gateway.maySee
	}
	if s.ready.Detail == nil {
		s.ready.Detail = s.gateway.maySee
	}
}

// sameAs checks that a reload leaves in place what runs between requests.
func (p *parts) sameAs(before *parts) error {
	var errs []error
	if p.monitor != before.monitor {
		errs = append(errs, errors.New("gateway: Reload cannot change the monitor; give it the one of New"))
	}
	if !sameRegistry(p.registry, before.registry) {
		errs = append(errs, errors.New("gateway: Reload cannot change the registry; give it the one of New"))
	}
	return errors.Join(errs...)
}

// sameRegistry compares registries as far as they can be compared: funcs
// cannot, and pass.
func sameRegistry(a, b discovery.Registry) bool {
	if typeName(a) != typeName(b) {
		return false
	}
	t := reflect.TypeOf(a)
	return !t.Comparable() || a == b
}

func (s *state) compileRoutes() ([]*route, error) {
	var errs []error
	var out []*route
	all := append([]Route(nil), s.parts.routes...)
	if s.endpoints != nil {
		all = append(s.endpoints.routes(s), all...)
	}
	for i := range all {
		rt, err := s.compileRoute(&all[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, rt)
	}
	return out, errors.Join(errs...)
}

func (s *state) compileRoute(src *Route) (*route, error) {
	errs := src.check()
	rt := &route{Route: *src, state: s}
	var err error
	if rt.pattern, err = parsePattern(src.Pattern); err != nil {
		errs = append(errs, err)
	}
	for _, seg := range rt.pattern.segments {
		if seg.name != "" {
			rt.names = append(rt.names, seg.name)
		}
	}
	rt.methods = methodsOf(src.Methods)
	rt.Timeouts = src.Timeouts.withDefaults()
	if rt.MaxBody == 0 {
		rt.MaxBody = defaultMaxBody
	}
	if rt.Allow == nil {
		rt.Allow = auth.Known
	}
	rt.public = rt.Allow == auth.Anyone // the policy itself, not one that calls itself so
	if err := rt.attachGuard(); err != nil {
		errs = append(errs, err)
	}
	if rt.Upgrade && rt.Handler != nil && s.parts.guard != nil && rt.Inspect.Inspected() {
		errs = append(errs, fmt.Errorf("gateway: route %q: what a Handler says on a socket cannot be inspected; name a Service, or say NotInspected and why", rt.Pattern))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.connect(rt)
	return rt, nil
}

// attachGuard gives the route its own guard. A gateway with a guard inspects
// every route that does not say NotInspected, and counts what passes there as
// skipped; the gateway's own endpoints carry nobody's words.
func (rt *route) attachGuard() error {
	if rt.state.guard == nil || rt.internal {
		return nil
	}
	rule := rt.Inspect
	if rule.Route == "" {
		rule.Route = rt.Pattern
	}
	if err := rule.Check(); err != nil {
		return fmt.Errorf("gateway: route %q: %w", rt.Pattern, err)
	}
	if !rule.Inspected() {
		rt.uninspected = rule.Skip
		return nil
	}
	rt.guard = rt.state.guard.With(rule)
	return nil
}

// connect joins the stages of a route to whoever serves it.
func (s *state) connect(rt *route) {
	last := rt.Handler
	if rt.Service != "" {
		rt.service = s.serviceNamed(rt.Service)
		last = http.HandlerFunc(rt.forward)
	}
	rt.counts.done = s.metrics.Route(rt.Pattern, rt.Service)
	last = chain(last, rt.Use)
	rt.last = chain(last, s.slots[AfterAdmit])
	rt.allowed = chain(http.HandlerFunc(rt.protect), s.slots[AfterAllow])
	if rt.internal {
		rt.last = last
	}
}

// chain wraps h; the first middleware is the outermost.
func chain(h http.Handler, mw []Middleware) http.Handler {
	for i := len(mw) - 1; i >= 0; i-- {
		h = mw[i](h)
	}
	return h
}
