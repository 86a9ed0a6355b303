package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server says how [Gateway.Serve] listens.
type Server struct {
	// TLS, if set, makes the listener speak it; HTTP/2 is offered then. Its
	// GetCertificate may change what it gives at any time.
	TLS *tls.Config
	// H2C lets clients speak HTTP/2 without TLS, by prior knowledge. Off by
	// default. An Upgrade to h2c is refused in any case.
	H2C bool
	// Admin, if set, is where the gateway's own endpoints are served in full,
	// to whoever can reach it.
	Admin net.Listener
	// ReadHeaderTimeout bounds how long a request's head may take. 0 means 10
	// seconds.
	ReadHeaderTimeout time.Duration
	// IdleTimeout bounds how long a connection may wait for its next request.
	// 0 means 2 minutes.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's head. 0 means 64 KiB.
	MaxHeaderBytes int
}

// WithServer sets how Serve listens. Without it the defaults hold.
func WithServer(s Server) Option {
	return func(p *parts) { p.server = s }
}

func (s *Server) fillDefaults() {
	s.ReadHeaderTimeout = orDefault(s.ReadHeaderTimeout, 10*time.Second)
	s.IdleTimeout = orDefault(s.IdleTimeout, 2*time.Minute)
	if s.MaxHeaderBytes == 0 {
		s.MaxHeaderBytes = 64 << 10
	}
}

// Serve runs the gateway on a listener until ctx ends, and then ends it by the
// plan of [Shutdown]: readiness off, a grace for load balancers, no new
// sockets, requests finished, sockets closed, the audit flushed. What is still
// under way when little of the time is left (a quarter, 3 seconds at most) is
// cut: streams break off, requests are told so. It returns nil if everything
// ended in time.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener) error {
	if !g.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer g.running.Store(false)
	s := g.state.Load()
	runCtx, stopRun := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRun()
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	servers := []*listening{{s.httpServer(requests, g), tlsListener(ln, s.server.TLS)}}
	if s.server.Admin != nil {
		servers = append(servers, &listening{s.httpServer(requests, g.Admin()), s.server.Admin})
	}
	failed := make(chan error, len(servers)+1)
	var all sync.WaitGroup
	all.Go(func() { failed <- g.work(runCtx) })
	for _, l := range servers {
		all.Go(func() { failed <- l.serve() })
	}
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdown.Timeout)
	defer cancel()
	err := g.end(end, servers, cut)
	stopRun()
	all.Wait()
	return errors.Join(cause, err)
}

// listening is one server on its listener.
type listening struct {
	server *http.Server
	ln     net.Listener
}

func (l *listening) serve() error {
	if err := l.server.Serve(l.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func tlsListener(ln net.Listener, c *tls.Config) net.Listener {
	if c == nil {
		return ln
	}
	c = c.Clone()
	if len(c.NextProtos) == 0 {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return tls.NewListener(ln, c)
}

func (s *state) httpServer(requests context.Context, h http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.server.ReadHeaderTimeout,
		IdleTimeout:       s.server.IdleTimeout,
		MaxHeaderBytes:    s.server.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
		ConnState:         s.countConns,
		BaseContext:       func(net.Listener) context.Context { return requests },
		Protocols:         &http.Protocols{},
		// One stream each for a browser's tabs and a service's calls; more are a
		// flood.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 250},
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(s.server.H2C)
	return srv
}

// countConns keeps the gauge of open connections. A hijacked one is counted
// out: live sockets have a gauge of their own.
func (s *state) countConns(_ net.Conn, to http.ConnState) {
	switch to {
	case http.StateNew:
		s.metrics.ConnectionOpened()
	case http.StateClosed, http.StateHijacked:
		s.metrics.ConnectionClosed()
	}
}

// errEnding is why what is still under way near the end of the shutdown plan
// is cut: a stream that would go on for ever, a service that does not answer.
var errEnding = errors.New("gateway: the process ends")

// reserve is what is kept of the shutdown's time for those cuts, and for the
// audit.
func reserve(timeout time.Duration) time.Duration { return min(timeout/4, 3*time.Second) }

// end is the plan of Shutdown for servers of our own.
func (g *Gateway) end(ctx context.Context, servers []*listening, cut context.CancelCauseFunc) error {
	s := g.state.Load()
	s.ready.Drain()
	open, _ := g.sockets.count()
	s.logger.InfoContext(ctx, "shutting down", slog.Int("sockets", open))
	pause(ctx, s.shutdown.Grace)
	g.sockets.refuse()
	deadline, _ := ctx.Deadline()
	cutting := time.AfterFunc(time.Until(deadline)-reserve(s.shutdown.Timeout), func() { cut(errEnding) })
	defer cutting.Stop()
	most, cancel := context.WithDeadline(ctx, deadline.Add(-reserve(s.shutdown.Timeout)/2))
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, len(servers)+1)
	for i, l := range servers {
		all.Go(func() { errs[i] = l.shutdown(most) })
	}
	all.Go(func() { errs[len(servers)] = g.sockets.drain(most, s.shutdown.Spread) })
	all.Wait()
	errs = append(errs, g.flush(ctx))
	return errors.Join(errs...)
}

// shutdown finishes what is under way, and cuts what does not finish in time.
func (l *listening) shutdown(ctx context.Context) error {
	err := l.server.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, l.server.Close())
	}
	return nil
}

func (g *Gateway) flush(ctx context.Context) error {
	if guard := g.state.Load().guard; guard != nil {
		return guard.Flush(ctx)
	}
	return nil
}

// Shutdown ends what a host's own http.Server does not know of: it turns
// readiness off, lets no more sockets in, closes those there are (with 1012,
// spread over [Shutdown.Spread], the crisis lane last) and flushes the audit.
// Call it before the server's own Shutdown, and give both one context. Requests
// under way are not touched.
func (g *Gateway) Shutdown(ctx context.Context) error {
	s := g.state.Load()
	s.ready.Drain()
	ctx, cancel := context.WithTimeout(ctx, s.shutdown.Timeout)
	defer cancel()
	return errors.Join(g.sockets.drain(ctx, s.shutdown.Spread), g.flush(ctx))
}
