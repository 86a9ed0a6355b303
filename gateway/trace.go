package gateway

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceContext reads and writes W3C trace context (level 1): a broken
// traceparent drops the tracestate too, which the propagator sees to.
var traceContext propagation.TraceContext

// tracing starts one span for each request. Without a provider it still keeps
// the W3C context flowing, so that services behind the gateway can be joined
// in one trace.
type tracing struct {
	tracer trace.Tracer // nil: ids only, nothing is recorded
}

func newTracing(p trace.TracerProvider) tracing {
	var t tracing
	if p != nil {
		t.tracer = p.Tracer("github.com/theinterneti/tta-gateway/gateway")
	}
	return t
}

// begin gives the exchange its trace. At the trust border the trace starts
// anew: a stranger who sends sampled=1 must not be able to make us record.
func (t tracing) begin(x *exchange, r *http.Request) {
	var remote trace.SpanContext
	if x.viaProxy && len(r.Header["Traceparent"]) == 1 {
		remote = trace.SpanContextFromContext(traceContext.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
	}
	if t.tracer == nil {
		x.span = childSpan(remote)
		return
	}
	ctx := trace.ContextWithRemoteSpanContext(x.Context, remote)
	x.Context, x.recording = t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	x.span = x.recording.SpanContext()
}

// end names the span by its route, never by its path, and closes it. A 4xx is
// the caller's fault and no error of the server's span (OpenTelemetry HTTP
// conventions).
func (t tracing) end(x *exchange, r *http.Request, status int) {
	if x.recording == nil {
		return
	}
	x.recording.SetName(r.Method + " " + x.endpoint())
	x.recording.SetAttributes(
		attribute.String("http.request.method", r.Method),
		attribute.String("http.route", x.endpoint()),
		attribute.Int("http.response.status_code", status),
		attribute.String("url.scheme", x.scheme),
		attribute.String("tta.request_id", x.id),
	)
	if status >= 500 {
		x.recording.SetStatus(codes.Error, x.problemCode())
	}
	x.recording.End()
}

// stamp gives the exchange its id and writes down its trace, both in one
// string. given is an id to take over, "" for none.
func (x *exchange) stamp(given string) {
	var buf [55 + 32]byte
	b := buf[:0]
	if x.span.IsValid() {
		b = appendTraceparent(b, x.span)
	}
	end := len(b)
	if given == "" {
		var raw [16]byte
		random(raw[:])
		b = appendHex(b, raw[:])
	}
	text := string(b)
	if x.trace, x.id = text[:end], text[end:]; given != "" {
		x.id = given
	}
}

// traceID is the trace's id, 32 hexadecimal digits, "" without a trace.
func (x *exchange) traceID() string {
	if x.trace == "" {
		return ""
	}
	return x.trace[3:35]
}

// inject writes the context for the service.
func (x *exchange) inject(h http.Header) {
	if x.trace == "" {
		return
	}
	h["Traceparent"] = x.field(fieldTrace, x.trace)
	if ts := x.span.TraceState(); ts.Len() > 0 {
		h["Tracestate"] = []string{ts.String()}
	}
}

// appendTraceparent writes version 00 of the field: 55 characters.
func appendTraceparent(b []byte, sc trace.SpanContext) []byte {
	tid, sid := sc.TraceID(), sc.SpanID()
	b = append(b, "00-"...)
	b = appendHex(b, tid[:])
	b = append(b, '-')
	b = appendHex(b, sid[:])
	b = append(b, '-')
	return appendHex(b, []byte{byte(sc.TraceFlags())})
}

func appendHex(dst, src []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range src {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// random fills b, a multiple of 8 bytes long. The process-wide generator of
// math/rand/v2 is a ChaCha8 stream that the runtime seeds: ids cannot be
// guessed from one another, and cost no system call.
func random(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, rand.Uint64())
	}
}

// childSpan continues a remote trace, or starts one that is not sampled.
func childSpan(remote trace.SpanContext) trace.SpanContext {
	var raw [24]byte
	random(raw[:])
	cfg := trace.SpanContextConfig{SpanID: trace.SpanID(raw[16:24])}
	if remote.IsValid() {
		cfg.TraceID, cfg.TraceFlags, cfg.TraceState = remote.TraceID(), remote.TraceFlags(), remote.TraceState()
	} else {
		cfg.TraceID = trace.TraceID(raw[:16])
	}
	return trace.NewSpanContext(cfg)
}
