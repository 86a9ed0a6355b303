package gateway_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The house is a roof on six columns. These tests keep it so: each rule has
// its reason, and a rule that forbids what nobody could do any more fails too.

const module = "github.com/theinterneti/tta-gateway"

var columns = []string{"auth", "ratelimit", "safety", "discovery", "health", "metrics"}

// imports maps each package of the module (by its path below the module) to
// what its files import, tests apart.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			nested := file != ".." && exists(filepath.Join(file, "go.mod"))
			if nested || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(strings.TrimPrefix(filepath.ToSlash(file), "../"))
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(out[pkg], name) {
				out[pkg] = append(out[pkg], name)
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, out["gateway"], "the walk found no packages")
	return out
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// room is the top of a package's path.
func room(pkg string) string {
	top, _, _ := strings.Cut(pkg, "/")
	return top
}

func ours(name string) (pkg string, ok bool) {
	pkg, ok = strings.CutPrefix(name, module+"/")
	return pkg, ok
}

func TestColumnsDoNotKnowEachOther(t *testing.T) {
	for pkg, names := range imports(t) {
		if !slices.Contains(columns, room(pkg)) {
			continue
		}
		for _, name := range names {
			if other, ok := ours(name); ok {
				assert.Equal(t, room(pkg), room(other), "%s imports %s: a column that a user takes alone must not drag in another", pkg, other)
			}
		}
		if pkg == room(pkg) {
			for _, name := range names {
				other, ok := ours(name)
				assert.False(t, ok && !strings.HasPrefix(other, pkg+"/internal/"), "%s imports its own sub-package %s: rooms import their column, not the other way", pkg, other)
			}
		}
	}
}

func TestNobodyBelowKnowsTheGateway(t *testing.T) {
	mayKnow := []string{"gateway/config", "gateway/gatewaytest"}
	inner := []string{"gateway/h1", "gateway/openapi", "gateway/console"}
	for pkg, names := range imports(t) {
		for _, name := range names {
			other, ok := ours(name)
			if !ok || room(other) != "gateway" || room(pkg) == "examples" {
				continue
			}
			switch {
			case other == "gateway":
				assert.Contains(t, mayKnow, pkg, "%s imports gateway: the roof stands on the columns", pkg)
			case slices.Contains(inner, other):
				assert.Equal(t, "gateway", pkg, "%s imports %s: an inner room is the gateway's own", pkg, other)
			case strings.HasPrefix(other, "gateway/config"):
				assert.True(t, strings.HasPrefix(pkg, "gateway/config"), "%s imports %s: settings flow one way", pkg, other)
			}
		}
		if slices.Contains(inner, pkg) {
			for _, name := range names {
				_, ok := ours(name)
				assert.False(t, ok, "%s imports %s: inner rooms are handed plain data", pkg, name)
			}
		}
	}
}

// libraries says where a dependency may be imported, tests apart, and why not
// elsewhere.
var libraries = []struct {
	prefix string
	in     []string
	why    string
}{
	{"github.com/golang-jwt/jwt", []string{"auth", "auth/authtest", "examples"}, "tokens are auth's business"},
	{"github.com/MicahParks/", []string{"auth"}, "key sets are auth's business"},
	{"github.com/redis/go-redis", []string{"auth/redisrevocation", "ratelimit/redisstore", "discovery/redisregistry", "gateway/config", "examples"}, "who counts in memory must not link a Redis client"},
	{"github.com/prometheus/", []string{"metrics", "gateway/config"}, "who counts nothing must not link Prometheus"},
	{"github.com/coder/websocket", []string{"gateway", "gateway/gatewaytest", "examples"}, "the WebSocket library is no part of the API and must be replaceable"},
	{"github.com/rs/cors", []string{"gateway"}, "one place answers preflights"},
	{"github.com/caarlos0/env", []string{"gateway/config"}, "only the settings read an environment"},
	{"github.com/goccy/go-yaml", []string{"gateway/config"}, "only the routes file is YAML"},
	{"go.opentelemetry.io/otel/sdk", []string{"examples"}, "the application chooses its SDK"},
	{"go.opentelemetry.io/otel/exporters", []string{"examples"}, "the application chooses its exporter"},
	{"go.opentelemetry.io/otel", []string{"gateway", "examples"}, "the record is the one place that traces"},
	{"github.com/stretchr/testify", []string{"auth/authtest", "ratelimit/ratelimittest", "safety/safetytest", "discovery/discoverytest", "gateway/gatewaytest"}, "assertions are for tests"},
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	all := imports(t)
	for _, rule := range libraries {
		used := false
		for pkg, names := range all {
			for _, name := range names {
				if !strings.HasPrefix(name, rule.prefix) {
					continue
				}
				used = true
				allowed := slices.ContainsFunc(rule.in, func(in string) bool { return pkg == in || strings.HasPrefix(pkg, in+"/") })
				assert.True(t, allowed, "%s imports %s: %s", pkg, name, rule.why)
			}
		}
		if rule.why != "assertions are for tests" {
			assert.True(t, used, "nobody imports %s any more: remove the rule and the dependency", rule.prefix)
		}
	}
}

func TestOnlyProgramsTouchTheProcess(t *testing.T) {
	for pkg, names := range imports(t) {
		if room(pkg) == "examples" {
			continue
		}
		for _, banned := range []string{"os/signal", "flag", "log", "expvar"} {
			assert.NotContains(t, names, banned, "%s: a library leaves signals, flags and the global logger to the program", pkg)
		}
	}
}

func TestTopOfTheTree(t *testing.T) {
	want := append([]string{"gateway", "examples", "go.mod", "go.sum", "README.md", "LICENSE", "CHANGELOG.md"}, columns...)
	entries, err := os.ReadDir("..")
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			assert.Contains(t, want, e.Name(), "at the top of the tree stand only the rooms")
		}
	}
}
