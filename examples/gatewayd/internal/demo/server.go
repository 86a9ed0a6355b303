package demo

import (
	"context"
	"net"
	"net/http"
)

// Server serves one instance on one address, and can be stopped and started again on it while it runs.
type Server struct {
	Instance *Instance
	address  string
}

// Listen takes addr (for example "127.0.0.1:0") for the instance. Connections wait until Run.
func Listen(i *Instance, addr string) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Server{Instance: i, address: ln.Addr().String()}, ln.Close()
}

// URL is the base address of the server, such as http://127.0.0.1:41234.
func (s *Server) URL() string { return "http://" + s.address }

// Run serves until ctx ends. It blocks, and returns when everything it started has ended.
func (s *Server) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Stop ends the instance as a killed process would: listener and connections close at once.
func (s *Server) Stop() {}

// Start serves again on the same address.
func (s *Server) Start() error { return nil }

// Control lets a person stop and start servers and look at what they saw: GET /demo, GET /demo/{name}/stats,
// POST /demo/{name}/stop, POST /demo/{name}/start. It answers direct loopback callers only.
func Control(servers ...*Server) http.Handler { return http.NotFoundHandler() }
