package metrics

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// level is a figure that is set, shown by gauges that others add to as well: it adds what has changed.
type level struct {
	mu  sync.Mutex
	now int
}

func (l *level) set(n int, gauges ...prometheus.Gauge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range gauges {
		g.Add(float64(n - l.now))
	}
	l.now = n
}

func (l *level) get() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// statuses are the services that were spoken of, and whether they are well.
type statuses struct {
	mu   sync.Mutex
	well map[string]bool
}

func (s *statuses) set(service string, well bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.well == nil {
		s.well = make(map[string]bool)
	}
	s.well[service] = well
}

func (s *statuses) drop(service string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.well, service)
}

func (s *statuses) all() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.well)
}

// minutes is a day, and one more for the minute under way.
const minutes = 24*60 + 1

// rolling counts events of the last 24 hours, minute by minute. The zero value is ready.
type rolling struct {
	mu    sync.Mutex
	start time.Time
	at    int64 // the minute counted last, since start
	parts [minutes]uint32
	sum   int
}

func (r *rolling) add() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(time.Now())
	r.parts[r.at%minutes]++
	r.sum++
}

func (r *rolling) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(time.Now())
	return r.sum
}

// advance forgets the minutes that are more than a day old.
func (r *rolling) advance(now time.Time) {
	if r.start.IsZero() {
		r.start = now
	}
	to := int64(now.Sub(r.start) / time.Minute)
	if to-r.at >= minutes {
		r.parts, r.sum, r.at = [minutes]uint32{}, 0, to
	}
	for r.at < to {
		r.at++
		r.sum -= int(r.parts[r.at%minutes])
		r.parts[r.at%minutes] = 0
	}
}

// polled shows figures that are asked for when somebody looks: how full the lanes of admission are. All gateways of a registry share
// one, as they share the other collectors.
type polled struct {
	inUse, queued *prometheus.Desc
	mu            sync.Mutex
	sources       map[source]figures
}

type source struct {
	of   *Metrics
	lane string
}

type figures struct{ inUse, queued func() int }

func newPolled() *polled {
	return &polled{
		inUse:  prometheus.NewDesc("gateway_admission_in_use", "Requests inside, by lane.", []string{"lane"}, nil),
		queued: prometheus.NewDesc("gateway_admission_queued", "Requests that wait for room, by lane.", []string{"lane"}, nil),
	}
}

func (p *polled) ask(m *Metrics, lane string, inUse, queued func() int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sources == nil {
		p.sources = make(map[source]figures)
	}
	p.sources[source{m, lane}] = figures{inUse, queued}
}

// Describe implements prometheus.Collector.
func (p *polled) Describe(ch chan<- *prometheus.Desc) {
	ch <- p.inUse
	ch <- p.queued
}

// Collect implements prometheus.Collector. The funcs are called without the lock.
func (p *polled) Collect(ch chan<- prometheus.Metric) {
	inUse, queued := map[string]int{}, map[string]int{}
	for s, f := range p.asked() {
		tally(inUse, s.lane, f.inUse)
		tally(queued, s.lane, f.queued)
	}
	show(ch, p.inUse, inUse)
	show(ch, p.queued, queued)
}

func (p *polled) asked() map[source]figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.sources)
}

func tally(sums map[string]int, lane string, f func() int) {
	if f != nil {
		sums[lane] += f()
	}
}

func show(ch chan<- prometheus.Metric, desc *prometheus.Desc, sums map[string]int) {
	for lane, n := range sums {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), lane)
	}
}
