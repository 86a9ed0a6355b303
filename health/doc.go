// Package health says what is well: of the services behind a gateway, of one instance among several, and of the process itself.
//
//	            asks now and then                     watches the calls that are made anyway
//	         ┌──────────────────────┐              ┌───────────────────────┬─────────────────────────┐
//	Check ──►│ Monitor              │    call ───► │ Breaker               │ Outlier                 │
//	         │  thresholds, cascade │    and its   │  one instance:        │  one service: which of  │
//	         └──────────┬───────────┘    end       │  closed open half-open│  its instances stands   │
//	                    ▼                          └───────────────────────┴─ out, and rests a while ┘
//	  GET /health/   Report, from memory
//	  GET /health/live    Live: the process answers, nothing else is asked
//	  GET /health/ready   Ready: every gate that somebody required is met, and we are not draining
//
// The shortest program:
//
//	var monitor health.Monitor
//	err := monitor.Add("story", health.HTTPCheck(nil, "http://story:8080/health"))
//	go monitor.Run(ctx)
//	mux.Handle("GET /health/", monitor.Handler())
//	mux.Handle("GET /health/live", health.Live())
//
// Nothing here starts a goroutine until [Monitor.Run] or [Monitor.Probe] is called, and answers to requests are read from memory: a flood
// of questions about health is not a flood of probes.
package health
