package demo

import (
	"fmt"
	"net/http"
	"time"
)

func root(*Instance, *http.Request, caller) (any, error) {
	return map[string]string{"message": "Player Experience API (demo)"}, nil
}

func healthy(*Instance, *http.Request, caller) (any, error) {
	return map[string]string{"status": "healthy", "service": "player-experience-api"}, nil
}

func alive(*Instance, *http.Request, caller) (any, error) {
	return map[string]string{"status": "alive"}, nil
}

func ready(*Instance, *http.Request, caller) (any, error) {
	return map[string]string{"status": "ready"}, nil
}

// component answers for the parts that the real service has and the demo does without.
func component(_ *Instance, r *http.Request, _ caller) (any, error) {
	name := r.PathValue("component")
	switch name {
	case "redis", "neo4j", "agents", "openrouter":
		return map[string]any{
			"component": name, "status": "unknown", "message": "not part of the demo", "details": map[string]any{},
			"checked_at": stamp(time.Now()), "response_time_ms": 0,
		}, nil
	}
	return nil, refuse(http.StatusNotFound, "Not Found")
}

// metricsText counts what this instance saw, in the text form that scrapers read.
func metricsText(i *Instance, _ *http.Request, _ caller) (any, error) {
	s := i.Stats()
	return text200{kind: "text/plain; version=0.0.4; charset=utf-8", body: fmt.Sprintf(
		"# HELP demo_requests_total Requests that reached this instance.\n# TYPE demo_requests_total counter\n"+
			"demo_requests_total{instance=%q} %d\n"+
			"# HELP demo_chat_sockets Open chat sockets.\n# TYPE demo_chat_sockets gauge\n"+
			"demo_chat_sockets{instance=%q} %d\n", s.Name, s.Requests, s.Name, s.Sockets)}, nil
}
