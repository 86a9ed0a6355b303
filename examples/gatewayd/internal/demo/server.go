package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Server serves one instance on one loopback address, and can be stopped and started again on it while
// it runs. Make it with [Listen]; it is safe for simultaneous use.
type Server struct {
	Instance *Instance
	address  string
	failed   chan error

	turn    sync.Mutex // held while stopping or starting
	mu      sync.Mutex // guards the fields below
	run     bool
	ln      net.Listener // taken and not served yet
	http    *http.Server // serving
	served  chan struct{}
	present crowd
}

// Listen takes a loopback address, for example "127.0.0.1:0", for the instance. Connections wait until Run.
func Listen(i *Instance, addr string) (*Server, error) {
	if !loopback(addr) {
		return nil, fmt.Errorf("demo: %s for instance %q is not a loopback address; use 127.0.0.1:0", addr, i.name)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("demo: an address for instance %q: %w", i.name, err)
	}
	return &Server{Instance: i, address: ln.Addr().String(), ln: ln, failed: make(chan error, 1)}, nil
}

// URL is the base address of the server, such as http://127.0.0.1:41234.
func (s *Server) URL() string { return "http://" + s.address }

// Run serves until ctx ends. It blocks, returns when everything it started has ended, and can be
// called once. The error is nil unless the address could not be served.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.run = true
	s.mu.Unlock()
	defer s.end()
	if err := s.Start(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

func (s *Server) end() {
	s.mu.Lock()
	s.run = false
	s.mu.Unlock()
	s.Stop()
}

// Running says whether the server answers now.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.http != nil
}

// Stop ends the instance as a killed process would: listener and connections close at once, requests
// in flight get no answer. Only the chat sockets are still told 1001. Stopping twice is harmless.
func (s *Server) Stop() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	server, ln, served := s.http, s.ln, s.served
	s.http, s.ln = nil, nil
	s.mu.Unlock()
	if ln != nil {
		_ = ln.Close()
	}
	if server == nil {
		return
	}
	_ = server.Close()
	s.Instance.Stop()
	<-served
	s.present.wait()
}

// Start serves again on the same address. It fails when Run is not under way, or when somebody else has
// taken the address meanwhile; starting twice is harmless.
func (s *Server) Start() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.run:
		return fmt.Errorf("demo: instance %q is not being run", s.Instance.name)
	case s.http != nil:
		return nil
	}
	ln, err := s.listener()
	if err != nil {
		return fmt.Errorf("demo: instance %q: %w", s.Instance.name, err)
	}
	s.Instance.Start()
	s.serve(ln)
	return nil
}

// listener is the one that Listen took, else a new one on the same address. The caller holds s.mu.
func (s *Server) listener() (ln net.Listener, err error) {
	if ln, s.ln = s.ln, nil; ln != nil {
		return ln, nil
	}
	return net.Listen("tcp", s.address)
}

// serve serves in a goroutine that Stop waits for. The caller holds s.mu.
func (s *Server) serve(ln net.Listener) {
	server := &http.Server{
		Handler:           s.present.counting(s.Instance),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	served := make(chan struct{})
	s.http, s.served = server, served
	go func() {
		defer close(served)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.fail(err)
		}
	}()
}

func (s *Server) fail(err error) {
	select {
	case s.failed <- fmt.Errorf("demo: instance %q: %w", s.Instance.name, err):
	default:
	}
}

// crowd counts who is inside, for one who waits until nobody is.
type crowd struct {
	mu   sync.Mutex
	n    int
	gone *sync.Cond
}

func (c *crowd) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.move(1)
		defer c.move(-1)
		next.ServeHTTP(w, r)
	})
}

func (c *crowd) move(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += by
	if c.n == 0 && c.gone != nil {
		c.gone.Broadcast()
	}
}

func (c *crowd) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone == nil {
		c.gone = sync.NewCond(&c.mu)
	}
	for c.n > 0 {
		c.gone.Wait()
	}
}

// loopback says whether an address, with a port or without, is this machine's own.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
