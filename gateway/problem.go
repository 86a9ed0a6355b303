package gateway

import (
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
)

// problemBase is where the kinds of problem are documented; the type member of
// RFC 9457 is this and the code.
const problemBase = "https://github.com/theinterneti/tta-gateway#problem-"

// problem is one way of saying no. All of them stand in the table below, and
// refuse is the only place that renders one.
type problem struct {
	code    string // stable: clients may decide on it
	status  int
	title   string
	message string // for the person: short, kind, and nothing but the truth
	close   int    // the close code on a chat socket that is refused by closing
}

// WebSocket close codes (RFC 6455 section 7.4.1). The TTA front end never
// reconnects after 1008, so that is kept for callers who may not come in.
const (
	closeGoingAway = 1001
	closePolicy    = 1008
	closeTooBig    = 1009
	closeInternal  = 1011
	closeRestart   = 1012
	closeTryLater  = 1013
)

// The table of refusals.
var (
	problemPath = &problem{"malformed_path", 400, "Malformed path",
		"We could not read this address. Please check it and try again.", closePolicy}
	problemHost = &problem{"unknown_host", 400, "Unknown host",
		"This service is not known under that name. Please check the address.", closePolicy}
	problemBody = &problem{"malformed_body", 400, "Malformed body",
		"We could not read what was sent. Please try sending it again.", closePolicy}
	problemRequest = &problem{"malformed_request", 400, "Malformed request",
		"We could not read what was sent. Please try sending it again.", closePolicy}
	problemUpgrade = &problem{"upgrade_refused", 400, "Upgrade refused",
		"This address does not speak that protocol.", closePolicy}
	problemHandshake = &problem{"malformed_handshake", 400, "Malformed WebSocket handshake",
		"The connection could not be opened. Please reload and try again.", closePolicy}
	problemCredentials = &problem{"malformed_credentials", 400, "Malformed credentials",
		"We could not read your sign-in. Please sign in again.", closePolicy}
	problemUnauthenticated = &problem{"unauthenticated", 401, "Sign-in needed",
		"Please sign in to continue.", closePolicy}
	problemToken = &problem{"invalid_token", 401, "Sign-in no longer valid",
		"Your sign-in is no longer valid. Please sign in again.", closePolicy}
	problemForbidden = &problem{"forbidden", 403, "Not allowed",
		"Your account does not have access to this. If you think it should, please ask your care team or an administrator.", closePolicy}
	problemMFA = &problem{"mfa_required", 403, "Second factor needed",
		"This needs a second sign-in step. Please sign in again with your second factor.", closePolicy}
	problemOrigin = &problem{"origin_refused", 403, "Origin refused",
		"This page may not open a connection here.", closePolicy}
	problemNotFound = &problem{"not_found", 404, "Not found",
		"There is nothing at this address.", closePolicy}
	problemMethod = &problem{"method_not_allowed", 405, "Method not allowed",
		"This address does not accept that kind of request.", closePolicy}
	problemSlow = &problem{"request_timeout", 408, "Request too slow",
		"Your message took too long to arrive. Please try sending it again.", closeTryLater}
	problemTooLarge = &problem{"body_too_large", 413, "Too large",
		"That was more than we can take in one piece. Please send it in smaller parts.", closeTooBig}
	problemQuota = &problem{"rate_limited", 429, "Too many requests",
		"That was a lot in a short time. Please wait a moment and try again.", closeTryLater}
	problemAddress = &problem{"address_limited", 429, "Too many requests from this network",
		"There are very many requests from your network. Please wait a moment and try again.", closeTryLater}
	problemSockets = &problem{"too_many_connections", 429, "Too many connections",
		"You have too many conversations open. Please close one and try again.", closeTryLater}
	problemInternal = &problem{"internal", 500, "Internal error",
		"Something went wrong on our side. Please try again in a moment.", closeInternal}
	problemMethodUnknown = &problem{"method_unknown", 501, "Method not known",
		"We do not know that kind of request.", closePolicy}
	problemConnect = &problem{"upstream_unreachable", 502, "Service not reachable",
		"The service could not be reached. Nothing was delivered; please try again in a moment.", closeTryLater}
	problemBroken = &problem{"upstream_failed", 502, "Service failed to answer",
		"The service broke off before it answered. What you sent may have arrived; please check before you send it again.", closeInternal}
	problemProtocol = &problem{"upstream_protocol", 502, "Service answered unreadably",
		"The service gave an answer that we could not read. Please try again in a moment.", closeInternal}
	problemUnavailable = &problem{"service_unavailable", 503, "Service not available",
		"The service is not available right now. Please try again in a moment.", closeTryLater}
	problemBreaker = &problem{"breaker_open", 503, "Service resting",
		"The service has trouble answering and is given a moment to recover. Please try again shortly.", closeTryLater}
	problemOverloaded = &problem{"overloaded", 503, "Too busy",
		"Very many people are here right now. Please try again in a moment.", closeTryLater}
	problemDraining = &problem{"draining", 503, "Restarting",
		"We are restarting. Please try again in a moment.", closeRestart}
	problemCut = &problem{"cut_by_restart", 503, "Cut by a restart",
		"We are restarting and could not wait for the answer. What you sent may have arrived; please check before you send it again.", closeRestart}
	problemKeys = &problem{"sign_in_unavailable", 503, "Sign-in cannot be checked",
		"We cannot check your sign-in right now. Please try again in a moment.", closeTryLater}
	problemRegistration = &problem{"registration_refused", 400, "Registration refused",
		"This instance cannot be registered as it stands; the complaints say why.", closePolicy}
	problemDisabled = &problem{"websocket_disabled", 503, "Live connection switched off",
		"Live connections are switched off right now.", closeTryLater}
	problemTimeout = &problem{"upstream_timeout", 504, "Service too slow",
		"The service took too long to answer. What you sent may have arrived; please check before you send it again.", closeTryLater}
	problemLoop = &problem{"loop_detected", 508, "Loop detected",
		"This request came back to us. Please tell an administrator.", closeInternal}

	// problemGone is never sent: the caller left. It stands here because the log
	// and the metrics need a name and a status for it (499, as nginx has it).
	problemGone = &problem{"client_gone", 499, "Caller left", "", closeGoingAway}
)

var problems = []*problem{
	problemPath, problemHost, problemRegistration, problemBody, problemRequest, problemUpgrade, problemHandshake, problemCredentials,
	problemUnauthenticated, problemToken, problemForbidden, problemMFA, problemOrigin, problemNotFound,
	problemMethod, problemSlow, problemTooLarge, problemQuota, problemAddress, problemSockets,
	problemInternal, problemMethodUnknown, problemConnect, problemBroken, problemProtocol,
	problemUnavailable, problemBreaker, problemOverloaded, problemDraining, problemCut, problemKeys,
	problemDisabled, problemTimeout, problemLoop,
}

// Problem documents one kind of refusal.
type Problem struct {
	Code    string // the "code" member, and the end of the "type" member
	Status  int
	Title   string
	Message string // the sentence that a person reads
}

// Problems lists every refusal that a gateway can write, in the order of
// their status.
func Problems() []Problem {
	out := make([]Problem, len(problems))
	for i, p := range problems {
		out[i] = Problem{p.code, p.status, p.title, p.message}
	}
	return out
}

// Refuse says no in the gateway's one shape, for middleware of a host: code is
// that of one of [Problems], and an unknown one is "internal". The cause goes
// into the log, never to the caller. What was written already stays as it is.
// Outside of a gateway it is a plain answer with the problem's status.
func Refuse(w http.ResponseWriter, r *http.Request, code string, cause error) {
	p := problemInternal
	for _, known := range problems {
		if known.code == code {
			p = known
		}
	}
	x := exchangeOf(r)
	if x == nil {
		http.Error(w, p.message, p.status)
		return
	}
	x.state.refuse(w, r, p, cause)
}

// refuse is where every no is written: problem+json (RFC 9457) with the
// members that the TTA front end reads at the top level (message, detail,
// error, code), the request id, and on a therapeutic route the help resources.
// Headers that belong to the refusal are set by the caller beforehand.
func (s *state) refuse(w http.ResponseWriter, r *http.Request, p *problem, cause error) {
	s.refuseWith(w, r, p, cause, nil)
}

// refuseWith is refuse with members of the refusal's own.
func (s *state) refuseWith(w http.ResponseWriter, r *http.Request, p *problem, cause error, own map[string]any) {
	x := exchangeOf(r)
	x.problem, x.cause = p, cause
	if x.passage != nil { // a refusal carries the help itself
		x.passage.Abort()
		w = &x.w
	}
	if x.w.started() {
		return // what is out cannot be taken back
	}
	if p == problemGone { // nobody is there to be told, and nobody may take silence for a 200
		panic(http.ErrAbortHandler)
	}
	if x.match.route != nil && x.match.route.Chat && isHandshake(r) && s.refuseByClose(w, r, x, p) {
		return
	}
	h := w.Header()
	if x.inDanger() {
		s.helpFor(r, x).SetHeaders(h)
	}
	h["Content-Type"] = problemType
	h["Proxy-Status"] = []string{proxyStatus(p, cause)}
	h["Cache-Control"] = noStore
	h.Del("Content-Length")
	h.Del("Content-Encoding")
	body := s.problemBody(r, x, p, retryAfter(h), own)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(p.status)
	_, _ = w.Write(body) // a caller who left is no news
}

var (
	problemType = []string{"application/problem+json"}
	noStore     = []string{"no-store"}
)

func (s *state) problemBody(r *http.Request, x *exchange, p *problem, retryAfter int, own map[string]any) []byte {
	members := map[string]any{
		"type":       problemBase + p.code,
		"title":      p.title,
		"status":     p.status,
		"detail":     p.message,
		"message":    p.message,
		"error":      p.title,
		"code":       p.code,
		"request_id": x.id,
	}
	maps.Copy(members, own)
	if retryAfter > 0 {
		members["retry_after"] = retryAfter
	}
	if x.therapeutic() || p == problemAddress || x.inDanger() {
		maps.Copy(members, s.helpFor(r, x).Members())
	}
	body, err := json.Marshal(members)
	if err != nil { // a host's own Book with what JSON cannot say
		body = []byte(`{"status":` + strconv.Itoa(p.status) + `,"code":"` + p.code + `","message":"` + p.message + `"}`)
	}
	return append(body, '\n')
}

// helpFor is the help that goes with a refusal: for what was just said, which
// may be about somebody else; for the level of the session, if earlier words
// raised it higher; else the standing one.
func (s *state) helpFor(r *http.Request, x *exchange) safety.Help {
	if x.level > x.verdict.Severity {
		return s.guard.Help(r, x.level)
	}
	return s.guard.HelpFor(r, x.verdict)
}

func retryAfter(h http.Header) int {
	n, _ := strconv.Atoi(h.Get("Retry-After"))
	return n
}

// setRetryAfter writes whole seconds, rounded up, one at least (RFC 9110
// section 10.2.3).
func setRetryAfter(h http.Header, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))))
}
