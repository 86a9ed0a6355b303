package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/health"
)

func built(t *testing.T, environ ...string) *Parts {
	t.Helper()
	c, err := Load(Source{Environ: append(environ, "TTA_GATEWAY_JWT_SECRET_KEY=k7Jq2-Zp9xVw4nTb8mRs6yLd3hGf1cQa-Ue5")})
	require.NoError(t, err)
	p, err := c.Build(Host{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestProbesAndSocketsAreTimedAsSettingsSay(t *testing.T) {
	p := built(t, "TTA_GATEWAY_HEALTH_CHECK_TIMEOUT=2", "TTA_GATEWAY_HEALTH_CHECK_INTERVAL=7", "TTA_GATEWAY_SAFETY_MONITORING_INTERVAL=90", "TTA_GATEWAY_WEBSOCKET_TIMEOUT=60")
	assert.Equal(t, 2*time.Second, p.monitor.Timeout)
	assert.Equal(t, 7*time.Second, p.monitor.Interval)
	assert.Equal(t, 90*time.Second, p.selfTest.interval)
	assert.Equal(t, time.Minute, webSocket(p.config.Load()).Idle)
	assert.Negative(t, webSocket(built(t, "TTA_GATEWAY_WEBSOCKET_TIMEOUT=0").config.Load()).Idle, "0 is no bound")
}

func TestAdmissionKeepsRoom(t *testing.T) {
	assert.Equal(t, 100, built(t, "TTA_GATEWAY_MAX_IN_FLIGHT=100").admit.Limit)
	assert.Zero(t, built(t, "TTA_GATEWAY_MAX_IN_FLIGHT=-1").admit.Limit, "no limit")
}

func TestGatesWaitForAnAnswerOfAnInstance(t *testing.T) {
	c := Default()
	c.Table = &Table{Services: map[string]Service{"silent": {Health: "off"}}}
	c.ReadyRequires = []string{"story", "silent", "redis"}
	ready := &health.Ready{}
	g := newGates(c, ready)
	waiting := func() []string { return ready.Waiting() }
	assert.Equal(t, []string{"redis", "silent", "story"}, waiting())

	g.changed("story", health.Healthy)
	assert.Contains(t, waiting(), "story", "no instance has answered yet")
	g.changed("story@10.0.0.1:1", health.Unhealthy)
	assert.Contains(t, waiting(), "story")
	g.changed("story@10.0.0.2:1", health.Healthy)
	assert.NotContains(t, waiting(), "story")
	g.changed("story", health.Unhealthy)
	assert.Contains(t, waiting(), "story", "its last instance has gone")

	g.changed("silent", health.Healthy)
	g.changed("redis", health.Degraded)
	assert.Equal(t, []string{"story"}, waiting())
	g.changed("redis", health.Broken)
	assert.Equal(t, []string{"redis", "story"}, waiting())
}

// Whoever asks first gets an answer: a "not yet" would stand in the health
// report of every start until the monitor had heard better twice.
func TestTheSafetyCheckAnswersFromTheFirst(t *testing.T) {
	assert.NoError(t, built(t).selfTest.Check(t.Context()))
	assert.ErrorContains(t, built(t, "TTA_GATEWAY_CRISIS_DETECTION_ENABLED=false").selfTest.Check(t.Context()), "switched off")
}
