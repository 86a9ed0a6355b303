package demo_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

func dial(t *testing.T, client *http.Client, query string, header http.Header) *websocket.Conn {
	t.Helper()
	c, reply, err := websocket.Dial(t.Context(), "ws://demo/ws/chat"+query, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	require.NoError(t, err)
	assert.NotEmpty(t, reply.Header.Get(demo.InstanceHeader))
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func hear(t *testing.T, c *websocket.Conn) map[string]any {
	t.Helper()
	kind, raw, err := c.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, websocket.MessageText, kind)
	var frame map[string]any
	require.NoError(t, json.Unmarshal(raw, &frame))
	return frame
}

func say(t *testing.T, c *websocket.Conn, message string) {
	t.Helper()
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(message)))
}

func textOf(frame map[string]any) any { return frame["content"].(map[string]any)["text"] }

// chatting runs a test in a bubble of its own time, with one instance served in memory.
func chatting(t *testing.T, o demo.Options, test func(t *testing.T, w *demo.World, story *demo.Instance, client *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		w := demo.New(secret, o)
		story := w.Story("story-a")
		test(t, w, story, serve(t, story))
	})
}

func TestAnEveningOverTheSocket(t *testing.T) {
	chatting(t, demo.Options{}, func(t *testing.T, w *demo.World, story *demo.Instance, client *http.Client) {
		token := w.AccessToken(account(t, w, "player"))
		c := dial(t, client, "?token="+url.QueryEscape(token), nil)
		welcome := hear(t, c)
		assert.Equal(t, "system", welcome["role"])
		assert.Nil(t, welcome["session_id"])
		assert.Equal(t, map[string]any{"safety": map[string]any{"crisis": false}}, welcome["metadata"])

		say(t, c, `{"type":"ping","timestamp":1}`)
		assert.Equal(t, "Unknown message type.", textOf(hear(t, c)))
		say(t, c, `not json`)
		assert.Contains(t, textOf(hear(t, c)), "could not be read")
		say(t, c, `{"type":"user_message","content":{"text":"to the lighthouse"}}`)
		var reply map[string]any
		for reply == nil || reply["role"] != "assistant" {
			reply = hear(t, c)
		}
		assert.Contains(t, textOf(reply), "climb the stair")
		assert.Equal(t, 1, story.Stats().Sockets)
		require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
		synctest.Wait()
		assert.Zero(t, story.Stats().Sockets)

		history := ask(t, story, "GET", "/api/v1/conversation/"+reply["session_id"].(string)+"/history", token, "")
		assert.EqualValues(t, 2, history.at("total_messages"), "HTTP and the socket tell one story")
	})
}

func TestWhoMayTalk(t *testing.T) {
	chatting(t, demo.Options{}, func(t *testing.T, w *demo.World, _ *demo.Instance, client *http.Client) {
		token := w.AccessToken(account(t, w, "player"))
		for _, tt := range []struct {
			desc, query, authorization string
			want                       websocket.StatusCode
		}{
			{"by query", "?token=" + token, "", -1},
			{"by header", "", "bearer " + token, -1},
			{"the query goes first", "?token=rubbish", "Bearer " + token, websocket.StatusPolicyViolation},
			{"nobody", "", "", websocket.StatusPolicyViolation},
			{"rubbish", "", "Bearer rubbish", websocket.StatusPolicyViolation},
		} {
			c := dial(t, client, tt.query, http.Header{"Authorization": {tt.authorization}})
			_, _, err := c.Read(t.Context())
			assert.Equal(t, tt.want, websocket.CloseStatus(err), tt.desc)
			_ = c.CloseNow()
		}
	})
}

func TestTooManyMessagesGetANoticeAndTheSocketStays(t *testing.T) {
	chatting(t, demo.Options{}, func(t *testing.T, w *demo.World, _ *demo.Instance, client *http.Client) {
		c := dial(t, client, "?token="+w.AccessToken(account(t, w, "player")), nil)
		hear(t, c)
		for range 10 {
			say(t, c, `{"type":"ping"}`)
			assert.Equal(t, "Unknown message type.", textOf(hear(t, c)))
		}
		say(t, c, `{"type":"ping"}`)
		assert.Contains(t, textOf(hear(t, c)), "slow down")
		time.Sleep(3 * time.Second)
		say(t, c, `{"type":"ping"}`)
		assert.Equal(t, "Unknown message type.", textOf(hear(t, c)))
	})
}

func TestStoppingEndsSocketsWithGoingAway(t *testing.T) {
	chatting(t, demo.Options{}, func(t *testing.T, w *demo.World, story *demo.Instance, client *http.Client) {
		query := "?token=" + w.AccessToken(account(t, w, "player"))
		polite, silent := dial(t, client, query, nil), dial(t, client, query, nil)
		hear(t, polite)
		hear(t, silent)
		ended := make(chan error, 1)
		go func() {
			_, _, err := polite.Read(context.Background())
			ended <- err
		}()
		began := time.Now()
		story.Stop()
		assert.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(<-ended))
		assert.Equal(t, time.Second, time.Since(began), "one that never answers is not waited for longer")
		assert.Zero(t, story.Stats().Sockets)
	})
}

func TestSocketsAreBounded(t *testing.T) {
	chatting(t, demo.Options{MaxSockets: 1, MaxBody: 100}, func(t *testing.T, w *demo.World, _ *demo.Instance, client *http.Client) {
		query := "?token=" + w.AccessToken(account(t, w, "player"))
		first, second := dial(t, client, query, nil), dial(t, client, query, nil)
		hear(t, first)
		_, _, err := second.Read(t.Context())
		assert.Equal(t, websocket.StatusTryAgainLater, websocket.CloseStatus(err))
		say(t, first, string(make([]byte, 200)))
		_, _, err = first.Read(t.Context())
		assert.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
	})
}

func TestTextFramesOnly(t *testing.T) {
	chatting(t, demo.Options{}, func(t *testing.T, w *demo.World, _ *demo.Instance, client *http.Client) {
		c := dial(t, client, "?token="+w.AccessToken(account(t, w, "player")), nil)
		hear(t, c)
		require.NoError(t, c.Write(t.Context(), websocket.MessageBinary, []byte{1}))
		_, _, err := c.Read(t.Context())
		assert.Equal(t, websocket.StatusUnsupportedData, websocket.CloseStatus(err))
	})
}
