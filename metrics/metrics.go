package metrics

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics counts what happens in one gateway. Make it with [New]; a nil one counts nothing.
type Metrics struct {
	families
	gatherer    prometheus.Gatherer // nil: the registry cannot be read through us
	service     string              // the service label of the tta_ names
	environment string
	born        time.Time

	words     words
	passed    cache[way, traffic] // relayed over WebSockets
	seen      cache[way, traffic] // inspected
	unseen    cache[way, traffic]
	ttaOpen   prometheus.Gauge
	open      atomic.Int64 // connections now
	sessions  level
	users     level
	services  statuses
	crises    rolling
	mitigated atomic.Int64 // interventions since New
}

// An Option of [New].
type Option func(*parts)

type parts struct {
	service, environment string
	gatherer             prometheus.Gatherer
	runtime              bool
}

// WithRuntime also registers Prometheus' collectors for the Go runtime and the process, unless the registry has them already. By
// default they are left to whoever owns the registry.
func WithRuntime() Option { return func(p *parts) { p.runtime = true } }

// WithGatherer says what [Metrics.Handler] shows. By default that is the registry, if it can be read, which a
// [prometheus.Registry] can and one wrapped with a prefix or labels cannot. nil = the default.
func WithGatherer(g prometheus.Gatherer) Option { return func(p *parts) { p.gatherer = g } }

// WithService sets the service label of the tta_ metrics. By default, and for "", it is "api-gateway".
func WithService(name string) Option { return func(p *parts) { p.service = name } }

// WithEnvironment sets the environment label of the tta_ metrics: what TTA_ENVIRONMENT says. By default, and for "", it is
// "development".
func WithEnvironment(name string) Option { return func(p *parts) { p.environment = name } }

// New registers the gateway's collectors with reg and returns what counts into them. A second New with the same registry counts into
// the same collectors, so two gateways of one process show their sums. A nil reg means a registry of its own, which
// [Metrics.Handler] shows. It fails when the registry has something else under one of the names; then nothing stays registered.
func New(reg prometheus.Registerer, opts ...Option) (*Metrics, error) {
	p := parts{}
	for _, o := range opts {
		if o != nil {
			o(&p)
		}
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	if p.gatherer == nil {
		p.gatherer, _ = reg.(prometheus.Gatherer)
	}
	return assemble(reg, p)
}

func assemble(reg prometheus.Registerer, p parts) (*Metrics, error) {
	r := &registration{reg: reg}
	m := &Metrics{
		families:    register(r),
		gatherer:    p.gatherer,
		service:     label(p.service, "api-gateway"),
		environment: label(p.environment, "development"),
		born:        time.Now(),
	}
	m.words.endpoint.most, m.words.service.most = mostEndpoints, mostServices
	if p.runtime {
		use(r, collectors.NewGoCollector())
		use(r, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	m.begin()
	return m, nil
}

// begin makes the series that alerts watch exist before anything happens: a counter that appears with the value 1 looks to rate() as
// if nothing had happened.
func (m *Metrics) begin() {
	m.active.Add(0)
	m.ttaOpen = m.ttaActive.WithLabelValues(m.service)
	m.ttaDisconnections.WithLabelValues(m.service).Add(0)
	for _, result := range []string{VerifySuccess, VerifyFailure, VerifyMissingPlayer} {
		m.ttaVerifications.WithLabelValues(m.service, result).Add(0)
	}
	for _, result := range []string{"success", "failure"} {
		m.reloads.WithLabelValues(result).Add(0)
	}
	m.selfTestFailures.Add(0)
}

// registration registers collectors, takes over those that are there already, and undoes its work if one fails.
type registration struct {
	reg  prometheus.Registerer
	made []prometheus.Collector
	errs []error
}

func use[C prometheus.Collector](r *registration, c C) C {
	err := r.reg.Register(c)
	if err == nil {
		r.made = append(r.made, c)
		return c
	}
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
		err = fmt.Errorf("%w, and is a %T", err, there.ExistingCollector)
	}
	r.errs = append(r.errs, err)
	return c
}

func (r *registration) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	for _, c := range r.made {
		r.reg.Unregister(c)
	}
	return fmt.Errorf("metrics: cannot register; give the gateway a registry in which these names are free: %w", errors.Join(r.errs...))
}
