package demo_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFaultsAreShownWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		story := newWorld().Story("story-a")
		client := serve(t, story)
		get := func(query string) (*http.Response, error) { return client.Get("http://demo/health?" + query) }

		_, err := get("demo_fail=hangup")
		require.Error(t, err)
		cut, err := get("demo_fail=truncate")
		require.NoError(t, err)
		_, err = io.ReadAll(cut.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NoError(t, cut.Body.Close())

		for query, want := range map[string]int{
			"demo_fail=500":                     500,
			"demo_fail=503":                     503,
			"demo_fail=429":                     429,
			"demo_fail=200":                     422,
			"demo_fail=explode":                 422,
			"demo_delay=never":                  422,
			"demo_delay=1h":                     422,
			"demo_fail=hangup&demo_on=story-b":  200,
			"demo_fail=500&demo_on=story-a":     500,
			"demo_delay=nonsense&demo_on=other": 200,
		} {
			reply, err := get(query)
			require.NoError(t, err, query)
			assert.Equal(t, want, reply.StatusCode, query)
			require.NoError(t, reply.Body.Close())
		}

		began := time.Now()
		reply, err := get("demo_delay=2s")
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}

func TestAStreamCanBeCutShort(t *testing.T) {
	w := newWorld()
	story, token := w.Story("story-a"), w.AccessToken(account(t, w, "player"))
	ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-1","message":"look"}`)
	request, err := http.NewRequest("GET", "http://demo/api/v1/conversation/evening-1/stream?demo_fail=truncate", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	reply, err := serve(t, story).Do(request)
	require.NoError(t, err)
	defer reply.Body.Close()
	said, err := io.ReadAll(reply.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Contains(t, string(said), "event: piece")
	assert.NotContains(t, string(said), "event: done")
}

func TestFaultsAlsoComeByHeader(t *testing.T) {
	story := newWorld().Story("story-a")
	a := ask(t, story, "GET", "/health", "", "", "X-Demo-Fail", "500")
	assert.Equal(t, http.StatusInternalServerError, a.status)
	assert.JSONEq(t, `{"error":"Internal Server Error","message":"An unexpected error occurred","detail":"DemoFault"}`, a.raw)
	assert.Equal(t, http.StatusOK, ask(t, story, "GET", "/health", "", "", "X-Demo-Fail", "500", "X-Demo-On", "story-b").status)
}

func TestAFaultIsStillADelivery(t *testing.T) {
	story := newWorld().Story("story-a")
	client := serve(t, story)
	request, err := http.NewRequest("POST", "http://demo/api/v1/auth/login?demo_fail=hangup", nil)
	require.NoError(t, err)
	request.Header.Set("X-Demo-Id", "turn-1")
	_, err = client.Do(request)
	require.Error(t, err)
	require.Len(t, story.Stats().Delivered, 1)
	assert.Equal(t, "turn-1", story.Stats().Delivered[0].ID)
}
