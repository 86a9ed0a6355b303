package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how many forwarding hops are read: a list longer than any
// honest chain is an attack on the parser.
const maxHops = 32

// trustedProxies says whose word on a client's address is believed.
type trustedProxies []netip.Prefix

func (t trustedProxies) trusts(a netip.Addr) bool {
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientAddr is the peer itself, or, if the peer is a trusted proxy,
// the first untrusted hop of X-Forwarded-For from right to left. An entry that
// is not an address ends the walk at the last hop that could be read, so that
// nobody can talk himself into another address.
func (t trustedProxies) clientAddr(r *http.Request) (client netip.Addr, viaProxy bool) {
	peer := peerAddr(r.RemoteAddr)
	if len(t) == 0 || !t.trusts(peer) {
		return peer, false
	}
	client = peer
	hops := 0
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- { // several lines are one list, RFC 9110 section 5.3
		for rest := lines[i]; rest != ""; {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				rest, entry = "", rest
			}
			addr, ok := parseHop(entry)
			if hops++; !ok || hops > maxHops {
				return client, true
			}
			if client = addr; !t.trusts(addr) {
				return client, true
			}
		}
	}
	return client, true
}

// parseHop reads one entry of X-Forwarded-For: an address, with or without
// brackets and port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plainAddr(ap.Addr()), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return plainAddr(a), err == nil
}

// peerAddr is the address of the TCP peer, the zero Addr if there is none (a
// Unix socket, a test without one).
func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return plainAddr(ap.Addr())
}

// plainAddr writes one host one way: 4-in-6 as 4, without a zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
