// Package metrics counts what happened, for Prometheus and for people.
//
//	what happens                    Metrics                       who reads it
//	                       ┌───────────────────────┐
//	a request ends  ─────► │ gateway_requests_…    │ ──► Handler              text, for a scraper
//	a socket opens  ─────► │ gateway_websockets_…  │ ──► Summary              JSON: what runs here
//	a crisis is seen ────► │ gateway_crisis_…      │ ──► HealthMetrics        JSON: how it stands
//	                       │ tta_…  (the shipped   │ ──► TherapeuticMetrics   JSON: what was needed
//	                       │         dashboards)   │
//	                       └───────────────────────┘
//
// Every method works on a nil *[Metrics] and does nothing, so code that counts need not ask whether anybody wants to know.
//
// No label can grow without bound. Methods and status codes are folded into known ones; every other label is taken from a small
// vocabulary that, once full, calls whatever else comes [Other]. Addresses, user names, paths and ids are never labels: routes are named
// by their templates.
//
// The shortest program:
//
//	registry := prometheus.NewRegistry()
//	m, err := metrics.New(registry)
//	if err != nil { … }
//	story := m.Route("/api/v1/gameplay/", "player-experience") // once, when the route table is built
//	story.Done(r.Method, status, time.Since(began))            // for every request
//	mux.Handle("GET /metrics/prometheus", m.Handler())
//
// All of it is safe for simultaneous use.
package metrics
