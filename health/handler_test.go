package health_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/health"
)

func get(h http.Handler, method string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/health/", nil))
	return w
}

func TestHealthHasTheShapeThatClientsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock begins at 2000-01-01T00:00:00Z
		m := &health.Monitor{Version: "1.0.0", Detail: func(*http.Request) bool { return true }}
		require.NoError(t, m.Add("redis", func(context.Context) error { time.Sleep(250 * time.Millisecond); return nil }))
		require.NoError(t, m.Add("authentication", func(context.Context) error { return errDown }, health.Optional))
		require.NoError(t, m.Add("service_discovery", func(context.Context) error { return nil }))
		require.NoError(t, m.Probe(t.Context(), "redis"))
		require.Error(t, m.Probe(t.Context(), "authentication"))
		time.Sleep(1750 * time.Millisecond)

		w := get(m.Handler(), "GET")
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		assert.JSONEq(t, `{
			"status": "degraded", "timestamp": 946684802, "version": "1.0.0", "uptime": 2,
			"checks": {
				"redis":             {"status": "healthy",   "response_time": 0.25, "last_check": 946684800.25, "error": null},
				"authentication":    {"status": "unhealthy", "response_time": 0,    "last_check": 946684800.25, "error": "down"},
				"service_discovery": {"status": "unknown",   "response_time": 0,    "last_check": null,         "error": null}
			}}`, w.Body.String())

		var back health.Report
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &back))
		want := m.Report()
		for name, c := range back.Checks {
			assert.True(t, c.LastCheck.Equal(want.Checks[name].LastCheck))
			c.LastCheck = want.Checks[name].LastCheck
			back.Checks[name] = c
		}
		assert.True(t, back.Timestamp.Equal(want.Timestamp))
		back.Timestamp = want.Timestamp
		assert.Equal(t, want, back, "what was written can be read")
	})
}

func TestHealthKeepsTheMapFromStrangers(t *testing.T) {
	for desc, detail := range map[string]func(*http.Request) bool{
		"by default":      nil,
		"if we say so":    func(*http.Request) bool { return false },
		"also if unknown": func(r *http.Request) bool { return r.Header.Get("Authorization") != "" },
	} {
		t.Run(desc, func(t *testing.T) {
			m := &health.Monitor{Version: "1.0.0", Detail: detail}
			require.NoError(t, m.Add("redis://10.0.0.7", func(context.Context) error { return errDown }))
			_ = m.Probe(t.Context(), "redis://10.0.0.7")
			var got map[string]any
			w := get(m.Handler(), "GET")
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
			assert.Len(t, got, 2)
			assert.Equal(t, "unhealthy", got["status"])
			assert.NotZero(t, got["timestamp"])
			assert.Equal(t, 200, w.Code, "the question was answered, whatever the answer")
		})
	}
}

func TestAnEmptyMonitorIsHealthy(t *testing.T) {
	m := &health.Monitor{Detail: func(*http.Request) bool { return true }}
	var got map[string]any
	require.NoError(t, json.Unmarshal(get(m.Handler(), "GET").Body.Bytes(), &got))
	assert.Equal(t, "healthy", got["status"])
	assert.Equal(t, map[string]any{}, got["checks"], "an object, not null")
	assert.Zero(t, got["uptime"])
}

func TestUptimeCountsFromWhatWasSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &health.Monitor{Started: time.Now().Add(-time.Hour)}
		assert.Equal(t, time.Hour, m.Report().Uptime)
	})
}

func TestReportRefusesWhatIsNotOne(t *testing.T) {
	var r health.Report
	require.Error(t, json.Unmarshal([]byte(`{"status":7}`), &r))
	require.Error(t, json.Unmarshal([]byte(`{"checks":{"a":{"status":7}}}`), &r))
	require.NoError(t, json.Unmarshal([]byte(`{"status":"healthy","timestamp":1.5}`), &r), "the short form")
	assert.Equal(t, "healthy", r.Status)
}

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := get(health.Live(), "GET")
		assert.Equal(t, 200, w.Code)
		assert.JSONEq(t, `{"status":"alive","timestamp":946684800}`, w.Body.String())
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	})
}

func TestReadyOpensWhenEveryGateIsMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r health.Ready
		refused := func(waiting ...string) {
			t.Helper()
			w := get(r.Handler(), "GET")
			assert.Equal(t, 503, w.Code)
			assert.JSONEq(t, `{"detail":"Service not ready"}`, w.Body.String())
			assert.Equal(t, waiting, r.Waiting())
			assert.False(t, r.Ready())
		}
		refused("gates")
		r.Require("table", false)
		r.Require("detector", true)
		refused("table")
		r.Require("table", true)
		assert.True(t, r.Ready())
		w := get(r.Handler(), "GET")
		assert.Equal(t, 200, w.Code)
		assert.JSONEq(t, `{"status":"ready","timestamp":946684800}`, w.Body.String())

		r.Require("detector", false)
		refused("detector")
		r.Forget("detector")
		assert.True(t, r.Ready())

		assert.False(t, r.Draining())
		r.Drain()
		refused("draining")
		r.Require("table", true)
		refused("draining")
		assert.True(t, r.Draining())
	})
}

func TestReadyWithOneGate(t *testing.T) {
	var r health.Ready
	r.Set(true)
	assert.True(t, r.Ready())
	r.Set(false)
	assert.Equal(t, []string{"started"}, r.Waiting())
}

func TestReadyNamesItsGatesToThoseAllowed(t *testing.T) {
	r := &health.Ready{Detail: func(*http.Request) bool { return true }}
	r.Require("table", false)
	assert.JSONEq(t, `{"detail":"Service not ready","waiting":["table"]}`, get(r.Handler(), "GET").Body.String())
}

func TestOnlyQuestionsAreAnswered(t *testing.T) {
	var m health.Monitor
	var r health.Ready
	for desc, h := range map[string]http.Handler{"health": m.Handler(), "live": health.Live(), "ready": r.Handler()} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"} {
			w := get(h, method)
			assert.Equal(t, 405, w.Code, desc+" "+method)
			assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		}
		assert.NotEqual(t, 405, get(h, "HEAD").Code, desc)
	}
}
