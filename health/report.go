package health

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Report is what a [Monitor] knows. Its JSON is the one that clients of the TTA services read: timestamp and last_check are seconds
// since 1970, uptime and response_time are seconds, all with a fraction; error and last_check may be null.
type Report struct {
	Status    string // Healthy, Degraded or Unhealthy
	Timestamp time.Time
	Version   string
	Uptime    time.Duration
	Checks    map[string]CheckReport
}

// CheckReport is what is known of one check.
type CheckReport struct {
	Status       string        // Healthy, Degraded, Unhealthy, Unknown or Broken
	ResponseTime time.Duration // of the last probe
	LastCheck    time.Time     // when it answered; zero = never
	Error        string        // why it is not well, or its last failure if that was not yet enough; "" = nothing to say
}

// Report returns what is known now; it asks nobody. The whole is [Unhealthy] while a check that is not [Optional] is, and [Degraded]
// while anything else is not well or has not answered yet.
func (m *Monitor) Report() Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	all := m.standings()
	r := Report{
		Status:    overall(m.targets, all),
		Timestamp: now,
		Version:   m.Version,
		Uptime:    m.uptime(now),
		Checks:    make(map[string]CheckReport, len(all)),
	}
	for name, s := range all {
		r.Checks[name] = m.targets[name].report(s)
	}
	return r
}

func (m *Monitor) uptime(now time.Time) time.Duration {
	from := m.Started
	if from.IsZero() {
		from = m.born
	}
	if from.IsZero() {
		return 0
	}
	return max(0, now.Sub(from))
}

func (t *target) report(s standing) CheckReport {
	fault := t.fault
	if s.cause != "" {
		fault = s.cause
	}
	return CheckReport{Status: s.status, ResponseTime: t.took, LastCheck: t.last, Error: fault}
}

// Names of the checks that are unhealthy, sorted.
func (r Report) Unhealthy() []string {
	bad := maps.Clone(r.Checks)
	maps.DeleteFunc(bad, func(_ string, c CheckReport) bool { return !sick(c.Status) })
	return slices.Sorted(maps.Keys(bad))
}

type reportJSON struct {
	Status    string                 `json:"status"`
	Timestamp float64                `json:"timestamp"`
	Version   string                 `json:"version"`
	Uptime    float64                `json:"uptime"`
	Checks    map[string]CheckReport `json:"checks"`
}

type checkJSON struct {
	Status       string   `json:"status"`
	ResponseTime float64  `json:"response_time"`
	LastCheck    *float64 `json:"last_check"`
	Error        *string  `json:"error"`
}

// MarshalJSON writes the shape described at [Report].
func (r Report) MarshalJSON() ([]byte, error) {
	checks := r.Checks
	if checks == nil {
		checks = map[string]CheckReport{}
	}
	return json.Marshal(reportJSON{r.Status, epoch(r.Timestamp), r.Version, r.Uptime.Seconds(), checks})
}

// UnmarshalJSON reads what MarshalJSON writes, and the short form that callers without detail get.
func (r *Report) UnmarshalJSON(data []byte) error {
	var j reportJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*r = Report{j.Status, moment(j.Timestamp), j.Version, seconds(j.Uptime), j.Checks}
	return nil
}

// MarshalJSON writes the shape described at [Report].
func (c CheckReport) MarshalJSON() ([]byte, error) {
	j := checkJSON{Status: c.Status, ResponseTime: c.ResponseTime.Seconds()}
	if !c.LastCheck.IsZero() {
		at := epoch(c.LastCheck)
		j.LastCheck = &at
	}
	if c.Error != "" {
		j.Error = &c.Error
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *CheckReport) UnmarshalJSON(data []byte) error {
	var j checkJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*c = CheckReport{Status: j.Status, ResponseTime: seconds(j.ResponseTime)}
	if j.LastCheck != nil {
		c.LastCheck = moment(*j.LastCheck)
	}
	if j.Error != nil {
		c.Error = *j.Error
	}
	return nil
}

// epoch is t in seconds since 1970, to the microsecond, which is what a float64 holds.
func epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func moment(epoch float64) time.Time { return time.UnixMicro(int64(epoch * 1e6)) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
