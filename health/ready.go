package health

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// Ready says whether this process should get requests: when at least one gate has been named, all named gates are met, and it is not
// draining. The zero value is not ready: nobody has said so yet. Gates should be what this process needs for its own work (a table
// built, a self-test passed), seldom the health of others: a pod that is pulled because another service died can no longer even say so.
// Fields must not change after first use; methods are safe for simultaneous use.
type Ready struct {
	// Detail says who may see which gates are not met, as "waiting" in the refusal. nil = nobody.
	Detail func(*http.Request) bool

	mu       sync.Mutex
	gates    map[string]bool
	draining bool
}

// Require names a gate and says whether it is met now; call it again when that changes.
func (r *Ready) Require(name string, met bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gates == nil {
		r.gates = make(map[string]bool)
	}
	r.gates[name] = met
}

// Forget takes a gate away.
func (r *Ready) Forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gates, name)
}

// Set is Require for a process with a single gate, named "started".
func (r *Ready) Set(met bool) { r.Require("started", met) }

// Drain makes it not ready for good: the process is going to end. Gates no longer matter.
func (r *Ready) Drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
}

// Draining says whether Drain was called.
func (r *Ready) Draining() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draining
}

// Ready says whether requests should come.
func (r *Ready) Ready() bool { return len(r.Waiting()) == 0 }

// Waiting names what stands in the way, sorted: gates that are not met, "draining" once draining, "gates" while none has been named.
func (r *Ready) Waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name, met := range r.gates {
		if !met {
			names = append(names, name)
		}
	}
	if len(r.gates) == 0 {
		names = append(names, "gates")
	}
	if r.draining && !slices.Contains(names, "draining") {
		names = append(names, "draining")
	}
	slices.Sort(names)
	return names
}

// Handler answers GET and HEAD with 200 {"status":"ready"} or 503 {"detail":"Service not ready"}. It asks nobody.
func (r *Ready) Handler() http.Handler {
	return asked(func(w http.ResponseWriter, req *http.Request) {
		waiting := r.Waiting()
		if len(waiting) == 0 {
			answer(w, http.StatusOK, stateJSON{"ready", epoch(time.Now())})
			return
		}
		if r.Detail == nil || !r.Detail(req) {
			waiting = nil
		}
		answer(w, http.StatusServiceUnavailable, refusalJSON{"Service not ready", waiting})
	})
}

type refusalJSON struct {
	Detail  string   `json:"detail"`
	Waiting []string `json:"waiting,omitempty"`
}
