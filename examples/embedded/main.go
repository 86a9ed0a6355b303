// Command embedded is a service that stands behind the gateway's pipeline in
// its own process: no second hop, no second deployment.
//
//	go run ./examples/embedded -secret-file secret.txt
//	curl -i localhost:8080/journal                              # 401: who are you?
//	curl -i localhost:8080/journal -H "Authorization: Bearer $TOKEN" -d 'today was hard'
//
// The wiring is the func [pipeline]; everything else is what any Go service
// has: its own handler, its own http.Server, its own signals. The one thing to
// remember is the order at the end: the gateway first, because it knows the
// live sockets and the audit, and then the server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

// pipeline puts a service behind everything that the gateway does.
func pipeline(service http.Handler, secret []byte) (*gateway.Gateway, error) {
	return gateway.New(
		gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC(secret)}),
		gateway.WithGuard(&safety.Guard{Inspector: detect.Default()}),
		gateway.WithQuotas(gateway.Quotas{Therapeutic: ratelimit.Rate{N: 200, Per: time.Minute}}),
		gateway.WithEndpoints(gateway.Endpoints{Name: "Journal"}),
		gateway.WithRoutes(gateway.Route{
			Pattern: "/journal/",
			Handler: service,
			Lane:    ratelimit.Therapeutic,
		}),
	)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	secretFile := flag.String("secret-file", "", "file with the HS256 secret that tokens are signed with, 32 bytes or more")
	flag.Parse()
	if err := run(*addr, *secretFile); err != nil {
		fmt.Fprintln(os.Stderr, "embedded:", err)
		os.Exit(1)
	}
}

func run(addr, secretFile string) error {
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return fmt.Errorf("-secret-file: %w", err)
	}
	secret = []byte(strings.TrimSpace(string(secret)))
	if err := auth.WeakSecret(secret); err != nil {
		return fmt.Errorf("-secret-file %s: %w", secretFile, err)
	}
	g, err := pipeline(http.HandlerFunc(journal), secret)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return serve(ctx, &http.Server{Addr: addr, Handler: g, ReadHeaderTimeout: 10 * time.Second}, g)
}

// serve runs the host's own server until ctx ends, and then ends both cleanly.
func serve(ctx context.Context, server *http.Server, g *gateway.Gateway) error {
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("listening", "address", server.Addr)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return errors.Join(g.Shutdown(end), server.Shutdown(end))
}

// journal is the service: it knows who writes, because the pipeline has asked.
func journal(w http.ResponseWriter, r *http.Request) {
	who := auth.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "{\"response\":\"Thank you for writing this down.\",\"player\":%q}\n", who.Player)
}
