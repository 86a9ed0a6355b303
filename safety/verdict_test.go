package safety_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

func TestHighestKeepsTheGraverAndLosesNothing(t *testing.T) {
	a := safetytest.Found(safety.Moderate, safety.Panic)
	b := safetytest.Found(safety.High, safety.SelfHarm)
	b.Skipped = safety.SkippedTooLarge
	for _, v := range []safety.Verdict{safety.Highest(a, b), safety.Highest(b, a)} {
		assert.Equal(t, safety.High, v.Severity)
		assert.Equal(t, []safety.Category{safety.SelfHarm, safety.Panic}, v.Categories)
		assert.Len(t, v.Findings, 2)
		assert.Equal(t, safety.SkippedTooLarge, v.Skipped)
	}
	assert.Equal(t, []safety.Category{safety.Panic}, a.Categories, "its arguments stay as they were")
	assert.Len(t, safety.Highest(a, a).Categories, 1)
	assert.True(t, a.Has(safety.Panic))
}

func TestSeveritiesAreOrderedWords(t *testing.T) {
	for s := safety.None; s <= safety.Imminent; s++ {
		text, err := s.MarshalText()
		require.NoError(t, err)
		var back safety.Severity
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, s, back)
	}
	assert.Less(t, safety.Moderate, safety.High)
	_, err := safety.ParseSeverity("critical")
	assert.ErrorContains(t, err, "want one of none, low, moderate, high, imminent")
	_, err = safety.Severity(9).MarshalText()
	assert.Error(t, err)
	assert.Equal(t, "Severity(9)", safety.Severity(9).String())
	var d safety.Direction
	require.NoError(t, json.Unmarshal([]byte(`"response"`), &d))
	assert.Equal(t, safety.Response, d)
	assert.Error(t, d.UnmarshalText([]byte("sideways")))
}

func TestTheContextHoldsTheVerdict(t *testing.T) {
	assert.Equal(t, safety.SkippedNotInspected, safety.FromContext(t.Context()).Skipped)
	v := safetytest.Found(safety.High, safety.SelfHarm)
	ctx := safety.NewContext(t.Context(), v)
	assert.Equal(t, v, safety.FromContext(ctx))
	assert.Equal(t, &v, ctx.Value(safety.ContextKey))
}
