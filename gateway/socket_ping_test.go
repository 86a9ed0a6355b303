package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyAPingIsAPing(t *testing.T) {
	tests := []struct{ desc, text, pong string }{
		{"bare", `{"type":"ping"}`, `{"type":"pong"}`},
		{"spaced", " { \"type\" :\t\"ping\" }\n", `{"type":"pong"}`},
		{"stamped", `{"type":"ping","timestamp":1732312345678}`, `{"type":"pong","timestamp":1732312345678}`},
		{"stamped first, and exactly", `{"timestamp":1.50,"type":"ping"}`, `{"type":"pong","timestamp":1.50}`},
		{"stamped by null", `{"type":"ping","timestamp":null}`, `{"type":"pong","timestamp":null}`},
		{"stamped as text", `{"type":"ping","timestamp":"2026-01-31T10:00:00.000Z"}`, `{"type":"pong","timestamp":"2026-01-31T10:00:00.000Z"}`},
		{"another member", `{"type":"ping","content":{"text":"i took them all"}}`, ""},
		{"a member in another case", `{"type":"user_message","content":{"text":"i took them all"},"Type":"ping"}`, ""},
		{"the name in another case", `{"Type":"ping"}`, ""},
		{"the word in another case", `{"type":"PING"}`, ""},
		{"twice", `{"type":"user_message","type":"ping"}`, ""},
		{"twice the same", `{"type":"ping","type":"ping"}`, ""},
		{"stamped twice", `{"type":"ping","timestamp":1,"timestamp":2}`, ""},
		{"words in the stamp", `{"type":"ping","timestamp":"i want to die"}`, ""},
		{"words under the stamp", `{"type":"ping","timestamp":{"text":"i want to die"}}`, ""},
		{"words behind", `{"type":"ping"} i want to die`, ""},
		{"another document behind", `{"type":"ping"}{"text":"i want to die"}`, ""},
		{"no object", `"ping"`, ""},
		{"an empty object", `{}`, ""},
		{"half of one", `{"type":"ping"`, ""},
		{"a stamp alone", `{"timestamp":1}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw, c := newChat(t)
				s := dial(t, gw, "/ws/chat", gw.As("ann"))
				go hear(s)
				require.NoError(t, s.Send(tt.text))
				synctest.Wait()
				if tt.pong == "" {
					assert.Equal(t, []string{tt.text}, c.heard(), "what somebody says is delivered")
					return
				}
				assert.Empty(t, c.heard())
			})
			synctest.Test(t, func(t *testing.T) {
				gw, _ := newChat(t)
				s := dial(t, gw, "/ws/chat", gw.As("ann"))
				require.NoError(t, s.Send(tt.text))
				text, _, err := s.Receive()
				require.NoError(t, err)
				if tt.pong != "" {
					assert.Equal(t, tt.pong, text)
				}
			})
		})
	}
}

func TestWhatLooksLikeAPingIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		require.NoError(t, s.Send(`{"type":"user_message","content":{"text":"i took them all"},"Type":"ping"}`))
		assert.NotEmpty(t, s.ReceiveJSON()["crisis_resources"])
	})
}

func TestAFloodOfPingsIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t)
		s := dial(t, gw, "/ws/chat", gw.As("ann"))
		pongs := make(chan string, 1000)
		go func() {
			for {
				text, _, err := s.Receive()
				if err != nil {
					return
				}
				pongs <- text
			}
		}()
		for range 500 {
			require.NoError(t, s.Send(`{"type":"ping"}`))
		}
		synctest.Wait()
		assert.Len(t, pongs, 10)
		time.Sleep(5 * time.Second)
		for range 20 {
			require.NoError(t, s.Send(`{"type":"ping"}`))
		}
		synctest.Wait()
		assert.Len(t, pongs, 15, "one a second")
		assert.Empty(t, c.heard(), "the service is spared the others too")
		require.NoError(t, s.Send("hello"))
		synctest.Wait()
		assert.Equal(t, []string{"hello"}, c.heard())
	})
}
