package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/theinterneti/tta-gateway/health"
)

// A service that cannot do without another is down with it, though its own probe is answered.
func ExampleMonitor() {
	monitor := &health.Monitor{Interval: 30 * time.Second}
	_ = monitor.Add("agents", func(context.Context) error { return errors.New("connection refused") })
	_ = monitor.Add("story", func(context.Context) error { return nil }, health.Requires("agents"))
	_ = monitor.Add("worlds", func(context.Context) error { return nil }, health.Wants("agents"))

	ctx := context.Background() // a program calls go monitor.Run(ctx) instead
	for _, name := range []string{"agents", "story", "worlds"} {
		_ = monitor.Probe(ctx, name)
	}
	report := monitor.Report()
	for _, name := range []string{"agents", "story", "worlds"} {
		fmt.Printf("%s is %s: %s\n", name, report.Checks[name].Status, report.Checks[name].Error)
	}
	fmt.Println("the whole is", report.Status)
	// Output:
	// agents is unhealthy: connection refused
	// story is unhealthy: requires agents, which is unhealthy
	// worlds is degraded: wants agents, which is unhealthy
	// the whole is unhealthy
}

// What is shown to a stranger, and what to those who may see more.
func ExampleMonitor_Handler() {
	monitor := &health.Monitor{Detail: func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer of the operators" }}
	_ = monitor.Add("redis", func(context.Context) error { return nil })
	_ = monitor.Probe(context.Background(), "redis")

	ask := func(token string) string {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/health/", nil)
		r.Header.Set("Authorization", token)
		monitor.Handler().ServeHTTP(w, r)
		return w.Body.String()
	}
	fmt.Println(len(ask("")) < len(ask("Bearer of the operators")))
	// Output: true
}

// The probe must not be where a stranger can have it made: every request would be one to the service, and a flood of them a flood.
func ExampleMonitor_incorrect() {
	probes := 0
	check := func(context.Context) error { probes++; return nil }

	wrong := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = check(r.Context()) })
	monitor := new(health.Monitor)
	_ = monitor.Add("story", check)
	right := monitor.Handler()

	for _, h := range []http.Handler{wrong, right} {
		probes = 0
		for range 1000 {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/health/", nil))
		}
		fmt.Println(probes, "probes")
	}
	// Output:
	// 1000 probes
	// 0 probes
}

func ExampleBreaker() {
	breaker := &health.Breaker{Threshold: 3, Timeout: 30 * time.Second}
	call := func() error { return errors.New("connection refused") }

	for range 5 {
		ticket, err := breaker.Acquire(false)
		if err != nil {
			fmt.Println(err)
			continue
		}
		err = call()
		ticket.Done(err)
		fmt.Println(err)
	}
	// Output:
	// connection refused
	// connection refused
	// connection refused
	// health: breaker is open
	// health: breaker is open
}

// What the client did wrong must not be told as a failure: a few malformed requests would close the service to everybody.
func ExampleTicket_Ignore_incorrect() {
	attack := func(tell func(health.Ticket)) health.State {
		var breaker health.Breaker
		for range 10 {
			if ticket, err := breaker.Acquire(false); err == nil {
				tell(ticket)
			}
		}
		return breaker.State()
	}
	tooLarge := errors.New("request body too large")
	fmt.Println("told as a failure:", attack(func(t health.Ticket) { t.Done(tooLarge) }))
	fmt.Println("ignored:", attack(func(t health.Ticket) { t.Ignore() }))
	// Output:
	// told as a failure: open
	// ignored: closed
}

func ExampleOutlier() {
	outlier := &health.Outlier{OnChange: func(instance string, ejected bool) { fmt.Println(instance, "ejected:", ejected) }}
	first, second := outlier.Join("10.0.0.1:8080"), outlier.Join("10.0.0.2:8080")
	for range 5 {
		first.Done(nil)
		second.Done(errors.New("connection refused"))
	}
	fmt.Println(first.Available(), second.Available())
	// Output:
	// 10.0.0.2:8080 ejected: true
	// true false
}

func ExampleReady() {
	var ready health.Ready
	ready.Require("table", true)
	ready.Require("detector", false)
	fmt.Println(ready.Ready(), ready.Waiting())
	ready.Require("detector", true)
	fmt.Println(ready.Ready())
	ready.Drain() // SIGTERM: the load balancer should look elsewhere while we finish
	fmt.Println(ready.Ready(), ready.Waiting())
	// Output:
	// false [detector]
	// true
	// false [draining]
}
