package ratelimit_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

var lanes = []ratelimit.Lane{ratelimit.Background, ratelimit.Normal, ratelimit.Therapeutic, ratelimit.Crisis}

func TestLanes(t *testing.T) {
	assert.IsIncreasing(t, lanes)
	assert.Equal(t, ratelimit.Normal, ratelimit.Lane(0))
	for _, lane := range lanes {
		text, err := lane.MarshalText()
		require.NoError(t, err)
		var got ratelimit.Lane
		require.NoError(t, got.UnmarshalText(text))
		assert.Equal(t, lane, got)
	}
	for text, want := range map[string]ratelimit.Lane{"Crisis": ratelimit.Crisis, " therapeutic\n": ratelimit.Therapeutic} {
		got, err := ratelimit.ParseLane(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	lane := ratelimit.Crisis
	assert.EqualError(t, lane.UnmarshalText([]byte("vip")),
		`ratelimit: unknown lane "vip"; use one of background, normal, therapeutic, crisis`)
	assert.Equal(t, ratelimit.Crisis, lane, "what cannot be read changes nothing")
	assert.Equal(t, "lane(7)", ratelimit.Lane(7).String())
}

func TestLaneInContext(t *testing.T) {
	assert.Equal(t, ratelimit.Normal, ratelimit.FromContext(context.Background()))
	ctx := ratelimit.NewContext(context.Background(), ratelimit.Crisis)
	assert.Equal(t, ratelimit.Crisis, ratelimit.FromContext(ctx))
	assert.Equal(t, ratelimit.Crisis, ctx.Value(ratelimit.ContextKey), "for contexts that answer by themselves")
	assert.Equal(t, ratelimit.Normal, ratelimit.FromContext(context.WithValue(ctx, ratelimit.ContextKey, 2)), "an int is not a Lane")
}

func FuzzParseLane(f *testing.F) {
	f.Add("crisis")
	f.Fuzz(func(t *testing.T, text string) {
		lane, err := ratelimit.ParseLane(text)
		if again, errAgain := ratelimit.ParseLane(lane.String()); errAgain != nil || again != lane {
			t.Fatalf("%q is %v (%v), which is %v (%v)", text, lane, err, again, errAgain)
		}
	})
}
