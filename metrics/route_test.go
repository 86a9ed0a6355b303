package metrics_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/metrics"
)

func TestRouteFoldsMethodsAndStatuses(t *testing.T) {
	cases := []struct {
		method     string
		status     int
		as, asCode string
	}{
		{"GET", 200, "GET", "200"},
		{"PATCH", 418, "PATCH", "418"},
		{"TRACE", 405, "TRACE", "405"},
		{"get", 200, "_OTHER", "200"},
		{"BREW", 503, "_OTHER", "503"},
		{"", 200, "_OTHER", "200"},
		{"GET", 101, "GET", "101"},
		{"GET", 499, "GET", "499"},
		{"GET", 299, "GET", "2xx"},
		{"GET", 599, "GET", "5xx"},
		{"GET", 0, "GET", "_OTHER"},
		{"GET", 600, "GET", "_OTHER"},
		{"GET", -200, "GET", "_OTHER"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.method, " ", c.status), func(t *testing.T) {
			m, reg := counting(t)
			m.Route("/x", "story").Done(c.method, c.status, time.Millisecond)
			name := fmt.Sprintf(`gateway_requests_total{endpoint="/x",method=%q,service="story",status_code=%q}`, c.as, c.asCode)
			assert.EqualValues(t, 1, figures(t, reg)[name])
		})
	}
}

func TestRouteCountsTogetherWithAnotherOfItsName(t *testing.T) {
	m, reg := counting(t)
	for range 2 { // as after a reload
		r := m.Route("/x", "story")
		for range 3 {
			r.Done(http.MethodGet, 200, time.Millisecond)
		}
	}
	assert.EqualValues(t, 6, figures(t, reg)[`gateway_request_duration_seconds{endpoint="/x",method="GET",service="story"}`])
}

func TestDoneDoesNotAllocate(t *testing.T) {
	m, _ := counting(t)
	r := m.Route("/x", "story")
	statuses := []int{200, 404, 503, 799}
	for _, s := range statuses {
		r.Done("GET", s, 3*time.Millisecond)
	}
	i := 0
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		r.Done("GET", statuses[i%len(statuses)], 3*time.Millisecond)
		i++
	}))
}

func TestEventsDoNotAllocate(t *testing.T) {
	m, _ := counting(t)
	everything(m)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		m.Message("/ws/chat", "request", 128)
		m.Inspected("/ws/chat", "request", "websocket", 100)
		m.Skipped("/ws/chat", "response", "websocket", "binary", 50)
		m.ConnectionOpened()
		m.ConnectionClosed()
		m.RateLimited("therapeutic", "/api/v1/gameplay/")
		m.Auth("identify", "invalid_token")
	}))
}

func FuzzRoute(f *testing.F) {
	f.Add("/x", "story", "GET", 200, int64(1))
	f.Add("\xff", "", "\x00", -1, int64(-1))
	m, reg := counting(f)
	f.Fuzz(func(t *testing.T, endpoint, service, method string, status int, d int64) {
		m.Route(endpoint, service).Done(method, status, time.Duration(d))
		_, err := reg.Gather()
		require.NoError(t, err)
	})
}

func BenchmarkDone(b *testing.B) {
	m, err := metrics.New(nil)
	require.NoError(b, err)
	r := m.Route("/api/v1/gameplay/", "player-experience")
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Done("POST", 200, 30*time.Millisecond)
		}
	})
	b.Run("all cores", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.Done("POST", 200, 30*time.Millisecond)
			}
		})
	})
	b.Run("nil", func(b *testing.B) {
		var none *metrics.Route
		b.ReportAllocs()
		for b.Loop() {
			none.Done("POST", 200, 30*time.Millisecond)
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	m, err := metrics.New(nil)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		m.Message("/ws/chat", "request", 128)
		m.Inspected("/ws/chat", "request", "websocket", 128)
	}
}
