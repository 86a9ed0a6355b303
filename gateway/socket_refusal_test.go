package gateway_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
)

// knock sends the head of a handshake and reads nothing.
func knock(t *testing.T, gw *gatewaytest.Gateway, target string, more ...string) net.Conn {
	t.Helper()
	conn, err := gw.Network.DialContext(t.Context(), "tcp", gatewaytest.Host+":80")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	head := "GET " + target + " HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for _, line := range more {
		head += line + "\r\n"
	}
	_, err = io.WriteString(conn, head+"\r\n")
	require.NoError(t, err)
	return conn
}

// answered reads the answer to a handshake.
func answered(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	return resp
}

func TestARefusedChatWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t)
		began := time.Now()
		conn := knock(t, gw, "/ws/chat")
		all, err := io.ReadAll(conn) // reads, and never says good-bye
		require.NoError(t, err)
		assert.Contains(t, string(all), "crisis_resources")
		assert.Contains(t, string(all), "\x03\xf0unauthenticated", "1008, and why")
		assert.LessOrEqual(t, time.Since(began), 300*time.Millisecond)
	})
}

func TestARefusedChatIsCountedAsWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m, err := metrics.New(reg)
		require.NoError(t, err)
		gw, _ := newChat(t, gateway.WithMetrics(m))
		s := dial(t, gw, "/ws/chat")
		hear(s)
		time.Sleep(time.Second)
		lines := gw.Log.Requests()
		require.Len(t, lines, 1)
		assert.EqualValues(t, 401, lines[0]["status"])
		assert.Equal(t, "unauthenticated", lines[0]["problem"])
		text := exposition(gw)
		assert.Contains(t, text, `status_code="401"`)
		assert.NotContains(t, text, `status_code="101"`)
	})
}

// exposition is what Prometheus would scrape.
func exposition(gw *gatewaytest.Gateway) string {
	w := &recorder{header: http.Header{}}
	r, _ := http.NewRequest(http.MethodGet, "http://gateway.test/", nil)
	gw.Metrics().ServeHTTP(w, r)
	return w.String()
}

type recorder struct {
	strings.Builder
	header http.Header
}

func (w *recorder) Header() http.Header { return w.header }
func (w *recorder) WriteHeader(int)     {}

func TestTheAddressQuotaRefusesChatsByHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t, gateway.WithQuotas(gateway.Quotas{Address: ratelimit.Rate{N: 1, Per: time.Hour}}))
		_ = knock(t, gw, "/ws/chat")
		synctest.Wait()
		resp := answered(t, knock(t, gw, "/ws/chat"))
		assert.Equal(t, 429, resp.StatusCode)
		assert.NotEmpty(t, resp.Header.Get("Retry-After"))
		var p map[string]any
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&p))
		assert.Equal(t, "address_limited", p["code"])
		assert.NotEmpty(t, p["crisis_resources"])
	})
}

func TestAFloodOfRefusedChatsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t)
		var conns []net.Conn
		for range 300 {
			conns = append(conns, knock(t, gw, "/ws/chat"))
		}
		synctest.Wait()
		status := map[int]int{}
		for _, conn := range conns {
			status[answered(t, conn).StatusCode]++
		}
		assert.Equal(t, map[int]int{101: 256, 401: 44}, status, "beyond so many, the plain answer")
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Len(t, gw.Log.Requests(), 300, "none of them is left")
		assert.Equal(t, 101, answered(t, knock(t, gw, "/ws/chat")).StatusCode, "their places are free again")
	})
}
