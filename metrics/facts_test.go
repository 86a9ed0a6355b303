package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/metrics"
)

func ask(h http.Handler, method, accept string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, "/metrics/", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	h.ServeHTTP(w, r)
	return w
}

func always[T any](v T) func() T { return func() T { return v } }

func TestSummariesHaveTheShapesThatClientsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock begins at 2000-01-01T00:00:00Z
		m, _ := counting(t)
		everything(m)
		time.Sleep(1500 * time.Millisecond)
		told := metrics.Facts{
			Version:              "1.0.0",
			Uptime:               always(time.Minute),
			RateLimiting:         always(true),
			TherapeuticSafety:    always(false),
			ServiceDiscovery:     always(true),
			ServiceHealth:        always(map[string]string{"story": "degraded"}),
			TherapeuticEndpoints: always(map[string]string{"/ws/chat": "healthy"}),
			ActiveConnections:    always(11),
			Sessions:             always(12),
			CrisisEvents24h:      always(13),
			TextPath:             "/m",
		}
		cases := []struct {
			desc    string
			handler http.Handler
			want    string
		}{
			{"summary, told", m.Summary(told), `{"timestamp":946684801.5,"metrics":{"gateway_uptime_seconds":60,"gateway_version":"1.0.0",
				"gateway_config":{"rate_limiting_enabled":true,"therapeutic_safety_enabled":false,"service_discovery_enabled":true}},"prometheus_endpoint":"/m"}`},
			{"summary, own", m.Summary(metrics.Facts{}), `{"timestamp":946684801.5,"metrics":{"gateway_uptime_seconds":1.5,"gateway_version":"",
				"gateway_config":{"rate_limiting_enabled":null,"therapeutic_safety_enabled":null,"service_discovery_enabled":null}},"prometheus_endpoint":"/metrics/prometheus"}`},
			{"health, told", m.HealthMetrics(told), `{"timestamp":946684801.5,"service_health":{"story":"degraded"},
				"system_metrics":{"uptime":60,"active_connections":11,"therapeutic_sessions":12}}`},
			{"health, own", m.HealthMetrics(metrics.Facts{}), `{"timestamp":946684801.5,"service_health":{"player-experience":"healthy","agents":"unhealthy"},
				"system_metrics":{"uptime":1.5,"active_connections":1,"therapeutic_sessions":7}}`},
			{"therapeutic, told", m.TherapeuticMetrics(told), `{"timestamp":946684801.5,"active_sessions":12,"crisis_events_24h":13,"safety_interventions":1,
				"therapeutic_endpoints_health":{"/ws/chat":"healthy"}}`},
			{"therapeutic, own", m.TherapeuticMetrics(metrics.Facts{}), `{"timestamp":946684801.5,"active_sessions":7,"crisis_events_24h":2,"safety_interventions":1,
				"therapeutic_endpoints_health":{}}`},
		}
		for _, c := range cases {
			w := ask(c.handler, "GET", "")
			assert.Equal(t, 200, w.Code, c.desc)
			assert.JSONEq(t, c.want, w.Body.String(), c.desc)
			assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			assert.Equal(t, 405, ask(c.handler, "POST", "").Code, c.desc)
			assert.Equal(t, 200, ask(c.handler, "HEAD", "").Code, c.desc)
		}
	})
}

func TestServicesThatAreGoneAreNotReported(t *testing.T) {
	m, _ := counting(t)
	m.ServiceHealth("story", true)
	m.ServiceGone("story")
	assert.Contains(t, ask(m.HealthMetrics(metrics.Facts{}), "GET", "").Body.String(), `"service_health":{}`)
}

func TestHandlerShowsTheRegistry(t *testing.T) {
	own, err := metrics.New(nil)
	require.NoError(t, err)
	given, _ := counting(t)
	for desc, m := range map[string]*metrics.Metrics{"a registry of its own": own, "the one given": given} {
		m.ConnectionOpened()
		w := ask(m.Handler(), "GET", "text/plain")
		assert.Equal(t, 200, w.Code, desc)
		assert.Contains(t, w.Body.String(), "\ngateway_active_connections 1\n", desc)
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		assert.Contains(t, ask(m.Handler(), "GET", "application/openmetrics-text; version=1.0.0").Body.String(), "# EOF")
		assert.Equal(t, 405, ask(m.Handler(), "DELETE", "").Code)
		assert.Equal(t, "GET, HEAD", ask(m.Handler(), "DELETE", "").Header().Get("Allow"))
	}
}

func TestHandlerOfAWrappedRegistryNeedsAGatherer(t *testing.T) {
	reg := prometheus.NewRegistry()
	wrapped := prometheus.WrapRegistererWith(prometheus.Labels{"clinic": "north"}, reg)
	for range 2 { // twice: what is there is found through the wrapping
		m, err := metrics.New(wrapped)
		require.NoError(t, err)
		w := ask(m.Handler(), "GET", "")
		assert.Equal(t, 501, w.Code)
		assert.Contains(t, w.Body.String(), "WithGatherer")
	}
	m, err := metrics.New(wrapped, metrics.WithGatherer(reg))
	require.NoError(t, err)
	assert.Contains(t, ask(m.Handler(), "GET", "").Body.String(), `gateway_active_connections{clinic="north"} 0`)
}

func TestHandlerShowsTheRestWhenACollectorIsBroken(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg)
	require.NoError(t, err)
	require.NoError(t, reg.Register(brokenCollector{}))
	w := ask(m.Handler(), "GET", "")
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), "gateway_active_connections 0")
}

type brokenCollector struct{}

var brokenDesc = prometheus.NewDesc("broken", "broken", nil, nil)

func (brokenCollector) Describe(ch chan<- *prometheus.Desc) { ch <- brokenDesc }
func (brokenCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(brokenDesc, http.ErrAbortHandler)
}

func TestANilMetricsHasNothingToShow(t *testing.T) {
	var m *metrics.Metrics
	for _, h := range []http.Handler{m.Handler(), m.Summary(metrics.Facts{}), m.HealthMetrics(metrics.Facts{}), m.TherapeuticMetrics(metrics.Facts{})} {
		assert.Equal(t, 404, ask(h, "GET", "").Code)
	}
}

func TestByAccept(t *testing.T) {
	say := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) })
	}
	h := metrics.ByAccept(say("json"), say("text"))
	cases := []struct{ desc, accept, want string }{
		{"nothing said", "", "json"},
		{"curl", "*/*", "json"},
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"},
		{"axios", "application/json, text/plain, */*", "json"},
		{"Prometheus", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", "text"},
		{"Prometheus, native histograms first", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", "text"},
		{"text", "text/plain", "text"},
		{"text by name, the rest by wildcard", "text/plain, */*", "text"},
		{"json rather", "text/plain;q=0.5, application/json", "json"},
		{"text rather", "text/plain, application/json;q=0.9", "text"},
		{"json by its type", "application/*;q=0.9, text/plain;q=0.8", "json"},
		{"what is named decides over the wildcard", "*/*;q=1, application/json;q=0.1, text/plain;q=0.5", "text"},
		{"text not at all", "text/plain;q=0", "json"},
		{"neither", "image/png", "json"},
		{"case and space do not matter", " Text/Plain ; Q=1 ", "text"},
		{"nonsense is not preferred", "text/plain;q=NaN, text/plain;q=-1, text/plain;q=7, text/plain;q=x", "json"},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			w := ask(h, "GET", c.accept)
			assert.Equal(t, c.want, w.Body.String())
			assert.Equal(t, "Accept", w.Header().Get("Vary"))
		})
	}
}

func FuzzByAccept(f *testing.F) {
	f.Add("text/plain;q=0.5, */*")
	f.Add(",;=,q=;;q=q,text/plain;q=\"1\"")
	var chosen string
	choose := func(s string) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { chosen = s })
	}
	h := metrics.ByAccept(choose("json"), choose("text"))
	f.Fuzz(func(t *testing.T, accept string) {
		chosen = ""
		ask(h, "GET", accept)
		require.NotEmpty(t, chosen)
		first := chosen
		ask(h, "GET", accept+", image/png")
		require.Equal(t, first, chosen, "a wish for something else changes nothing")
		ask(h, "GET", accept+", application/json;q=1")
		if first == "json" {
			require.Equal(t, "json", chosen, "nor does another wish for what was chosen")
		}
	})
}
