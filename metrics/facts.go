package metrics

import (
	"encoding/json"
	"net/http"
	"time"
)

// Facts are what the JSON summaries say beyond what was counted here. Each func is called for each answer and must be quick and safe for
// simultaneous use. The zero Facts are fine: a nil func leaves our own figure where there is one, and null where nobody knows.
type Facts struct {
	Version string               // of the gateway
	Uptime  func() time.Duration // nil = since New

	RateLimiting, TherapeuticSafety, ServiceDiscovery func() bool // whether they are on

	ServiceHealth        func() map[string]string // service → status; nil = what ServiceHealth was told
	TherapeuticEndpoints func() map[string]string // route template → status of what is behind it; nil = none
	ActiveConnections    func() int               // nil = ConnectionOpened less ConnectionClosed
	Sessions             func() int               // nil = what SessionsActive was told last
	CrisisEvents24h      func() int               // nil = CrisisEvents24h, which a restart forgets

	TextPath string // where the text format is; "" = /metrics/prometheus
}

type summaryJSON struct {
	Timestamp float64     `json:"timestamp"`
	Metrics   gatewayJSON `json:"metrics"`
	Text      string      `json:"prometheus_endpoint"`
}

type gatewayJSON struct {
	Uptime  float64    `json:"gateway_uptime_seconds"`
	Version string     `json:"gateway_version"`
	Config  configJSON `json:"gateway_config"`
}

type configJSON struct {
	RateLimiting      *bool `json:"rate_limiting_enabled"`
	TherapeuticSafety *bool `json:"therapeutic_safety_enabled"`
	ServiceDiscovery  *bool `json:"service_discovery_enabled"`
}

// Summary answers GET and HEAD with what runs here: uptime, version, what is switched on, and where the text format is. A nil *Metrics
// answers 404.
func (m *Metrics) Summary(f Facts) http.Handler {
	return m.tell(func() any {
		return summaryJSON{
			Timestamp: epoch(),
			Metrics: gatewayJSON{
				Uptime:  f.uptime(m).Seconds(),
				Version: f.Version,
				Config:  configJSON{known(f.RateLimiting), known(f.TherapeuticSafety), known(f.ServiceDiscovery)},
			},
			Text: label(f.TextPath, "/metrics/prometheus"),
		}
	})
}

type healthJSON struct {
	Timestamp float64           `json:"timestamp"`
	Services  map[string]string `json:"service_health"`
	System    systemJSON        `json:"system_metrics"`
}

type systemJSON struct {
	Uptime      float64 `json:"uptime"`
	Connections int     `json:"active_connections"`
	Sessions    int     `json:"therapeutic_sessions"`
}

// HealthMetrics answers GET and HEAD with the services' health, connections and sessions. A nil *Metrics answers 404.
func (m *Metrics) HealthMetrics(f Facts) http.Handler {
	return m.tell(func() any {
		return healthJSON{
			Timestamp: epoch(),
			Services:  f.serviceHealth(m),
			System:    systemJSON{f.uptime(m).Seconds(), figure(f.ActiveConnections, m.connected), figure(f.Sessions, m.sessions.get)},
		}
	})
}

type therapeuticJSON struct {
	Timestamp     float64           `json:"timestamp"`
	Sessions      int               `json:"active_sessions"`
	Crises        int               `json:"crisis_events_24h"`
	Interventions int64             `json:"safety_interventions"`
	Endpoints     map[string]string `json:"therapeutic_endpoints_health"`
}

// TherapeuticMetrics answers GET and HEAD with sessions, crisis signals of the last 24 hours, interventions since New, and the health of
// therapeutic routes. In a small clinic these are personal data: mount it where only those look who may. A nil *Metrics answers 404.
func (m *Metrics) TherapeuticMetrics(f Facts) http.Handler {
	return m.tell(func() any {
		return therapeuticJSON{
			Timestamp:     epoch(),
			Sessions:      figure(f.Sessions, m.sessions.get),
			Crises:        figure(f.CrisisEvents24h, m.CrisisEvents24h),
			Interventions: m.mitigated.Load(),
			Endpoints:     table(f.TherapeuticEndpoints),
		}
	})
}

func (m *Metrics) tell(what func() any) http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return asked(func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(what())
		if err != nil { // an uptime beyond what JSON can write; no clock shows one
			http.Error(w, "metrics: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(append(body, '\n')) // the asker has gone: nobody is left to tell
	})
}

func (m *Metrics) connected() int { return int(m.open.Load()) }

func (f Facts) uptime(m *Metrics) time.Duration {
	if f.Uptime != nil {
		return f.Uptime()
	}
	return time.Since(m.born)
}

func (f Facts) serviceHealth(m *Metrics) map[string]string {
	if f.ServiceHealth != nil {
		return table(f.ServiceHealth)
	}
	words := map[string]string{}
	for service, well := range m.services.all() {
		words[service] = "unhealthy"
		if well {
			words[service] = "healthy"
		}
	}
	return words
}

// table is never nil: an object, not null.
func table(f func() map[string]string) map[string]string {
	if f != nil {
		if t := f(); t != nil {
			return t
		}
	}
	return map[string]string{}
}

func figure(given, own func() int) int {
	if given != nil {
		return given()
	}
	return own()
}

func known(f func() bool) *bool {
	if f == nil {
		return nil
	}
	return new(f())
}

// epoch is now in seconds since 1970.
func epoch() float64 { return float64(time.Now().UnixMicro()) / 1e6 }
