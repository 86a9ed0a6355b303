package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/metrics"
)

// service is who serves a Route's Service: its instances, how one of them is
// chosen, and what is known of them.
type service struct {
	Service
	name    string
	cache   *discovery.Cache
	monitor *health.Monitor
	metrics *metrics.Metrics
	budget  *retryBudget
	carrier carrier
	outlier *health.Outlier // nil: instances are not compared

	mu    sync.Mutex // guards known
	known map[string]*discovery.Endpoint
}

// instance is what the gateway hangs on an endpoint for as long as it lives.
type instance struct {
	breaker *health.Breaker // nil: none
	member  *health.Member  // among its neighbours; nil: not compared
	check   string          // its name in the monitor, "" if it is not asked
	base    *url.URL        // where it is dialled
}

// Errors of picking, told apart because the caller is told apart too.
var (
	errNoInstance  = errors.New("gateway: no instance is registered")
	errBreakerOpen = errors.New("gateway: the breakers of all instances are open")
	errAllTried    = errors.New("gateway: every instance has been tried")
)

// serviceNamed makes the service of that name, or keeps the one of before a
// reload, with what it knows of its instances.
func (s *state) serviceNamed(name string) *service {
	if svc := s.services[name]; svc != nil {
		return svc
	}
	settings := s.parts.services[name]
	if settings.Balancer == nil {
		settings.Balancer = discovery.NewLeastLoaded()
	}
	if settings.Transport == nil {
		settings.Transport = s.transport
	}
	if settings.Breaker == nil {
		settings.Breaker = func(string) *health.Breaker { return &health.Breaker{} }
	}
	if settings.Outlier == nil {
		settings.Outlier = func() *health.Outlier { return &health.Outlier{} }
	}
	switch {
	case settings.Retries == 0:
		settings.Retries = 2
	case settings.Retries < 0:
		settings.Retries = 0
	}
	svc := &service{
		Service: settings,
		name:    name,
		cache:   s.cache,
		monitor: s.monitor,
		metrics: s.metrics,
		budget:  newRetryBudget(settings.RetryShare),
		carrier: newCarrier(settings.Transport, settings.Protocol),
		outlier: settings.Outlier(),
		known:   map[string]*discovery.Endpoint{},
	}
	svc.watchOutliers()
	s.services[name] = svc
	return svc
}

// watchOutliers lets the metrics know who stands out, and lets who returns
// begin slowly.
func (svc *service) watchOutliers() {
	if svc.outlier == nil {
		return
	}
	theirs := svc.outlier.OnChange
	svc.outlier.OnChange = func(instance string, ejected bool) {
		svc.metrics.Ejected(svc.name, len(svc.outlier.Ejected()))
		if !ejected {
			svc.warm(instance)
		}
		if theirs != nil {
			theirs(instance, ejected)
		}
	}
}

// warm gives an instance that recovered its share of the work little by
// little.
func (svc *service) warm(id string) {
	svc.mu.Lock()
	ep := svc.known[id]
	svc.mu.Unlock()
	if ep != nil && svc.SlowStart > 0 {
		ep.Warm(svc.SlowStart)
	}
}

// changed is told of the service's instances, whenever they change. Who joins
// others begins slowly; those who find the service empty must take it all.
func (svc *service) changed(all []*discovery.Endpoint) {
	now := make(map[string]*discovery.Endpoint, len(all))
	for _, ep := range all {
		now[ep.ID] = ep
	}
	svc.mu.Lock()
	before := svc.known
	svc.known = now
	svc.mu.Unlock()
	for id, ep := range now {
		if !isAmong(before, id, ep) && len(before) > 0 && svc.SlowStart > 0 {
			ep.Warm(svc.SlowStart)
		}
	}
	for id, ep := range before {
		if !isAmong(now, id, ep) {
			svc.left(ep)
		}
	}
}

func isAmong(known map[string]*discovery.Endpoint, id string, ep *discovery.Endpoint) bool {
	other := known[id]
	return other != nil && other.Same(ep)
}

// left forgets an instance that is gone.
func (svc *service) left(ep *discovery.Endpoint) {
	inst := svc.of(ep)
	inst.member.Leave()
	if inst.breaker != nil {
		svc.metrics.BreakerState(svc.name, inst.breaker.State().String(), "")
	}
}

// of returns what is known of an endpoint.
func (svc *service) of(ep *discovery.Endpoint) *instance {
	return ep.Kept(svc.meet).(*instance)
}

func (svc *service) meet(ep *discovery.Endpoint) any {
	inst := &instance{breaker: svc.Breaker(ep.ID), base: dialled(ep.Instance)}
	if svc.outlier != nil {
		inst.member = svc.outlier.Join(ep.ID)
	}
	svc.watchBreaker(inst.breaker, ep.ID)
	if svc.HealthPath != "" && svc.monitor != nil {
		inst.check = instanceCheck(svc.name, ep.Instance)
	}
	return inst
}

// watchBreaker lets the metrics know of a breaker, and lets who recovered begin
// slowly.
func (svc *service) watchBreaker(b *health.Breaker, id string) {
	if b == nil {
		return
	}
	svc.metrics.BreakerState(svc.name, "", b.State().String())
	theirs := b.OnChange
	b.OnChange = func(from, to health.State) {
		svc.metrics.BreakerState(svc.name, from.String(), to.String())
		if to == health.Closed {
			svc.warm(id)
		}
		if theirs != nil {
			theirs(from, to)
		}
	}
}

// dialled is the URL of an instance with the address that was checked when it
// registered in the place of its name: a name whose answer changes afterwards
// leads nowhere else. With TLS the certificate binds the name, and it stays.
func dialled(i discovery.Instance) *url.URL {
	if len(i.Addrs) == 0 || i.URL.Scheme != "http" {
		return i.URL
	}
	u := *i.URL
	u.Host = i.Addrs[0].String()
	if i.Addrs[0].Is6() {
		u.Host = "[" + u.Host + "]"
	}
	if port := i.URL.Port(); port != "" {
		u.Host += ":" + port
	}
	return &u
}

// instanceCheck names an instance in the health report: the service, and where
// the instance is, which is what an operator looks for.
func instanceCheck(service string, i discovery.Instance) string {
	return service + "@" + i.URL.Host + strings.TrimSuffix(i.URL.Path, "/")
}

// pick chooses an instance that is well, lets us in, and has not been tried.
// What is known of instances can be wrong, and somebody must answer: those that
// the active checks or the comparison hold for ill are asked where nobody else
// is left. An open breaker is respected, except by force, for a request of the
// crisis lane, and then too only where nobody else is left.
func (svc *service) pick(r *http.Request, tried []*discovery.Endpoint, force bool) (*discovery.Endpoint, health.Ticket, error) {
	all, err := svc.cache.Endpoints(r.Context(), svc.name)
	if err != nil && len(all) == 0 {
		return nil, health.Ticket{}, fmt.Errorf("%w for %s: %w", errNoInstance, svc.name, err)
	}
	if len(all) == 0 {
		return nil, health.Ticket{}, fmt.Errorf("%w for %s", errNoInstance, svc.name)
	}
	refused := tried
	for range len(all) + 1 {
		candidates, trust := svc.candidates(all, refused, force)
		if len(candidates) == 0 {
			break
		}
		ep := svc.Balancer.Pick(r, candidates)
		if ep == nil {
			break
		}
		ticket, err := svc.of(ep).acquire(trust == anybody)
		if err == nil {
			return ep, ticket, nil
		}
		refused = append(slices.Clip(refused), ep)
	}
	if len(tried) > 0 && !slices.ContainsFunc(all, func(ep *discovery.Endpoint) bool { return !slices.ContainsFunc(tried, ep.Same) }) {
		return nil, health.Ticket{}, errAllTried
	}
	return nil, health.Ticket{}, fmt.Errorf("%w: %s", errBreakerOpen, svc.name)
}

func (i *instance) acquire(force bool) (health.Ticket, error) {
	if i.breaker == nil {
		return health.Ticket{}, nil
	}
	return i.breaker.Acquire(force)
}

// trust is how much an instance must be trusted to be a candidate.
type trust int

const (
	theWell trust = iota // nothing is said against it
	theOpen              // its breaker lets in, whatever checks and comparison say
	anybody              // by force
	trustEnd
)

// candidates are those of the highest trust that anybody has, without those
// who were refused. Where all are well, which is nearly always, it allocates
// nothing.
func (svc *service) candidates(all, refused []*discovery.Endpoint, force bool) ([]*discovery.Endpoint, trust) {
	if len(refused) == 0 && svc.allWell(all) {
		return all, theWell
	}
	for t := theWell; t < trustEnd && (t < anybody || force); t++ {
		var out []*discovery.Endpoint
		for _, ep := range all {
			if svc.trusted(ep, t) && !slices.ContainsFunc(refused, ep.Same) {
				out = append(out, ep)
			}
		}
		if len(out) > 0 {
			return out, t
		}
	}
	return nil, anybody
}

func (svc *service) allWell(all []*discovery.Endpoint) bool {
	for _, ep := range all {
		if !svc.trusted(ep, theWell) {
			return false
		}
	}
	return true
}

func (svc *service) trusted(ep *discovery.Endpoint, t trust) bool {
	inst := svc.of(ep)
	if t == anybody {
		return true
	}
	if t == theWell && (inst.check != "" && !svc.monitor.Well(inst.check) || !inst.member.Available()) {
		return false
	}
	return inst.breaker == nil || inst.breaker.Available()
}

// retryAfter is when the first of the breakers will let somebody in.
func (svc *service) retryAfter(r *http.Request) time.Duration {
	all, _ := svc.cache.Endpoints(r.Context(), svc.name)
	soonest := time.Duration(0)
	for _, ep := range all {
		if b := svc.of(ep).breaker; b != nil {
			if d := b.RetryAfter(); soonest == 0 || d < soonest {
				soonest = d
			}
		}
	}
	return max(soonest, time.Second)
}

// watchHealth adds the service's checks to the monitor and keeps those of its
// instances in step with the registry. It is called with each change.
func (svc *service) watchHealth(all []*discovery.Endpoint, known map[string]bool) {
	now := map[string]bool{}
	for _, ep := range all {
		name := svc.of(ep).check
		if name == "" || now[name] {
			continue
		}
		now[name] = true
		if !known[name] {
			url := strings.TrimSuffix(svc.of(ep).base.String(), "/") + svc.HealthPath
			_ = svc.monitor.Add(name, health.HTTPCheck(&http.Client{Transport: svc.carrier}, url), health.Optional)
		}
	}
	for name := range known {
		if !now[name] {
			svc.monitor.Remove(name)
		}
	}
	clear(known)
	for name := range now {
		known[name] = true
	}
}

// check says whether anybody serves the service. It asks nobody itself: it
// reads what the instances' own checks found.
func (svc *service) check(ctx context.Context) error {
	err := svc.anyWell(ctx)
	svc.metrics.ServiceHealth(svc.name, err == nil)
	return err
}

func (svc *service) anyWell(ctx context.Context) error {
	all, err := svc.cache.Endpoints(ctx, svc.name)
	if len(all) == 0 {
		return errors.Join(errNoInstance, err)
	}
	for _, ep := range all {
		if inst := svc.of(ep); inst.check == "" || svc.monitor.Well(inst.check) {
			return nil
		}
	}
	return fmt.Errorf("gateway: none of the %d instances of %s is well", len(all), svc.name)
}
