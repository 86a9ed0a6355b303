package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type Option func(*parts)
type parts struct{}

func WithRuntime() Option                       { return func(*parts) {} }
func WithGatherer(g prometheus.Gatherer) Option { return func(*parts) {} }
func WithService(name string) Option            { return func(*parts) {} }
func WithEnvironment(name string) Option        { return func(*parts) {} }

type Metrics struct{}
type Route struct{}

func New(reg prometheus.Registerer, opts ...Option) (*Metrics, error) { return &Metrics{}, nil }

func (m *Metrics) Route(endpoint, service string) *Route                           { return nil }
func (r *Route) Done(method string, status int, d time.Duration)                   {}
func (m *Metrics) ConnectionOpened()                                               {}
func (m *Metrics) ConnectionClosed()                                               {}
func (m *Metrics) WebSocketOpened(route, lane string)                              {}
func (m *Metrics) WebSocketClosed(route, lane string, code int)                    {}
func (m *Metrics) Message(route, direction string, n int)                          {}
func (m *Metrics) ServiceHealth(service string, well bool)                         {}
func (m *Metrics) ServiceGone(service string)                                      {}
func (m *Metrics) Crisis(severity, intervention string)                            {}
func (m *Metrics) RateLimited(scope, endpoint string)                              {}
func (m *Metrics) Auth(event, status string)                                       {}
func (m *Metrics) TokenVerified(result string)                                     {}
func (m *Metrics) PlayerID(endpoint string, present bool)                          {}
func (m *Metrics) Inspected(route, direction, transport string, bytes int64)       {}
func (m *Metrics) Skipped(route, direction, transport, reason string, bytes int64) {}
func (m *Metrics) Retry(service string)                                            {}
func (m *Metrics) BreakerState(service, from, to string)                           {}
func (m *Metrics) Ejected(service string, n int)                                   {}
func (m *Metrics) SessionsActive(n int)                                            {}
func (m *Metrics) UsersActive(n int)                                               {}
func (m *Metrics) Admission(lane string, inUse, queued int)                        {}
func (m *Metrics) SafetyEnabled(on bool)                                           {}
func (m *Metrics) SafetySelfTest(ok bool)                                          {}
func (m *Metrics) AuditHealth(well bool)                                           {}
func (m *Metrics) AuditRecord(outcome string)                                      {}
func (m *Metrics) Referral(severity string)                                        {}
func (m *Metrics) Reload(ok bool)                                                  {}
func (m *Metrics) BuildInfo(version, revision string)                              {}
func (m *Metrics) CrisisEvents24h() int                                            { return 0 }

type Facts struct {
	Version              string
	Uptime               func() time.Duration
	RateLimiting         func() bool
	TherapeuticSafety    func() bool
	ServiceDiscovery     func() bool
	ServiceHealth        func() map[string]string
	TherapeuticEndpoints func() map[string]string
	ActiveConnections    func() int
	Sessions             func() int
	CrisisEvents24h      func() int
	TextPath             string
}

func (m *Metrics) Handler() http.Handler                   { return http.NotFoundHandler() }
func (m *Metrics) Summary(f Facts) http.Handler            { return http.NotFoundHandler() }
func (m *Metrics) HealthMetrics(f Facts) http.Handler      { return http.NotFoundHandler() }
func (m *Metrics) TherapeuticMetrics(f Facts) http.Handler { return http.NotFoundHandler() }
func ByAccept(json, text http.Handler) http.Handler        { return json }
