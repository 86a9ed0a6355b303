package discovery_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

func Example() {
	registry, err := discovery.NewStatic(map[string][]string{
		"chat": {"http://10.0.0.1:8080", "http://10.0.0.2:8080"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache := &discovery.Cache{Registry: registry} // in a server: go cache.Run(ctx)
	balancer := discovery.NewRoundRobin()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for range 3 {
		all, err := cache.Endpoints(r.Context(), "chat")
		if err != nil {
			fmt.Println(err)
			return
		}
		e := balancer.Pick(r, all)
		e.Enter()
		fmt.Println(e.URL)
		e.Leave(12*time.Millisecond, true)
	}
	// Output:
	// http://10.0.0.1:8080
	// http://10.0.0.2:8080
	// http://10.0.0.1:8080
}

// All mistakes are told at once, each with its remedy.
func ExampleNewStatic() {
	_, err := discovery.NewStatic(map[string][]string{
		"chat":  {"redis://localhost:6379", "http://me:secret@10.0.0.1"},
		"story": {},
	})
	fmt.Println(err)
	// Output:
	// service "chat": discovery: invalid: url scheme "redis": use http or https
	// service "chat": discovery: invalid: url carries user information: remove it, credentials do not belong in a registry
	// service "story": discovery: invalid: no url: give at least one
}

// A lease lasts as long as heartbeats come.
func ExampleMemory() {
	ctx := context.Background()
	registry := &discovery.Memory{}
	i, err := discovery.NewInstance("chat", "http://10.0.0.1:8080")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(registry.Register(ctx, i, 30*time.Second))
	fmt.Println(registry.Heartbeat(ctx, "chat", i.ID, 30*time.Second))
	fmt.Println(registry.Deregister(ctx, "chat", i.ID))
	fmt.Println(registry.Heartbeat(ctx, "chat", i.ID, 30*time.Second))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// discovery: instance is not registered: register it again
}

// A user stays with one instance, whichever gateway he comes through.
func ExampleNewHash() {
	balancer := discovery.NewHash(discovery.FirstKey(
		discovery.HeaderKey("X-Player"),
		discovery.CookieKey("session"),
	))
	all := discoverytest.Endpoints("story", "http://10.0.0.1", "http://10.0.0.2", "http://10.0.0.3")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Player", "ann")
	first := balancer.Pick(r, all)
	fmt.Println(first == balancer.Pick(r, all), first == balancer.Pick(r, all))
	// Output: true true
}

func ExampleParseBalancer() {
	b, err := discovery.ParseBalancer("health_based")
	fmt.Printf("%T %v\n", b, err)
	_, err = discovery.ParseBalancer("magic")
	fmt.Println(err)
	// Output:
	// *discovery.LeastLoaded <nil>
	// discovery: unknown balancer "magic": use one of least_loaded health_based least_connections round_robin weighted weighted_round_robin consistent_hash
}

// A shared registry and a static one: what is configured is there even when
// the shared one cannot be asked.
func ExampleMerge() {
	configured, _ := discovery.NewStatic(map[string][]string{"chat": {"http://10.0.0.1:8080"}})
	shared := &discoverytest.Registry{Err: fmt.Errorf("redis is down")}
	cache := &discovery.Cache{Registry: discovery.Merge(configured, shared)}
	all, err := cache.Endpoints(context.Background(), "chat")
	fmt.Println(len(all), err, cache.Degraded("chat") != nil)
	// Output: 1 <nil> true
}

// Only who is known gets to the handler, and only as the service that he is.
func ExampleHandler() {
	secrets := map[string]string{"chat": "s3cret"} // in a gateway: auth.Gate and a policy
	handler := &discovery.Handler{
		Registrar: &discovery.Memory{},
		Permit: func(r *http.Request, service string) error {
			_, secret, _ := r.BasicAuth()
			if secret == "" || secrets[service] != secret {
				return fmt.Errorf("%w: not yours", discovery.ErrForbidden)
			}
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/registry/", http.StripPrefix("/registry", handler))

	register := func(body string) {
		r := httptest.NewRequest(http.MethodPost, "/registry/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth("", "s3cret")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	register(`{"service":"chat","url":"http://127.0.0.1:8080"}`)
	register(`{"service":"authentication","url":"http://127.0.0.1:8080"}`)
	register(`{"service":"chat","url":"http://169.254.169.254/latest/meta-data"}`)
	// Output:
	// 201
	// 403
	// 403
}

// The mistake: a handler without anything in front of it. Whoever reaches the
// port is now the authentication service, and is sent every password.
func ExampleHandler_incorrect() {
	mux := http.NewServeMux()
	mux.Handle("/registry/", http.StripPrefix("/registry", &discovery.Handler{Registrar: &discovery.Memory{}}))

	body := strings.NewReader(`{"service":"authentication","url":"http://10.6.6.6"}`)
	anybody := httptest.NewRequest(http.MethodPost, "/registry/", body)
	anybody.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, anybody)
	fmt.Println(w.Code, "instead of 401: wrap the handler by something that knows who is asking, and set Permit")
	// Output: 201 instead of 401: wrap the handler by something that knows who is asking, and set Permit
}

// Let the dialer refuse what a name has come to mean since it was registered.
func ExampleAddressRules_Control() {
	rules := discovery.AddressRules{}
	fmt.Println(rules.Control("tcp", "10.0.0.1:80", nil))
	fmt.Println(rules.Control("tcp", "169.254.169.254:80", nil) != nil)
	// Output:
	// <nil>
	// true
}
