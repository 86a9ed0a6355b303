package metrics

import (
	"runtime"
	"strconv"
)

// Results of [Metrics.TokenVerified].
const (
	VerifySuccess       = "success"
	VerifyFailure       = "failure"
	VerifyMissingPlayer = "missing_player_id"
)

// Detected is the intervention of [Metrics.Crisis] that counts the signal itself.
const Detected = "detected"

// ConnectionOpened counts a client connection that was accepted. Each needs its ConnectionClosed.
func (m *Metrics) ConnectionOpened() { m.connections(1) }

// ConnectionClosed counts a client connection that has ended.
func (m *Metrics) ConnectionClosed() { m.connections(-1) }

func (m *Metrics) connections(by int64) {
	if m == nil {
		return
	}
	m.open.Add(by)
	m.active.Add(float64(by))
	m.ttaOpen.Add(float64(by))
}

// WebSocketOpened counts a WebSocket on a route, in a lane. Each needs its WebSocketClosed; one that changes lanes is
// [Metrics.WebSocketMoved].
func (m *Metrics) WebSocketOpened(route, lane string) {
	if m == nil {
		return
	}
	m.sockets.WithLabelValues(m.words.endpoint.take(route), m.words.lane.take(lane)).Inc()
}

// WebSocketMoved counts an open WebSocket in another lane from now on.
func (m *Metrics) WebSocketMoved(route, from, to string) {
	if m == nil {
		return
	}
	route = m.words.endpoint.take(route)
	m.sockets.WithLabelValues(route, m.words.lane.take(from)).Dec()
	m.sockets.WithLabelValues(route, m.words.lane.take(to)).Inc()
}

// WebSocketClosed counts the end of a WebSocket, with the close code of RFC 6455, section 7.4; 1006 where none was sent. Codes that
// applications choose count as "3xxx" and "4xxx".
func (m *Metrics) WebSocketClosed(route, lane string, code int) {
	if m == nil {
		return
	}
	route, lane = m.words.endpoint.take(route), m.words.lane.take(lane)
	m.sockets.WithLabelValues(route, lane).Dec()
	m.socketsClosed.WithLabelValues(route, lane, closeCode(code)).Inc()
	m.ttaDisconnections.WithLabelValues(m.service).Inc()
}

func closeCode(code int) string {
	switch {
	case code >= 1000 && code <= 1015:
		return strconv.Itoa(code)
	case code >= 3000 && code <= 4999:
		return strconv.Itoa(code/1000) + "xxx"
	}
	return Other
}

// Message counts one WebSocket message of n bytes that was relayed.
func (m *Metrics) Message(route, direction string, n int) {
	if m == nil {
		return
	}
	m.passed.get(way{route: route, direction: direction}, m.relayedOn).add(int64(n))
}

// ServiceHealth says whether a service is well.
func (m *Metrics) ServiceHealth(service string, well bool) {
	if m == nil {
		return
	}
	service = m.words.service.take(service)
	m.serviceHealth.WithLabelValues(service).Set(one(well))
	m.services.set(service, well)
}

// ServiceGone takes a service that exists no more out of the figures about its present state. What it did stays counted.
func (m *Metrics) ServiceGone(service string) {
	if m == nil {
		return
	}
	service = m.words.service.take(service)
	m.serviceHealth.DeleteLabelValues(service)
	m.ejected.DeleteLabelValues(service)
	m.services.drop(service)
}

// Retry counts a further attempt at a request.
func (m *Metrics) Retry(service string) {
	if m == nil {
		return
	}
	m.retries.WithLabelValues(m.words.service.take(service)).Inc()
}

// BreakerState says that one of the breakers of a service went from one state to another. from is "" for a new one, to is "" for one
// that is gone.
func (m *Metrics) BreakerState(service, from, to string) {
	if m == nil || from == to {
		return
	}
	service = m.words.service.take(service)
	if from != "" {
		m.breakers.WithLabelValues(service, m.words.state.take(from)).Dec()
	}
	if to != "" {
		m.breakers.WithLabelValues(service, m.words.state.take(to)).Inc()
	}
	if from != "" && to != "" {
		m.breakerTurns.WithLabelValues(service, m.words.state.take(to)).Inc()
	}
}

// Ejected says how many instances of a service rest because they stood out.
func (m *Metrics) Ejected(service string, n int) {
	if m == nil {
		return
	}
	m.ejected.WithLabelValues(m.words.service.take(service)).Set(float64(n))
}

// RateLimited counts a request that a quota refused. scope says which kind ("address", "default", "therapeutic"), never whose.
func (m *Metrics) RateLimited(scope, endpoint string) {
	if m == nil {
		return
	}
	m.rateLimitHits.WithLabelValues(m.words.scope.take(scope), m.words.endpoint.take(endpoint)).Inc()
}

// Auth counts an event of identification ("identify") or permission ("allow") and how it ended.
func (m *Metrics) Auth(event, status string) {
	if m == nil {
		return
	}
	m.authEvents.WithLabelValues(m.words.event.take(event), m.words.status.take(status)).Inc()
}

// TokenVerified counts a token that was verified: [VerifySuccess], [VerifyFailure] or [VerifyMissingPlayer].
func (m *Metrics) TokenVerified(result string) {
	if m == nil {
		return
	}
	m.ttaVerifications.WithLabelValues(m.service, m.words.result.take(result)).Inc()
}

// PlayerID counts a verified token that has, or lacks, a player id.
func (m *Metrics) PlayerID(endpoint string, present bool) {
	if m == nil {
		return
	}
	m.ttaPlayerID.WithLabelValues(m.words.endpoint.take(endpoint), strconv.FormatBool(present)).Inc()
}

// SessionsActive says how many sessions are going on. Two gateways on one registry show their sum.
func (m *Metrics) SessionsActive(n int) {
	if m == nil {
		return
	}
	m.sessions.set(n, m.therapeutic.WithLabelValues(), m.ttaSessions.WithLabelValues(m.service))
}

// UsersActive says how many users are there. Two gateways on one registry show their sum.
func (m *Metrics) UsersActive(n int) {
	if m == nil {
		return
	}
	m.users.set(n, m.ttaUsers.WithLabelValues(m.service))
}

// Admission says how to find out how many requests of a lane are inside and how many wait. The funcs are called at every scrape, must
// be quick, and cost a request nothing; a nil one means not known. A second call for a lane replaces the first. Two gateways on one
// registry show their sum.
func (m *Metrics) Admission(lane string, inUse, queued func() int) {
	if m == nil {
		return
	}
	m.admission.ask(m, m.words.lane.take(lane), inUse, queued)
}

// Crisis counts a crisis signal, or what was done about one: intervention is [Detected], or "", once for each signal, and the name of
// what was done ("help", "replace", "escalate") for each thing that was. Signals make up CrisisEvents24h, the others the interventions
// of [Metrics.TherapeuticMetrics].
func (m *Metrics) Crisis(severity, intervention string) {
	if m == nil {
		return
	}
	intervention = m.words.intervention.take(label(intervention, Detected))
	m.crisisEvents.WithLabelValues(m.words.severity.take(severity), intervention).Inc()
	if intervention == Detected {
		m.crises.add()
		return
	}
	m.mitigated.Add(1)
}

// CrisisEvents24h is the number of crisis signals of the last 24 hours, to the minute, since New: a process that began later knows no
// more.
func (m *Metrics) CrisisEvents24h() int {
	if m == nil {
		return 0
	}
	return m.crises.count()
}

// Referral counts a notice to people who can help. It says how grave, never about whom.
func (m *Metrics) Referral(severity string) {
	if m == nil {
		return
	}
	m.referrals.WithLabelValues(m.words.severity.take(severity)).Inc()
}

// Inspected counts one message or body of so many bytes that was inspected.
func (m *Metrics) Inspected(route, direction, transport string, bytes int64) {
	if m == nil {
		return
	}
	m.seen.get(way{route: route, direction: direction, transport: transport}, m.inspectedOn).add(bytes)
}

// Skipped counts one message or body of so many bytes that passed without inspection, and why.
func (m *Metrics) Skipped(route, direction, transport, reason string, bytes int64) {
	if m == nil {
		return
	}
	m.unseen.get(way{route, direction, transport, reason}, m.skippedOn).add(bytes)
}

// SafetyEnabled says whether therapeutic safety is on.
func (m *Metrics) SafetyEnabled(on bool) {
	if m == nil {
		return
	}
	m.safetyEnabled.WithLabelValues().Set(one(on))
}

// SafetySelfTest says how the last self-test of the inspection ended.
func (m *Metrics) SafetySelfTest(passed bool) {
	if m == nil {
		return
	}
	m.selfTest.WithLabelValues().Set(one(passed))
	if !passed {
		m.selfTestFailures.Inc()
	}
}

// AuditHealth says whether the audit trail takes every record.
func (m *Metrics) AuditHealth(well bool) {
	if m == nil {
		return
	}
	m.auditHealthy.WithLabelValues().Set(one(well))
}

// AuditRecord counts an audit record by what became of it ("written", "spooled", "reserved", "lost").
func (m *Metrics) AuditRecord(outcome string) {
	if m == nil {
		return
	}
	m.auditRecords.WithLabelValues(m.words.outcome.take(outcome)).Inc()
}

// Reload counts an attempt to load a new configuration.
func (m *Metrics) Reload(ok bool) {
	if m == nil {
		return
	}
	m.lastReloadGood.WithLabelValues().Set(one(ok))
	if !ok {
		m.reloads.WithLabelValues("failure").Inc()
		return
	}
	m.reloads.WithLabelValues("success").Inc()
	m.lastReloadTime.WithLabelValues().SetToCurrentTime()
}

// BuildInfo says what is running.
func (m *Metrics) BuildInfo(version, revision string) {
	if m == nil {
		return
	}
	m.build.WithLabelValues(m.words.version.take(version), m.words.revision.take(revision), runtime.Version()).Set(1)
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
