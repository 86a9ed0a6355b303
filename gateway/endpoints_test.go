package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/health"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
)

func decoded(t *testing.T, resp *gatewaytest.Response) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(resp.Body), &m), resp.Body)
	return m
}

func newWithEndpoints(t *testing.T, e gateway.Endpoints) *gatewaytest.Gateway {
	t.Helper()
	m, err := metrics.New(prometheus.NewRegistry())
	require.NoError(t, err)
	return gatewaytest.Start(t, gatewaytest.Services{"story": answering("x")},
		gateway.WithMetrics(m), gateway.WithMonitor(&health.Monitor{}), gateway.WithEndpoints(e),
		gateway.WithTrustedHosts("play.example"),
		gateway.WithService("story", gateway.Service{HealthPath: "/health"}),
		gateway.WithGuard(crisis()),
		gateway.WithRoutes(gateway.Route{Pattern: "/api/v1/players/{player_id}/", Service: "story", Lane: ratelimit.Therapeutic}))
}

func TestWhatEverybodySees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := newWithEndpoints(t, gateway.Endpoints{Version: "1.2.3"})
		synctest.Wait()
		root := decoded(t, gw.Get("/"))
		assert.Equal(t, "TTA API Gateway", root["service"])
		assert.Equal(t, "1.2.3", root["version"])
		assert.Equal(t, "operational", root["status"])
		for _, path := range []string{"/health/", "/health"} {
			report := decoded(t, gw.Get(path))
			assert.Equal(t, "healthy", report["status"], report)
			assert.Nil(t, report["checks"], "names of services are for insiders")
		}
		assert.Equal(t, "alive", decoded(t, gw.Get("/health/live"))["status"])
		assert.Equal(t, "ready", decoded(t, gw.Get("/health/ready"))["status"])
		help := gw.Get("/help", gatewaytest.Header("Accept", "text/html"))
		assert.Equal(t, 200, help.Status)
		assert.Contains(t, help.Body, "findahelpline.com")
		assert.Equal(t, 404, gw.Get("/docs", func(r *http.Request) { r.Host = "play.example" }).Status, "in debug only")
	})
}

func TestWhatOnlyInsidersSee(t *testing.T) {
	paths := []string{"/metrics/", "/metrics", "/metrics/prometheus", "/metrics/health-metrics", "/metrics/therapeutic-metrics", "/explain?path=/api/v1/players/7"}
	tests := []struct {
		desc    string
		setting gateway.Endpoints
		option  func(gw *gatewaytest.Gateway) gatewaytest.RequestOption
		status  int
	}{
		{"a stranger", gateway.Endpoints{}, func(*gatewaytest.Gateway) gatewaytest.RequestOption { return func(*http.Request) {} }, 401},
		{"a player", gateway.Endpoints{}, func(gw *gatewaytest.Gateway) gatewaytest.RequestOption { return gw.As("ann") }, 403},
		{"an admin", gateway.Endpoints{}, func(gw *gatewaytest.Gateway) gatewaytest.RequestOption {
			return gw.As("root", authtest.Login("admin"))
		}, 200},
		{"the bearer of the token", gateway.Endpoints{Token: "scrape"}, func(*gatewaytest.Gateway) gatewaytest.RequestOption {
			return gatewaytest.Header("Authorization", "Bearer scrape")
		}, 200},
		{"the bearer of another token", gateway.Endpoints{Token: "scrape"}, func(*gatewaytest.Gateway) gatewaytest.RequestOption {
			return gatewaytest.Header("Authorization", "Bearer guess")
		}, 401},
		{"an address that is allowed", gateway.Endpoints{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, func(*gatewaytest.Gateway) gatewaytest.RequestOption {
			return func(*http.Request) {}
		}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw := newWithEndpoints(t, tt.setting)
				for _, path := range paths {
					resp := gw.Get(path, tt.option(gw))
					assert.Equal(t, tt.status, resp.Status, path)
					if tt.status != 200 {
						problemOf(t, resp)
					}
				}
				synctest.Wait()
				report := decoded(t, gw.Get("/health/", tt.option(gw)))
				assert.Equal(t, tt.status == 200, report["checks"] != nil)
				if tt.status == 200 {
					assert.Contains(t, report["checks"], "story")
					assert.Contains(t, report["checks"], "story@story-1.test")
				}
			})
		})
	}
}

func TestFiguresAreReal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := newWithEndpoints(t, gateway.Endpoints{Token: "scrape", Safety: true})
		insider := gatewaytest.Header("Authorization", "Bearer scrape")
		here := func(r *http.Request) { r.Host = "play.example" }
		gw.Post("/api/v1/players/7/x", `{"message":"i want to die"}`, gw.As("7"), here)
		gw.Get("/api/v1/players/7/x", here)
		time.Sleep(90 * time.Second)
		text := gw.Get("/metrics/prometheus", insider).Body
		assert.Contains(t, text, `gateway_requests_total{endpoint="/api/v1/players/{player_id}/",method="POST",service="story",status_code="200"} 1`)
		assert.Contains(t, text, `gateway_requests_total{endpoint="/api/v1/players/{player_id}/",method="GET",service="story",status_code="401"} 1`)
		assert.Contains(t, text, `gateway_crisis_events_total{intervention_type="detected",severity="high"} 1`)
		assert.Contains(t, text, `gateway_service_health{service_name="story"} 1`)
		assert.NotContains(t, text, "players/7")
		therapeutic := decoded(t, gw.Get("/metrics/therapeutic-metrics", insider))
		assert.EqualValues(t, 1, therapeutic["crisis_events_24h"])
		assert.Equal(t, map[string]any{"/api/v1/players/{player_id}/": "healthy"}, therapeutic["therapeutic_endpoints_health"])
		summary := decoded(t, gw.Get("/metrics/", insider))["metrics"].(map[string]any)
		assert.EqualValues(t, 90, summary["gateway_uptime_seconds"])
	})
}

func TestHealthFollowsTheInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := newWithEndpoints(t, gateway.Endpoints{Token: "scrape"})
		insider := gatewaytest.Header("Authorization", "Bearer scrape")
		time.Sleep(time.Minute)
		gw.Instance("story", 0).Stop()
		time.Sleep(3 * time.Minute)
		report := decoded(t, gw.Get("/health/", insider))
		assert.Equal(t, "degraded", report["status"], "the gateway itself can still help")
		assert.Equal(t, 200, gw.Get("/health/ready").Status, "ready means able to help")
		require.NoError(t, gw.Instance("story", 0).Start())
		time.Sleep(3 * time.Minute)
		assert.Equal(t, "healthy", decoded(t, gw.Get("/health/", insider))["status"])
	})
}

func TestExplainEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := newWithEndpoints(t, gateway.Endpoints{Token: "scrape"})
		e := decoded(t, gw.Get("/explain?method=POST&host=play.example&path=/api/v1/players/7/progress%3Fdays=3", gatewaytest.Header("Authorization", "Bearer scrape")))
		assert.Equal(t, "/api/v1/players/{player_id}/", e["route"])
		assert.Equal(t, "/api/v1/players/7/progress?days=3", e["target"])
		assert.Equal(t, "known", e["allow"])
	})
}

func TestDocsAreMadeOfTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := newWithEndpoints(t, gateway.Endpoints{Debug: true})
		doc := decoded(t, gw.Get("/openapi.json"))
		assert.Equal(t, "3.1.0", doc["openapi"])
		assert.Contains(t, doc["paths"], "/api/v1/players/{player_id}/{rest}")
		page := gw.Get("/docs")
		assert.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'none'")
		assert.NotContains(t, page.Body, "https://", "it needs nobody else's server")
	})
}

func TestServicesRegisterThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &discovery.Memory{}
		gw := gatewaytest.New(t, gatewaytest.Services{"story": answering("x")}, gateway.WithRegistry(memory),
			gateway.WithEndpoints(gateway.Endpoints{Token: "t", Registrations: memory}),
			gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "late", Allow: auth.Anyone}))
		assert.Equal(t, 503, gw.Get("/x").Status)
		resp := gw.Get("/registry/")
		assert.Equal(t, 401, resp.Status, "not everybody says where people's words go")
	})
}

func TestAdminListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &gatewaytest.Network{}
		ln, err := network.Listen("admin.test:9000")
		require.NoError(t, err)
		gatewaytest.Start(t, gatewaytest.Services{"story": answering("x")}, gateway.WithEndpoints(gateway.Endpoints{}),
			gateway.WithServer(gateway.Server{Admin: ln}), gateway.WithMonitor(&health.Monitor{}), open("story"))
		client := &http.Client{Transport: &http.Transport{DialContext: network.DialContext}}
		defer client.CloseIdleConnections()
		for path, want := range map[string]int{"/health/": 200, "/explain": 200, "/story": 404} {
			resp, err := client.Get("http://admin.test:9000" + path)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, want, resp.StatusCode, path)
		}
	})
}
