package health

import (
	"context"
	"errors"
	"net/http"
	"time"
)

type Check func(context.Context) error

func HTTPCheck(client *http.Client, url string, well ...int) Check {
	return func(context.Context) error { return nil }
}

type CheckOption interface{ apply(*target) }
type target struct{}
type optional bool

func (optional) apply(*target) {}

const Optional = optional(true)

func Requires(names ...string) CheckOption { return Optional }
func Wants(names ...string) CheckOption    { return Optional }

type Monitor struct {
	Interval, Timeout time.Duration
	Fails, Passes     int
	Jitter            float64
	Version           string
	Started           time.Time
	OnChange          func(name, from, to string)
	Detail            func(*http.Request) bool
}

func (m *Monitor) Add(name string, c Check, opts ...CheckOption) error { return nil }
func (m *Monitor) Remove(name string)                                  {}
func (m *Monitor) Well(name string) bool                               { return true }
func (m *Monitor) Status(name string) string                           { return "unknown" }
func (m *Monitor) Report() Report                                      { return Report{Status: "healthy"} }
func (m *Monitor) Probe(ctx context.Context, name string) error        { return nil }
func (m *Monitor) Run(ctx context.Context) error                       { <-ctx.Done(); return nil }
func (m *Monitor) Handler() http.Handler                               { return Live() }

const (
	Healthy   = "healthy"
	Degraded  = "degraded"
	Unhealthy = "unhealthy"
	Unknown   = "unknown"
	Broken    = "error"
)

type Report struct {
	Status    string
	Timestamp time.Time
	Version   string
	Uptime    time.Duration
	Checks    map[string]CheckReport
}
type CheckReport struct {
	Status       string
	ResponseTime time.Duration
	LastCheck    time.Time
	Error        string
}

func Live() http.Handler { return http.NotFoundHandler() }

type Ready struct{ Detail func(*http.Request) bool }

func (r *Ready) Require(name string, met bool) {}
func (r *Ready) Forget(name string)            {}
func (r *Ready) Set(met bool)                  {}
func (r *Ready) Drain()                        {}
func (r *Ready) Draining() bool                { return false }
func (r *Ready) Ready() bool                   { return true }
func (r *Ready) Waiting() []string             { return nil }
func (r *Ready) Handler() http.Handler         { return http.NotFoundHandler() }

var ErrOpen = errors.New("health: breaker is open")

type State int8

const (
	Closed State = iota
	Open
	HalfOpen
)

func (s State) String() string { return "closed" }

type Breaker struct {
	Threshold   int
	Timeout     time.Duration
	FailureRate float64
	SlowCall    time.Duration
	SlowRate    float64
	MinCalls    int
	Window      time.Duration
	Trials      int
	Successes   int
	Ramp        time.Duration
	Failure     func(error) bool
	OnChange    func(from, to State)
}
type Ticket struct{ b *Breaker }

func (b *Breaker) Allow() (func(error), error)        { return func(error) {}, nil }
func (b *Breaker) Force() (func(error), error)        { return func(error) {}, nil }
func (b *Breaker) Acquire(force bool) (Ticket, error) { return Ticket{b}, nil }
func (t Ticket) Done(err error)                       {}
func (t Ticket) Ignore()                              {}
func (b *Breaker) State() State                       { return Closed }
func (b *Breaker) Since() time.Time                   { return time.Time{} }
func (b *Breaker) Available() bool                    { return true }
func (b *Breaker) RetryAfter() time.Duration          { return 0 }
func (b *Breaker) Reset()                             {}

type Outlier struct {
	Failures   int
	Interval   time.Duration
	MinCalls   int
	Deviation  float64
	Gap        float64
	MaxEjected float64
	Ejection   time.Duration
	MaxTime    time.Duration
	OnChange   func(instance string, ejected bool)
}
type Member struct{}

func (o *Outlier) Join(instance string) *Member   { return &Member{} }
func (o *Outlier) Available(instance string) bool { return true }
func (o *Outlier) Ejected() []string              { return nil }
func (m *Member) Done(err error)                  {}
func (m *Member) Available() bool                 { return true }
func (m *Member) Leave()                          {}
