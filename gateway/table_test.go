package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
)

func public(pattern string, methods ...string) gateway.Route {
	return gateway.Route{Pattern: pattern, Methods: methods, Service: "s", Allow: auth.Anyone}
}

func TestTheMostSpecificRouteWins(t *testing.T) {
	g, err := gateway.New(gateway.WithRoutes(
		public("/"),
		public("/api/"),
		public("/api/{kind}"),
		public("/api/players"),
		public("/api/players/{id}/"),
		public("/api/players/{id}/settings"),
		public("/api/players/me", "GET"),
		public("/exact/{$}"),
		public("/exact"),
		public("/deep/{a}/b/{c}/d"),
		public("/deep/x/b/"),
		public("story.example/api/"),
		public("*.example/"),
	))
	require.NoError(t, err)
	tests := []struct{ method, host, path, want string }{
		{"GET", "", "/", "/"},
		{"GET", "", "/nothing", "/"},
		{"GET", "", "/api", "/api/"},
		{"GET", "", "/api/", "/api/"},
		{"GET", "", "/api/x", "/api/{kind}"},
		{"GET", "", "/api/x/y", "/api/"},
		{"GET", "", "/apix", "/"},
		{"GET", "", "/api/players", "/api/players"},
		{"GET", "", "/api/pl%61yers", "/api/players"},
		{"GET", "", "/api/players/7", "/api/players/{id}/"},
		{"GET", "", "/api/players/7/", "/api/players/{id}/"},
		{"GET", "", "/api/players/7/settings", "/api/players/{id}/settings"},
		{"GET", "", "/api/players/7/settings/", "/api/players/{id}/"},
		{"GET", "", "/api/players/me", "/api/players/me"},
		{"HEAD", "", "/api/players/me", "/api/players/me"},
		{"POST", "", "/api/players/me", "/api/players/{id}/"},
		{"GET", "", "/exact", "/exact"},
		{"GET", "", "/exact/", "/exact/{$}"},
		{"GET", "", "/exact/x", "/"},
		{"GET", "", "/deep/x/b/c/d", "/deep/x/b/"},
		{"GET", "", "/deep/y/b/c/d", "/deep/{a}/b/{c}/d"},
		{"GET", "", "/deep//b/c/d", "/"},
		{"GET", "story.example", "/api/x/y", "story.example/api/"},
		{"GET", "STORY.example:8000", "/api/x/y", "story.example/api/"},
		{"GET", "story.example", "/other", "*.example/"},
		{"GET", "a.b.example", "/api/x", "*.example/"},
		{"GET", "example", "/api/x/y", "/api/"},
	}
	for _, tt := range tests {
		r := target(tt.method, tt.path)
		r.Host = tt.host
		assert.Equal(t, tt.want, g.Explain(r).Route, "%s %s%s", tt.method, tt.host, tt.path)
	}
}

func TestMethods(t *testing.T) {
	g, err := gateway.New(gateway.WithRoutes(public("/a", "GET"), public("/a", "POST"), public("/dav", "PROPFIND")))
	require.NoError(t, err)
	assert.Equal(t, "method_not_allowed", g.Explain(target("DELETE", "/a")).Refused)
	assert.Equal(t, "method_not_allowed", g.Explain(target("TRACE", "/a")).Refused)
	assert.Equal(t, "method_not_allowed", g.Explain(target("PROPFIND", "/a")).Refused)
	assert.Empty(t, g.Explain(target("PROPFIND", "/dav")).Refused, "served where it is named")
	assert.Equal(t, "not_found", g.Explain(target("GET", "/b")).Refused)
}

func TestConstructionNamesEveryMistake(t *testing.T) {
	_, err := gateway.New(
		gateway.WithRoutes(
			public("no-slash"),
			public("/a/{id}"),
			public("/a/{name}", "GET"),
			public("/b/../c"),
			public("/x%2fy"),
			public("/{a}/{a}"),
			public("/half{name}"),
			gateway.Route{Pattern: "/nobody"},
			gateway.Route{Pattern: "/both", Service: "s", Handler: http.NotFoundHandler()},
			gateway.Route{Pattern: "/trace", Service: "s", Methods: []string{"TRACE", "get"}},
			gateway.Route{Pattern: "/chat", Service: "s", Chat: true},
			gateway.Route{Pattern: "/limit", Service: "s", Limits: []gateway.Quota{{By: "moon"}}},
			gateway.Route{Pattern: "/to", Service: "s", Rewrite: "nowhere"},
		),
		gateway.WithCORS(gateway.CORS{Origins: []string{"*", "https://good.example", "https://bad.example/"}}),
		gateway.WithService("s", gateway.Service{HealthPath: "health"}),
	)
	require.Error(t, err)
	for _, want := range []string{
		`"no-slash"`, `conflicts with "/a/{id}"`, `"/b/../c"`, `"/x%2fy"`, `{a} stands twice`, `"half{name}"`,
		`"/nobody": nobody serves it`, `"/both": has both`, `TRACE is never forwarded`, `"get" is not a method`,
		`Chat needs Upgrade`, `By is "moon"`, `Rewrite "nowhere"`, `origin "*"`, `origin "https://bad.example/"`, `HealthPath "health"`,
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "good.example")
}

func TestShadowedRoutesAreReported(t *testing.T) {
	g, err := gateway.New(
		gateway.WithTrustedHosts("play.example", "*.clinic.example"),
		gateway.WithRoutes(public("other.example/x"), public("play.example/y"), public("a.clinic.example/z"), public("/y")),
	)
	require.NoError(t, err)
	warnings := strings.Join(g.Warnings(), "\n")
	assert.Contains(t, warnings, `"other.example/x" is never reached`)
	assert.NotContains(t, warnings, "play.example/y\" is never")
	assert.NotContains(t, warnings, "a.clinic.example/z")
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			routes := make([]gateway.Route, n)
			for i := range routes {
				routes[i] = public(fmt.Sprintf("/api/v1/kind%d/{id}/part%d/", i, i%7))
			}
			g, err := gateway.New(gateway.WithRoutes(routes...))
			require.NoError(b, err)
			path := fmt.Sprintf("/api/v1/kind%d/42/part%d/rest", n-1, (n-1)%7)
			lookup := gateway.Lookup(g)
			b.ReportAllocs()
			for b.Loop() {
				if !lookup(http.MethodGet, "gateway.test", path) {
					b.Fatal("not found")
				}
			}
		})
	}
}
