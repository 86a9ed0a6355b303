package gateway_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
)

// asker is a gateway that tells whom it holds for the client, and by which
// scheme.
func asker(tb testing.TB) http.Handler {
	tb.Helper()
	g, err := gateway.New(
		gateway.WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")),
		gateway.WithAccessLog(false),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Allow: auth.Anyone, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Client", gateway.ClientAddr(r.Context()).String())
		})}))
	require.NoError(tb, err)
	return g
}

// client asks and returns whom it is held for, and whether by https.
func client(g http.Handler, peer string, header http.Header) (string, bool) {
	r, _ := http.NewRequest(http.MethodGet, "http://gateway.test/", nil)
	r.RemoteAddr, r.Header = peer, header
	w := &answer{header: http.Header{}}
	g.ServeHTTP(w, r)
	return w.header.Get("X-Client"), w.header.Get("Strict-Transport-Security") != ""
}

// answer is a response writer that remembers the head.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.status = code }
func (a *answer) Write(p []byte) (int, error) { return len(p), nil }

func TestWhoIsAsking(t *testing.T) {
	const proxy, stranger = "10.0.0.9:1", "203.0.113.7:1"
	tests := []struct {
		desc   string
		peer   string
		header http.Header
		client string
		https  bool
	}{
		{"a stranger is nobody but himself", stranger, http.Header{"X-Forwarded-For": {"1.1.1.1"}, "Forwarded": {"for=1.1.1.1;proto=https"}, "X-Forwarded-Proto": {"https"}}, "203.0.113.7", false},
		{"the first untrusted hop from the right", proxy, http.Header{"X-Forwarded-For": {"6.6.6.6, 192.0.2.1, 10.0.0.1"}, "X-Forwarded-Proto": {"https"}}, "192.0.2.1", true},
		{"several lines are one list", proxy, http.Header{"X-Forwarded-For": {"192.0.2.1", "10.0.0.1"}}, "192.0.2.1", false},
		{"what cannot be read ends the walk", proxy, http.Header{"X-Forwarded-For": {"192.0.2.1, what, 10.0.0.1"}}, "10.0.0.1", false},
		{"4-in-6 is 4, a zone is none", proxy, http.Header{"X-Forwarded-For": {"[::ffff:192.0.2.1]:99"}}, "192.0.2.1", false},
		{"too many hops", proxy, http.Header{"X-Forwarded-For": {"192.0.2.1" + strings.Repeat(", 10.0.0.1", 40)}}, "10.0.0.1", false},

		{"Forwarded", proxy, http.Header{"Forwarded": {"for=192.0.2.1;proto=https;by=10.0.0.9"}}, "192.0.2.1", true},
		{"Forwarded from right to left", proxy, http.Header{"Forwarded": {"for=6.6.6.6;proto=https, for=192.0.2.1;proto=http, for=10.0.0.1"}}, "192.0.2.1", false},
		{"Forwarded in lines", proxy, http.Header{"Forwarded": {"for=192.0.2.1", "For=10.0.0.1"}}, "192.0.2.1", false},
		{"quoted IPv6 with a port", proxy, http.Header{"Forwarded": {`for="[2001:db8:cafe::17]:4711"`}}, "2001:db8:cafe::17", false},
		{"IPv6 of a trusted proxy", proxy, http.Header{"Forwarded": {`for=192.0.2.1, for="[fd00::1]"`}}, "192.0.2.1", false},
		{"an obfuscated name is nobody's address", proxy, http.Header{"Forwarded": {"for=192.0.2.1, for=_gazonk, for=10.0.0.1"}}, "10.0.0.1", false},
		{"unknown ends the walk", proxy, http.Header{"Forwarded": {"for=unknown"}}, "10.0.0.9", false},
		{"an obfuscated port", proxy, http.Header{"Forwarded": {`for="192.0.2.1:_http"`}}, "192.0.2.1", false},
		{"a quote that does not end", proxy, http.Header{"Forwarded": {`for="192.0.2.1, for=6.6.6.6`}}, "10.0.0.9", false},
		{"a comma in quotes is none", proxy, http.Header{"Forwarded": {`secret="a, for=6.6.6.6", for=192.0.2.1`}}, "192.0.2.1", false},
		{"twice in one element", proxy, http.Header{"Forwarded": {"for=192.0.2.1;for=6.6.6.6"}}, "10.0.0.9", false},
		{"too many elements", proxy, http.Header{"Forwarded": {"for=192.0.2.1" + strings.Repeat(", for=10.0.0.1", 40)}}, "10.0.0.9", false},
		{"empty elements", proxy, http.Header{"Forwarded": {", ;for=192.0.2.1 ,,"}}, "192.0.2.1", false},

		{"both agree", proxy, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=192.0.2.1;proto=https"}}, "192.0.2.1", true},
		{"both disagree: one of them is the client's own", proxy, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=6.6.6.6"}}, "10.0.0.9", false},
		{"they disagree about the scheme", proxy, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=192.0.2.1;proto=http"}}, "192.0.2.1", false},
	}
	g := asker(t)
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			got, https := client(g, tt.peer, tt.header)
			assert.Equal(t, tt.client, got)
			assert.Equal(t, tt.https, https)
		})
	}
}

// FuzzForwarded: whatever stands in the fields, the client is the peer or
// somebody whom they name, and a stranger's fields are not read at all.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{
		"for=192.0.2.1", `for="[2001:db8::1]:80";proto=https`, "for=_x, for=unknown", `a="\"",for=1.2.3.4`, "192.0.2.1, 10.0.0.1", ",;=\"",
	} {
		f.Add(seed, "192.0.2.1")
		f.Add("", seed)
	}
	g := asker(f)
	f.Fuzz(func(t *testing.T, forwarded, xff string) {
		header := http.Header{}
		if forwarded != "" {
			header["Forwarded"] = []string{forwarded}
		}
		if xff != "" {
			header["X-Forwarded-For"] = []string{xff}
		}
		got, _ := client(g, "203.0.113.7:1", header)
		require.Equal(t, "203.0.113.7", got)
		got, _ = client(g, "10.0.0.9:1", header)
		if got == "10.0.0.9" {
			return
		}
		addr, err := netip.ParseAddr(got)
		require.NoError(t, err)
		require.True(t, names(forwarded, addr) || names(xff, addr), "%s is named by nobody: %q %q", got, forwarded, xff)
	})
}

// names reports whether an address stands somewhere in a text, however it is
// written there.
func names(text string, addr netip.Addr) bool {
	text = strings.ReplaceAll(text, `\`, "")
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\t ,;=\"[]", r) }) {
		for ; word != ""; word = word[:max(strings.LastIndexByte(word, ':'), 0)] {
			if a, err := netip.ParseAddr(word); err == nil && a.Unmap().WithZone("") == addr {
				return true
			}
		}
	}
	return false
}
