package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/safety"
)

// routeCounts are a route's metrics, looked up once, when the table is built.
type routeCounts struct{ done *metrics.Route }

// record is the end of an exchange, whoever answered: metrics, span and one
// log line. It runs deferred, so that an answer that broke off is seen too.
func (s *state) record(x *exchange, r *http.Request) {
	v := recover()
	x.w.finish()
	status := x.w.status
	switch {
	case status == 0 && (r.Context().Err() != nil || x.problem == problemGone):
		status, x.problem = problemGone.status, problemGone
	case status == 0 && v == nil:
		status = http.StatusOK // a handler that wrote nothing; net/http sends 200
	case status == 0:
		status = http.StatusBadGateway
	}
	elapsed := time.Since(x.start)
	s.count(x, r, status, elapsed)
	s.tracing.end(x, r, status)
	s.logAccess(x, r, status, elapsed, v != nil)
	if v != nil {
		panic(v)
	}
}

func (s *state) count(x *exchange, r *http.Request, status int, elapsed time.Duration) {
	if x.w.hijacked { // how long a socket lived is no answer time
		elapsed = x.w.first.Sub(x.start)
	}
	if rt := x.match.route; rt != nil {
		rt.counts.done.Done(r.Method, status, elapsed)
		if rt.uninspected != "" {
			s.metrics.Skipped(rt.Pattern, safety.Request.String(), "http", rt.uninspected, x.body.received())
			if x.problem == nil { // else it was we who spoke
				s.metrics.Skipped(rt.Pattern, safety.Response.String(), "http", rt.uninspected, x.w.bytes)
			}
		}
		return
	}
	s.unmatched.done.Done(r.Method, status, elapsed)
}

// logAccess writes the one line of an exchange. It names the route, and the
// path only where there is none; never a query, a token or a text.
func (s *state) logAccess(x *exchange, r *http.Request, status int, elapsed time.Duration, broken bool) {
	if !s.accessLog || x.match.route != nil && x.match.route.quiet && status < 400 {
		return
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelWarn
	}
	ctx := context.Context(x)
	if !s.logger.Enabled(ctx, level) {
		return
	}
	var buf [20]slog.Attr
	attrs := append(buf[:0],
		slog.String("request_id", x.id),
		slog.String("method", method(r)),
		slog.String("route", x.endpoint()),
		slog.Int("status", status),
		slog.Float64("duration_ms", milliseconds(elapsed)),
		slog.Int64("bytes", x.w.bytes),
		slog.String("client", x.clientText()),
		slog.String("trace_id", x.traceID()),
	)
	if x.service != "" {
		attrs = append(attrs, slog.String("service", x.service), slog.String("instance", x.instance), slog.Float64("upstream_ms", milliseconds(x.upstream)))
	}
	if x.attempts > 1 {
		attrs = append(attrs, slog.Int("attempts", x.attempts))
	}
	if x.problem != nil {
		attrs = append(attrs, slog.String("problem", x.problem.code))
	}
	if x.cause != nil {
		attrs = append(attrs, slog.String("cause", causeText(x.cause)))
	}
	if x.verdict.Severity > safety.None {
		attrs = append(attrs, slog.String("severity", x.verdict.Severity.String()))
	}
	if x.lane != 0 {
		attrs = append(attrs, slog.String("lane", x.lane.String()))
	}
	if broken {
		attrs = append(attrs, slog.Bool("broken_off", true))
	}
	s.logger.LogAttrs(ctx, level, "request", attrs...)
}

// milliseconds to the microsecond, which is what people and their tools read.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// method bounds what a caller can write into the log.
func method(r *http.Request) string {
	if len(r.Method) > 16 {
		return r.Method[:16]
	}
	return r.Method
}

// causeText is an error without what it quotes of addresses with queries: the
// URL of a *url.Error may carry a token.
func causeText(err error) string {
	text := err.Error()
	if strings.Contains(text, "?") {
		var sb strings.Builder
		for i, part := range strings.Split(text, "?") {
			if i > 0 {
				sb.WriteString("?…")
				if end := strings.IndexAny(part, "\" "); end >= 0 {
					part = part[end:]
				} else {
					part = ""
				}
			}
			sb.WriteString(part)
		}
		text = sb.String()
	}
	const most = 300
	if len(text) > most {
		text = text[:most]
	}
	return text
}

// logPanic writes where a panic came from. Its value is named by type alone:
// a handler may have put a message into it.
func (s *state) logPanic(r *http.Request, v any) {
	stack := make([]byte, 8<<10)
	stack = stack[:runtime.Stack(stack, false)]
	s.logger.ErrorContext(r.Context(), "handler panicked",
		slog.String("request_id", exchangeOf(r).id),
		slog.String("panic", panicKind(v)),
		slog.String("stack", string(stack)))
}

func panicKind(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return err.Error()
	}
	return strings.TrimPrefix(typeName(v), "*")
}

// warnQuota says that quotas cannot be asked, at most once in a while.
func (s *state) warnQuota(ctx context.Context, err error) {
	if s.quotaWarning.due(time.Now(), 10*time.Second) {
		s.logger.WarnContext(ctx, "quota store cannot tell; requests pass", slog.String("cause", causeText(err)))
	}
}
