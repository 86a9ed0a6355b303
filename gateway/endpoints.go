package gateway

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway/openapi"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/safety"
)

// Endpoints are the gateway's own: GET /, /help, /health/, /health/live,
// /health/ready, /metrics/, /metrics/prometheus, /metrics/health-metrics,
// /metrics/therapeutic-metrics, and, in Debug, /docs and /openapi.json. They
// are answered for any host, without quota, and a probe that went well writes
// no log line.
//
// Everybody sees /, /help, the status of /health/, live and ready. Metrics,
// the health report's detail and /explain are shown only to those who may see
// detail: direct callers from this machine (loopback, and no forwarding field
// in the request), addresses in Allow, bearers of Token, and callers of the
// role Role. Crisis counts of a small clinic are personal data.
type Endpoints struct {
	// Name and Version are what GET / says. Empty means "TTA API Gateway" and
	// "dev".
	Name, Version string
	// Debug serves /docs and /openapi.json.
	Debug bool
	// Allow are the addresses whose callers see detail. None by default.
	Allow []netip.Prefix
	// Token lets its bearer see detail. Empty means that there is none.
	Token string
	// Role lets its callers see detail. Empty means "admin".
	Role string
	// PrometheusPath is a further path of the Prometheus text, beside
	// /metrics/prometheus. If it is /metrics, Accept decides there between
	// text and JSON.
	PrometheusPath string
	// Registrations, if set, lets services register themselves, below
	// /registry/: whoever may do that gets people's words. So it is open only to
	// bearers of RegistryToken, to callers of the role Role, and on the admin
	// listener; to see detail is not enough.
	Registrations discovery.Registrar
	// RegistryToken lets its bearer register instances. Empty means that there
	// is none.
	RegistryToken string
	// RateLimiting, Safety and Discovery are told in GET /metrics/: whether
	// the host switched them on.
	RateLimiting, Safety, Discovery bool
	// Help is the path of the standing help page. Empty means "/help".
	Help string
}

// WithEndpoints serves the gateway's own endpoints. By default there are none.
func WithEndpoints(e Endpoints) Option {
	return func(p *parts) { p.endpoints = &e }
}

func (e *Endpoints) check() []error {
	var errs []error
	for what, path := range map[string]string{"PrometheusPath": e.PrometheusPath, "Help": e.Help} {
		if path != "" && (path[0] != '/' || strings.ContainsAny(path, "{}")) {
			errs = append(errs, fmt.Errorf("gateway: endpoints: %s %q must be a plain path that begins with a slash", what, path))
		}
	}
	return errs
}

func (e *Endpoints) withDefaults() Endpoints {
	out := *e
	out.Name = orString(out.Name, "TTA API Gateway")
	out.Version = orString(out.Version, "dev")
	out.Role = orString(out.Role, "admin")
	out.Help = orString(out.Help, "/help")
	return out
}

func orString(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// routes are the endpoints as routes of the table, so that they conflict,
// shadow and explain like all others.
func (e *Endpoints) routes(s *state) []Route {
	all := e.withDefaults()
	*e = all
	d := desk{s: s, e: e}
	open := func(pattern, docs string, h http.Handler) Route {
		return Route{Pattern: pattern, Methods: []string{http.MethodGet}, Handler: h, Allow: auth.Anyone, internal: true, quiet: true, docs: docs}
	}
	guarded := func(pattern, docs string, h http.Handler) Route {
		rt := open(pattern, docs, d.only(d.maySee, h))
		rt.quiet = false
		return rt
	}
	g := s.gateway
	out := []Route{
		open("/{$}", "What this is", http.HandlerFunc(d.root)),
		open(e.Help, "Where to find help in a crisis", safety.HelpPage(s.guard)),
		open("/health/{$}", "Health report; detail for insiders", g.Health()),
		open("/health", "Health report; detail for insiders", g.Health()),
		open("/health/live", "Liveness", health.Live()),
		open("/health/ready", "Readiness", s.ready.Handler()),
		guarded("/metrics/{$}", "Summary of figures", d.summary()),
		guarded("/metrics/prometheus", "Prometheus text", g.Metrics()),
		guarded("/metrics/health-metrics", "Figures of health", s.metrics.HealthMetrics(d.facts())),
		guarded("/metrics/therapeutic-metrics", "Figures of safety", s.metrics.TherapeuticMetrics(d.facts())),
		guarded("/explain", "Which route a path takes, and why", http.HandlerFunc(d.explain)),
	}
	if p := e.PrometheusPath; p == "/metrics" || p == "" {
		out = append(out, guarded("/metrics", "Figures, by Accept", metrics.ByAccept(d.summary(), g.Metrics())))
	} else if p != "/metrics/prometheus" {
		out = append(out, guarded("/metrics", "Summary of figures", d.summary()), guarded(p, "Prometheus text", g.Metrics()))
	}
	if e.Debug {
		out = append(out,
			open("/openapi.json", "This table as OpenAPI 3.1", http.HandlerFunc(d.openAPI)),
			open("/docs", "This table as a page", openapi.Page("/openapi.json")))
	}
	if e.Registrations != nil {
		registry := http.StripPrefix("/registry", &discovery.Handler{Registrar: e.Registrations, ErrorHandler: d.unregistered})
		out = append(out, Route{Pattern: "/registry/", Handler: d.only(d.mayRegister, registry), Allow: auth.Anyone, internal: true, docs: "Services register themselves"})
	}
	return out
}

// desk answers for the endpoints.
type desk struct {
	s *state
	e *Endpoints
}

// unregistered refuses a registration in the one shape, with every complaint.
func (d desk) unregistered(w http.ResponseWriter, r *http.Request, err error) {
	p := *problemRegistration
	p.status = discovery.Status(err)
	d.s.refuseWith(w, r, &p, err, map[string]any{"complaints": discovery.Complaints(err)})
}

// only lets through those who may.
func (d desk) only(may func(*http.Request) bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if may(r) {
			w.Header()["Cache-Control"] = noStore
			h.ServeHTTP(w, r)
			return
		}
		err := auth.ErrUnauthenticated
		if exchangeOf(r).identity.Known() {
			err = auth.ErrForbidden
		}
		w.Header()["Www-Authenticate"] = []string{auth.Challenge(d.s.realm, err)}
		d.s.refuse(w, r, authProblem(err), nil)
	})
}

// maySee decides by the settings of now, for parts that outlive a reload.
func (g *Gateway) maySee(r *http.Request) bool {
	s := g.state.Load()
	return s.endpoints != nil && desk{s: s, e: s.endpoints}.maySee(r)
}

// maySee reports whether a caller may see detail.
func (d desk) maySee(r *http.Request) bool {
	if r.Context().Value(adminKey{}) != nil { // the admin listener
		return true
	}
	x := exchangeOf(r)
	if x == nil {
		return false
	}
	if peer := peerAddr(r.RemoteAddr); peer.IsLoopback() && direct(r) && local(r) {
		return true
	}
	for _, p := range d.e.Allow {
		if p.Contains(x.client) {
			return true
		}
	}
	return d.bears(r, x, d.e.Token)
}

// mayRegister reports whether a caller may say where services are.
func (d desk) mayRegister(r *http.Request) bool {
	if r.Context().Value(adminKey{}) != nil {
		return true
	}
	x := exchangeOf(r)
	return x != nil && d.bears(r, x, d.e.RegistryToken)
}

// direct reports that nobody says to have forwarded the request: a proxy on
// this machine makes everybody look like loopback.
func direct(r *http.Request) bool {
	for _, name := range []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
		"X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "Via",
	} {
		if r.Header[name] != nil {
			return false
		}
	}
	return true
}

// local reports that a caller on this machine asked for this machine, and that
// no page of somebody else's made him ask: a name that is bound anew to
// 127.0.0.1 (DNS rebinding) comes with that name in Host.
func local(r *http.Request) bool {
	host := hostname(r.Host)
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return false
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return originMayConnect(r, "http", nil) && (site == "" || site == "none" || site == "same-origin")
}

// bears reports whether the caller bears the token want, or is of the role.
func (d desk) bears(r *http.Request, x *exchange, want string) bool {
	token, err := auth.Bearer(r)
	if err != nil || token == "" {
		return false
	}
	if want != "" && subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1 {
		return true
	}
	if d.s.authenticator == nil {
		return false
	}
	if id, err := d.s.authenticator.Authenticate(r); err == nil {
		x.identity = id
		return id.HasRole(d.e.Role)
	}
	return false
}

func (d desk) root(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"service":     d.e.Name,
		"version":     d.e.Version,
		"status":      "operational",
		"description": "The way in to the Therapeutic Text Adventure",
		"help":        d.e.Help,
	})
}

func (d desk) openAPI(w http.ResponseWriter, _ *http.Request) {
	doc, err := openapi.Document(openapi.Info{Title: d.e.Name, Version: d.e.Version}, d.s.gateway.operations())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(doc)
}

// explain answers GET /explain?method=POST&path=/api/v1/gameplay/message.
func (d desk) explain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	method := orString(q.Get("method"), http.MethodGet)
	probe, err := http.NewRequestWithContext(r.Context(), method, "http://"+orString(q.Get("host"), r.Host)+"/", nil)
	if err != nil {
		d.s.refuse(w, r, problemPath, err)
		return
	}
	probe.RequestURI = orString(q.Get("path"), "/")
	if u, err := probe.URL.Parse(probe.RequestURI); err == nil {
		probe.URL = u
	}
	probe.RemoteAddr = r.RemoteAddr
	writeJSON(w, d.s.gateway.Explain(probe))
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}

func (d desk) summary() http.Handler { return d.s.metrics.Summary(d.facts()) }

// facts are what the summaries tell; every figure is looked up when it is
// asked for.
func (d desk) facts() metrics.Facts {
	g := d.s.gateway
	return metrics.Facts{
		Version:              d.e.Version,
		Uptime:               func() time.Duration { return time.Since(g.started) },
		RateLimiting:         func() bool { return d.e.RateLimiting },
		TherapeuticSafety:    func() bool { return d.e.Safety },
		ServiceDiscovery:     func() bool { return d.e.Discovery },
		ServiceHealth:        g.serviceHealth,
		TherapeuticEndpoints: g.therapeuticEndpoints,
		TextPath:             "/metrics/prometheus",
	}
}

func (g *Gateway) serviceHealth() map[string]string {
	s := g.state.Load()
	out := map[string]string{}
	for name, svc := range s.services {
		out[name] = svc.status()
	}
	return out
}

// status of a service as its instances' checks have it: unknown if nobody asks
// them.
func (svc *service) status() string {
	switch {
	case svc.monitor == nil || svc.HealthPath == "":
		return health.Unknown
	case svc.monitor.Well(svc.name):
		return health.Healthy
	}
	return health.Unhealthy
}

func (g *Gateway) therapeuticEndpoints() map[string]string {
	out := map[string]string{}
	for _, rt := range g.state.Load().table.routes {
		if rt.service != nil && rt.Lane > 0 {
			out[rt.Pattern] = rt.service.status()
		}
	}
	return out
}

type adminKey struct{}

// Admin is the gateway with everything its endpoints have to show, for a
// listener that only operators can reach. It serves no routes but the
// endpoints.
func (g *Gateway) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := g.state.Load()
		if m := s.table.lookup(r.Method, r.Host, rawPath(r)); m.route != nil && !m.route.internal {
			http.NotFound(w, r)
			return
		}
		g.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), adminKey{}, true)))
	})
}

// operations describes the table for OpenAPI and for printing.
func (g *Gateway) operations() []openapi.Operation {
	var out []openapi.Operation
	for _, rt := range g.state.Load().table.routes {
		out = append(out, rt.operation())
	}
	return out
}

func (rt *route) operation() openapi.Operation {
	op := openapi.Operation{
		Host:     rt.pattern.host,
		Path:     rt.Pattern[strings.IndexByte(rt.Pattern, '/'):],
		Methods:  rt.methods,
		Service:  rt.Service,
		Policy:   rt.Allow.String(),
		Public:   rt.public,
		Lane:     rt.Lane.String(),
		Upgrade:  rt.Upgrade,
		MaxBody:  max(rt.MaxBody, 0),
		Summary:  rt.docs,
		Internal: rt.internal,
	}
	switch {
	case rt.guard != nil:
		op.Inspected = true
	case rt.uninspected != "":
		op.NotInspected = rt.uninspected
	}
	return op
}
