package demo

import (
	"fmt"
	"net/http"
)

// Control lets a person stop and start servers and see what reached them:
//
//	GET  /demo               every server, and the ids that were delivered more than once
//	GET  /demo/{name}/stats  one instance's [Stats]
//	POST /demo/{name}/stop   as if the process had been killed
//	POST /demo/{name}/start  again, on the same address
//
// It answers direct loopback callers only, under a loopback name, and no page of another site.
func Control(servers ...*Server) http.Handler {
	c := control(servers)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo", c.overview)
	mux.HandleFunc("GET /demo/{name}/stats", c.named(stats))
	mux.HandleFunc("POST /demo/{name}/stop", c.named(stop))
	mux.HandleFunc("POST /demo/{name}/start", c.named(start))
	return http.NewCrossOriginProtection().Handler(localOnly(mux))
}

type control []*Server

// localOnly also looks at the Host, so that a page that has its own name resolved to 127.0.0.1 gets nothing.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
		if forwarded || !loopback(r.RemoteAddr) || !loopback(r.Host) {
			writeJSON(w, http.StatusForbidden, map[string]string{"message": "The demo is controlled from this machine only"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c control) overview(w http.ResponseWriter, _ *http.Request) {
	list := []map[string]any{}
	var all []Delivery
	for _, s := range c {
		seen := s.Instance.Stats()
		all = append(all, seen.Delivered...)
		list = append(list, map[string]any{
			"name": seen.Name, "url": s.URL(), "running": s.Running(), "requests": seen.Requests,
			"sockets": seen.Sockets, "delivered": len(seen.Delivered),
		})
	}
	writeJSON(w, http.StatusOK, map[string]any{"instances": list, "delivered_twice": Twice(all)})
}

// Twice lists the ids that occur more than once among the deliveries of one or several instances, in
// the order of their second occurrence. A request without an id is not counted.
func Twice(delivered []Delivery) []string {
	times, twice := map[string]int{}, []string{}
	for _, d := range delivered {
		if times[d.ID]++; d.ID != "" && times[d.ID] == 2 {
			twice = append(twice, d.ID)
		}
	}
	return twice
}

func (c control) named(do func(*Server) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, s := range c {
			if s.Instance.name == r.PathValue("name") {
				tell(w, s, do)
				return
			}
		}
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "No instance of that name"})
	}
}

func tell(w http.ResponseWriter, s *Server, do func(*Server) (any, error)) {
	answer, err := do(s)
	if err != nil {
		writeJSON(w, http.StatusConflict, map[string]string{"message": fmt.Sprint(err)})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func stats(s *Server) (any, error) { return s.Instance.Stats(), nil }

func stop(s *Server) (any, error) {
	s.Stop()
	return map[string]any{"name": s.Instance.name, "running": s.Running()}, nil
}

func start(s *Server) (any, error) {
	err := s.Start()
	return map[string]any{"name": s.Instance.name, "running": s.Running()}, err
}
