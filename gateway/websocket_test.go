package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// chat is a story service on a WebSocket: it remembers what it was told, says
// what it is scripted to, and ends as it is told to.
type chat struct {
	mu        sync.Mutex
	handshake *http.Request
	got       []string
	ended     websocket.StatusCode
	reason    string
}

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"tta.v1"}})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 22)
	c.mu.Lock()
	c.handshake = r
	c.mu.Unlock()
	for {
		kind, data, err := conn.Read(r.Context())
		if err != nil {
			var ce websocket.CloseError
			_ = asClose(err, &ce)
			c.mu.Lock()
			c.ended, c.reason = ce.Code, ce.Reason
			c.mu.Unlock()
			return
		}
		c.mu.Lock()
		c.got = append(c.got, string(data))
		c.mu.Unlock()
		if code, found := strings.CutPrefix(string(data), "close "); found {
			_ = conn.Close(map[string]websocket.StatusCode{"1000": 1000, "4001": 4001}[code], "by the service")
			return
		}
		if string(data) == "vanish" {
			return
		}
		_ = conn.Write(r.Context(), kind, data)
	}
}

func asClose(err error, ce *websocket.CloseError) bool {
	if code := websocket.CloseStatus(err); code != -1 {
		ce.Code = code
		if i := strings.Index(err.Error(), `reason = "`); i >= 0 {
			ce.Reason = strings.TrimSuffix(err.Error()[i+len(`reason = "`):], `"`)
		}
		return true
	}
	return false
}

func (c *chat) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.got...)
}

func (c *chat) end() (websocket.StatusCode, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended, c.reason
}

// chatRoute is the route of the TTA chat.
var chatRoute = gateway.Route{Pattern: "/ws/chat", Service: "story", Lane: ratelimit.Therapeutic, Upgrade: true, Chat: true}

func newChat(t *testing.T, options ...gateway.Option) (*gatewaytest.Gateway, *chat) {
	t.Helper()
	c := &chat{}
	all := append([]gateway.Option{gateway.WithGuard(crisis()), gateway.WithRoutes(chatRoute)}, options...)
	return gatewaytest.New(t, gatewaytest.Services{"story": c}, all...), c
}

func dial(t *testing.T, gw *gatewaytest.Gateway, path string, options ...gatewaytest.RequestOption) *gatewaytest.Socket {
	t.Helper()
	s, refused := gw.Dial(path, options...)
	require.Nil(t, refused)
	return s
}

func TestTheTokenOfABrowserGoesIntoTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t)
		token := gw.Token("ann")
		s := dial(t, gw, "/ws/chat?session_id=s1&token="+token+"&typing=1")
		require.NoError(t, s.Send("hello"))
		text, _, err := s.Receive()
		require.NoError(t, err)
		assert.Equal(t, "hello", text)
		assert.Equal(t, "Bearer "+token, c.handshake.Header.Get("Authorization"))
		assert.Equal(t, "session_id=s1&typing=1", c.handshake.URL.RawQuery, "and out of the query")
		assert.Equal(t, "ann", c.handshake.Header.Get("X-User-Id"))
		require.NoError(t, s.Close(1000, ""))
		synctest.Wait()
		assert.NotContains(t, gw.Log.Text(), token)
	})
}

func TestATokenInTheQueryIsNeverForwarded(t *testing.T) {
	var got string
	gw := gatewaytest.New(t, gatewaytest.Services{"story": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })},
		gateway.WithRoutes(chatRoute))
	assert.Equal(t, 200, gw.Get("/ws/chat?a=1&tok%65n="+gw.Token("ann")+"&b").Status, "no handshake, and yet")
	assert.Equal(t, "/ws/chat?a=1&b", got)
}

func TestARefusedChatIsToldByItsCloseCode(t *testing.T) {
	tests := []struct {
		desc, path string
		options    []gatewaytest.RequestOption
		code       int
	}{
		{"no token", "/ws/chat", nil, 1008},
		{"a dead token", "/ws/chat?token=x.y.z", nil, 1008},
		{"a page of somebody else's", "/ws/chat?token=GOOD", []gatewaytest.RequestOption{gatewaytest.Header("Origin", "https://evil.example")}, 1008},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw, c := newChat(t)
				s := dial(t, gw, strings.ReplaceAll(tt.path, "GOOD", gw.Token("ann")), tt.options...)
				var frames []string
				var err error
				for err == nil {
					var text string
					if text, _, err = s.Receive(); err == nil {
						frames = append(frames, text)
					}
				}
				assert.Equal(t, tt.code, gatewaytest.CloseCode(err), "%v", err)
				if tt.code == 1008 && tt.desc != "a page of somebody else's" {
					require.Len(t, frames, 1)
					assert.Contains(t, frames[0], "crisis_resources", "help comes with the refusal")
				}
				assert.Nil(t, c.handshake, "the service was not asked")
			})
		})
	}
}

func TestARefusedSocketElsewhereIsAnHTTPAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true}
		gw := gatewaytest.New(t, gatewaytest.Services{"story": &chat{}}, gateway.WithRoutes(plain),
			gateway.WithCORS(gateway.CORS{Origins: []string{"https://play.example"}}))
		_, refused := gw.Dial("/ws")
		require.NotNil(t, refused)
		assert.Equal(t, 401, refused.Status)
		_, refused = gw.Dial("/ws", gw.As("ann"), gatewaytest.Header("Origin", "https://evil.example"))
		require.NotNil(t, refused)
		assert.Equal(t, 403, refused.Status)
		dial(t, gw, "/ws", gw.As("ann"), gatewaytest.Header("Origin", "https://play.example")).Break()
		dial(t, gw, "/ws", gw.As("ann"), gatewaytest.Header("Origin", "http://"+gatewaytest.Host)).Break()
		synctest.Wait()
	})
}

func TestHandshakesThatAreNone(t *testing.T) {
	gw, _ := newChat(t)
	token := gw.Token("ann")
	head := "GET /ws/chat HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer " + token + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	assert.Equal(t, 400, raw(t, gw, head+"\r\n"), "no key")
	assert.Equal(t, 400, raw(t, gw, head+key+"\r\n"), "no version")
	assert.Equal(t, 400, raw(t, gw, head+key+"Sec-WebSocket-Version: 8\r\n\r\n"), "an old version")
	assert.Equal(t, 400, raw(t, gw, head+"Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n"), "a bad key")
	assert.Equal(t, 101, raw(t, gw, head+key+"Sec-WebSocket-Version: 13\r\n\r\n"))
}

func TestPingsAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		require.NoError(t, s.Send(`{"type":"ping","timestamp":1732312345678}`))
		text, _, err := s.Receive()
		require.NoError(t, err)
		assert.JSONEq(t, `{"type":"pong","timestamp":1732312345678}`, text)
		require.NoError(t, s.Send(`{"type":"ping"}`))
		text, _, err = s.Receive()
		require.NoError(t, err)
		assert.JSONEq(t, `{"type":"pong"}`, text)
		assert.Empty(t, c.heard(), "the service, which knows no ping, is spared it")
	})
}

func TestPingsAreAnsweredWithoutAGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chat{}
		gw := gatewaytest.New(t, gatewaytest.Services{"story": c}, gateway.WithRoutes(chatRoute))
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		require.NoError(t, s.Send(`{"type":"ping"}`))
		text, _, err := s.Receive()
		require.NoError(t, err)
		assert.JSONEq(t, `{"type":"pong"}`, text)
		require.NoError(t, s.Send("i want to die"))
		text, _, err = s.Receive()
		require.NoError(t, err)
		assert.Equal(t, "i want to die", text)
	})
}

func TestHelpComesFirstAndWordsAreDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		calm := `{"type":"user_message","session_id":"s1","content":{"text":"open the door"}}`
		require.NoError(t, s.Send(calm))
		echoed, _, err := s.Receive()
		require.NoError(t, err)
		assert.Equal(t, calm, echoed, "no help where none is needed")

		said := `{"type":"user_message","session_id":"s1","content":{"text":"i want to die"}}`
		require.NoError(t, s.Send(said))
		frame := s.ReceiveJSON()
		assert.Equal(t, "system", frame["role"])
		assert.Equal(t, "s1", frame["session_id"])
		metadata := frame["metadata"].(map[string]any)["safety"].(map[string]any)
		assert.Equal(t, true, metadata["crisis"])
		assert.Equal(t, []any{"suicidal_ideation"}, metadata["types"])
		resources := frame["crisis_resources"].([]any)
		assert.NotEmpty(t, resources)
		assert.NotEmpty(t, resources[0].(map[string]any)["name"])
		assert.NotEmpty(t, frame["content"].(map[string]any)["elements"])
		echoed, _, err = s.Receive()
		require.NoError(t, err)
		assert.Equal(t, said, echoed)
		assert.Equal(t, []string{calm, said}, c.heard(), "every word was delivered, unchanged")
	})
}

func TestHarmFromTheStoryIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		require.NoError(t, s.Send(`{"role":"assistant","id":"m1","content":{"text":"take more of them"}}`)) // echoed as the story's own
		text, _, err := s.Receive()
		require.NoError(t, err)
		assert.NotContains(t, text, "take more")
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &m), text)
		assert.Equal(t, "m1", m["id"])
	})
}

func TestMessagesAndCloseCodesPassUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"), gatewaytest.Header("Sec-WebSocket-Protocol", "tta.v1"))
		assert.Equal(t, "tta.v1", s.Subprotocol)
		require.NoError(t, s.SendBinary([]byte{0, 0xff, 1}))
		text, binary, err := s.Receive()
		require.NoError(t, err)
		assert.True(t, binary)
		assert.Equal(t, "\x00\xff\x01", text)
		for _, odd := range []string{"", "[1,2]", "\"a\"", strings.Repeat("é", 1000), "{"} {
			require.NoError(t, s.Send(odd))
			text, binary, err := s.Receive()
			require.NoError(t, err)
			assert.False(t, binary)
			assert.Equal(t, odd, text)
		}
		require.NoError(t, s.Close(4002, "enough"))
		synctest.Wait()
		code, reason := c.end()
		assert.EqualValues(t, 4002, code)
		assert.Equal(t, "enough", reason)

		for _, code := range []int{1000, 4001} {
			s := dial(t, gw, "/ws/chat", gw.As("ann"))
			require.NoError(t, s.Send("close "+map[int]string{1000: "1000", 4001: "4001"}[code]))
			_, _, err := s.Receive()
			assert.Equal(t, code, gatewaytest.CloseCode(err), "%v", err)
			assert.ErrorContains(t, err, "by the service")
		}

		s = dial(t, gw, "/ws/chat", gw.As("ann"))
		require.NoError(t, s.Send("vanish"))
		_, _, err = s.Receive()
		assert.Equal(t, 1011, gatewaytest.CloseCode(err), "a lost service is told so that the client tries again: %v", err)

		s = dial(t, gw, "/ws/chat", gw.As("ann"))
		s.Break()
		time.Sleep(10 * time.Second)
		code, _ = c.end()
		assert.EqualValues(t, 1001, code, "a lost client is told as gone")
	})
}

func TestSocketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t, gateway.WithWebSocket(gateway.WebSocket{MaxMessage: 100, PerCaller: 2, Total: 3, Idle: time.Minute}))
		ann := gw.As("ann")

		big := dial(t, gw, "/ws/chat", ann)
		require.NoError(t, big.Send(strings.Repeat("x", 101)))
		_, _, err := big.Receive()
		assert.Equal(t, 1009, gatewaytest.CloseCode(err), "size: %v", err)
		synctest.Wait()

		one, two := dial(t, gw, "/ws/chat", ann), dial(t, gw, "/ws/chat", ann)
		third := dial(t, gw, "/ws/chat", ann)
		_ = third.ReceiveJSON() // help comes with the refusal
		_, _, err = third.Receive()
		assert.Equal(t, 1013, gatewaytest.CloseCode(err), "per caller: %v", err)

		bob := dial(t, gw, "/ws/chat", gw.As("bob"))
		carl := dial(t, gw, "/ws/chat", gw.As("carl"))
		_ = carl.ReceiveJSON()
		_, _, err = carl.Receive()
		assert.Equal(t, 1013, gatewaytest.CloseCode(err), "in all: %v", err)

		require.NoError(t, bob.Send("x"))
		_, _, _ = bob.Receive()
		time.Sleep(59 * time.Second)
		require.NoError(t, bob.Send("x"))
		_, _, err = bob.Receive()
		require.NoError(t, err)
		_, _, err = one.Receive()
		assert.Equal(t, 1001, gatewaytest.CloseCode(err), "idle, with a code after which the client comes back: %v", err)
		_, _, err = two.Receive()
		assert.Equal(t, 1001, gatewaytest.CloseCode(err))
		require.NoError(t, bob.Send("x"))
		_, _, err = bob.Receive()
		require.NoError(t, err, "who speaks is not idle")
		assert.NotEmpty(t, c.heard())
	})
}

func TestAFastSenderIsSlowedAndCrisisDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t, gateway.WithWebSocket(gateway.WebSocket{Rate: ratelimit.Rate{N: 10, Per: 2 * time.Second}}))
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		go func() {
			for {
				if _, _, err := s.Receive(); err != nil {
					return
				}
			}
		}()
		for range 15 {
			require.NoError(t, s.Send("quick"))
		}
		synctest.Wait()
		assert.Len(t, c.heard(), 10)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Len(t, c.heard(), 15, "slowed down, and nothing lost")
		require.NoError(t, s.Send("quick"))
		require.NoError(t, s.Send("i want to die"))
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, "i want to die", c.heard()[len(c.heard())-1])
		require.NoError(t, s.Send("help"))
		synctest.Wait()
		assert.Equal(t, "help", c.heard()[len(c.heard())-1], "nor does anything that follows it")
	})
}

func TestTextThatIsNotUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		require.NoError(t, s.Send("\xff\xfe"))
		_, _, err := s.Receive()
		assert.Equal(t, 1007, gatewaytest.CloseCode(err), "%v", err)
		synctest.Wait()
		assert.Empty(t, c.heard())
	})
}

func TestDrainEndsTheCrisisLaneLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chat{}
		gw := gatewaytest.Start(t, gatewaytest.Services{"story": c}, gateway.WithGuard(crisis()), gateway.WithRoutes(chatRoute),
			gateway.WithShutdown(gateway.Shutdown{Spread: 4 * time.Second}))
		var mu sync.Mutex
		ended := map[string]time.Time{}
		began := time.Now()
		var all sync.WaitGroup
		for _, name := range []string{"ann", "bob", "carl"} {
			s := dial(t, gw, "/ws/chat", gw.As(name))
			if name == "bob" {
				require.NoError(t, s.Send("i want to die"))
				_, _, err := s.Receive()
				require.NoError(t, err)
			}
			all.Go(func() {
				for {
					if _, _, err := s.Receive(); err != nil {
						assert.Equal(t, 1012, gatewaytest.CloseCode(err), "%v", err)
						mu.Lock()
						ended[name] = time.Now()
						mu.Unlock()
						return
					}
				}
			})
		}
		synctest.Wait()
		require.NoError(t, gw.Stop())
		all.Wait()
		assert.False(t, ended["bob"].Before(ended["ann"]), "ann %s, bob %s", ended["ann"].Sub(began), ended["bob"].Sub(began))
		assert.False(t, ended["bob"].Before(ended["carl"]))
		assert.Equal(t, 2*time.Second, ended["ann"].Sub(ended["carl"]).Abs(), "spread out")
	})
}

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chat{}
		other := chatRoute
		other.Pattern = "/ws/other"
		gw := gatewaytest.New(t, gatewaytest.Services{"story": c}, gateway.WithGuard(crisis()), gateway.WithRoutes(chatRoute, other))
		stays, goes := dial(t, gw, "/ws/chat", gw.As("ann")), dial(t, gw, "/ws/other", gw.As("ann"))
		strict := crisis()
		options := []gateway.Option{gateway.WithRegistry(gw.Registry), gateway.WithTransport(gw.Transport), gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC(gatewaytest.Secret)})}

		require.Error(t, gw.Reload(append(options, gateway.WithRoutes(chatRoute, chatRoute))...), "a bad table is refused")
		require.NoError(t, stays.Send("still here"))
		_, _, err := stays.Receive()
		require.NoError(t, err)

		calm := chatRoute
		calm.Inspect = safety.Rule{Policy: &safety.Policy{Request: map[safety.Severity]safety.Action{safety.Moderate: safety.Record}}}
		require.NoError(t, gw.Reload(append(options, gateway.WithGuard(strict), gateway.WithRoutes(calm))...))
		_, _, err = goes.Receive()
		assert.Equal(t, 1012, gatewaytest.CloseCode(err), "its route has gone: %v", err)

		require.NoError(t, stays.Send("nothing matters"))
		text, _, err := stays.Receive()
		require.NoError(t, err)
		assert.Equal(t, "nothing matters", text, "a live session takes the new rules at its next message: no help at moderate now")
		require.NoError(t, stays.Close(1000, ""))
	})
}

func TestTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chat{}
		gw := gatewaytest.New(t, gatewaytest.Services{"story": c}, gateway.WithGuard(crisis()), gateway.WithRoutes(
			gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true, Inspect: safety.NotInspected("a test")}))
		s := dial(t, gw, "/ws", gw.As("ann", authtest.Login("player")), gatewaytest.Header("Sec-WebSocket-Protocol", "tta.v1"))
		assert.Equal(t, "tta.v1", s.Subprotocol)
		big := strings.Repeat("i want to die ", 20_000)
		go func() { _ = s.Send(big) }()
		text, _, err := s.Receive()
		require.NoError(t, err)
		assert.Equal(t, big, text)
		require.NoError(t, s.Close(4002, "enough"))
		synctest.Wait()
		code, reason := c.end()
		assert.EqualValues(t, 4002, code)
		assert.Equal(t, "enough", reason)

		idle := dial(t, gw, "/ws", gw.As("ann"))
		_, _, err = idle.Receive()
		assert.Error(t, err, "an idle tunnel ends")

		gw.Instance("story", 0).Stop()
		_, refused := gw.Dial("/ws", gw.As("ann"))
		require.NotNil(t, refused)
		assert.Equal(t, 502, refused.Status)
	})
}
