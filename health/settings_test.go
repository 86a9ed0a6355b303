package health_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/health"
)

// A setting that went wrong somewhere (a subtraction, a typing error) must neither spin nor shut a door for good.
func TestSettingsThatMakeNoSenseCountAsZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &health.Monitor{Interval: -1, Timeout: -1, Fails: -1, Passes: -1, Jitter: 1000}
		var story patient
		require.NoError(t, m.Add("story", story.check))
		running(t, m)
		assert.True(t, m.Well("story"))
		pass(10 * time.Minute)
		assert.Less(t, story.asked(), 201)

		b := &health.Breaker{Timeout: -1, MinCalls: -1, Window: -1, Trials: -1, Successes: -1}
		calls(b, 5, errDown)
		assert.Equal(t, time.Minute, b.RetryAfter())
		time.Sleep(time.Minute)
		assert.Equal(t, 3, calls(b, 3, nil))
		assert.Equal(t, health.Closed, b.State())

		o := &health.Outlier{Interval: -1, MinCalls: -1, Gap: -1, MaxEjected: -1, Ejection: -1, MaxEjection: -1}
		all := join(o, "a", "b")
		fail(all["a"], 5)
		assert.False(t, all["a"].Available())
		time.Sleep(30 * time.Second)
		assert.True(t, all["a"].Available())
	})
}
