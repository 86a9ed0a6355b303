package config_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/config"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

const everything = `# every member there is
version: 1
services:
  story:
    health: off
    balancer: consistent_hash
    retries: 0
    critical: true
    protocol: http2
    slow_start: 30s
routes:
  - pattern: api.example.com/v1/{player_id}/
    methods: [GET, POST]
    service: story
    allow: owner(player_id) | role(admin)
    lane: therapeutic
    limits:
      - {name: turns, rate: 10/minute burst 20, by: address, cost: 2}
    inspect:
      fields: [message, "goals[].description"]
      reply_fields: [response]
      reply: response
      in_game: true
      hold: yes
    max_body: 64KiB
    timeouts: {header: 90, idle: off, overall: 2m, socket: 1h}
    body_rate: 1KiB
    rewrite: /v2/{player_id}/
    raw_path: true
    strip_query: [debug, token]
    with: [player_registration]
  - pattern: /ws
    service: story
    upgrade: true
    chat: true
  - pattern: /pictures/
    service: story
    allow: anyone
    max_body: off
    inspect: {skip: pictures}
`

func TestRoutesFileHasEveryMember(t *testing.T) {
	table, err := config.ParseRoutes("routes.yaml", []byte(everything))
	require.NoError(t, err)
	require.Len(t, table.Routes, 3)
	rt := table.Routes[0]
	assert.Equal(t, "api.example.com/v1/{player_id}/", rt.Pattern)
	assert.Equal(t, []string{"GET", "POST"}, rt.Methods)
	assert.Equal(t, "owner(player_id) | role(admin)", rt.Allow.String())
	assert.Equal(t, ratelimit.Therapeutic, rt.Lane)
	assert.Equal(t, []gateway.Quota{{Name: "turns", Rate: ratelimit.Rate{N: 10, Per: time.Minute, Burst: 20}, By: "address", Cost: 2}}, rt.Limits)
	assert.Equal(t, safety.Rule{Fields: []string{"message", "goals[].description"}, ReplyFields: []string{"response"}, Reply: "response", InGame: true, Hold: true}, rt.Inspect)
	assert.Equal(t, int64(64<<10), rt.MaxBody)
	assert.Equal(t, 90*time.Second, rt.Timeouts.Header)
	assert.Equal(t, time.Duration(-1), rt.Timeouts.Idle)
	assert.Equal(t, 2*time.Minute, rt.Timeouts.Overall)
	assert.Equal(t, time.Hour, rt.Timeouts.Socket)
	assert.Equal(t, int64(1024), rt.Timeouts.BodyRate)
	assert.Equal(t, "/v2/{player_id}/", rt.Rewrite)
	assert.True(t, rt.RawPath)
	assert.Equal(t, []string{"debug", "token"}, rt.StripQuery)
	assert.Equal(t, []string{"player_registration"}, rt.With)
	assert.True(t, table.Routes[1].Upgrade && table.Routes[1].Chat)
	assert.Nil(t, table.Routes[1].Allow, "known callers only")
	assert.Equal(t, "pictures", table.Routes[2].Inspect.Skip)
	assert.Equal(t, int64(-1), table.Routes[2].MaxBody)
	assert.Equal(t, config.Service{Health: "off", Balancer: "consistent_hash", Retries: -1, Critical: true, Protocol: gateway.HTTP2, SlowStart: 30 * time.Second}, table.Services["story"])
}

func TestRoutesFileMayBeJSON(t *testing.T) {
	table, err := config.ParseRoutes("routes.json", []byte("{\n\t\"version\": 1,\n\t\"routes\": [\n\t\t{\"pattern\": \"/a/\", \"service\": \"story\", \"allow\": \"anyone\"}\n\t]\n}\n"))
	require.NoError(t, err)
	assert.Equal(t, "/a/", table.Routes[0].Pattern)
}

func TestRoutesFileComplaints(t *testing.T) {
	for _, tt := range []struct{ desc, content, says string }{
		{"empty", "", "routes.yaml:1: must be one document"},
		{"no version", "routes:\n  - {pattern: /a, service: s}\n", "write version: 1"},
		{"another version", "version: 2\nroutes:\n  - {pattern: /a, service: s}\n", "routes.yaml:1: version"},
		{"no routes", "version: 1\n", `there are no "routes"`},
		{"two documents", "version: 1\n---\nversion: 1\n", "one document"},
		{"a list", "- a\n", "must be a mapping"},
		{"routes is no list", "version: 1\nroutes: {a: b}\n", "routes.yaml:2: routes must be a list"},
		{"unknown at the top", "version: 1\nroute:\n  - {pattern: /a, service: s}\n", `routes.yaml:2: a routes file: "route" is not known`},
		{"unknown in a route", "version: 1\nroutes:\n  - pattern: /a\n    service: s\n    alow: anyone\n", `routes.yaml:5: a route: "alow" is not known`},
		{"twice", "version: 1\nroutes:\n  - pattern: /a\n    service: s\n    service: t\n", "routes.yaml:5:"},
		{"not YAML", "version: 1\nroutes: [\n", "routes.yaml:"},
		{"an anchor", "version: 1\nroutes:\n  - &a {pattern: /a, service: s}\n  - *a\n", "routes.yaml:3: a route must be a mapping"},
		{"merging", "version: 1\nroutes:\n  - pattern: /a\n    <<: {service: s}\n", "without anchors, aliases or merging"},
		{"no service", "version: 1\nroutes:\n  - pattern: /a\n", "nobody serves it"},
		{"no pattern", "version: 1\nroutes:\n  - service: s\n", "routes.yaml:3: route"},
		{"policy", "version: 1\nroutes:\n  - {pattern: /a, service: s, allow: role(}\n", "allow"},
		{"lane", "version: 1\nroutes:\n  - {pattern: /a, service: s, lane: fast}\n", "lane"},
		{"crisis lane", "version: 1\nroutes:\n  - {pattern: /a, service: s, lane: crisis}\n", "only what a person says leads there"},
		{"rate", "version: 1\nroutes:\n  - pattern: /a\n    service: s\n    limits:\n      - {name: x, rate: often}\n", "routes.yaml:6: rate"},
		{"limit without a name", "version: 1\nroutes:\n  - {pattern: /a, service: s, limits: [{rate: 1/s}]}\n", "a limit needs a Name"},
		{"by", "version: 1\nroutes:\n  - {pattern: /a, service: s, limits: [{name: x, rate: 1/s, by: mood}]}\n", "use subject, address or all"},
		{"skip and more", "version: 1\nroutes:\n  - {pattern: /a, service: s, inspect: {skip: x, reply: y}}\n", "skip stands alone"},
		{"skip without a reason", "version: 1\nroutes:\n  - {pattern: /a, service: s, inspect: {skip: \" \"}}\n", "say why"},
		{"field path", "version: 1\nroutes:\n  - {pattern: /a, service: s, inspect: {fields: [\"a..b\"]}}\n", "routes.yaml:3"},
		{"chat alone", "version: 1\nroutes:\n  - {pattern: /a, service: s, chat: true}\n", "Chat needs Upgrade"},
		{"size", "version: 1\nroutes:\n  - {pattern: /a, service: s, max_body: big}\n", "max_body"},
		{"no size", "version: 1\nroutes:\n  - {pattern: /a, service: s, max_body: 0}\n", "off for no bound"},
		{"timeout", "version: 1\nroutes:\n  - {pattern: /a, service: s, timeouts: {header: 0}}\n", "off for none"},
		{"unknown timeout", "version: 1\nroutes:\n  - {pattern: /a, service: s, timeouts: {headr: 1s}}\n", `timeouts: "headr" is not known`},
		{"middleware", "version: 1\nroutes:\n  - {pattern: /a, service: s, with: [magic]}\n", "known are logout, player_registration"},
		{"method", "version: 1\nroutes:\n  - {pattern: /a, service: s, methods: [get]}\n", "upper-case"},
		{"health", "version: 1\nservices: {s: {health: x}}\nroutes:\n  - {pattern: /a, service: s}\n", "such as /health, or off"},
		{"balancer", "version: 1\nservices: {s: {balancer: x}}\nroutes:\n  - {pattern: /a, service: s}\n", "balancer"},
		{"a service nobody names", "version: 1\nservices: {t: {critical: true}}\nroutes:\n  - {pattern: /a, service: s}\n", `no route leads to "t"`},
		{"null", "version: 1\nroutes:\n  - {pattern: /a, service: ~}\n", "service must be one value"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			_, err := config.ParseRoutes("routes.yaml", []byte(tt.content))
			var settings *config.Error
			require.ErrorAs(t, err, &settings)
			assert.Contains(t, err.Error(), tt.says)
			var at *config.FileError
			require.ErrorAs(t, err, &at)
			assert.Equal(t, "routes.yaml", at.File)
			assert.Positive(t, at.Line)
		})
	}
}

func TestRoutesFileComplainsOfEverythingAtOnce(t *testing.T) {
	_, err := config.ParseRoutes("r.yaml", []byte("version: 1\nroutes:\n  - {pattern: /a, service: s, lane: fast}\n  - {pattern: /b, servise: s}\n  - pattern: /c\n    service: s\n    allow: whoever\n"))
	require.Error(t, err)
	for _, place := range []string{"r.yaml:3: lane", `r.yaml:4: a route: "servise"`, "r.yaml:7: allow"} {
		assert.Contains(t, err.Error(), place)
	}
}

func TestConflictsBetweenRoutesAreComplaints(t *testing.T) {
	f := newFiles(map[string]string{"r.yaml": "version: 1\nroutes:\n  - {pattern: /a/, service: s}\n  - {pattern: /a/, service: t}\n"})
	_, err := config.Load(config.Source{Environ: []string{secret, "TTA_GATEWAY_ROUTES_FILE=r.yaml"}, ReadFile: f.read})
	assert.ErrorContains(t, err, "conflicts")
}

// TestTheTableCanBeWrittenAndReadBack is the law of Encode.
func TestTheTableCanBeWrittenAndReadBack(t *testing.T) {
	own, err := config.ParseRoutes("routes.yaml", []byte(everything))
	require.NoError(t, err)
	for name, table := range map[string]*config.Table{"default": config.DefaultRoutes(nil), "everything": own} {
		var first, second bytes.Buffer
		require.NoError(t, table.Encode(&first), name)
		again, err := config.ParseRoutes(name, first.Bytes())
		require.NoError(t, err, "%s:\n%s", name, first.String())
		require.NoError(t, again.Encode(&second), name)
		assert.Equal(t, first.String(), second.String(), name)
		require.Len(t, again.Routes, len(table.Routes), name)
		for i, rt := range table.Routes {
			got := again.Routes[i]
			assert.Equal(t, policy(rt), policy(got), rt.Pattern)
			rt.Allow, got.Allow = nil, nil
			assert.Equal(t, rt, got, rt.Pattern)
		}
		assert.Equal(t, table.Services, again.Services, name)
	}
}

func policy(rt config.Route) string {
	if rt.Allow == nil {
		return ""
	}
	return rt.Allow.String()
}

func TestTheTableIsPrintedForPeople(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, config.DefaultRoutes(nil).Print(&out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	assert.Len(t, lines, 1+len(config.DefaultRoutes(nil).Routes))
	assert.Contains(t, out.String(), "no: credentials")
	assert.Contains(t, out.String(), "login=10/minute")
}

func TestExampleFilesAreGood(t *testing.T) {
	for _, name := range []string{"routes.example.yaml", "routes.plain.yaml"} {
		path := "../../examples/gatewayd/" + name
		c, err := config.Load(config.Source{Environ: []string{secret, "TTA_GATEWAY_ROUTES_FILE=" + path}})
		require.NoError(t, err, name)
		_, g := build(t, c, config.Host{})
		assert.Empty(t, g.Warnings(), name)
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("{\"version\":1,\"routes\":[{\"pattern\":\"/\",\"service\":\"s\"}]}"))
	f.Add([]byte("version: 1\nroutes:\n  - &a {pattern: /a, service: s}\n  - *a\n"))
	f.Add([]byte("version: 1\nroutes: [[[[[[[[[["))
	f.Add([]byte("? {a: b}\n: c"))
	f.Fuzz(func(t *testing.T, content []byte) {
		table, err := config.ParseRoutes("fuzz.yaml", content)
		if err != nil {
			var settings *config.Error
			require.ErrorAs(t, err, &settings)
			require.Nil(t, table)
			return
		}
		var out bytes.Buffer
		require.NoError(t, table.Encode(&out))
		again, err := config.ParseRoutes("again.yaml", out.Bytes())
		require.NoError(t, err, out.String())
		require.Len(t, again.Routes, len(table.Routes))
	})
}

// The routes file of a small deployment.
func ExampleParseRoutes() {
	table, err := config.ParseRoutes("routes.yaml", []byte(`version: 1
routes:
  - pattern: /api/story/
    service: story
    allow: known
    lane: therapeutic
    inspect: {fields: [message], reply: response}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	rt := table.Routes[0]
	fmt.Println(rt.Pattern, rt.Service, rt.Lane, rt.Inspect.Fields)
	// Output: /api/story/ story therapeutic [message]
}
