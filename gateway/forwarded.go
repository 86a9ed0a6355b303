package gateway

import (
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ForwardedStyle is how services are told who asked the gateway, and by which
// name and scheme. Whatever the style, what callers send under these names is
// dropped, and one hop is told: the gateway vouches for nothing else.
type ForwardedStyle int

const (
	// ForwardedX, the zero value, sends X-Forwarded-For, -Proto and -Host.
	ForwardedX ForwardedStyle = iota
	// ForwardedStandard sends Forwarded (RFC 7239).
	ForwardedStandard
	// ForwardedBoth sends both.
	ForwardedBoth
	// ForwardedNone sends neither: services are not to know who asks.
	ForwardedNone
)

// WithForwarded sets how services are told who asked. By default it is
// ForwardedX.
func WithForwarded(style ForwardedStyle) Option {
	return func(p *parts) { p.forwarded = style }
}

// forwardedElement writes one element of Forwarded. A value that is not a
// token stands in quotes, as every IPv6 address and every port make it (RFC
// 7239 section 4).
func forwardedElement(client netip.Addr, scheme, host string) string {
	var b strings.Builder
	b.WriteString("for=")
	switch {
	case !client.IsValid():
		b.WriteString("unknown")
	case client.Is6():
		b.WriteString(`"[` + client.String() + `]"`)
	default:
		b.WriteString(client.String())
	}
	b.WriteString(";proto=" + scheme)
	if host != "" {
		b.WriteString(";host=")
		writeForwardedValue(&b, host)
	}
	return b.String()
}

func writeForwardedValue(b *strings.Builder, v string) {
	if isToken(v) {
		b.WriteString(v)
		return
	}
	b.WriteByte('"')
	for i := range len(v) {
		if v[i] == '"' || v[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	b.WriteByte('"')
}

func isToken(s string) bool { return httpguts.ValidHeaderFieldName(s) }

// hop is one element of Forwarded, as far as we read it.
type hop struct {
	by    netip.Addr // "for"; the zero Addr for "unknown", "_name" and none
	proto string
}

// parseForwarded reads the elements of Forwarded in the order in which they
// stand; several lines are one list. It is all or nothing: where a quote is
// missing nobody can say what belongs to whom.
func parseForwarded(lines []string) ([]hop, bool) {
	var hops []hop
	for _, line := range lines {
		rest := line
		for {
			var h hop
			var ok, empty bool
			if h, rest, empty, ok = parseElement(rest); !ok {
				return nil, false
			}
			if !empty {
				hops = append(hops, h)
			}
			if len(hops) > maxHops {
				return nil, false
			}
			if rest == "" {
				break
			}
			rest = rest[1:] // the comma
		}
	}
	return hops, true
}

// parseElement reads up to the next comma outside of quotes.
func parseElement(s string) (h hop, rest string, empty, ok bool) {
	empty = true
	var said [2]bool // for, proto: a parameter stands once at most
	for {
		s = strings.TrimLeft(s, " \t")
		switch {
		case s == "" || s[0] == ',':
			return h, s, empty, true
		case s[0] == ';':
			s = s[1:]
			continue
		}
		var name, value string
		if name, value, s, ok = parsePair(s); !ok {
			return h, "", false, false
		}
		empty = false
		switch {
		case strings.EqualFold(name, "for"):
			if said[0] {
				return h, "", false, false
			}
			said[0], h.by = true, parseNode(value)
		case strings.EqualFold(name, "proto"):
			if said[1] {
				return h, "", false, false
			}
			said[1], h.proto = true, value
		}
	}
}

// parsePair reads token "=" ( token / quoted-string ), up to the next ";" or
// ",".
func parsePair(s string) (name, value, rest string, ok bool) {
	name, s, ok = strings.Cut(s, "=")
	if !ok || !isToken(name) {
		return "", "", "", false
	}
	if strings.HasPrefix(s, `"`) {
		value, s, ok = parseQuoted(s[1:])
	} else {
		end := strings.IndexAny(s, ";, \t")
		if end < 0 {
			end = len(s)
		}
		value, s = s[:end], s[end:]
		ok = isLooseToken(value)
	}
	s = strings.TrimLeft(s, " \t")
	return name, value, s, ok && (s == "" || s[0] == ';' || s[0] == ',')
}

// isLooseToken accepts what proxies send unquoted although it is no token: an
// address with a port, and brackets.
func isLooseToken(v string) bool {
	return v != "" && !strings.ContainsAny(v, "\"\\(){}<>=")
}

func parseQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// parseNode reads a node (RFC 7239 section 6): an address, with a port or
// without. Obfuscated names and "unknown" are nobody's address.
func parseNode(v string) netip.Addr {
	if port := strings.LastIndex(v, ":_"); port > 0 { // an obfuscated port
		v = v[:port]
	}
	a, ok := parseHop(v)
	if !ok {
		return netip.Addr{}
	}
	return a
}

// forwardedClient walks Forwarded from right to left, as clientAddr does with
// X-Forwarded-For, and returns the last hop that could be read.
func (t trustedProxies) forwardedClient(peer netip.Addr, lines []string) (client netip.Addr, proto string) {
	hops, ok := parseForwarded(lines)
	if !ok {
		return peer, ""
	}
	client = peer
	for i := len(hops) - 1; i >= 0; i-- {
		if !hops[i].by.IsValid() {
			return client, proto
		}
		client, proto = hops[i].by, hops[i].proto
		if !t.trusts(client) {
			return client, proto
		}
	}
	return client, proto
}

// origin is what is held of who asked, and how.
type origin struct {
	client   netip.Addr
	scheme   string
	viaProxy bool
}

// origin is the one answer to "who is asking, by address, and how", which
// limits, log and audit all use.
func (t trustedProxies) origin(r *http.Request) origin {
	o := origin{scheme: "http"}
	o.client, o.viaProxy = t.clientAddr(r)
	proto := ""
	if o.viaProxy {
		proto = r.Header.Get("X-Forwarded-Proto")
		o.client, proto = t.reconcile(r, o.client, proto)
	}
	if r.TLS != nil || strings.EqualFold(proto, "https") {
		o.scheme = "https"
	}
	return o
}

// reconcile takes Forwarded into account. A proxy that writes one kind of
// field may pass the other on as its client wrote it; so where both are there
// they must agree, or the proxy itself is who asks.
func (t trustedProxies) reconcile(r *http.Request, client netip.Addr, proto string) (netip.Addr, string) {
	lines := r.Header["Forwarded"]
	if len(lines) == 0 {
		return client, proto
	}
	peer := peerAddr(r.RemoteAddr)
	theirs, theirProto := t.forwardedClient(peer, lines)
	switch {
	case r.Header["X-Forwarded-For"] == nil && r.Header["X-Forwarded-Proto"] == nil:
		return theirs, theirProto
	case r.Header["X-Forwarded-For"] == nil:
		return peer, ""
	case theirs != client:
		return peer, ""
	case !strings.EqualFold(proto, theirProto):
		return client, ""
	}
	return client, proto
}
