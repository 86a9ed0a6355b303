package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"syscall"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// failure is why a try gave no answer.
type failure struct {
	problem *problem
	err     error
	unsent  bool // it is certain that nothing of the request was sent
}

// Errors by which the gateway itself ends a try.
var (
	errHeaderTimeout  = errors.New("gateway: the instance did not begin its answer in time")
	errIdleTimeout    = errors.New("gateway: the answer stood still for too long")
	errUpstreamStatus = errors.New("gateway: the instance answered with a server error")
	errUnasked        = errors.New("gateway: the instance switched protocols unasked")
	errStatusCode     = errors.New("gateway: the instance answered with a status that does not exist")
)

// classify says whose fault it is that there is no answer, in this order: the
// clock's, the caller's while he was sending, the caller's who left, and only
// then the instance's.
func (j *job) classify(a *attempt, err error) failure {
	cause := context.Cause(a)
	switch {
	case errors.Is(cause, errHeaderTimeout):
		return failure{problem: problemTimeout, err: cause}
	case j.x.body.err() != nil:
		return failure{problem: bodyProblem(j.x.body.err()), err: j.x.body.err()}
	case errors.Is(context.Cause(j.x), errEnding):
		return failure{problem: problemCut, err: errEnding}
	case j.x.Err() != nil:
		return failure{problem: problemGone, err: j.x.Err()}
	}
	return failure{problem: upstreamProblem(err), err: err, unsent: nothingSent(err)}
}

// nothingSent reports that an error proves that the service cannot have seen
// any of the request.
func nothingSent(err error) bool {
	var dial *net.OpError
	return h1.NothingSent(err) || errors.As(err, &dial) && dial.Op == "dial"
}

// upstreamProblem tells the faults of an instance apart.
func upstreamProblem(err error) *problem {
	var own *h1.Error
	var request *h1.RequestError
	switch {
	case errors.As(err, &request):
		return problemRequest
	case nothingSent(err):
		return problemConnect
	case errors.As(err, &own) && own.Timeout():
		return problemTimeout
	case unreadable(err):
		return problemProtocol
	}
	return problemBroken
}

// brokenProblem is what an answer is told as that broke off within its body,
// or stood still.
func brokenProblem(err error) *problem {
	var own *h1.Error
	if errors.Is(err, errIdleTimeout) || errors.As(err, &own) && own.Timeout() {
		return problemTimeout
	}
	return problemBroken
}

// unreadable reports an answer that is not HTTP.
func unreadable(err error) bool {
	var protocol *h1.ProtocolError
	var mime textproto.ProtocolError
	return errors.As(err, &protocol) || errors.As(err, &mime) || strings.Contains(err.Error(), "malformed HTTP") ||
		strings.Contains(err.Error(), "PROTOCOL_ERROR")
}

// blameless are the problems that say nothing against an instance.
func blameless(p *problem) bool { return p.status < 500 }

// faulty are the statuses by which an instance says that it cannot do its
// work. 501 and 505 are about the request.
func faulty(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// proxyErrors are the error types of Proxy-Status (RFC 9209 section 2.3), by
// what is refused. They tell an answer that the gateway made from one of a
// service, and a monitoring system what to look at.
var proxyErrors = map[*problem]string{
	problemPath:          "http_request_error",
	problemHost:          "http_request_error",
	problemBody:          "http_request_error",
	problemRequest:       "http_request_error",
	problemUpgrade:       "http_request_error",
	problemHandshake:     "http_request_error",
	problemMethod:        "http_request_error",
	problemMethodUnknown: "http_request_error",
	problemSlow:          "http_request_error",
	problemTooLarge:      "http_request_error",

	problemCredentials:     "http_request_denied",
	problemUnauthenticated: "http_request_denied",
	problemToken:           "http_request_denied",
	problemForbidden:       "http_request_denied",
	problemMFA:             "http_request_denied",
	problemOrigin:          "http_request_denied",
	problemQuota:           "http_request_denied",
	problemAddress:         "http_request_denied",
	problemSockets:         "http_request_denied",

	problemConnect:     "connection_refused",
	problemBroken:      "connection_terminated",
	problemProtocol:    "http_protocol_error",
	problemTimeout:     "http_response_timeout",
	problemUnavailable: "destination_not_found",
	problemBreaker:     "destination_unavailable",
	problemLoop:        "proxy_loop_detected",
	problemInternal:    "proxy_internal_error",
}

// proxyStatus is the value of Proxy-Status. What is not in the table the
// gateway decided by itself, without a thought to any service.
func proxyStatus(p *problem, cause error) string {
	kind := proxyErrors[p]
	if finer := finerError(p, cause); finer != "" {
		kind = finer
	}
	if kind == "" {
		kind = "proxy_internal_response"
	}
	return via + "; error=" + kind
}

// finerError says more precisely what an instance did.
func finerError(p *problem, cause error) string {
	switch p {
	case problemConnect:
		return connectError(cause)
	case problemTimeout:
		return timeoutError(cause)
	case problemProtocol:
		if errors.Is(cause, errUnasked) {
			return "http_upgrade_failed"
		}
	case problemBroken:
		if errors.Is(cause, io.ErrUnexpectedEOF) {
			return "http_response_incomplete"
		}
	}
	return ""
}

func connectError(cause error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(cause, &dns) && dns.IsTimeout:
		return "dns_timeout"
	case errors.As(cause, &dns):
		return "dns_error"
	case errors.As(cause, &certificate), errors.As(cause, &invalid):
		return "tls_certificate_error"
	case errors.As(cause, &alert):
		return "tls_alert_received"
	case errors.As(cause, &record):
		return "tls_protocol_error"
	case errors.Is(cause, os.ErrDeadlineExceeded), errors.Is(cause, context.DeadlineExceeded), errors.Is(cause, syscall.ETIMEDOUT):
		return "connection_timeout"
	case errors.Is(cause, syscall.EHOSTUNREACH), errors.Is(cause, syscall.ENETUNREACH):
		return "destination_ip_unroutable"
	}
	return ""
}

func timeoutError(cause error) string {
	var timeout *h1.TimeoutError
	if !errors.As(cause, &timeout) {
		return ""
	}
	switch timeout.Phase {
	case h1.PhaseWrite:
		return "connection_write_timeout"
	case h1.PhaseBody:
		return "connection_read_timeout"
	}
	return ""
}
