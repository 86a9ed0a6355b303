package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// buckets are those which OpenTelemetry's HTTP conventions advise, so that both worlds line up. They contain all of the 0.1 to 10
// that the TTA dashboards ask for.
var buckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// families are all metric families of a gateway.
type families struct {
	requests, ttaRequests *prometheus.CounterVec
	duration, ttaDuration *prometheus.HistogramVec

	active            prometheus.Gauge
	ttaActive         *prometheus.GaugeVec
	therapeutic       *prometheus.GaugeVec // without labels: absent until it is known
	ttaSessions       *prometheus.GaugeVec
	ttaUsers          *prometheus.GaugeVec
	sockets           *prometheus.GaugeVec
	socketsClosed     *prometheus.CounterVec
	ttaDisconnections *prometheus.CounterVec
	messages          *prometheus.CounterVec
	messageBytes      *prometheus.CounterVec
	serviceHealth     *prometheus.GaugeVec
	retries           *prometheus.CounterVec
	breakers          *prometheus.GaugeVec
	breakerTurns      *prometheus.CounterVec
	ejected           *prometheus.GaugeVec
	rateLimitHits     *prometheus.CounterVec
	authEvents        *prometheus.CounterVec
	ttaVerifications  *prometheus.CounterVec
	ttaPlayerID       *prometheus.CounterVec
	admission         *polled
	crisisEvents      *prometheus.CounterVec
	referrals         *prometheus.CounterVec
	inspectedBytes    *prometheus.CounterVec
	inspectedMessages *prometheus.CounterVec
	skippedBytes      *prometheus.CounterVec
	skippedMessages   *prometheus.CounterVec
	safetyEnabled     *prometheus.GaugeVec // the following without labels: absent until they are known
	selfTest          *prometheus.GaugeVec
	selfTestFailures  prometheus.Counter
	auditHealthy      *prometheus.GaugeVec
	auditRecords      *prometheus.CounterVec
	reloads           *prometheus.CounterVec
	lastReloadGood    *prometheus.GaugeVec
	lastReloadTime    *prometheus.GaugeVec
	build             *prometheus.GaugeVec
}

// register makes every family. The names and labels are API.
func register(r *registration) families {
	return families{
		requests: counter(r, "gateway_requests_total",
			"Requests answered, by route template, upstream service and status.", "method", "endpoint", "status_code", "service"),
		duration: use(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gateway_request_duration_seconds",
			Help:    "Time from a request's headers to the end of its answer.",
			Buckets: buckets,
			// Native histograms beside the classic ones: about 10 % wide buckets, bounded in number.
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"method", "endpoint", "service"})),
		ttaRequests: counter(r, "tta_http_requests_total",
			"Requests answered, under the name that TTA dashboards use.", "method", "endpoint", "status_code", "service", "environment"),
		ttaDuration: use(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tta_http_request_duration_seconds",
			Help:    "Time to answer a request, under the name that TTA dashboards use.",
			Buckets: buckets,
		}, []string{"method", "endpoint", "service", "environment"})),

		active: use(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_active_connections", Help: "Client connections open now."})),
		ttaActive:     gauge(r, "tta_active_connections", "Client connections open now.", "service"),
		therapeutic:   gauge(r, "gateway_therapeutic_sessions_active", "Therapeutic sessions seen of late."),
		ttaSessions:   gauge(r, "tta_active_sessions", "Sessions seen of late.", "service"),
		ttaUsers:      gauge(r, "tta_active_users", "Users seen of late.", "service"),
		sockets:       gauge(r, "gateway_websockets_open", "WebSocket connections open now.", "route", "lane"),
		socketsClosed: counter(r, "gateway_websockets_closed_total", "WebSocket connections ended, by close code.", "route", "lane", "code"),
		ttaDisconnections: counter(r, "tta_websocket_disconnections_total",
			"WebSocket connections ended, however.", "service"),
		messages:     counter(r, "gateway_websocket_messages_total", "WebSocket messages relayed.", "route", "direction"),
		messageBytes: counter(r, "gateway_websocket_message_bytes_total", "Payload of WebSocket messages relayed.", "route", "direction"),

		serviceHealth: gauge(r, "gateway_service_health", "1 while a service is well, 0 while it is not.", "service_name"),
		retries:       counter(r, "gateway_retries_total", "Further attempts at requests that a service failed.", "service"),
		breakers:      gauge(r, "gateway_breakers", "Circuit breakers now in a state.", "service", "state"),
		breakerTurns:  counter(r, "gateway_breaker_transitions_total", "Changes of a circuit breaker into a state.", "service", "state"),
		ejected:       gauge(r, "gateway_ejected_instances", "Instances resting because they stood out.", "service"),

		rateLimitHits: counter(r, "gateway_rate_limit_hits_total", "Requests refused by a quota.", "scope", "endpoint"),
		authEvents:    counter(r, "gateway_auth_events_total", "What happened in identification and permission.", "event_type", "status"),
		ttaVerifications: counter(r, "tta_jwt_token_verification_total",
			"Tokens verified, by result.", "service", "result"),
		ttaPlayerID: counter(r, "tta_player_id_field_presence_total",
			"Verified tokens with and without a player id.", "endpoint", "has_player_id"),
		admission: use(r, newPolled()),

		crisisEvents:      counter(r, "gateway_crisis_events_total", "Crisis signals (intervention_type detected), and what was done about them.", "severity", "intervention_type"),
		referrals:         counter(r, "gateway_referral_notices_total", "Notices sent to people who can help.", "severity"),
		inspectedBytes:    counter(r, "gateway_inspected_bytes_total", "Text that was inspected.", "route", "direction", "transport"),
		inspectedMessages: counter(r, "gateway_inspected_messages_total", "Messages and bodies that were inspected.", "route", "direction", "transport"),
		skippedBytes: counter(r, "gateway_uninspected_bytes_total",
			"What passed an inspected route without inspection.", "route", "direction", "transport", "reason"),
		skippedMessages: counter(r, "gateway_uninspected_messages_total",
			"Messages and bodies that passed an inspected route without inspection.", "route", "direction", "transport", "reason"),
		safetyEnabled: gauge(r, "gateway_safety_enabled", "1 while therapeutic safety is on."),
		selfTest:      gauge(r, "gateway_safety_selftest_well", "1 if the last self-test of the inspection passed."),
		selfTestFailures: use(r, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_safety_selftest_failures_total", Help: "Self-tests of the inspection that failed."})),
		auditHealthy: gauge(r, "gateway_audit_healthy", "1 while the audit trail takes every record."),
		auditRecords: counter(r, "gateway_audit_records_total", "Audit records, by what became of them.", "outcome"),

		reloads:        counter(r, "gateway_reloads_total", "Attempts to load a new configuration.", "result"),
		lastReloadGood: gauge(r, "gateway_last_reload_successful", "1 if the last attempt to load a configuration succeeded."),
		lastReloadTime: gauge(r, "gateway_last_reload_success_timestamp_seconds", "When a configuration was last loaded."),
		build:          gauge(r, "gateway_build_info", "Always 1; the labels say what is running.", "version", "revision", "goversion"),
	}
}

func counter(r *registration, name, help string, labels ...string) *prometheus.CounterVec {
	return use(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

func gauge(r *registration, name, help string, labels ...string) *prometheus.GaugeVec {
	return use(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
}
