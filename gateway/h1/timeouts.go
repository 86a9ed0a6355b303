package h1

import (
	"context"
	"time"
)

// Timeouts are the limits that may differ from one request to the next. In a
// Transport's own fields and here, 0 means "not said here" and a negative
// value "no limit".
type Timeouts struct {
	// ResponseHeader is the longest time from the end of the request, its
	// body included, to the end of the answer's header. Informational (1xx)
	// answers do not prolong it.
	ResponseHeader time.Duration
	// ResponseBody is the longest silence inside the answer's body. It is
	// rolling: a body that keeps coming may take for ever. It may run out up
	// to an eighth late.
	ResponseBody time.Duration
	// Write is the longest time that one write of at most 32 KiB may be
	// stalled by a service that does not read.
	Write time.Duration
}

type contextKey struct{ name string }

// TimeoutsKey is the context key under which [Transport] looks for a
// *[Timeouts]. It is exported for contexts that answer Value themselves;
// others use [WithTimeouts].
var TimeoutsKey any = &contextKey{"timeouts"}

// WithTimeouts returns a context whose requests have these limits. Zero
// fields leave the Transport's own.
func WithTimeouts(ctx context.Context, t Timeouts) context.Context {
	return context.WithValue(ctx, TimeoutsKey, &t)
}

// over returns t with what it leaves open filled from base, and "no limit" as 0.
func (t *Timeouts) over(base Timeouts) Timeouts {
	if t != nil {
		base.ResponseHeader = either(t.ResponseHeader, base.ResponseHeader)
		base.ResponseBody = either(t.ResponseBody, base.ResponseBody)
		base.Write = either(t.Write, base.Write)
	}
	return Timeouts{
		ResponseHeader: max(base.ResponseHeader, 0),
		ResponseBody:   max(base.ResponseBody, 0),
		Write:          max(base.Write, 0),
	}
}

func either(a, b time.Duration) time.Duration {
	if a != 0 {
		return a
	}
	return b
}
