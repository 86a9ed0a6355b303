package ratelimit_test

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

func TestByAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":                 "192.0.2.1",
		"::ffff:192.0.2.1":          "192.0.2.1",
		"64:ff9b::192.0.2.1":        "192.0.2.1",
		"64:ff9b:1::192.0.2.1":      "64:ff9b:1::/64",
		"2001:db8:1:2:3:4:5:6":      "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff:4:5:6":   "2001:db8:1:2::/64",
		"2001:db8:1:3::":            "2001:db8:1:3::/64",
		"fe80::1%eth0":              "fe80::/64",
		"fe80::2%eth1":              "fe80::/64",
		"::1":                       "::/64",
		"::ffff:192.0.2.1%attacker": "192.0.2.1",
	} {
		assert.Equal(t, want, ratelimit.ByAddress(netip.MustParseAddr(addr)), addr)
	}
	assert.Equal(t, "unknown", ratelimit.ByAddress(netip.Addr{}))
}

func TestByRemoteAddr(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	for peer, want := range map[string]string{
		"192.0.2.1:1234":       "192.0.2.1",
		"[2001:db8::1]:1234":   "2001:db8::/64",
		"[fe80::1%eth0]:1":     "fe80::/64",
		"@":                    "unknown",
		"":                     "unknown",
		"/run/gateway.sock":    "unknown",
		"ada.example.org:1234": "unknown",
	} {
		r.RemoteAddr = peer
		assert.Equal(t, want, ratelimit.ByRemoteAddr(r), peer)
	}
}
