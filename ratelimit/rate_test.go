package ratelimit_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

func TestParseRate(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]ratelimit.Rate{
		"100/minute":           {N: 100, Per: time.Minute},
		"100/minutes":          {N: 100, Per: time.Minute},
		"60/min":               {N: 60, Per: time.Minute},
		"60/m":                 {N: 60, Per: time.Minute},
		"10/s":                 {N: 10, Per: time.Second},
		"10/sec":               {N: 10, Per: time.Second},
		"5/hour":               {N: 5, Per: time.Hour},
		"5/h":                  {N: 5, Per: time.Hour},
		"3/day":                {N: 3, Per: day},
		"3/days":               {N: 3, Per: day},
		"3/d":                  {N: 3, Per: day},
		"10/30s":               {N: 10, Per: 30 * time.Second},
		"1/1h30m":              {N: 1, Per: 90 * time.Minute},
		"10/250ms":             {N: 10, Per: 250 * time.Millisecond},
		" 100 / Minute ":       {N: 100, Per: time.Minute},
		"100/minute burst 200": {N: 100, Per: time.Minute, Burst: 200},
		"100/minute BURST 1":   {N: 100, Per: time.Minute, Burst: 1},
		"unlimited":            {},
		"1000000000/s":         {N: 1_000_000_000, Per: time.Second},
	} {
		got, err := ratelimit.ParseRate(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		assert.NoError(t, got.Validate(), text)
	}
}

// Every complaint names the value and what to write instead.
func TestParseRateComplains(t *testing.T) {
	for text, remedy := range map[string]string{
		"":                    `as in "100/minute"`,
		"100":                 `as in "100/minute"`,
		"minute":              `as in "100/minute"`,
		"0/minute":            `write "unlimited" for no limit`,
		"-1/minute":           "must be a whole number from 1",
		"1.5/minute":          "must be a whole number from 1",
		"1e3/minute":          "must be a whole number from 1",
		"+1/minute":           "must be a whole number from 1",
		"1000000001/s":        "must be a whole number from 1",
		"1/0s":                "must be from 1ms to 366 days",
		"1/1ns":               "must be from 1ms to 366 days",
		"1/-1s":               "must be from 1ms to 366 days",
		"1/9000h":             "must be from 1ms to 366 days",
		"1/fortnight":         "second, minute, hour, day, or a duration",
		"1/":                  "second, minute, hour, day, or a duration",
		"1/minute/2":          "second, minute, hour, day, or a duration",
		"1/minute burst":      "second, minute, hour, day, or a duration",
		"1/minute burst 0":    `write "unlimited" for no limit`,
		"1/minute burst many": "must be a whole number from 1",
	} {
		got, err := ratelimit.ParseRate(text)
		require.ErrorIs(t, err, ratelimit.ErrRate, text)
		assert.ErrorContains(t, err, remedy, text)
		assert.ErrorContains(t, err, `"`+text+`"`, "the value is named")
		assert.Zero(t, got)
	}
	_, err := ratelimit.ParseRate("0/fortnight")
	assert.ErrorContains(t, err, "nothing through")
	assert.ErrorContains(t, err, "fortnight", "all complaints at once")
}

func TestRateAsText(t *testing.T) {
	for want, rate := range map[string]ratelimit.Rate{
		"100/minute":         {N: 100, Per: 60 * time.Second},
		"10/30s":             {N: 10, Per: 30 * time.Second},
		"1/day":              {N: 1, Per: 24 * time.Hour},
		"2/second burst 200": {N: 2, Per: time.Second, Burst: 200},
		"unlimited":          {},
	} {
		assert.Equal(t, want, rate.String())
	}
	var settings struct{ Limit ratelimit.Rate }
	require.NoError(t, json.Unmarshal([]byte(`{"Limit":"10/s"}`), &settings))
	text, err := json.Marshal(settings)
	require.NoError(t, err)
	assert.Equal(t, `{"Limit":"10/second"}`, string(text))
	require.Error(t, json.Unmarshal([]byte(`{"Limit":"ten"}`), &settings))
	assert.Equal(t, 10, settings.Limit.N, "what cannot be read changes nothing")
}

// What is written is read back as the same Rate.
func TestRateRoundTrip(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		rate := ratelimit.Rate{
			N:     1 + dice.IntN(1_000_000_000),
			Per:   time.Millisecond + time.Duration(dice.Int64N(int64(365*24*time.Hour))),
			Burst: dice.IntN(2) * dice.IntN(1_000_000_000),
		}
		got, err := ratelimit.ParseRate(rate.String())
		require.NoError(t, err, rate)
		require.Equal(t, rate, got)
	}
}

func FuzzParseRate(f *testing.F) {
	for _, text := range []string{"100/minute", "10/30s", "3/day burst 9", "unlimited", "1/1h30m", "0/s", "/", " burst "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rate, err := ratelimit.ParseRate(text)
		if err != nil {
			if rate != (ratelimit.Rate{}) {
				t.Fatalf("%q: an error and a rate, %v", text, rate)
			}
			return
		}
		if err := rate.Validate(); err != nil {
			t.Fatalf("%q was read as %#v: %v", text, rate, err)
		}
		again, err := ratelimit.ParseRate(rate.String())
		if err != nil || again != rate {
			t.Fatalf("%q is %#v, but %q is %#v (%v)", text, rate, rate, again, err)
		}
	})
}
