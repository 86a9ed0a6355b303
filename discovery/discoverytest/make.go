package discoverytest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/theinterneti/tta-gateway/discovery"
)

// Instances returns complete instances of service at urls. It panics if one of
// them is invalid.
func Instances(service string, urls ...string) []discovery.Instance {
	all := make([]discovery.Instance, len(urls))
	for n, u := range urls {
		i, err := discovery.NewInstance(service, u)
		if err != nil {
			panic(fmt.Sprintf("discoverytest: instance %q of %q: %v", u, service, err))
		}
		all[n] = i
	}
	return all
}

// Endpoints returns new endpoints of service at urls. It panics if one of them
// is invalid.
func Endpoints(service string, urls ...string) []*discovery.Endpoint {
	all := make([]*discovery.Endpoint, len(urls))
	for n, i := range Instances(service, urls...) {
		all[n] = discovery.NewEndpoint(i)
	}
	return all
}

// Weighted returns new endpoints of service, one for each weight, at
// http://10.0.0.1:80, http://10.0.0.2:80, and so on.
func Weighted(service string, weights ...int) []*discovery.Endpoint {
	all := make([]*discovery.Endpoint, len(weights))
	for n, w := range weights {
		i := Instances(service, fmt.Sprintf("http://10.0.%d.%d:80", (n+1)/250, (n+1)%250))[0]
		i.Weight = w
		all[n] = discovery.NewEndpoint(i)
	}
	return all
}

// Resolver is a fake discovery.Resolver. The zero value knows no name. Its
// fields may be set before first use, later on only its methods are safe for
// simultaneous use.
type Resolver struct {
	Addrs map[string][]netip.Addr // by host
	SRVs  map[string][]*net.SRV   // by whole name, such as _http._tcp.chat.internal
	Err   error                   // if set, the answer to everything

	mu    sync.Mutex
	calls []string
}

// SetAddrs replaces the addresses of a host. It panics if one is invalid.
func (r *Resolver) SetAddrs(host string, addrs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Addrs == nil {
		r.Addrs = map[string][]netip.Addr{}
	}
	all := make([]netip.Addr, len(addrs))
	for n, a := range addrs {
		all[n] = netip.MustParseAddr(a)
	}
	r.Addrs[host] = all
}

// Fail sets Err. Nil makes the resolver well again.
func (r *Resolver) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Err = err
}

// Calls returns the names that were asked for so far, in order.
func (r *Resolver) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// LookupNetIP implements discovery.Resolver.
func (r *Resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, host)
	all, ok := r.Addrs[host]
	return slices.Clone(all), r.answer(host, ok)
}

// LookupSRV implements discovery.Resolver.
func (r *Resolver) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, name)
	all, ok := r.SRVs[name]
	if err := r.answer(name, ok); err != nil {
		return "", nil, err
	}
	return name, slices.Clone(all), nil
}

// answer requires that mu is held.
func (r *Resolver) answer(name string, known bool) error {
	if r.Err != nil {
		return r.Err
	}
	if !known {
		return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return nil
}
