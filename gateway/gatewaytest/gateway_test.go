package gatewaytest_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
)

// echo answers with what it was asked, over HTTP and over WebSocket.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Instance", r.Host)
		_, _ = w.Write(append([]byte(r.Method+" "+r.RequestURI+" "), body...))
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil {
			return
		}
		_ = c.Write(r.Context(), kind, data)
	}
}

func TestGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"story": http.HandlerFunc(echo)},
			gateway.WithRoutes(
				gateway.Route{Pattern: "/api/", Service: "story"},
				gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true},
			))

		player := gw.As("player-1")
		resp := gw.Post("/api/x?a=1", "hello", player)
		require.Equal(t, 200, resp.Status, resp.Body)
		assert.Equal(t, "POST /api/x?a=1 hello", resp.Body)
		assert.Equal(t, 401, gw.Get("/api/x").Status)

		socket, refused := gw.Dial("/ws", player)
		require.Nil(t, refused)
		require.NoError(t, socket.Send("hi"))
		text, _, err := socket.Receive()
		require.NoError(t, err)
		assert.Equal(t, "hi", text)
		require.NoError(t, socket.Close(1000, "bye"))

		time.Sleep(authtest.Lifetime + 2*time.Minute) // nobody waits for this
		assert.Equal(t, 401, gw.Get("/api/x", player).Status, "a token expires")
		assert.Len(t, gw.Log.Requests(), 4)
		assert.NotContains(t, gw.Log.Text(), "hello")
	})
}

func TestInstancesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"story": http.HandlerFunc(echo)},
			gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "story", Allow: auth.Anyone}))
		require.Equal(t, 200, gw.Get("/").Status)

		gw.Registry.Set("story")
		assert.Equal(t, 503, gw.Get("/").Status, "the very next request sees that nobody serves")

		gw.Registry.Set("story", discoverytest.Instances("story", gw.Instance("story", 0).URL())...)
		second := gw.Add("story", http.HandlerFunc(echo))
		gw.Instance("story", 0).Stop()
		for range 20 {
			require.Equal(t, 200, gw.Get("/").Status, "the other instance answers")
		}
		assert.GreaterOrEqual(t, second.Requests(), 20)
	})
}

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.Start(t, gatewaytest.Services{"story": http.HandlerFunc(echo)},
			gateway.WithRoutes(gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true, Allow: auth.Anyone}))
		socket, refused := gw.Dial("/ws")
		require.Nil(t, refused)
		require.NoError(t, socket.Send("x"))
		_, _, err := socket.Receive()
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- gw.Stop() }()
		_, _, err = socket.Receive()
		assert.Equal(t, 1012, gatewaytest.CloseCode(err), "a socket is told: %v", err)
		require.NoError(t, <-ended)
	})
}
