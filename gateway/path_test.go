package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
)

// target makes a request of a raw target, as a wire would carry it.
func target(method, raw string) *http.Request {
	r, err := http.NewRequest(method, "http://gateway.test/", nil)
	if err != nil {
		panic(err)
	}
	r.RequestURI = raw
	if u, err := url.ParseRequestURI(raw); err == nil {
		r.URL = u
	}
	return r
}

func TestPathRule(t *testing.T) {
	g, err := gateway.New(gateway.WithRoutes(
		gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone},
		gateway.Route{Pattern: "/raw/", Service: "s", Allow: auth.Anyone, RawPath: true},
	))
	require.NoError(t, err)
	tests := []struct {
		raw     string
		refused bool
		why     string
	}{
		{"/", false, "the root"},
		{"/a/b", false, "plain"},
		{"/a//b", false, "an empty segment is an ordinary one"},
		{"//a", false, "at the beginning too"},
		{"/a/b/", false, "a trailing slash"},
		{"/a%20b/%C3%A9", false, "escapes that are UTF-8"},
		{"/a|b/{c}^", false, "letters that browsers send as they are"},
		{"/...", false, "three dots are a name"},
		{"/.well-known/x", false, "a hidden name"},
		{"/a%252e%252e/b", false, "escaped twice: the service decodes once, too"},
		{"/a/../b", true, "a dot segment"},
		{"/a/./b", true, "a single dot"},
		{"/a/..", true, "at the end"},
		{"/a/%2e%2e/b", true, "escaped"},
		{"/a/.%2E/b", true, "half escaped"},
		{"/a/..;x=1/b", true, "with a parameter, which some servers strip first"},
		{"/a/%2e%2e%3bx/b", true, "with an escaped parameter"},
		{"/a/..%2fb", true, "hidden behind an escaped slash"},
		{"/a%2fb", true, "an escaped slash"},
		{"/a%5Cb", true, "an escaped backslash"},
		{`/a\b`, true, "a backslash"},
		{"/a%00b", true, "a NUL"},
		{"/a%ffb", true, "an escape that is not UTF-8"},
		{"/a%", true, "a broken escape"},
		{"/a%zz", true, "another"},
		{"/a#b", true, "a fragment has no place in a request"},
		{"/é", true, "bytes that must be escaped"},
		{"/raw/a%2fb", false, "where the route says so"},
		{"/raw/a%5cb", false, "where the route says so"},
		{"/raw/a%ffb", false, "where the route says so"},
		{"/raw/..%2fb", true, "dot segments never"},
		{"/raw/%2e%2e/b", true, "dot segments never"},
		{"/raw/a%00", true, "NUL never"},
	}
	for _, tt := range tests {
		t.Run(tt.raw, func(t *testing.T) {
			e := g.Explain(target(http.MethodGet, tt.raw))
			if tt.refused {
				assert.Equal(t, "malformed_path", e.Refused, "%s: %v", tt.why, e.Steps)
				return
			}
			assert.Empty(t, e.Refused, "%s: %v", tt.why, e.Steps)
			assert.Equal(t, tt.raw, e.Target, "what is forwarded is what came")
		})
	}
}

// FuzzPath: what is routed is what is forwarded, byte for byte, and nothing
// gets through that a service might read as another path.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/a/b", "/a/../b", "/a%2f..%2fb", "/x|y", "//", "/a;b/..;c", "/%C3%A9?q=1&q=%zz"} {
		f.Add(seed)
	}
	g, err := gateway.New(gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone}))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := url.ParseRequestURI(raw); err != nil || !strings.HasPrefix(raw, "/") {
			t.Skip("net/http does not let it in")
		}
		e := g.Explain(target(http.MethodGet, raw))
		if e.Refused != "" {
			return
		}
		path, _, _ := strings.Cut(raw, "?")
		sent, _, _ := strings.Cut(e.Target, "?")
		assert.Equal(t, path, sent)
		decoded, err := url.PathUnescape(path)
		require.NoError(t, err)
		for seg := range strings.SplitSeq(decoded, "/") {
			name, _, _ := strings.Cut(seg, ";")
			assert.NotContains(t, []string{".", ".."}, name)
		}
		assert.NotContains(t, decoded, "\x00")
		assert.NotContains(t, decoded, `\`)
		assert.Equal(t, strings.Count(path, "/"), strings.Count(decoded, "/"), "no slash was hidden")
	})
}

func TestQueryGoesByteForByte(t *testing.T) {
	var got []string
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.RequestURI) })},
		gateway.WithRoutes(
			gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone},
			gateway.Route{Pattern: "/strip/", Service: "s", Allow: auth.Anyone, StripQuery: []string{"secret"}},
			gateway.Route{Pattern: "/old/{id}/x/", Service: "s", Allow: auth.Anyone, Rewrite: "/new/{id}/"},
		))
	tests := []struct{ in, want string }{
		{"/a?b=1&b=2", "/a?b=1&b=2"},
		{"/a?x;y&%zz&=&&+", "/a?x;y&%zz&=&&+"},
		{"/a?", "/a?"},
		{"/strip/?a=1&secret=x&b;c&sec%72et=y&z", "/strip/?a=1&b;c&z"},
		{"/old/4%202/x/rest/y?q=%20", "/new/4%202/rest/y?q=%20"},
		{"/old/4/x", "/new/4"},
	}
	for _, tt := range tests {
		got = nil
		path, query, has := strings.Cut(tt.in, "?")
		gw.Do(http.MethodGet, path, "", func(r *http.Request) { r.URL.RawQuery, r.URL.ForceQuery = query, has })
		assert.Equal(t, []string{tt.want}, got)
	}
}
