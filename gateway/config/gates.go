package config

import (
	"strings"

	"github.com/theinterneti/tta-gateway/health"
)

// gates keep readiness closed until what READY_REQUIRES names is well.
type gates struct {
	ready    *health.Ready
	required []string
	unprobed map[string]bool   // services without a probe of their instances
	status   map[string]string // of every check, as it was told last
}

func newGates(c *Config, ready *health.Ready) *gates {
	g := &gates{ready: ready, required: c.ReadyRequires, unprobed: map[string]bool{}, status: map[string]string{}}
	for _, name := range g.required {
		g.unprobed[name] = c.Table.Services[name].healthPath() == ""
		ready.Require(name, false)
	}
	return g
}

// changed hears of one check at a time.
func (g *gates) changed(name, to string) {
	g.status[name] = to
	for _, required := range g.required {
		if name == required || strings.HasPrefix(name, required+"@") {
			g.ready.Require(required, g.met(required))
		}
	}
}

// met wants a service to have an instance that has answered: the service's own
// check is content as long as none has been found ill.
func (g *gates) met(required string) bool {
	if !well(g.status[required]) {
		return false
	}
	if g.unprobed[required] || required == "redis" || required == "audit" || required == "safety" {
		return true
	}
	for name, status := range g.status {
		if strings.HasPrefix(name, required+"@") && well(status) {
			return true
		}
	}
	return false
}

func well(status string) bool { return status == health.Healthy || status == health.Degraded }
