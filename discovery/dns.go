package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Defaults of [DNS].
const (
	DefaultDNSRefresh      = 10 * time.Second
	DefaultMaxDNSInstances = 64
)

// DNS is a Registry and a Lister of services that stand in the DNS: headless
// services of Kubernetes, Consul, or plain records. It is made by [NewDNS]; its
// fields may be set before first use. It is safe for simultaneous use.
//
// Answers are kept for Refresh, since a resolver does not tell their lifetime.
// When a name cannot be resolved, the last good answer stays and comes with an
// error that wraps [ErrStale]; a name that exists no more counts as such a
// failure, because a resolver that has just started says that too.
type DNS struct {
	// Resolver is asked. Nil means [net.DefaultResolver].
	Resolver Resolver
	// Refresh is how long an answer is used. Zero means [DefaultDNSRefresh].
	Refresh time.Duration
	// Timeout bounds each question. Zero means [DefaultTimeout].
	Timeout time.Duration
	// MaxInstances bounds the instances of one service: of a longer answer the
	// first so many, in the order of their IDs, are used. Zero means
	// [DefaultMaxDNSInstances].
	MaxInstances int

	names map[string]*dnsName
}

// dnsName is one service's name in the DNS, and what it last resolved to.
type dnsName struct {
	service string
	url     *url.URL
	srv     bool

	turn  chan struct{} // holds one token: the right to ask
	mu    sync.Mutex    // guards the fields below
	last  []Instance
	until time.Time
	err   error // of the last question
}

// NewDNS returns a registry of services by URL. Two forms of URL are known:
//
//	http://chat.internal:8080          each A and AAAA record is an instance
//	srv+http://_http._tcp.chat.internal   each SRV record is one
//
// and their https twins. With https, the addresses of a name are one instance,
// because certificates are for names; SRV records give a name each. The error
// joins every complaint.
func NewDNS(urls map[string]string) (*DNS, error) {
	d := &DNS{names: map[string]*dnsName{}}
	var errs []error
	for _, service := range slices.Sorted(maps.Keys(urls)) {
		n, err := parseDNSName(service, urls[service])
		if err != nil {
			errs = append(errs, fmt.Errorf("service %q: %w", service, err))
			continue
		}
		d.names[service] = n
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return d, nil
}

func parseDNSName(service, raw string) (*dnsName, error) {
	raw, srv := strings.CutPrefix(raw, "srv+")
	u, err := ParseURL(raw)
	if err := errors.Join(checkName("service", service), err); err != nil {
		return nil, err
	}
	if srv && u.Port() != "" {
		return nil, invalid("url of an SRV name has a port: remove it, the records name the ports")
	}
	return &dnsName{service: service, url: u, srv: srv, turn: make(chan struct{}, 1)}, nil
}

// Services implements [Lister].
func (d *DNS) Services(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(d.names)), nil
}

// Instances implements [Registry].
func (d *DNS) Instances(ctx context.Context, service string) ([]Instance, error) {
	n := d.names[service]
	if n == nil {
		return nil, UnknownService(service)
	}
	if all, err, ok := n.fresh(); ok {
		return all, err
	}
	select { // one question at a time; the others wait for its answer
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if all, err, ok := n.fresh(); ok {
		return all, err
	}
	return d.ask(ctx, n)
}

// fresh returns the last answer while it may be used.
func (n *dnsName) fresh() ([]Instance, error, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.last), n.err, time.Now().Before(n.until)
}

// ask resolves n and takes the answer. A failure is kept for a tenth of the
// time that an answer is, so that a dead resolver is not asked per request.
func (d *DNS) ask(ctx context.Context, n *dnsName) ([]Instance, error) {
	asking, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, DefaultTimeout))
	defer cancel()
	all, err := d.resolve(asking, n)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err() // our caller left; that says nothing of the name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	refresh := cmp.Or(d.Refresh, DefaultDNSRefresh)
	if err == nil {
		n.last, n.err, n.until = all, nil, time.Now().Add(refresh)
	} else {
		n.err, n.until = n.failure(err), time.Now().Add(refresh/10)
	}
	return slices.Clone(n.last), n.err
}

// failure requires that n.mu is held.
func (n *dnsName) failure(err error) error {
	if len(n.last) > 0 {
		err = fmt.Errorf("%w: %w", ErrStale, err)
	}
	return fmt.Errorf("discovery: service %q: %w", n.service, err)
}

func (d *DNS) resolve(ctx context.Context, n *dnsName) ([]Instance, error) {
	find := d.resolveAddresses
	if n.srv {
		find = d.resolveSRV
	}
	all, err := find(ctx, n)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
	all = slices.CompactFunc(all, func(a, b Instance) bool { return a.ID == b.ID })
	return all[:min(len(all), cmp.Or(d.MaxInstances, DefaultMaxDNSInstances))], nil
}

// resolveAddresses makes an instance of each address, or one of all for https.
func (d *DNS) resolveAddresses(ctx context.Context, n *dnsName) ([]Instance, error) {
	host := n.url.Hostname()
	ips := []netip.Addr{}
	if ip, ok := hostAddr(host); ok {
		ips = append(ips, ip)
	} else if found, err := orDefault(d.Resolver).LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	} else {
		ips = append(ips, found...)
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("name %q has no address", host)
	}
	return n.atAddresses(ips)
}

func (n *dnsName) atAddresses(ips []netip.Addr) ([]Instance, error) {
	for k := range ips {
		ips[k] = ips[k].Unmap().WithZone("")
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	if n.url.Scheme == "https" {
		i, err := Instance{Service: n.service, URL: n.url, Addrs: ips}.Complete()
		return []Instance{i}, err
	}
	var all []Instance
	var errs []error
	for _, ip := range ips {
		i, err := n.instance(joinHostPort(ip, port(n.url)), 1)
		i.Addrs = []netip.Addr{ip}
		all, errs = append(all, i), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// resolveSRV makes an instance of each target of the best priority (RFC 2782).
func (d *DNS) resolveSRV(ctx context.Context, n *dnsName) ([]Instance, error) {
	_, srvs, err := orDefault(d.Resolver).LookupSRV(ctx, "", "", n.url.Hostname())
	if err != nil && len(srvs) == 0 {
		return nil, err
	}
	var all []Instance
	var errs []error
	best := bestPriority(srvs)
	heaviest := heaviest(best)
	for _, s := range best {
		host := net.JoinHostPort(strings.TrimSuffix(s.Target, "."), fmt.Sprint(s.Port))
		i, err := n.instance(host, int(s.Weight)*MaxWeight/max(heaviest, MaxWeight))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, i)
	}
	if len(all) == 0 {
		return nil, errors.Join(append(errs, fmt.Errorf("name %q has no target", n.url.Hostname()))...)
	}
	return all, nil
}

// bestPriority returns the records that RFC 2782 says to try first. A target
// of "." says that the service is not there.
func bestPriority(srvs []*net.SRV) []*net.SRV {
	var best []*net.SRV
	for _, s := range srvs {
		switch {
		case s.Target == "." || s.Target == "":
		case len(best) == 0 || s.Priority < best[0].Priority:
			best = []*net.SRV{s}
		case s.Priority == best[0].Priority:
			best = append(best, s)
		}
	}
	return best
}

// heaviest returns the largest weight. They go to 65535, and are brought down
// in proportion to what an Instance may have.
func heaviest(srvs []*net.SRV) (w int) {
	for _, s := range srvs {
		w = max(w, int(s.Weight))
	}
	return w
}

// instance returns n's instance at host. A weight of zero, which RFC 2782 wants
// chosen seldom, counts as 1.
func (n *dnsName) instance(host string, weight int) (Instance, error) {
	u := *n.url
	u.Host = host
	return Instance{
		Service: n.service, URL: &u, Weight: max(weight, 1),
		Metadata: map[string]string{"dns": n.url.Hostname()},
	}.Complete()
}
