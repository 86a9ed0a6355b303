package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

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
}

// instance is what the gateway hangs on an endpoint for as long as it lives.
type instance struct {
	breaker *health.Breaker // nil: none
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
		budget:  newRetryBudget(),
	}
	s.services[name] = svc
	return svc
}

// of returns what is known of an endpoint.
func (svc *service) of(ep *discovery.Endpoint) *instance {
	return ep.Kept(svc.meet).(*instance)
}

func (svc *service) meet(ep *discovery.Endpoint) any {
	inst := &instance{breaker: svc.Breaker(ep.ID), base: dialled(ep.Instance)}
	if svc.HealthPath != "" && svc.monitor != nil {
		inst.check = instanceCheck(svc.name, ep.Instance)
	}
	return inst
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
// If the active checks hold none for well, those that the breakers let in are
// asked all the same: checks can be wrong, and nobody else is there. force
// passes open breakers, for a request of the crisis lane.
func (svc *service) pick(r *http.Request, tried []*discovery.Endpoint, force bool) (*discovery.Endpoint, health.Ticket, error) {
	all, err := svc.cache.Endpoints(r.Context(), svc.name)
	if err != nil && len(all) == 0 {
		return nil, health.Ticket{}, fmt.Errorf("%w for %s: %w", errNoInstance, svc.name, err)
	}
	if len(all) == 0 {
		return nil, health.Ticket{}, fmt.Errorf("%w for %s", errNoInstance, svc.name)
	}
	open := false
	for range len(all) + 1 {
		candidates := svc.candidates(all, tried, force)
		if len(candidates) == 0 {
			break
		}
		ep := svc.Balancer.Pick(r, candidates)
		if ep == nil {
			break
		}
		ticket, err := svc.of(ep).acquire(force)
		if err == nil {
			return ep, ticket, nil
		}
		open, tried = true, append(slices.Clip(tried), ep)
	}
	if !open && len(tried) > 0 {
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

// candidates leaves out who was tried and who is not well. Where all are well,
// which is nearly always, it allocates nothing.
func (svc *service) candidates(all, tried []*discovery.Endpoint, force bool) []*discovery.Endpoint {
	if len(tried) == 0 && !slices.ContainsFunc(all, func(ep *discovery.Endpoint) bool { return !svc.usable(ep, force, true) }) {
		return all
	}
	for _, checked := range []bool{true, false} {
		var out []*discovery.Endpoint
		for _, ep := range all {
			if svc.usable(ep, force, checked) && !slices.ContainsFunc(tried, ep.Same) {
				out = append(out, ep)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func (svc *service) usable(ep *discovery.Endpoint, force, checked bool) bool {
	inst := svc.of(ep)
	if checked && inst.check != "" && !svc.monitor.Well(inst.check) {
		return false
	}
	return force || inst.breaker == nil || inst.breaker.Available()
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
			_ = svc.monitor.Add(name, health.HTTPCheck(&http.Client{Transport: svc.Transport}, url), health.Optional)
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

// retryBudget bounds retries to a fifth of the requests, or three a second
// where there are few, so that an outage is not answered by a storm.
type retryBudget struct {
	saved atomic.Int64 // thousandths of a retry
	floor *rate.Limiter
}

const (
	retryShare   = 200     // thousandths of a retry that each request earns
	retrySavings = 100_000 // the most that is saved up
)

func newRetryBudget() *retryBudget {
	return &retryBudget{floor: rate.NewLimiter(3, 10)}
}

// earn counts a request.
func (b *retryBudget) earn() {
	if b.saved.Load() < retrySavings {
		b.saved.Add(retryShare)
	}
}

// spend asks for a retry.
func (b *retryBudget) spend() bool {
	if b.saved.Add(-1000) >= 0 {
		return true
	}
	b.saved.Add(1000)
	return b.floor.Allow()
}
