package metrics

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Route counts the requests of one route to one service. Get it once from [Metrics.Route]; a nil one counts nothing.
type Route struct {
	m                 *Metrics
	endpoint, service string
	lines             [len(methods) + 1]atomic.Pointer[[]line] // by method; grows by replacement, so that readers need no lock
}

// line is where one method and status are counted.
type line struct {
	status               int
	requests, tta        prometheus.Counter
	duration, ttaSeconds prometheus.Observer
}

// methods have a name of their own in labels; all others share one (OpenTelemetry's HTTP conventions call it _OTHER).
var methods = [...]string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodHead, http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

// Route prepares the counting of one route. endpoint is its template ("/api/v1/players/{player_id}/"), never a path; service is the
// name of what is behind it, "" for the gateway itself, which counts as "gateway".
func (m *Metrics) Route(endpoint, service string) *Route {
	if m == nil {
		return nil
	}
	return &Route{m: m, endpoint: m.words.endpoint.take(endpoint), service: m.words.service.take(label(service, "gateway"))}
}

// Done counts one request that was answered with status after d. Methods other than the nine of RFC 9110 and RFC 5789 count as
// "_OTHER", statuses without a registered meaning as their class ("5xx") or "_OTHER", whatever an upstream invents. The first call with
// a method and status makes the series; every later one takes no lock and allocates nothing.
func (r *Route) Done(method string, status int, d time.Duration) {
	if r == nil {
		return
	}
	l := r.line(methodIndex(method), fold(status))
	l.requests.Inc()
	l.tta.Inc()
	seconds := max(0, d.Seconds())
	l.duration.Observe(seconds)
	l.ttaSeconds.Observe(seconds)
}

func (r *Route) line(method, status int) *line {
	if l := find(r.lines[method].Load(), status); l != nil {
		return l
	}
	return r.grow(method, status)
}

// find looks through the few statuses that a route answers with.
func find(lines *[]line, status int) *line {
	if lines == nil {
		return nil
	}
	for i := range *lines {
		if l := &(*lines)[i]; l.status == status {
			return l
		}
	}
	return nil
}

// grow adds a line. Who loses the race finds the winner's.
func (r *Route) grow(method, status int) *line {
	fresh := r.newLine(method, status)
	for {
		old := r.lines[method].Load()
		if l := find(old, status); l != nil {
			return l
		}
		grown := []line{fresh}
		if old != nil {
			grown = append(slices.Clone(*old), fresh)
		}
		if r.lines[method].CompareAndSwap(old, &grown) {
			return &grown[len(grown)-1]
		}
	}
}

func (r *Route) newLine(method, status int) line {
	m, name, code := r.m, methodName(method), statusName(status)
	return line{
		status:     status,
		requests:   m.requests.WithLabelValues(name, r.endpoint, code, r.service),
		tta:        m.ttaRequests.WithLabelValues(name, r.endpoint, code, m.service, m.environment),
		duration:   m.duration.WithLabelValues(name, r.endpoint, r.service),
		ttaSeconds: m.ttaDuration.WithLabelValues(name, r.endpoint, m.service, m.environment),
	}
}

func methodIndex(method string) int {
	for i, known := range methods {
		if method == known {
			return i
		}
	}
	return len(methods)
}

func methodName(index int) string {
	if index < len(methods) {
		return methods[index]
	}
	return Other
}

// statusClientGone is what logs and metrics say of a client that did not wait; it is never sent.
const statusClientGone = 499

// fold keeps the statuses that mean something, makes others the negative of their class, and 0 of what is no status at all.
func fold(status int) int {
	switch {
	case http.StatusText(status) != "" || status == statusClientGone:
		return status
	case status >= 100 && status <= 599:
		return -status / 100
	}
	return 0
}

func statusName(folded int) string {
	switch {
	case folded > 0:
		return strconv.Itoa(folded)
	case folded < 0:
		return strconv.Itoa(-folded) + "xx"
	}
	return Other
}
