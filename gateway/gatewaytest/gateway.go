package gatewaytest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
	"github.com/theinterneti/tta-gateway/gateway"
)

// Host is the name under which the gateway is reached.
const Host = "gateway.test"

// Secret signs the tokens that the default authenticator accepts.
var Secret = []byte("a secret of the test kit, 32 bytes and more")

// Services are the fake services, by name: one instance each, to begin with.
type Services map[string]http.Handler

// Gateway is a gateway under test, with everything around it.
type Gateway struct {
	*gateway.Gateway
	// Registry is what the gateway asks for instances. Change it as you like.
	Registry *discoverytest.Registry
	// Network is what everything is connected by.
	Network *Network
	// Transport reaches the services by Network.
	Transport *gateway.Transport
	// Log has every line that the gateway wrote.
	Log *Log

	tb        testing.TB
	client    *http.Client
	mu        sync.Mutex
	instances map[string][]*Instance
	stop      context.CancelFunc
	ended     chan error
}

// New puts a gateway in front of services and serves it in memory until the
// test ends. Unless opts say otherwise it has a fake registry that knows the
// services, an authenticator for tokens signed with [Secret], and a log that
// the test can read. It fails the test if a part is wrong.
func New(tb testing.TB, services Services, opts ...gateway.Option) *Gateway {
	tb.Helper()
	gw := build(tb, services, opts)
	ln, err := gw.Network.Listen(Host + ":80")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: gw.Gateway, ErrorLog: slog.NewLogLogger(gw.Log, slog.LevelDebug)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = gw.Gateway.Shutdown(ctx)
		_ = server.Close()
		<-done
	})
	return gw
}

// Start is New with a gateway that is run, by gateway.Gateway.Serve: checks,
// registry and background work go on, and Stop ends it by its plan.
func Start(tb testing.TB, services Services, opts ...gateway.Option) *Gateway {
	tb.Helper()
	gw := build(tb, services, opts)
	ln, err := gw.Network.Listen(Host + ":80")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	gw.stop, gw.ended = cancel, ended
	go func() { ended <- gw.Gateway.Serve(ctx, ln) }()
	tb.Cleanup(func() { _ = gw.Stop() })
	return gw
}

// Stop ends a gateway of Start by its shutdown plan, and returns what Serve
// returned. A second call returns nil.
func (gw *Gateway) Stop() error {
	if gw.stop == nil {
		return errors.New("gatewaytest: only a gateway of Start can be stopped")
	}
	gw.stop()
	gw.mu.Lock()
	ended := gw.ended
	gw.ended = nil
	gw.mu.Unlock()
	if ended == nil {
		return nil
	}
	return <-ended
}

func build(tb testing.TB, services Services, opts []gateway.Option) *Gateway {
	tb.Helper()
	gw := &Gateway{
		Registry:  &discoverytest.Registry{ByService: map[string][]discovery.Instance{}},
		Network:   &Network{},
		Log:       &Log{},
		tb:        tb,
		instances: map[string][]*Instance{},
	}
	gw.Transport = gateway.NewTransport()
	gw.Transport.DialContext = gw.Network.DialContext
	own := &http.Transport{DialContext: gw.Network.DialContext, DisableCompression: true}
	gw.client = &http.Client{Transport: own, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		gw.Add(name, services[name])
	}
	all := append([]gateway.Option{
		gateway.WithRegistry(gw.Registry),
		gateway.WithTransport(gw.Transport),
		gateway.WithLogger(slog.New(gw.Log)),
		gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC(Secret)}),
	}, opts...)
	var err error
	if gw.Gateway, err = gateway.New(all...); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		own.CloseIdleConnections()
		gw.Transport.CloseIdleConnections()
		for _, list := range gw.instances {
			for _, i := range list {
				i.Stop()
			}
		}
	})
	return gw
}

// Client sends requests to the gateway, whatever host they name. It follows no
// redirects.
func (gw *Gateway) Client() *http.Client { return gw.client }

// URL is the address of a path at the gateway.
func (gw *Gateway) URL(path string) string { return "http://" + Host + path }

// A RequestOption changes a request before it is sent.
type RequestOption func(*http.Request)

// Header sets a field. The name is sent as it is written.
func Header(name, value string) RequestOption {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = []string{value} }
}

// As makes the request one of a known caller: an identity with a valid token.
func (gw *Gateway) As(subject string, options ...authtest.Option) RequestOption {
	token := gw.Token(subject, options...)
	return Header("Authorization", "Bearer "+token)
}

// Token returns a token that the default authenticator accepts, for half an
// hour unless options say otherwise.
func (gw *Gateway) Token(subject string, options ...authtest.Option) string {
	gw.tb.Helper()
	return authtest.Token(gw.tb, Secret, auth.Identity{Subject: subject, Player: subject, Roles: []string{auth.RolePlayer}}, options...)
}

// Get sends a GET and returns the answer, read to its end.
func (gw *Gateway) Get(path string, options ...RequestOption) *Response {
	gw.tb.Helper()
	return gw.Do(http.MethodGet, path, "", options...)
}

// Post sends a JSON body.
func (gw *Gateway) Post(path, body string, options ...RequestOption) *Response {
	gw.tb.Helper()
	return gw.Do(http.MethodPost, path, body, append([]RequestOption{Header("Content-Type", "application/json")}, options...)...)
}

// Do sends a request and returns the answer, read to its end. It fails the
// test if there is none.
func (gw *Gateway) Do(method, path, body string, options ...RequestOption) *Response {
	gw.tb.Helper()
	resp, err := gw.Try(method, path, body, options...)
	if err != nil {
		gw.tb.Fatalf("gatewaytest: %s %s: %v", method, path, err)
	}
	return resp
}

// Try is Do for answers that may fail or break off.
func (gw *Gateway) Try(method, path, body string, options ...RequestOption) (*Response, error) {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, gw.URL(path), content)
	if err != nil {
		return nil, err
	}
	for _, o := range options {
		o(req)
	}
	resp, err := gw.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: string(data), Trailer: resp.Trailer}, err
}

// Response is an answer, read to its end.
type Response struct {
	Status  int
	Header  http.Header
	Body    string
	Trailer http.Header
}

// Add puts another instance of a service into the registry and onto the
// network.
func (gw *Gateway) Add(service string, h http.Handler) *Instance {
	gw.tb.Helper()
	gw.mu.Lock()
	defer gw.mu.Unlock()
	i := &Instance{gw: gw, handler: h}
	i.name = service + "-" + strconv.Itoa(len(gw.instances[service])+1) + ".test:80"
	gw.instances[service] = append(gw.instances[service], i)
	if err := i.Start(); err != nil {
		gw.tb.Fatal(err)
	}
	var urls []string
	for _, known := range gw.instances[service] {
		urls = append(urls, known.URL())
	}
	gw.Registry.Set(service, discoverytest.Instances(service, urls...)...)
	return i
}

// Instance returns the n-th instance of a service, counted from 0.
func (gw *Gateway) Instance(service string, n int) *Instance {
	gw.mu.Lock()
	defer gw.mu.Unlock()
	return gw.instances[service][n]
}

// Instance is one fake instance of a service.
type Instance struct {
	gw      *Gateway
	name    string
	handler http.Handler

	mu       sync.Mutex
	server   *http.Server
	done     chan struct{}
	requests int
}

// URL is the instance's address on the test's network.
func (i *Instance) URL() string { return "http://" + strings.TrimSuffix(i.name, ":80") }

// Requests is how many requests have reached it.
func (i *Instance) Requests() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests
}

// Stop makes it refuse connections, and breaks those it has.
func (i *Instance) Stop() {
	i.mu.Lock()
	server, done := i.server, i.done
	i.server = nil
	i.mu.Unlock()
	if server != nil {
		_ = server.Close()
		<-done
	}
}

// Start makes it serve, again.
func (i *Instance) Start() error {
	ln, err := i.gw.Network.Listen(i.name)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	server, done := &http.Server{Handler: http.HandlerFunc(i.serve), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}, make(chan struct{})
	i.server, i.done = server, done
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	return nil
}

func (i *Instance) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests++
	i.mu.Unlock()
	i.handler.ServeHTTP(w, r)
}
