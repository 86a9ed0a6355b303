package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/ratelimit"
)

// Gateway is the whole pipeline as one http.Handler. It is made by [New], is
// safe for simultaneous use, and must not be copied.
type Gateway struct {
	state   atomic.Pointer[state]
	sockets *sockets
	started time.Time

	reloading sync.Mutex // one reload at a time
	running   atomic.Bool
	healthMu  sync.Mutex                 // guards watched
	watched   map[string]map[string]bool // service → names of its instances' checks
}

// New makes a gateway of its parts. Without options it has no routes and
// answers 404. All complaints about the parts come back at once, joined.
// Nothing runs until [Gateway.Run] or [Gateway.Serve] is called, and a gateway
// that is not run serves all the same.
func New(opts ...Option) (*Gateway, error) {
	g := &Gateway{sockets: newSockets(), started: time.Now(), watched: map[string]map[string]bool{}}
	s, err := g.assemble(newParts(opts), nil)
	if err != nil {
		return nil, err
	}
	s.ready.Require("table", true)
	s.metrics.SafetyEnabled(s.guard != nil)
	s.showAdmission()
	g.state.Store(s)
	return g, nil
}

// showAdmission lets the metrics ask how full it is.
func (s *state) showAdmission() {
	if s.admission == nil {
		return
	}
	for _, lane := range lanes {
		s.metrics.Admission(lane.String(),
			func() int { return s.admission.InUse(lane) },
			func() int { return s.admission.Waiting(lane) })
	}
}

// Reload puts another table and other settings in the place of the present
// ones, all at once: opts are those that New would get. Requests under way end
// under what they began with; live sockets whose route still stands stay, and
// take new rules at their next message. An error means that nothing has
// changed.
//
// What runs between requests is not replaced: the registry and the monitor
// must be those of New, and services, background work and server settings stay
// as New had them.
func (g *Gateway) Reload(opts ...Option) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	before := g.state.Load()
	p := newParts(opts)
	s, err := g.assemble(p, before)
	before.metrics.Reload(err == nil)
	if err != nil {
		return err
	}
	s.ready.Require("table", true)
	g.state.Store(s)
	g.watchServices(s)
	g.sockets.reloaded(s)
	return nil
}

// upgradeRoute finds the route of a live socket.
func (s *state) upgradeRoute(pattern string) *route {
	for _, rt := range s.table.routes {
		if rt.Pattern == pattern && rt.Upgrade {
			return rt
		}
	}
	return nil
}

// Warnings lists routes that can never be reached, and why.
func (g *Gateway) Warnings() []string { return slices.Clone(g.state.Load().table.warnings) }

// ErrRunning is returned by Run and Serve of a gateway that already runs.
var ErrRunning = errors.New("gateway: already running")

// Run does the work between requests until ctx ends: it keeps instances fresh,
// asks after their health, and runs what WithBackground added. It blocks, and
// returns when all that it started has ended: nil after ctx ended, otherwise
// why it could not go on. A gateway that is not run still serves.
func (g *Gateway) Run(ctx context.Context) error {
	if !g.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer g.running.Store(false)
	return g.work(ctx)
}

// work is Run, once it is clear that nobody else does it.
func (g *Gateway) work(ctx context.Context) error {
	s := g.state.Load()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g.watchServices(s)
	var all sync.WaitGroup
	start := func(name string, run func(context.Context) error) {
		all.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("gateway: %s: %w", name, err))
			}
		})
	}
	start("registry", s.cache.Run)
	if s.monitor != nil {
		start("monitor", s.monitor.Run)
	}
	if t, ok := s.transport.(*Transport); ok {
		start("transport", t.Run)
	}
	for _, b := range s.background {
		start(b.name, b.run)
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// watchServices adds every service to the monitor and learns its instances.
func (g *Gateway) watchServices(s *state) {
	if s.monitor == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		svc := s.services[name]
		if g.watchOnce(name) {
			options := []health.CheckOption{}
			if !svc.Critical {
				options = append(options, health.Optional)
			}
			_ = s.monitor.Add(name, svc.check, options...) // taken only by a check that the host added itself
		}
		if all, _ := s.cache.Endpoints(context.Background(), name); len(all) > 0 {
			g.instancesChanged(name, all)
		}
	}
}

func (g *Gateway) watchOnce(name string) bool {
	g.healthMu.Lock()
	defer g.healthMu.Unlock()
	if g.watched[name] != nil {
		return false
	}
	g.watched[name] = map[string]bool{}
	return true
}

// instancesChanged is told by the cache of a service's new instances.
func (g *Gateway) instancesChanged(name string, all []*discovery.Endpoint) {
	s := g.state.Load()
	if s == nil || s.services[name] == nil {
		return
	}
	s.services[name].changed(all)
	if s.monitor == nil {
		return
	}
	g.healthMu.Lock()
	defer g.healthMu.Unlock()
	if known := g.watched[name]; known != nil {
		s.services[name].watchHealth(all, known)
	}
}

// Health is the handler of the health report, to mount where the host wants
// it; nothing is shown in detail but to those who may see it (see Endpoints).
func (g *Gateway) Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := g.state.Load().monitor
		if m == nil {
			m = &health.Monitor{}
		}
		m.Handler().ServeHTTP(w, r)
	})
}

// Metrics is the handler of the Prometheus text, without any check of who
// asks. 404 if the gateway has no metrics.
func (g *Gateway) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := g.state.Load().metrics
		if m == nil {
			http.NotFound(w, r)
			return
		}
		m.Handler().ServeHTTP(w, r)
	})
}

var anyBase = &url.URL{Scheme: "http", Host: "instance"}

var lanes = []ratelimit.Lane{ratelimit.Background, ratelimit.Normal, ratelimit.Therapeutic, ratelimit.Crisis}

// Explanation says which route a request takes, and why.
type Explanation struct {
	Route     string   `json:"route"`            // its pattern, "" if none
	Service   string   `json:"service"`          // who serves it, "" for a handler
	Target    string   `json:"target,omitempty"` // path and query as the service would see them
	Allow     string   `json:"allow,omitempty"`  // the policy
	Lane      string   `json:"lane,omitempty"`
	Inspected bool     `json:"inspected"`
	Upgrade   bool     `json:"upgrade"`
	Refused   string   `json:"refused,omitempty"` // the problem code, if it would not get as far as its route's policy
	Steps     []string `json:"steps"`             // in words, in order
}

// Explain says what would become of a request up to its route's policy. It
// counts nothing and asks no service.
func (g *Gateway) Explain(r *http.Request) Explanation {
	s := g.state.Load()
	x := &exchange{Context: r.Context(), state: s, raw: rawPath(r)}
	x.origin = s.proxies.origin(r)
	x.match = s.table.lookup(r.Method, r.Host, x.raw)
	x.w.ResponseWriter = discard{}
	var e Explanation
	e.say("address %s, scheme %s, host %q", x.client, x.scheme, hostname(r.Host))
	if p, err := s.malformed(x, r); p != nil {
		e.refuse(p, err)
		return e
	}
	rt := x.match.route
	if rt == nil {
		e.unmatched(x)
		return e
	}
	e.matched(rt, r, x)
	return e
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func (e *Explanation) say(format string, args ...any) {
	e.Steps = append(e.Steps, fmt.Sprintf(format, args...))
}

func (e *Explanation) refuse(p *problem, err error) {
	e.Refused = p.code
	if err != nil {
		e.say("refused with %d %s: %v", p.status, p.code, err)
		return
	}
	e.say("refused with %d %s", p.status, p.code)
}

func (e *Explanation) unmatched(x *exchange) {
	if len(x.match.allow) > 0 {
		e.say("the path has routes, but only for %s", strings.Join(x.match.allow, ", "))
		e.refuse(problemMethod, nil)
		return
	}
	e.say("no route has the path %s", x.raw)
	e.refuse(problemNotFound, nil)
}

func (e *Explanation) matched(rt *route, r *http.Request, x *exchange) {
	e.Route, e.Service, e.Allow, e.Lane = rt.Pattern, rt.Service, rt.Allow.String(), rt.Lane.String()
	e.Inspected, e.Upgrade = rt.guard != nil, rt.Upgrade
	e.say("route %s (%s): literal segments beat {name}, which beats a prefix; the longest prefix wins", rt.Pattern, rt.kind())
	for i, name := range rt.names {
		e.say("{%s} is %q", name, x.match.values[i])
	}
	e.say("allowed: %s; lane: %s", e.Allow, e.Lane)
	switch {
	case rt.guard != nil:
		e.say("inspected")
	case rt.uninspected != "":
		e.say("not inspected: %s", rt.uninspected)
	default:
		e.say("not inspected: no guard")
	}
	if rt.service != nil {
		e.Target = rt.target(r, x, anyBase).RequestURI()
		e.say("service %s gets %s", rt.Service, e.Target)
	}
}

func (rt *route) kind() string {
	switch {
	case rt.pattern.prefix:
		return "a prefix"
	case len(rt.names) > 0:
		return "with names"
	}
	return "literal"
}
