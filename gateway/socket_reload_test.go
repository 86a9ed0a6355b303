package gateway_test

import (
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/safety"
)

// reload puts another table in place of the one that New had.
func reload(t *testing.T, gw *gatewaytest.Gateway, options ...gateway.Option) {
	t.Helper()
	require.NoError(t, gw.Reload(append([]gateway.Option{gateway.WithRegistry(gw.Registry), gateway.WithTransport(gw.Transport),
		gateway.WithLogger(slog.New(gw.Log)), gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC(gatewaytest.Secret)})}, options...)...))
}

func TestATunnelEndsWhenItsRouteIsInspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true, Inspect: safety.NotInspected("not yet")}
		other := rt
		other.Pattern = "/ws/other"
		guard := crisis()
		gw := gatewaytest.New(t, gatewaytest.Services{"story": &chat{}}, gateway.WithGuard(guard), gateway.WithRoutes(rt, other))
		ends, stays := dial(t, gw, "/ws", gw.As("ann")), dial(t, gw, "/ws/other", gw.As("ann"))
		rt.Inspect = safety.Rule{}
		reload(t, gw, gateway.WithGuard(guard), gateway.WithRoutes(rt, other))
		_, _, err := ends.Receive()
		assert.Equal(t, 1012, gatewaytest.CloseCode(err), "it comes back, and is heard then: %v", err)
		require.NoError(t, stays.Send("hello"))
		text, _, err := stays.Receive()
		require.NoError(t, err)
		assert.Equal(t, "hello", text)
		stays.Break()
	})
}

func TestATunnelBegunDuringAReloadEndsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true, Inspect: safety.NotInspected("not yet")}
		guard := crisis()
		release := make(chan struct{})
		c := &chat{}
		gw := gatewaytest.New(t, gatewaytest.Services{"story": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			c.ServeHTTP(w, r)
		})}, gateway.WithGuard(guard), gateway.WithRoutes(rt))
		conn := knock(t, gw, "/ws", "Authorization: Bearer "+gw.Token("ann"))
		synctest.Wait()
		rt.Inspect = safety.Rule{}
		reload(t, gw, gateway.WithGuard(guard), gateway.WithRoutes(rt))
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Len(t, gw.Log.Requests(), 1, "it did not outlive its own handshake")
		_ = conn.Close()
	})
}

func TestATunnelThatIsOpenedUnderTheOldTableEndsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		rt := gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true, Inspect: safety.NotInspected("not yet"),
			Use: []gateway.Middleware{func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					<-release // admitted, and not yet counted among the sockets
					next.ServeHTTP(w, r)
				})
			}}}
		guard := crisis()
		gw := gatewaytest.New(t, gatewaytest.Services{"story": &chat{}}, gateway.WithGuard(guard), gateway.WithRoutes(rt))
		conn := knock(t, gw, "/ws", "Authorization: Bearer "+gw.Token("ann"))
		synctest.Wait()
		rt.Inspect = safety.Rule{}
		reload(t, gw, gateway.WithGuard(guard), gateway.WithRoutes(rt))
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Len(t, gw.Log.Requests(), 1)
		_ = conn.Close()
	})
}

func TestARelayLearnsWhoSpeaksWhenAGuardComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"story": &chat{}, "s": answering("{}")}, gateway.WithRoutes(chatRoute))
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		api := gateway.Route{Pattern: "/api", Service: "s", Inspect: safety.NotInspected("a test")}
		guard := crisis()
		subjects := make(chan string, 10)
		guard.Subject = func(r *http.Request) string {
			id := auth.FromContext(r.Context()).Subject
			subjects <- id
			return id
		}
		reload(t, gw, gateway.WithGuard(guard), gateway.WithRoutes(chatRoute, api))
		require.NoError(t, s.Send("i want to die"))
		assert.NotEmpty(t, s.ReceiveJSON()["crisis_resources"])
		_, _, err := s.Receive()
		require.NoError(t, err)
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		assert.Equal(t, safety.High, guard.Level(r.WithContext(auth.NewContext(t.Context(), auth.Identity{Subject: "ann"}))),
			"the session is raised, not only the message")
		assert.Equal(t, "ann", <-subjects)
		s.Break()
	})
}
