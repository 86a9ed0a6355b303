package ratelimit

import (
	"net/http"
	"net/netip"
)

// nat64 is the well-known prefix under which translators present the IPv4
// internet to servers that speak IPv6 only (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// ByAddress is the key of a client address: an IPv4 address is itself; an
// IPv6 address is its /64, since that is what one subscriber gets (RFC 6177)
// and may walk through at will. IPv4 in IPv6 clothes, mapped or translated, is
// IPv4; a zone is dropped. Addresses that are not valid share one key.
func ByAddress(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return "unknown"
	case a.Is4():
		return a.String()
	case nat64.Contains(a):
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:])).String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// ByRemoteAddr is [ByAddress] of the peer that r came from. Behind a proxy or
// a load balancer that is the proxy, and everybody shares one bucket: there,
// key by the client address that your trusted-proxy rules found.
func ByRemoteAddr(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ByAddress(netip.Addr{})
	}
	return ByAddress(peer.Addr())
}
