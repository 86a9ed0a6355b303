// Command safety uses one package of the gateway alone: safety, on a chi router, in a module of its own.
//
//	cd examples/onepackage/safety && go run .
//	curl -u mira:PASSWORD localhost:8080/chat -H 'Content-Type: application/json' -d '{"message":"to the lighthouse"}'
//	curl -u mira:PASSWORD localhost:8080/chat -H 'Content-Type: application/json' -d '{"message":"I want to die"}'
//	curl localhost:8080/help
//
// The program prints the password. Five things are worth copying:
//
//   - Whoever speaks is known before the Guard stands (basicAuth, then the guard): what it remembers of a
//     conversation, it remembers of a subject, and Subject must not be something that anybody can claim.
//   - guard.With(rule).Wrap is a func(http.Handler) http.Handler, so chi's With takes it as it is. The rule
//     says where in the request the words stand and in which field of the reply the person reads.
//   - Guard and handler read the body in the same way: AllowContentType lets nothing in that calls itself
//     something else than the JSON that both expect.
//   - The message always reaches the handler. The handler learns the verdict by safety.FromContext, and
//     steps out of the story; help is put first in its reply without its doing.
//   - At the end the Guard is flushed after the last request: who was to be told has then been told.
//
// A Guard without an Escalator tells nobody, and no text ever says that it did. Give -page the address of
// something that answers 2xx only when a human, or what stands for one, has taken over.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

const drain = 20 * time.Second // for requests in flight, and for telling whom must be told

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	page := flag.String("page", "", "URL that is told of a person in danger; none when empty")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *addr, *page); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, page string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	password := rand.Text()
	fmt.Printf("http://%s/chat as mira, password %s\n", ln.Addr(), password)
	guard := newGuard(page, slog.Default())
	return serve(ctx, ln, newRouter(guard, password), guard)
}

func newGuard(page string, log *slog.Logger) *safety.Guard {
	guard := &safety.Guard{
		Inspector: detect.Default(),
		Auditor:   trail{log},
		Subject:   subject,
	}
	if page != "" {
		guard.Escalator = pager{URL: page}
	}
	return guard
}

// subject is who speaks. basicAuth has checked the password before.
func subject(r *http.Request) string {
	name, _, _ := r.BasicAuth()
	return name
}

func newRouter(guard *safety.Guard, password string) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	r.Method(http.MethodGet, "/help", safety.HelpPage(guard)) // open to everybody, always
	r.Group(func(r chi.Router) {
		r.Use(middleware.BasicAuth("stories", map[string]string{"mira": password}))
		words := safety.Rule{Route: "/chat", Fields: []string{"message"}, Reply: "reply", InGame: true}
		r.With(middleware.AllowContentType("application/json"), guard.With(words).Wrap).Post("/chat", chat)
	})
	return r
}

// chat is the service: it tells a story, and knows when not to.
func chat(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Message string `json:"message"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		answer(w, http.StatusUnprocessableEntity, map[string]string{"message": "A JSON object with a message is expected."})
		return
	}
	reply := "You set out along the quay, and the lighthouse waves to you."
	if safety.FromContext(r.Context()).Severity >= safety.Moderate {
		reply = "I am putting the story down for now. You can write here as long as you like."
	}
	answer(w, http.StatusOK, map[string]string{"reply": reply})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the client has gone
}

// serve serves until ctx ends, lets the requests in flight finish, and then whoever is to be told be told.
func serve(ctx context.Context, ln net.Listener, h http.Handler, guard *safety.Guard) error {
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
	return errors.Join(err, guard.Flush(ending))
}
