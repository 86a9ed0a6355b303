package health

import (
	"fmt"
	"iter"
	"strings"
)

// The statuses of a check. The whole is never Unknown or Broken.
const (
	Healthy   = "healthy"
	Degraded  = "degraded"  // well enough to be used: something that it wants is not well
	Unhealthy = "unhealthy" // failing, or something that it requires is
	Unknown   = "unknown"   // has not answered yet
	Broken    = "error"     // the check itself broke; it counts as unhealthy
)

// standing is what a check's status is once those it depends on have been heard.
type standing struct {
	status string
	cause  string // why, where it is another's fault
}

func sick(status string) bool { return status == Unhealthy || status == Broken }

// cascade works out the standing of all. There is no circle: Add refuses one.
func cascade(targets map[string]*target) map[string]standing {
	known := make(map[string]standing, len(targets))
	for name := range targets {
		stand(name, targets, known)
	}
	return known
}

func stand(name string, targets map[string]*target, known map[string]standing) standing {
	if s, ok := known[name]; ok {
		return s
	}
	t := targets[name]
	if t == nil {
		return standing{status: Unknown}
	}
	s := standing{status: t.own}
	for _, need := range t.requires {
		s = s.under(need, stand(need, targets, known).status)
	}
	for _, wish := range t.wants {
		s = s.beside(wish, stand(wish, targets, known).status)
	}
	known[name] = s
	return s
}

// under is s with a hard dependency in that status.
func (s standing) under(need, status string) standing {
	switch {
	case sick(s.status):
		return s
	case sick(status):
		return standing{Unhealthy, fmt.Sprintf("requires %s, which is unhealthy", need)}
	case status == Degraded && s.status == Healthy:
		return standing{Degraded, fmt.Sprintf("requires %s, which is degraded", need)}
	}
	return s
}

// beside is s with a soft dependency in that status.
func (s standing) beside(wish, status string) standing {
	if s.status == Healthy && sick(status) {
		return standing{Degraded, fmt.Sprintf("wants %s, which is unhealthy", wish)}
	}
	return s
}

// overall is the one word for everything: unhealthy if something that is not optional is; degraded if anything else is not healthy,
// or has not been heard of yet.
func overall(targets map[string]*target, all map[string]standing) string {
	worst := Healthy
	for name, s := range all {
		switch {
		case sick(s.status) && !targets[name].optional:
			return Unhealthy
		case s.status != Healthy:
			worst = Degraded
		}
	}
	return worst
}

// circle is the way from t back to t if it were added, and "" if there is none.
func circle(targets map[string]*target, t *target) string {
	seen := map[string]bool{}
	var walk func(at *target, way []string) string
	walk = func(at *target, way []string) string {
		for next := range at.needs() {
			if next == t.name {
				return strings.Join(append(way, next), " -> ")
			}
			if to := targets[next]; to != nil && !seen[next] {
				seen[next] = true
				if round := walk(to, append(way, next)); round != "" {
					return round
				}
			}
		}
		return ""
	}
	return walk(t, []string{t.name})
}

// needs are the names that t depends on, hard or soft.
func (t *target) needs() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, list := range [][]string{t.requires, t.wants} {
			for _, name := range list {
				if !yield(name) {
					return
				}
			}
		}
	}
}
