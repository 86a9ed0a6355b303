package metrics_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func counting(t testing.TB, opts ...metrics.Option) (*metrics.Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m, err := metrics.New(reg, opts...)
	require.NoError(t, err)
	return m, reg
}

// figures are all series of a registry, written as in the text format; of a histogram, the count.
func figures(t testing.TB, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			all[f.GetName()+labels(series)] = value(series)
		}
	}
	return all
}

func labels(series *dto.Metric) string {
	var pairs []string
	for _, l := range series.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if len(pairs) == 0 {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func value(series *dto.Metric) float64 {
	switch {
	case series.Counter != nil:
		return series.Counter.GetValue()
	case series.Gauge != nil:
		return series.Gauge.GetValue()
	}
	return float64(series.Histogram.GetSampleCount())
}

// everything lets everything happen once.
func everything(m *metrics.Metrics) {
	m.Route("/api/v1/gameplay/", "player-experience").Done("GET", 200, 30*time.Millisecond)
	m.ConnectionOpened()
	m.ConnectionOpened()
	m.ConnectionClosed()
	m.WebSocketOpened("/ws/chat", "therapeutic")
	m.WebSocketMoved("/ws/chat", "therapeutic", "crisis")
	m.WebSocketOpened("/ws/chat", "therapeutic")
	m.WebSocketClosed("/ws/chat", "therapeutic", 1001)
	m.Message("/ws/chat", "request", 128)
	m.ServiceHealth("player-experience", true)
	m.ServiceHealth("agents", false)
	m.Retry("player-experience")
	m.BreakerState("player-experience", "", "closed")
	m.BreakerState("player-experience", "closed", "open")
	m.Ejected("player-experience", 1)
	m.RateLimited("therapeutic", "/api/v1/gameplay/")
	m.Auth("identify", "invalid_token")
	m.TokenVerified(metrics.VerifySuccess)
	m.PlayerID("/api/v1/gameplay/", true)
	m.SessionsActive(7)
	m.UsersActive(5)
	m.Admission("crisis", func() int { return 2 }, func() int { return 1 })
	m.Crisis("high", "help")
	m.Crisis("high", metrics.Detected)
	m.Crisis("high", "")
	m.Referral("imminent")
	m.Inspected("/ws/chat", "request", "websocket", 100)
	m.Skipped("/ws/chat", "response", "websocket", "binary", 50)
	m.SafetyEnabled(true)
	m.SafetySelfTest(true)
	m.SafetySelfTest(false)
	m.AuditHealth(true)
	m.AuditRecord("written")
	m.Reload(true)
	m.Reload(false)
	m.BuildInfo("1.2.3", "abcdef")
}

// Names and labels are API: dashboards and alerts are written against this list.
func TestNamesLabelsAndFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reg := counting(t, metrics.WithEnvironment("staging"))
		everything(m)
		got := figures(t, reg)
		for name := range maps.Clone(got) {
			if strings.HasPrefix(name, "gateway_build_info") {
				assert.Regexp(t, `^gateway_build_info\{goversion="go1[^"]+",revision="abcdef",version="1.2.3"\}$`, name)
				delete(got, name)
			}
		}
		assert.Equal(t, map[string]float64{
			`gateway_requests_total{endpoint="/api/v1/gameplay/",method="GET",service="player-experience",status_code="200"}`:                  1,
			`gateway_request_duration_seconds{endpoint="/api/v1/gameplay/",method="GET",service="player-experience"}`:                          1,
			`tta_http_requests_total{endpoint="/api/v1/gameplay/",environment="staging",method="GET",service="api-gateway",status_code="200"}`: 1,
			`tta_http_request_duration_seconds{endpoint="/api/v1/gameplay/",environment="staging",method="GET",service="api-gateway"}`:         1,
			`gateway_active_connections`:                                                                                      1,
			`tta_active_connections{service="api-gateway"}`:                                                                   1,
			`gateway_websockets_open{lane="crisis",route="/ws/chat"}`:                                                         1,
			`gateway_websockets_open{lane="therapeutic",route="/ws/chat"}`:                                                    0,
			`gateway_websockets_closed_total{code="1001",lane="therapeutic",route="/ws/chat"}`:                                1,
			`tta_websocket_disconnections_total{service="api-gateway"}`:                                                       1,
			`gateway_websocket_messages_total{direction="request",route="/ws/chat"}`:                                          1,
			`gateway_websocket_message_bytes_total{direction="request",route="/ws/chat"}`:                                     128,
			`gateway_service_health{service_name="player-experience"}`:                                                        1,
			`gateway_service_health{service_name="agents"}`:                                                                   0,
			`gateway_retries_total{service="player-experience"}`:                                                              1,
			`gateway_breakers{service="player-experience",state="closed"}`:                                                    0,
			`gateway_breakers{service="player-experience",state="open"}`:                                                      1,
			`gateway_breaker_transitions_total{service="player-experience",state="open"}`:                                     1,
			`gateway_ejected_instances{service="player-experience"}`:                                                          1,
			`gateway_rate_limit_hits_total{endpoint="/api/v1/gameplay/",scope="therapeutic"}`:                                 1,
			`gateway_auth_events_total{event_type="identify",status="invalid_token"}`:                                         1,
			`tta_jwt_token_verification_total{result="success",service="api-gateway"}`:                                        1,
			`tta_jwt_token_verification_total{result="failure",service="api-gateway"}`:                                        0,
			`tta_jwt_token_verification_total{result="missing_player_id",service="api-gateway"}`:                              0,
			`tta_player_id_field_presence_total{endpoint="/api/v1/gameplay/",has_player_id="true"}`:                           1,
			`gateway_therapeutic_sessions_active`:                                                                             7,
			`tta_active_sessions{service="api-gateway"}`:                                                                      7,
			`tta_active_users{service="api-gateway"}`:                                                                         5,
			`gateway_admission_in_use{lane="crisis"}`:                                                                         2,
			`gateway_admission_queued{lane="crisis"}`:                                                                         1,
			`gateway_crisis_events_total{intervention_type="help",severity="high"}`:                                           1,
			`gateway_crisis_events_total{intervention_type="detected",severity="high"}`:                                       2,
			`gateway_referral_notices_total{severity="imminent"}`:                                                             1,
			`gateway_inspected_bytes_total{direction="request",route="/ws/chat",transport="websocket"}`:                       100,
			`gateway_inspected_messages_total{direction="request",route="/ws/chat",transport="websocket"}`:                    1,
			`gateway_uninspected_bytes_total{direction="response",reason="binary",route="/ws/chat",transport="websocket"}`:    50,
			`gateway_uninspected_messages_total{direction="response",reason="binary",route="/ws/chat",transport="websocket"}`: 1,
			`gateway_safety_enabled`:                         1,
			`gateway_safety_selftest_well`:                   0,
			`gateway_safety_selftest_failures_total`:         1,
			`gateway_audit_healthy`:                          1,
			`gateway_audit_records_total{outcome="written"}`: 1,
			`gateway_reloads_total{result="success"}`:        1,
			`gateway_reloads_total{result="failure"}`:        1,
			`gateway_last_reload_successful`:                 0,
			`gateway_last_reload_success_timestamp_seconds`:  946684800,
		}, got)
	})
}

func TestNothingIsShownThatIsNotKnown(t *testing.T) {
	_, reg := counting(t)
	got := slices.Sorted(maps.Keys(figures(t, reg)))
	assert.Equal(t, []string{
		`gateway_active_connections`,
		`gateway_reloads_total{result="failure"}`,
		`gateway_reloads_total{result="success"}`,
		`gateway_safety_selftest_failures_total`,
		`tta_active_connections{service="api-gateway"}`,
		`tta_jwt_token_verification_total{result="failure",service="api-gateway"}`,
		`tta_jwt_token_verification_total{result="missing_player_id",service="api-gateway"}`,
		`tta_jwt_token_verification_total{result="success",service="api-gateway"}`,
		`tta_websocket_disconnections_total{service="api-gateway"}`,
	}, got, "only counters that alerts watch, at zero; no gauge claims a state that nobody has told")
}

func TestNamesAreAsPrometheusWantsThem(t *testing.T) {
	m, reg := counting(t)
	everything(m)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	assert.Empty(t, problems, "no exception is needed, so none is made")
}

func TestHistogramsAreClassicAndNative(t *testing.T) {
	m, reg := counting(t)
	m.Route("/", "").Done("GET", 200, 80*time.Millisecond)
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		switch f.GetName() {
		case "gateway_request_duration_seconds":
			h := f.GetMetric()[0].GetHistogram()
			assert.Len(t, h.GetBucket(), 14)
			assert.EqualValues(t, 3, h.GetSchema(), "a growth of at most 10 %")
			assert.NotEmpty(t, h.GetPositiveSpan())
		case "tta_http_request_duration_seconds":
			h := f.GetMetric()[0].GetHistogram()
			bounds := map[float64]uint64{}
			for _, b := range h.GetBucket() {
				bounds[b.GetUpperBound()] = b.GetCumulativeCount()
			}
			for _, asked := range []float64{.1, .25, .5, 1, 2.5, 5, 10} {
				assert.EqualValues(t, 1, bounds[asked], "what dashboards ask for is there: %v", asked)
			}
			assert.Zero(t, bounds[.075])
		}
	}
}

// Whatever is put into labels, by mistake or by an attacker, the number of series has a bound.
func TestNoLabelIsUnbounded(t *testing.T) {
	m, reg := counting(t)
	const attempts = 1500
	for i := range attempts {
		s := fmt.Sprintf("made up %d", i)
		m.Route("/", "story").Done(s, i, time.Millisecond)
		m.WebSocketOpened("/", s)
		m.WebSocketMoved("/", "crisis", s)
		m.WebSocketClosed("/", "crisis", i*10)
		m.Message("/", s, 1)
		m.ServiceHealth(s, true)
		m.Retry(s)
		m.BreakerState("story", "closed", s)
		m.Ejected(s, 1)
		m.RateLimited(s, "/")
		m.Auth(s, "ok")
		m.Auth("ok", s)
		m.TokenVerified(s)
		m.Admission(s, func() int { return 1 }, nil)
		m.Crisis(s, "help")
		m.Crisis("high", s)
		m.Referral(s)
		m.Inspected("/", s, "http", 1)
		m.Inspected("/", "request", s, 1)
		m.Skipped("/", "request", "http", s, 1)
		m.AuditRecord(s)
		m.BuildInfo(s, "same")
		m.BuildInfo("same", s)
	}
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		assert.LessOrEqual(t, len(f.GetMetric()), 1001, "%s: as many as there are services, at most", f.GetName())
	}
	got := figures(t, reg)
	assert.EqualValues(t, attempts-99, got[`gateway_referral_notices_total{severity="_OTHER"}`], "what has no room is counted all the same")
	assert.EqualValues(t, attempts-999, got[`gateway_retries_total{service="_OTHER"}`])
}

func TestEndpointsHaveABoundToo(t *testing.T) {
	m, reg := counting(t)
	for i := range 20_100 {
		m.RateLimited("default", fmt.Sprint("/", i))
	}
	assert.EqualValues(t, 100, figures(t, reg)[`gateway_rate_limit_hits_total{endpoint="_OTHER",scope="default"}`])
}

func TestLabelsNeverBreakTheExposition(t *testing.T) {
	m, reg := counting(t)
	m.Referral("")
	m.Referral("not \xff utf-8")
	m.Referral("not \xff utf-8")
	m.Referral(strings.Repeat("é", 1000))
	m.Message("/", "request", -5)
	m.Inspected("/", "request", "http", math.MinInt64)
	m.Skipped("/", "request", "http", "binary", -1)
	m.Route("/", "").Done("GET", 200, -time.Second)
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "gateway_request_duration_seconds" {
			assert.Zero(t, f.GetMetric()[0].GetHistogram().GetSampleSum(), "nor does a sum, when a clock did")
		}
	}
	got := figures(t, reg)
	assert.EqualValues(t, 1, got[`gateway_referral_notices_total{severity="none"}`])
	assert.EqualValues(t, 2, got[`gateway_referral_notices_total{severity="not ? utf-8"}`])
	assert.EqualValues(t, 1, got[fmt.Sprintf(`gateway_referral_notices_total{severity=%q}`, strings.Repeat("é", 100))])
	assert.Zero(t, got[`gateway_websocket_message_bytes_total{direction="request",route="/"}`], "a counter never goes back")
	assert.EqualValues(t, 1, got[`gateway_requests_total{endpoint="/",method="GET",service="gateway",status_code="200"}`])
}

func TestTwoGatewaysOnOneRegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	first, err := metrics.New(reg, metrics.WithRuntime())
	require.NoError(t, err)
	second, err := metrics.New(reg, metrics.WithRuntime(), metrics.WithService("api-gateway-2"))
	require.NoError(t, err)
	for i, m := range []*metrics.Metrics{first, second} {
		m.Route("/", "story").Done("GET", 200, time.Millisecond)
		m.ConnectionOpened()
		m.SessionsActive(10)
		m.SessionsActive(3 + i)
		m.Admission("crisis", func() int { return 2 }, nil)
		m.Admission("crisis", func() int { return 1 }, nil)
	}
	got := figures(t, reg)
	assert.EqualValues(t, 2, got[`gateway_requests_total{endpoint="/",method="GET",service="story",status_code="200"}`])
	assert.EqualValues(t, 2, got[`gateway_active_connections`])
	assert.EqualValues(t, 7, got[`gateway_therapeutic_sessions_active`])
	assert.EqualValues(t, 3, got[`tta_active_sessions{service="api-gateway"}`])
	assert.EqualValues(t, 4, got[`tta_active_sessions{service="api-gateway-2"}`])
	assert.EqualValues(t, 2, got[`gateway_admission_in_use{lane="crisis"}`])
	assert.NotContains(t, got, `gateway_admission_queued{lane="crisis"}`)
}

func TestTwoRegistriesKnowNothingOfEachOther(t *testing.T) {
	first, _ := counting(t)
	_, reg := counting(t)
	first.ConnectionOpened()
	assert.Zero(t, figures(t, reg)[`gateway_active_connections`])
}

func TestNewRefusesARegistryThatHasSomethingElse(t *testing.T) {
	cases := map[string]prometheus.Collector{
		"other labels": prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gateway_requests_total", Help: "mine"}, []string{"mine"}),
		"another help": prometheus.NewGauge(prometheus.GaugeOpts{Name: "gateway_active_connections", Help: "mine"}),
		"another kind": prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gateway_retries_total", Help: "Further attempts at requests that a service failed."}, []string{"service"}),
	}
	for desc, theirs := range cases {
		t.Run(desc, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			require.NoError(t, reg.Register(theirs))
			m, err := metrics.New(reg)
			require.ErrorContains(t, err, "metrics: cannot register; give the gateway a registry in which these names are free: ")
			assert.Nil(t, m)
			require.True(t, reg.Unregister(theirs), "theirs is untouched")
			families, err := reg.Gather()
			require.NoError(t, err)
			assert.Empty(t, families, "and nothing of ours stays")
		})
	}
}

func TestNewLeavesWhatWasThereBeforeAFailure(t *testing.T) {
	reg := prometheus.NewRegistry()
	first, err := metrics.New(reg)
	require.NoError(t, err)
	first.ConnectionOpened()
	reject := rejecting{reg}
	_, err = metrics.New(reject)
	require.ErrorIs(t, err, errFull)
	assert.EqualValues(t, 1, figures(t, reg)[`gateway_active_connections`], "the first gateway still counts")
}

var errFull = errors.New("full")

type rejecting struct{ prometheus.Registerer }

func (r rejecting) Register(c prometheus.Collector) error {
	if _, ok := c.(*prometheus.HistogramVec); ok {
		return errFull
	}
	return r.Registerer.Register(c)
}

func TestRuntimeOnlyWhenAsked(t *testing.T) {
	_, plain := counting(t)
	_, asked := counting(t, metrics.WithRuntime(), nil)
	assert.NotContains(t, figures(t, plain), "go_goroutines")
	families, err := asked.Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	assert.True(t, names["go_goroutines"])
	assert.True(t, names["process_start_time_seconds"])

	has := prometheus.NewRegistry()
	has.MustRegister(collectors.NewGoCollector())
	_, err = metrics.New(has, metrics.WithRuntime())
	require.NoError(t, err, "the owner has it already")
}

func TestServiceGone(t *testing.T) {
	m, reg := counting(t)
	m.ServiceHealth("story", true)
	m.Ejected("story", 1)
	m.Retry("story")
	m.ServiceGone("story")
	got := figures(t, reg)
	assert.NotContains(t, got, `gateway_service_health{service_name="story"}`)
	assert.NotContains(t, got, `gateway_ejected_instances{service="story"}`)
	assert.EqualValues(t, 1, got[`gateway_retries_total{service="story"}`], "what it did stays counted")
}

func TestBreakersThatComeAndGo(t *testing.T) {
	m, reg := counting(t)
	for _, step := range [][2]string{{"", "closed"}, {"", "closed"}, {"closed", "open"}, {"open", "open"}, {"open", "half-open"}, {"half-open", ""}} {
		m.BreakerState("story", step[0], step[1])
	}
	got := figures(t, reg)
	assert.EqualValues(t, 1, got[`gateway_breakers{service="story",state="closed"}`])
	assert.EqualValues(t, 0, got[`gateway_breakers{service="story",state="open"}`])
	assert.EqualValues(t, 0, got[`gateway_breakers{service="story",state="half-open"}`])
	assert.EqualValues(t, 1, got[`gateway_breaker_transitions_total{service="story",state="open"}`])
}

func TestCloseCodesAreFolded(t *testing.T) {
	m, reg := counting(t)
	for _, code := range []int{1000, 1006, 1015, 1016, 3000, 4001, 4999, 5000, 0, -1} {
		m.WebSocketClosed("/ws", "normal", code)
	}
	got := figures(t, reg)
	for code, n := range map[string]int{"1000": 1, "1006": 1, "1015": 1, "3xxx": 1, "4xxx": 2, "_OTHER": 4} {
		assert.EqualValues(t, n, got[fmt.Sprintf(`gateway_websockets_closed_total{code=%q,lane="normal",route="/ws"}`, code)], code)
	}
}

func TestCrisisEventsOfTheLastDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := counting(t)
		assert.Zero(t, m.CrisisEvents24h())
		m.Crisis("high", metrics.Detected)
		time.Sleep(12 * time.Hour)
		m.Crisis("high", metrics.Detected)
		m.Crisis("imminent", metrics.Detected)
		m.Crisis("high", "help")
		assert.Equal(t, 3, m.CrisisEvents24h(), "what was done about them is not a fourth")
		time.Sleep(12 * time.Hour)
		assert.Equal(t, 3, m.CrisisEvents24h(), "24 hours are not over before they are over")
		time.Sleep(time.Minute)
		assert.Equal(t, 2, m.CrisisEvents24h())
		time.Sleep(12 * time.Hour)
		assert.Zero(t, m.CrisisEvents24h())
		m.Crisis("high", metrics.Detected)
		time.Sleep(30 * 24 * time.Hour)
		assert.Zero(t, m.CrisisEvents24h())
		for range 48 {
			m.Crisis("high", metrics.Detected)
			time.Sleep(time.Hour)
		}
		assert.Equal(t, 24, m.CrisisEvents24h())
	})
}

func TestANilMetricsCountsNothing(t *testing.T) {
	var m *metrics.Metrics
	everything(m)
	assert.Nil(t, m.Route("/", "story"))
	assert.Zero(t, m.CrisisEvents24h())
	for _, nothing := range []any{m, (*metrics.Route)(nil)} {
		v := reflect.ValueOf(nothing)
		for i := range v.NumMethod() {
			call := v.Method(i)
			var args []reflect.Value
			for j := range call.Type().NumIn() {
				args = append(args, reflect.Zero(call.Type().In(j)))
			}
			assert.NotPanics(t, func() { call.Call(args) }, v.Type().Method(i).Name)
		}
	}
}

func TestMetricsAreSafeForSimultaneousUse(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg)
	require.NoError(t, err)
	shared := m.Route("/", "story")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 300 {
				shared.Done([]string{"GET", "POST", "BREW"}[j%3], 100+(i+j)%500, time.Millisecond)
				everything(m)
				if j%100 == 0 {
					_, _ = reg.Gather()
				}
			}
		})
	}
	all.Wait()
	assert.Equal(t, 2400, m.CrisisEvents24h())
	total := 0.0
	for name, n := range figures(t, reg) {
		if strings.HasPrefix(name, `gateway_requests_total{endpoint="/",`) {
			total += n
		}
	}
	assert.EqualValues(t, 1200, total, "none is lost while lines grow")
}
