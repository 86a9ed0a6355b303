package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/theinterneti/tta-gateway/metrics"
)

// show prints the lines of the text format that begin so.
func show(m *metrics.Metrics, prefix string) {
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics/prometheus", nil)
	m.Handler().ServeHTTP(w, r)
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			fmt.Print(line)
		}
	}
}

func Example() {
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		fmt.Println(err)
		return
	}
	players := m.Route("/api/v1/players/{player_id}/", "player-experience") // once
	players.Done("GET", 200, 12*time.Millisecond)                           // for every request
	players.Done("GET", 200, 15*time.Millisecond)
	players.Done("GET", 404, 3*time.Millisecond)
	show(m, "gateway_requests_total")
	// Output:
	// gateway_requests_total{endpoint="/api/v1/players/{player_id}/",method="GET",service="player-experience",status_code="200"} 2
	// gateway_requests_total{endpoint="/api/v1/players/{player_id}/",method="GET",service="player-experience",status_code="404"} 1
}

// The path of a request must not become a label: it names people, and there is one more for each of them. The vocabulary stops the
// growth in the end, but only the template says what was asked for.
func ExampleMetrics_Route_incorrect() {
	m, _ := metrics.New(nil)
	r := httptest.NewRequest("GET", "/api/v1/players/ada/", nil)

	m.Route(r.URL.Path, "player-experience").Done(r.Method, 200, time.Millisecond)                     // wrong
	m.Route("/api/v1/players/{player_id}/", "player-experience").Done(r.Method, 200, time.Millisecond) // right
	show(m, "gateway_requests_total")
	// Output:
	// gateway_requests_total{endpoint="/api/v1/players/ada/",method="GET",service="player-experience",status_code="200"} 1
	// gateway_requests_total{endpoint="/api/v1/players/{player_id}/",method="GET",service="player-experience",status_code="200"} 1
}

// Two gateways of one process may share a registry.
func ExampleNew() {
	registry := prometheus.NewRegistry()
	public, _ := metrics.New(registry)
	clinic, _ := metrics.New(registry, metrics.WithService("clinic-gateway"))
	public.ConnectionOpened()
	clinic.ConnectionOpened()
	show(public, "gateway_active_connections")
	show(public, "tta_active_connections")
	// Output:
	// gateway_active_connections 2
	// tta_active_connections{service="api-gateway"} 1
	// tta_active_connections{service="clinic-gateway"} 1
}

func ExampleByAccept() {
	m, _ := metrics.New(nil)
	m.SafetyEnabled(true)
	h := metrics.ByAccept(m.Summary(metrics.Facts{Version: "1.0.0"}), m.Handler())
	for _, accept := range []string{"*/*", "text/plain"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Accept", accept)
		h.ServeHTTP(w, r)
		fmt.Println(strings.Split(w.Header().Get("Content-Type"), ";")[0])
	}
	// Output:
	// application/json
	// text/plain
}

// Code that counts need not ask whether anybody wants to know.
func ExampleMetrics_nil() {
	var m *metrics.Metrics
	m.Route("/", "story").Done(http.MethodGet, 200, time.Millisecond)
	m.Crisis("high", "help")
	fmt.Println(m.CrisisEvents24h())
	// Output: 0
}
