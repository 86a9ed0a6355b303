package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// ErrAddress: an instance's address is one that the gateway will not be led
// to.
var ErrAddress = errors.New("discovery: address is not allowed")

// AddressRules say which addresses those who register may lead the gateway to
// (OWASP API7:2023, server-side request forgery). The zero value allows
// loopback and private addresses.
//
// Whatever Allow says, these are refused: unspecified, link-local, multicast
// and broadcast addresses, the addresses at which clouds tell machines their
// secrets, IPv6 addresses with a zone, and IPv6 forms that carry an IPv4
// address which is refused.
type AddressRules struct {
	// Allow lists the networks that are allowed. Nil means
	// [PrivateNetworks]; an empty list that is not nil allows nothing.
	Allow []netip.Prefix
}

// PrivateNetworks returns the networks that [AddressRules] allow unless told:
// loopback (RFC 1122, RFC 4291) and private use (RFC 1918, RFC 4193).
func PrivateNetworks() []netip.Prefix { return slices.Clone(privateNetworks) }

var privateNetworks = prefixes("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

// neverNetworks are refused whatever is allowed.
var neverNetworks = prefixes(
	"0.0.0.0/8", "::/128", // this network, unspecified (RFC 1122; RFC 4291)
	"169.254.0.0/16", "fe80::/10", // link-local (RFC 3927; RFC 4291): most clouds' metadata
	"fec0::/10",               // site-local, deprecated (RFC 3879)
	"224.0.0.0/4", "ff00::/8", // multicast (RFC 5771; RFC 4291)
	"240.0.0.0/4",                       // reserved, and limited broadcast (RFC 1112; RFC 8190)
	"fd00:ec2::/32", "fd20:ce::254/128", // metadata of AWS and Google over IPv6, inside fc00::/7
	"100.100.100.200/32", "192.0.0.192/32", // metadata of Alibaba and Oracle
	"168.63.129.16/32", // Azure's host agent
)

// Networks whose IPv6 addresses carry an IPv4 address, and at which byte.
var embedded = []struct {
	netip.Prefix
	at int
}{
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated (RFC 2765)
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64 (RFC 6052)
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // local NAT64 (RFC 8215)
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4 (RFC 3056)
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible (RFC 4291)
}

func prefixes(all ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for n, s := range all {
		out[n] = netip.MustParsePrefix(s)
	}
	return out
}

// Check returns nil if an instance may answer at ip. Otherwise its error wraps
// [ErrAddress] and names the remedy.
func (a AddressRules) Check(ip netip.Addr) error {
	if !ip.IsValid() || ip.Zone() != "" {
		return fmt.Errorf("%w: %q: use an address without a zone", ErrAddress, ip)
	}
	ip = ip.Unmap()
	for _, form := range forms(ip) {
		if within(form, neverNetworks) {
			return fmt.Errorf("%w: %s is link-local, multicast, unspecified, reserved or a cloud's metadata: use the instance's own address", ErrAddress, ip)
		}
	}
	if !within(ip, a.allow()) {
		return fmt.Errorf("%w: %s is in none of the allowed networks: register a private address, or allow its network", ErrAddress, ip)
	}
	return nil
}

func (a AddressRules) allow() []netip.Prefix {
	if a.Allow == nil {
		return privateNetworks
	}
	return a.Allow
}

// forms returns ip and the IPv4 address that it carries, if it does.
func forms(ip netip.Addr) []netip.Addr {
	out := []netip.Addr{ip}
	for _, e := range embedded {
		if e.Contains(ip) && ip != netip.IPv6Loopback() {
			b := ip.As16()
			out = append(out, netip.AddrFrom4([4]byte(b[e.at:e.at+4])))
		}
	}
	return out
}

func within(ip netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// Resolve returns the addresses of a URL's host, each of which is allowed: a
// name with one good and one bad address is refused. A nil resolver means
// [net.DefaultResolver].
func (a AddressRules) Resolve(ctx context.Context, resolver Resolver, host string) ([]netip.Addr, error) {
	ips, err := lookup(ctx, resolver, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for n, ip := range ips {
		errs = append(errs, a.Check(ip))
		ips[n] = ip.Unmap()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	return slices.Compact(ips), nil
}

// lookup returns the address that host is, or those that it has.
func lookup(ctx context.Context, resolver Resolver, host string) ([]netip.Addr, error) {
	if ip, ok := hostAddr(host); ok {
		return []netip.Addr{ip}, nil
	}
	ips, err := orDefault(resolver).LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("%w: host %q cannot be resolved: check the name", ErrAddress, clip(host))
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("%w: host %q has no address: check the name", ErrAddress, clip(host))
	}
	return slices.Clone(ips), nil
}

// Control fits [net.Dialer].Control: it refuses to connect to an address that
// is not allowed, whatever a name has come to mean since it was registered.
func (a AddressRules) Control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is not an address and a port", ErrAddress, clip(address))
	}
	return a.Check(to.Addr())
}

// A Resolver answers questions about names. [*net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, srvs []*net.SRV, err error)
}

func orDefault(r Resolver) Resolver {
	if r == nil {
		return net.DefaultResolver
	}
	return r
}
