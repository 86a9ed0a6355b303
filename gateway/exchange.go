package gateway

import (
	"context"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// exchange is the one record of a request: opened at the edge, completed on
// the way, read when the answer is out. It is also the request's context, so
// that what an inner stage learns (identity, lane, verdict) needs no further
// copy of the request.
type exchange struct {
	context.Context // the server's, or the span's

	state *state // the table and settings that this request lives under
	w     writer
	body  *clientBody // of the request, nil without one
	start time.Time

	origin
	id      string
	trace   string // traceparent (W3C trace context)
	address string // client, as text; see clientText
	raw     string // the path as it came
	match   match
	limits  [1]ratelimit.Limit // room for those of most routes
	fields  [fieldCount]string // values of header fields; see field

	span      trace.SpanContext
	recording trace.Span // nil without a provider

	identity  auth.Identity
	lane      ratelimit.Lane
	shown     atomic.Int32    // the lane, for those who ask by the context while it rises
	level     safety.Severity // of the session, as far as it is known
	verdict   safety.Verdict
	passage   *safety.Passage // nil where nothing is inspected
	oversized bool            // the body says that it is longer than the route takes

	service  string // who answered, "" if the gateway did
	instance string
	attempts int
	problem  *problem // what was refused, nil if nothing was
	cause    error    // for the log
	upstream time.Duration
}

// The fields that an exchange writes itself, into request or answer.
const (
	fieldID = iota
	fieldClient
	fieldScheme
	fieldHost
	fieldForwarded
	fieldTrace
	fieldSubject
	fieldRole
	fieldCount
)

// field is the value of a header field, kept in the exchange: a header wants a
// slice, and this one costs nothing. Who appends to it gets a copy.
func (x *exchange) field(i int, value string) []string {
	x.fields[i] = value
	return x.fields[i : i+1 : i+1]
}

// clientText is the client's address, "invalid IP" without one.
func (x *exchange) clientText() string {
	if x.address == "" {
		x.address = x.client.String()
	}
	return x.address
}

type exchangeKey struct{}

// Value answers for the signals of all packages, so that auth.FromContext and
// its siblings work on a request of the gateway.
func (x *exchange) Value(key any) any {
	switch key {
	case exchangeKey{}:
		return x
	case auth.ContextKey:
		return &x.identity
	case ratelimit.ContextKey:
		return ratelimit.Lane(x.shown.Load())
	case safety.ContextKey:
		return &x.verdict
	}
	return x.Context.Value(key)
}

// exchangeOf finds the exchange of a request that went through the edge.
func exchangeOf(r *http.Request) *exchange {
	if x, ok := r.Context().(*exchange); ok {
		return x
	}
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

// RequestID returns the id of a request that is on its way through a gateway,
// "" elsewhere. It is what the caller sees in X-Request-ID and what the log
// line carries.
func RequestID(ctx context.Context) string {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.id
	}
	return ""
}

// ClientAddr returns the address that the gateway holds for the caller's: the
// peer's, or the one that trusted proxies vouch for. It is the zero Addr
// outside a gateway.
func ClientAddr(ctx context.Context) netip.Addr {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.client
	}
	return netip.Addr{}
}

// endpoint labels the exchange in metrics, log and trace: the route's
// template, never the path.
func (x *exchange) endpoint() string {
	if x.match.route == nil {
		return "unmatched"
	}
	return x.match.route.Pattern
}

func (x *exchange) problemCode() string {
	if x.problem == nil {
		return ""
	}
	return x.problem.code
}

// take moves the exchange to a lane.
func (x *exchange) take(lane ratelimit.Lane) {
	x.lane = lane
	x.shown.Store(int32(lane))
}

// inDanger reports whether something that was said calls for help, whatever
// the route.
func (x *exchange) inDanger() bool { return max(x.level, x.verdict.Severity) >= safety.Moderate }

// therapeutic reports whether a refusal on this exchange must carry help.
func (x *exchange) therapeutic() bool {
	return x.lane >= ratelimit.Therapeutic || x.match.route != nil && x.match.route.Lane >= ratelimit.Therapeutic
}
