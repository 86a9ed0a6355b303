// Command ratelimit uses one package of the gateway alone: ratelimit, on a plain http.ServeMux.
//
//	go run ./examples/onepackage/ratelimit
//	curl -i localhost:8080/stories          # X-RateLimit-*, RateLimit, RateLimit-Policy
//	for n in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%{http_code}\n' -X POST localhost:8080/login; done
//
// Three things are worth copying:
//
//   - limitsOf gives a request all its limits at once. They are taken together or not at all, so a login
//     that is refused does not also use up the caller's everyday quota.
//   - The Limiter stands outside and the Admission inside: a refusal for coming too often costs nothing,
//     and only who passes it competes for room.
//   - What the client reads is one kind sentence. Retry-After is set before tooOften is called.
//
// Several processes behind one balancer each count for themselves. When that is too generous, give the
// Limiter a Store that they share (package ratelimit/redisstore) and nothing else changes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

const drain = 10 * time.Second // for requests in flight when the program is told to end

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/stories\n", ln.Addr())
	return serve(ctx, ln, newHandler())
}

// newHandler is the whole service: quotas outside, room inside, a plain mux in the middle.
func newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stories", stories)
	mux.HandleFunc("POST /login", login)

	limiter := &ratelimit.Limiter{Limits: limitsOf, ErrorHandler: tooOften}
	room := &ratelimit.Admission{Limit: 64, ErrorHandler: tooMany}
	return limiter.Wrap(room.Wrap(mux))
}

// limitsOf gives everybody a hundred requests a minute, and five guesses at a password.
func limitsOf(r *http.Request) []ratelimit.Limit {
	who := ratelimit.ByRemoteAddr(r) // behind a proxy: the client address that your own rules found
	limits := []ratelimit.Limit{{Name: "default", Key: who, Rate: ratelimit.Rate{N: 100, Per: time.Minute}}}
	if r.URL.Path == "/login" {
		limits = append(limits, ratelimit.Limit{Name: "login", Key: who, Rate: ratelimit.Rate{N: 5, Per: time.Minute}})
	}
	return limits
}

func tooOften(w http.ResponseWriter, _ *http.Request, err error) {
	answer(w, ratelimit.Status(err), "That was a little fast. Please wait a moment and try again.")
}

func tooMany(w http.ResponseWriter, _ *http.Request, err error) {
	answer(w, ratelimit.Status(err), "Many people are here just now. Please try again in a moment.")
}

func stories(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "Lantern Harbour, The Hill Orchard, The Night Library")
}

// login knows nobody: there is something to guess at, and nothing to be guessed.
func login(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusUnauthorized, "Invalid username or password")
}

func answer(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // fails only when the client has gone
}

// serve serves until ctx ends, and then lets the requests in flight finish.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(ending)
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
