package gateway_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// serveAs sends a request as if it came from an address, without a network.
func serveAs(h http.Handler, method, target, remote, host string, options ...gatewaytest.RequestOption) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(""))
	r.RemoteAddr, r.Host = remote, host
	for _, o := range options {
		o(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestThisMachineIsTrustedOnlyWhenItSpeaksForItself(t *testing.T) {
	memory := &discovery.Memory{}
	g, err := gateway.New(gateway.WithEndpoints(gateway.Endpoints{Registrations: memory}))
	require.NoError(t, err)
	const here = "127.0.0.1:4711"
	tests := []struct {
		desc, host string
		option     gatewaytest.RequestOption
		status     int
	}{
		{"a shell on this machine", "127.0.0.1:8000", nil, 200},
		{"by its name", "localhost:8000", nil, 200},
		{"by IPv6", "[::1]:8000", nil, 200},
		{"its own page", "127.0.0.1:8000", gatewaytest.Header("Origin", "http://127.0.0.1:8000"), 200},
		{"a name that was bound anew to this machine", "evil.example:8000", nil, 401},
		{"somebody else's page", "127.0.0.1:8000", gatewaytest.Header("Origin", "https://evil.example"), 401},
		{"somebody else's page, without saying so", "127.0.0.1:8000", gatewaytest.Header("Sec-Fetch-Site", "cross-site"), 401},
		{"a proxy on this machine", "127.0.0.1:8000", gatewaytest.Header("Cf-Connecting-Ip", "203.0.113.9"), 401},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			var options []gatewaytest.RequestOption
			if tt.option != nil {
				options = append(options, tt.option)
			}
			assert.Equal(t, tt.status, serveAs(g, "GET", "/explain?path=/x", here, tt.host, options...).Code)
		})
	}
}

func TestToSeeIsNotToSayWhereServicesAre(t *testing.T) {
	gw := gatewaytest.New(t, nil, gateway.WithEndpoints(gateway.Endpoints{Token: "scrape", RegistryToken: "register", Registrations: &discovery.Memory{}}))
	list := func(option gatewaytest.RequestOption) int { return gw.Get("/registry/services/story", option).Status }
	assert.Equal(t, 401, list(gatewaytest.Header("Authorization", "Bearer scrape")), "the scraper's token reads figures, and registers nobody")
	assert.Equal(t, 403, list(gw.As("ann")))
	assert.NotContains(t, []int{401, 403}, list(gatewaytest.Header("Authorization", "Bearer register")))
	assert.NotContains(t, []int{401, 403}, list(gw.As("root", authtest.Login("admin"))))
	assert.Equal(t, 401, gw.Get("/metrics/", gatewaytest.Header("Authorization", "Bearer register")).Status)
	assert.Equal(t, 401, serveAs(gw.Gateway, "GET", "/registry/services/story", "127.0.0.1:1", "127.0.0.1").Code, "nor is it enough to be on this machine")
}

func TestARefusedRegistrationHasTheOneShape(t *testing.T) {
	gw := gatewaytest.New(t, nil, gateway.WithEndpoints(gateway.Endpoints{RegistryToken: "register", Registrations: &discovery.Memory{}}))
	resp := gw.Post("/registry/", `{"service":"story","url":"http://169.254.169.254"}`, gatewaytest.Header("Authorization", "Bearer register"))
	require.Equal(t, 403, resp.Status, resp.Body)
	p := problemOf(t, resp)
	assert.Equal(t, "registration_refused", p["code"])
	require.Len(t, p["complaints"], 1)
	assert.Contains(t, p["complaints"].([]any)[0], "169.254.169.254")
	resp = gw.Post("/registry/", `{"service":"a b","weight":-1,"url":"ftp://x"}`, gatewaytest.Header("Authorization", "Bearer register"))
	assert.Equal(t, 400, resp.Status)
	assert.Greater(t, len(problemOf(t, resp)["complaints"].([]any)), 1, "all at once")
}

func TestAPolicyThatCallsItselfAnyoneIsAsked(t *testing.T) {
	nobody := auth.PolicyFunc("anyone", func(*http.Request, auth.Identity) error { return auth.ErrForbidden })
	gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: nobody}))
	assert.Equal(t, 403, gw.Get("/").Status)
}

func TestLoginStandsWhileSignInsCannotBeChecked(t *testing.T) {
	down := auth.AuthenticatorFunc(func(r *http.Request) (auth.Identity, error) {
		if r.Header.Get("Authorization") != "" {
			return auth.Identity{}, errors.Join(auth.ErrUnavailable)
		}
		return auth.Identity{}, nil
	})
	gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, gateway.WithAuthenticator(down),
		gateway.WithRoutes(gateway.Route{Pattern: "/login", Service: "s", Allow: auth.Anyone}, gateway.Route{Pattern: "/mine", Service: "s"}))
	old := gatewaytest.Header("Authorization", "Bearer from.last.week")
	assert.Equal(t, 200, gw.Post("/login", "{}", old).Status)
	assert.Equal(t, 503, gw.Get("/mine", old).Status)
}

func TestASocketOfAHandlerMustSayThatNobodyListens(t *testing.T) {
	route := gateway.Route{Pattern: "/ws", Handler: http.NotFoundHandler(), Upgrade: true}
	_, err := gateway.New(gateway.WithGuard(crisis()), gateway.WithRoutes(route))
	assert.ErrorContains(t, err, "cannot be inspected")
	route.Inspect = safety.NotInspected("a host's own protocol")
	_, err = gateway.New(gateway.WithGuard(crisis()), gateway.WithRoutes(route))
	assert.NoError(t, err)
}

func TestEndpointsAnswerUnderAnyHost(t *testing.T) {
	gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("the service")}, gateway.WithEndpoints(gateway.Endpoints{}),
		gateway.WithRoutes(gateway.Route{Pattern: gatewaytest.Host + "/", Service: "s", Allow: auth.Anyone}, gateway.Route{Pattern: gatewaytest.Host + "/help", Service: "s", Allow: auth.Anyone}))
	assert.Equal(t, "the service", gw.Get("/x").Body)
	assert.NotEqual(t, "the service", gw.Get("/help").Body, "help is never somebody else's")
	assert.Equal(t, 401, gw.Get("/metrics/").Status, "nor is a service's own /metrics published by chance")
	assert.Contains(t, strings.Join(gw.Warnings(), "\n"), `/help" never gets a GET`)
}

func TestAReloadGivesNobodyAFreshBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := []gateway.Option{
			gateway.WithQuotas(gateway.Quotas{Default: ratelimit.Rate{N: 1, Per: time.Hour}}), gateway.WithEndpoints(gateway.Endpoints{}), open("s"),
		}
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, options...)
		assert.Equal(t, 200, gw.Get("/x").Status)
		assert.Equal(t, 429, gw.Get("/x").Status)
		again := append(options, gateway.WithRegistry(gw.Registry), gateway.WithTransport(gw.Transport))
		require.NoError(t, gw.Reload(again...))
		assert.Equal(t, 429, gw.Get("/x").Status)
		require.NoError(t, gw.Shutdown(t.Context()))
		require.NoError(t, gw.Reload(again...))
		assert.Equal(t, 503, gw.Get("/health/ready").Status, "who drains does not come back to be ready")
	})
}

func TestServeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.Start(t, gatewaytest.Services{"s": answering("x")}, open("s"), gateway.WithEndpoints(gateway.Endpoints{}))
		synctest.Wait()
		ln, err := gw.Network.Listen("second.test:80")
		require.NoError(t, err)
		defer ln.Close()
		assert.ErrorIs(t, gw.Serve(t.Context(), ln), gateway.ErrRunning)
		assert.Equal(t, 200, gw.Get("/health/ready").Status, "the one that runs goes on")
	})
}

func TestUnderAPrefixOfTheHosts(t *testing.T) {
	var got string
	g, err := gateway.New(gateway.WithRoutes(gateway.Route{Pattern: "/a/", Allow: auth.Anyone, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.Path })}))
	require.NoError(t, err)
	w := serveAs(http.StripPrefix("/tta", g), "GET", "/tta/a/b?x=1", "192.0.2.1:1", "h")
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, "/a/b", got)
}

func TestTheHostsOwnRequestStaysAsItWas(t *testing.T) {
	g, err := gateway.New(gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC(gatewaytest.Secret)}),
		gateway.WithRoutes(gateway.Route{Pattern: "/{id}", Allow: auth.Anyone, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}))
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/7", nil)
	r.Header.Set("Authorization", "Bearer dead")
	g.ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "Bearer dead", r.Header.Get("Authorization"))
	assert.Empty(t, r.Pattern)
	assert.Empty(t, r.PathValue("id"))
}
