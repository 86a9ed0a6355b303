package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

// A whole gateway: the route table is the picture of the product.
func Example() {
	story := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"response":"The lantern glows."}`)
	}))
	defer story.Close()
	registry, err := discovery.NewStatic(map[string][]string{"player-experience": {story.URL}})
	if err != nil {
		fmt.Println(err)
		return
	}

	g, err := gateway.New(
		gateway.WithLogger(slog.New(slog.DiscardHandler)),
		gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC([]byte("a secret of thirty-two bytes or more"))}),
		gateway.WithRegistry(registry),
		gateway.WithGuard(&safety.Guard{Inspector: detect.Default()}),
		gateway.WithQuotas(gateway.Quotas{Default: ratelimit.Rate{N: 100, Per: time.Minute}}),
		gateway.WithRoutes(
			gateway.Route{Pattern: "/api/v1/players/{player_id}/", Service: "player-experience", Allow: auth.Owner("player_id")},
			gateway.Route{Pattern: "/api/v1/try/", Service: "player-experience", Allow: auth.Anyone,
				Lane: ratelimit.Therapeutic, Inspect: safety.Rule{Reply: "response"}},
			gateway.Route{Pattern: "/api/v1/worlds/", Service: "player-experience", Inspect: safety.NotInspected("catalogue data")},
			gateway.Route{Pattern: "/ws/chat", Service: "player-experience", Lane: ratelimit.Therapeutic, Upgrade: true, Chat: true},
		),
	)
	if err != nil {
		fmt.Println(err) // every mistake at once
		return
	}
	front := httptest.NewServer(g)
	defer front.Close()

	resp, err := http.Post(front.URL+"/api/v1/try/", "application/json", strings.NewReader(`{"message":"I light the lantern"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))
	resp, err = http.Get(front.URL + "/api/v1/players/7/progress")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	// Output:
	// 200 {"response":"The lantern glows."}
	// 401 Bearer realm="tta"
}

// Serve does it all: it listens, runs what must run, and drains when ctx ends.
func ExampleGateway_Serve() {
	g, err := gateway.New(gateway.WithLogger(slog.New(slog.DiscardHandler)), gateway.WithEndpoints(gateway.Endpoints{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background()) // in a program: signal.NotifyContext
	defer cancel()
	ended := make(chan error)
	go func() { ended <- g.Serve(ctx, ln) }()

	resp, err := http.Get("http://" + ln.Addr().String() + "/health/ready")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// 200
	// <nil>
}

// A host with its own http.Server must end the gateway first. The server alone
// knows nothing of live sockets: its Shutdown returns while people are still in
// the middle of a conversation, and the process ends under them.
func ExampleGateway_Shutdown_incorrect() {
	g, err := gateway.New(gateway.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http.Server{Handler: g}
	ctx := context.Background()

	// Wrong: sockets are cut without a word, and the audit may be lost.
	//
	//	_ = server.Shutdown(ctx)

	// Right: the gateway first, then the server.
	fmt.Println(g.Shutdown(ctx), server.Shutdown(ctx))
	// Output: <nil> <nil>
}
