package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/config"
	"github.com/theinterneti/tta-gateway/safety"
)

// stage is what -demo puts behind the gateway: two instances of a story
// service on one store, and a place to stop and start them. All methods work
// on a nil stage and do nothing.
type stage struct {
	accounts []demo.Account
	servers  []*demo.Server
	control  net.Listener
	stop     context.CancelFunc

	mu     sync.Mutex
	failed []error
}

// stage makes the demo world and the settings of a gateway in front of it.
func (p *program) stage(c *config.Config) (*config.Config, *stage, error) {
	if c.JWTAlgorithm != "HS256" {
		return nil, nil, fmt.Errorf("%w: the demo signs its tokens with HS256; unset TTA_GATEWAY_JWT_ALGORITHM", errUsage)
	}
	secret, _, _ := strings.Cut(string(c.JWTSecretKey), "\n") // the current one of several
	world := demo.New([]byte(secret), demo.Options{Lifetime: time.Duration(c.JWTExpireMinutes) * time.Minute})
	s := &stage{accounts: world.Accounts()}
	urls := map[string][]string{}
	for _, name := range []string{"story-a", "story-b"} {
		server, err := demo.Listen(world.Story(name), "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		s.servers = append(s.servers, server)
		urls["player-experience"] = append(urls["player-experience"], server.URL())
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s.control = control
	services, err := json.Marshal(urls)
	if err != nil {
		return nil, nil, err
	}
	p.environ = append(p.environ, "TTA_GATEWAY_SERVICES="+string(services))
	if secretWasMade(c) {
		p.environ = append(p.environ, "TTA_GATEWAY_JWT_SECRET_KEY="+secret)
	}
	c, err = config.Load(config.Source{Environ: p.environ, Demo: true})
	return c, s, err
}

// secretWasMade reports whether nobody set a secret, so that the random one
// has to be handed on.
func secretWasMade(c *config.Config) bool {
	for _, s := range c.Settings() {
		if s.Name == "TTA_GATEWAY_JWT_SECRET_KEY" {
			return s.Source == "random (demo)"
		}
	}
	return false
}

// options put the chat page onto the gateway.
func (s *stage) options() []gateway.Option {
	if s == nil {
		return nil
	}
	return []gateway.Option{gateway.WithRoutes(gateway.Route{
		Pattern: "/demo/",
		Methods: []string{http.MethodGet},
		Handler: demo.ChatPage(s.accounts...),
		Allow:   auth.Anyone,
		Inspect: safety.NotInspected("the page of the demo"),
	})}
}

// run serves the world until ctx ends. What fails ends the gateway, too.
func (s *stage) run(ctx context.Context, all *sync.WaitGroup, end context.CancelFunc) {
	if s == nil {
		return
	}
	// The story goes on until the gateway has finished what is under way.
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	start := func(do func() error) {
		all.Go(func() {
			if err := do(); err != nil {
				s.mu.Lock()
				s.failed = append(s.failed, err)
				s.mu.Unlock()
				end()
			}
		})
	}
	for _, server := range s.servers {
		start(func() error { return server.Run(ctx) })
	}
	control := &http.Server{Handler: demo.Control(s.servers...), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = control.Close() })
	start(func() error {
		if err := control.Serve(s.control); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// err ends the world and returns what failed in it.
func (s *stage) err() error {
	if s == nil {
		return nil
	}
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failed...)
}

// tell prints what to try.
func (s *stage) tell(w io.Writer, gatewayAddr net.Addr) {
	if s == nil {
		return
	}
	base := "http://" + gatewayAddr.String()
	_, _ = fmt.Fprintf(w, "\nA demo of the TTA gateway at %s, its chat page at %s/demo/\n\n", base, base)
	for _, line := range demo.Commands(base, "http://"+s.control.Addr().String(), s.accounts, s.servers...) {
		_, _ = fmt.Fprintln(w, line)
	}
	_, _ = fmt.Fprintln(w)
}
