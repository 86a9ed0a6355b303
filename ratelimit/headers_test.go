package ratelimit_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

func TestSetHeaders(t *testing.T) {
	now := time.Unix(1_800_000_000, 500_000_000)
	minute := perMinute(100, "default", "ada")
	burst, odd, tiny := minute, minute, minute
	burst.Rate.Burst = 200
	odd.Rate.Burst = 33
	odd.Rate.N = 7
	tiny.Rate.Per = 250 * time.Millisecond
	quoted, nameless := minute, minute
	quoted.Name, nameless.Name = `a "b" \c`, ""
	for _, c := range []struct {
		desc  string
		d     ratelimit.Decision
		style ratelimit.HeaderStyle
		want  map[string]string
	}{
		{"allowed", ratelimit.Decision{Allowed: true, Limit: minute, Remaining: 42, Reset: 16_200 * time.Millisecond}, ratelimit.Both, map[string]string{
			"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "42", "X-RateLimit-Reset": "1800000017",
			"RateLimit-Policy": `"default";q=100;w=60`, "RateLimit": `"default";r=42;t=17`,
		}},
		{"refused", ratelimit.Decision{Limit: minute, RetryAfter: 600 * time.Millisecond, Reset: time.Minute}, ratelimit.Both, map[string]string{
			"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000061",
			"RateLimit-Policy": `"default";q=100;w=60`, "RateLimit": `"default";r=0;t=60`, "Retry-After": "1",
		}},
		{"legacy", ratelimit.Decision{Allowed: true, Limit: minute, Remaining: 99, Reset: time.Second}, ratelimit.Legacy, map[string]string{
			"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "99", "X-RateLimit-Reset": "1800000002",
		}},
		{"draft, a large bucket and the time in which it fills", ratelimit.Decision{Allowed: true, Limit: burst, Remaining: 199}, ratelimit.Draft, map[string]string{
			"RateLimit-Policy": `"default";q=200;w=120`, "RateLimit": `"default";r=199;t=0`,
		}},
		{"draft, no whole window", ratelimit.Decision{Allowed: true, Limit: odd}, ratelimit.Draft, map[string]string{
			"RateLimit-Policy": `"default";q=33`, "RateLimit": `"default";r=0;t=0`,
		}},
		{"draft, a window below a second", ratelimit.Decision{Allowed: true, Limit: tiny}, ratelimit.Draft, map[string]string{
			"RateLimit-Policy": `"default";q=100`, "RateLimit": `"default";r=0;t=0`,
		}},
		{"draft, a name to quote", ratelimit.Decision{Allowed: true, Limit: quoted}, ratelimit.Draft, map[string]string{
			"RateLimit-Policy": `"a \"b\" \\c";q=100;w=60`, "RateLimit": `"a \"b\" \\c";r=0;t=0`,
		}},
		{"draft, no name", ratelimit.Decision{Allowed: true, Limit: nameless}, ratelimit.Draft, map[string]string{
			"RateLimit-Policy": `"default";q=100;w=60`, "RateLimit": `"default";r=0;t=0`,
		}},
		{"silent, refused", ratelimit.Decision{Limit: minute, RetryAfter: 61 * time.Second}, ratelimit.NoHeaders, map[string]string{"Retry-After": "61"}},
		{"no limit", ratelimit.Decision{Allowed: true}, ratelimit.Both, map[string]string{}},
		{"nothing known", ratelimit.Decision{}, ratelimit.Both, map[string]string{"Retry-After": "1"}},
		{"a very long time", ratelimit.Decision{Limit: minute, RetryAfter: 1<<63 - 1}, ratelimit.NoHeaders, map[string]string{"Retry-After": "9223372037"}},
	} {
		h := http.Header{"Kept": {"yes"}, "Retry-After": {"old"}}
		if c.d.Allowed {
			h.Del("Retry-After")
		}
		ratelimit.SetHeadersAt(now, h, c.d, c.style)
		want := http.Header{"Kept": {"yes"}}
		for name, value := range c.want {
			want.Set(name, value)
		}
		assert.Equal(t, want, h, c.desc)
	}
}

// Whoever appends to one field does not write into another.
func TestHeadersDoNotShare(t *testing.T) {
	h := http.Header{}
	ratelimit.SetHeaders(h, ratelimit.Decision{Allowed: true, Limit: perMinute(5, "n", "")}, ratelimit.Both)
	h.Add("X-RateLimit-Limit", "appended")
	assert.NotContains(t, h["X-Ratelimit-Remaining"], "appended")
}

func TestHeaderStyleNames(t *testing.T) {
	for _, s := range []ratelimit.HeaderStyle{ratelimit.Both, ratelimit.Legacy, ratelimit.Draft, ratelimit.NoHeaders} {
		got, err := ratelimit.ParseHeaderStyle(" " + s.String())
		require.NoError(t, err)
		assert.Equal(t, s, got)
	}
	_, err := ratelimit.ParseHeaderStyle("github")
	assert.ErrorContains(t, err, `"github"; use one of both, legacy, draft, none`)
	assert.Equal(t, "style(9)", ratelimit.HeaderStyle(9).String())
}

func BenchmarkSetHeaders(b *testing.B) {
	d := ratelimit.Decision{Allowed: true, Limit: perMinute(100, "default", ""), Remaining: 42, Reset: 17 * time.Second}
	for _, style := range []ratelimit.HeaderStyle{ratelimit.Both, ratelimit.Legacy, ratelimit.Draft} {
		b.Run(style.String(), func(b *testing.B) {
			h := make(http.Header, 16)
			b.ReportAllocs()
			for b.Loop() {
				ratelimit.SetHeaders(h, d, style)
			}
		})
	}
}

func TestHeadersAreCheap(t *testing.T) {
	h := make(http.Header, 16)
	d := ratelimit.Decision{Limit: perMinute(100, "default", ""), Remaining: 42, Reset: 17 * time.Second}
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { ratelimit.SetHeaders(h, d, ratelimit.Both) }), 2.0)
}
