package discovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

// door is a handler on an empty memory, with a resolver of its own.
func door() (*discovery.Handler, *discovery.Memory) {
	m, resolver := &discovery.Memory{}, &discoverytest.Resolver{}
	resolver.SetAddrs("chat.internal", "10.0.0.1")
	resolver.SetAddrs("metadata.evil", "169.254.169.254")
	resolver.SetAddrs("half.evil", "10.0.0.1", "fe80::1")
	return &discovery.Handler{Registrar: m, Resolver: resolver}, m
}

func knock(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandlerOneInstancesLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, m := door()
		w := knock(h, "POST", "/", `{"service":"chat","url":"http://chat.internal:8080","weight":3,"tags":["api"],"metadata":{"zone":"a"},"ttl_seconds":30}`)
		require.Equal(t, 201, w.Code, w.Body)
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		all, err := m.Instances(t.Context(), "chat")
		require.NoError(t, err)
		id := all[0].ID
		assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.1")}, all[0].Addrs, "what the name meant is recorded")
		assert.JSONEq(t, `{"id":"`+id+`","service":"chat","url":"http://chat.internal:8080","weight":3,"tags":["api"],"metadata":{"zone":"a"},
			"addresses":["10.0.0.1"],"ttl_seconds":30,"heartbeat_seconds":10,"expires_at":"2000-01-01T00:00:30Z"}`, w.Body.String())

		for range 5 {
			time.Sleep(20 * time.Second)
			w = knock(h, "PUT", "/chat/"+id, `{"ttl_seconds":30}`)
			require.Equal(t, 200, w.Code, w.Body)
		}
		w = knock(h, "PUT", "/chat/"+id, "")
		assert.JSONEq(t, `{"id":"`+id+`","service":"chat","ttl_seconds":90,"heartbeat_seconds":30,"expires_at":"2000-01-01T00:03:10Z"}`, w.Body.String())

		w = knock(h, "GET", "/chat", "")
		assert.Equal(t, 200, w.Code)
		assert.Contains(t, w.Body.String(), id)
		assert.JSONEq(t, w.Body.String(), knock(h, "GET", "/", "").Body.String())

		w = knock(h, "DELETE", "/chat/"+id, "")
		assert.Equal(t, 204, w.Code)
		assert.Empty(t, w.Body.String())
		assert.Equal(t, 204, knock(h, "DELETE", "/chat/"+id, "").Code, "leaving twice is no error")
		assert.Equal(t, 404, knock(h, "PUT", "/chat/"+id, "").Code)
		assert.Equal(t, 404, knock(h, "GET", "/chat", "").Code)
		assert.JSONEq(t, `{"instances":[]}`, knock(h, "GET", "/", "").Body.String())
	})
}

func TestHandlerRefusals(t *testing.T) {
	const good = `{"service":"chat","url":"http://chat.internal:8080"}`
	tests := []struct {
		desc, method, path, body string
		status                   int
		want                     []string
	}{
		{"no JSON", "POST", "/", "hello", 400, []string{"not a JSON object"}},
		{"an array", "POST", "/", "[]", 400, []string{"not a JSON object"}},
		{"cut short", "POST", "/", `{"service":"chat"`, 400, []string{"body"}},
		{"cut in a value", "POST", "/", `{"service":`, 400, []string{"body"}},
		{"two objects", "POST", "/", good + good, 400, []string{"goes on after"}},
		{"nothing", "POST", "/", "", 415, []string{"application/json"}},
		{"empty object", "POST", "/", "{}", 400, []string{"service is empty", `scheme \"\"`, "no host"}},
		{"all complaints at once", "POST", "/", `{"Service":"x","service":7,"url":"ftp://u:p@h?q","weight":1.5,"tags":"a","tags":[],"ttl_seconds":"1"}`, 400,
			[]string{`unknown member \"Service\"`, `\"service\" has the wrong type: use a string`, `\"weight\" has the wrong type: use a whole number`, `each item a string`, `\"tags\" is given twice`, `\"ttl_seconds\" has the wrong type: use a number`}},
		{"all of the instance's at once", "POST", "/", `{"id":"a b","service":"c d","url":"ftp://u:p@h?q","weight":5000,"tags":[""],"ttl_seconds":1}`, 400,
			[]string{"id", "service", "scheme", "user information", "a query", "weight 5000", "tag", "ttl_seconds 1: use 5 to 600"}},
		{"lease too long", "POST", "/", `{"service":"chat","url":"http://chat.internal","ttl_seconds":86400}`, 400, []string{"use 5 to 600"}},
		{"lease of a heartbeat", "PUT", "/chat/x", `{"ttl_seconds":-3}`, 400, []string{"use 5 to 600"}},
		{"too large", "POST", "/", `{"service":"` + strings.Repeat("x", discovery.MaxRegistration) + `"}`, 413, []string{"at most 65536 bytes"}},
		{"metadata service by address", "POST", "/", `{"service":"chat","url":"http://169.254.169.254/latest"}`, 403, []string{"metadata"}},
		{"metadata service by IPv6", "POST", "/", `{"service":"chat","url":"http://[::ffff:a9fe:a9fe]"}`, 403, []string{"metadata"}},
		{"metadata service by name", "POST", "/", `{"service":"chat","url":"http://metadata.evil"}`, 403, []string{"metadata"}},
		{"one good and one bad address", "POST", "/", `{"service":"chat","url":"http://half.evil"}`, 403, []string{"link-local"}},
		{"all interfaces", "POST", "/", `{"service":"chat","url":"http://0.0.0.0:8080"}`, 403, []string{"unspecified"}},
		{"a public address", "POST", "/", `{"service":"chat","url":"http://8.8.8.8"}`, 403, []string{"allowed networks"}},
		{"no such name", "POST", "/", `{"service":"chat","url":"http://gone.internal"}`, 403, []string{"cannot be resolved"}},
		{"strange notation", "POST", "/", `{"service":"chat","url":"http://0xa9fea9fe"}`, 400, []string{"usual notation"}},
		{"local file", "POST", "/", `{"service":"chat","url":"file:///etc/passwd"}`, 400, []string{"scheme"}},
		{"heartbeat of a stranger", "PUT", "/chat/nobody", "", 404, []string{"register it again"}},
		{"bad names", "PUT", "/a%20b/c%20d", "", 400, []string{"service", "id"}},
		{"bad names leave", "DELETE", "/a%20b/c%20d", "", 400, []string{"service", "id"}},
		{"nowhere", "GET", "/a/b/c", "", 404, []string{"no such resource"}},
		{"unknown service", "GET", "/nobody", "", 404, []string{"unknown"}},
		{"wrong method at the root", "DELETE", "/", "", 405, []string{"GET, HEAD, POST"}},
		{"wrong method at a service", "POST", "/chat", "", 405, []string{"GET, HEAD"}},
		{"wrong method at an instance", "GET", "/chat/x", "", 405, []string{"DELETE, PUT"}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			h, m := door()
			w := knock(h, tt.method, tt.path, tt.body)
			assert.Equal(t, tt.status, w.Code, w.Body)
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			for _, piece := range tt.want {
				assert.Contains(t, w.Body.String(), piece)
			}
			assert.Equal(t, tt.status == 405, w.Header().Get("Allow") != "")
			names, err := m.Services(t.Context())
			require.NoError(t, err)
			assert.Empty(t, names, "nothing was registered")
			var problem struct {
				Title, Detail string
				Status        int
				Complaints    []string
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &problem))
			assert.Equal(t, tt.status, problem.Status)
			assert.GreaterOrEqual(t, len(problem.Complaints), len(tt.want)/2)
			assert.NotContains(t, problem.Detail, "discovery:")
		})
	}
}

func TestHandlerBodyThatBreaksOff(t *testing.T) {
	h, _ := door()
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(`{"service"`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, 400, w.Code)
}

func TestHandlerForms(t *testing.T) {
	h, _ := door()
	r := httptest.NewRequest("POST", "/", strings.NewReader("service=chat"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, 415, w.Code, "a browser's form cannot register anything")
}

func TestHandlerPermit(t *testing.T) {
	h, m := door()
	h.Permit = func(r *http.Request, service string) error {
		if r.Header.Get("X-Who") == service && service != "" {
			return nil
		}
		return fmt.Errorf("%w: you are not %q", discovery.ErrForbidden, service)
	}
	as := func(who, method, path, body string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Who", who)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	const body = `{"id":"one","service":"chat","url":"http://chat.internal"}`
	assert.Equal(t, 403, as("story", "POST", "/", body))
	_, err := m.Instances(t.Context(), "chat")
	require.ErrorIs(t, err, discovery.ErrUnknownService)
	assert.Empty(t, h.Resolver.(*discoverytest.Resolver).Calls(), "nor was a name looked up for him")
	assert.Equal(t, 201, as("chat", "POST", "/", body))
	for _, try := range [][2]string{{"PUT", "/chat/one"}, {"DELETE", "/chat/one"}, {"GET", "/chat"}, {"GET", "/"}} {
		assert.Equal(t, 403, as("story", try[0], try[1], ""), try)
	}
	assert.Equal(t, 200, as("chat", "GET", "/chat", ""))
	assert.Equal(t, 204, as("chat", "DELETE", "/chat/one", ""))
}

// An instance's ID is its own until it leaves.
func TestHandlerDoesNotLetAnIDBeTaken(t *testing.T) {
	h, _ := door()
	assert.Equal(t, 201, knock(h, "POST", "/", `{"id":"one","service":"chat","url":"http://chat.internal"}`).Code)
	assert.Equal(t, 201, knock(h, "POST", "/", `{"id":"one","service":"chat","url":"http://chat.internal","weight":2}`).Code, "it may register again")
	w := knock(h, "POST", "/", `{"id":"one","service":"chat","url":"http://10.6.6.6"}`)
	assert.Equal(t, 409, w.Code)
	assert.Equal(t, 204, knock(h, "DELETE", "/chat/one", "").Code)
	assert.Equal(t, 201, knock(h, "POST", "/", `{"id":"one","service":"chat","url":"http://10.6.6.6"}`).Code)
}

func TestHandlerSchemesAndNetworks(t *testing.T) {
	h, _ := door()
	h.Schemes = []string{"https"}
	h.Rules.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	assert.Equal(t, 201, knock(h, "POST", "/", `{"service":"chat","url":"https://203.0.113.7"}`).Code)
	assert.Equal(t, 400, knock(h, "POST", "/", `{"service":"chat","url":"http://203.0.113.7"}`).Code)
	assert.Equal(t, 403, knock(h, "POST", "/", `{"service":"chat","url":"https://127.0.0.1"}`).Code)
}

// brokenRegistrar fails, with words that are nobody's business outside.
type brokenRegistrar struct{ discovery.Memory }

var errInside = errors.New("dial tcp 10.9.8.7:6379: connection refused")

func (r *brokenRegistrar) Services(context.Context) ([]string, error) { return nil, errInside }

func TestHandlerTellsNothingOfItsInside(t *testing.T) {
	h := &discovery.Handler{Registrar: &brokenRegistrar{}}
	w := knock(h, "GET", "/", "")
	assert.Equal(t, 503, w.Code)
	assert.NotContains(t, w.Body.String(), "10.9.8.7")

	var seen error
	h.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		seen = err
		w.WriteHeader(discovery.Status(err))
	}
	assert.Equal(t, 503, knock(h, "GET", "/", "").Code)
	require.ErrorIs(t, seen, errInside, "the error handler may log it")
}

func TestHandlerWithoutARegistry(t *testing.T) {
	h := &discovery.Handler{Registrar: struct{ discovery.Registrar }{&discovery.Memory{}}}
	assert.Equal(t, 404, knock(h, "GET", "/", "").Code)
	assert.Equal(t, 404, knock(h, "GET", "/chat", "").Code)
	assert.Equal(t, 201, knock(h, "POST", "/", `{"service":"chat","url":"http://127.0.0.1"}`).Code)

	full := &discovery.Handler{Registrar: &discovery.Memory{MaxInstances: 1}}
	assert.Equal(t, 201, knock(full, "POST", "/", `{"service":"chat","url":"http://127.0.0.1"}`).Code)
	assert.Equal(t, 507, knock(full, "POST", "/", `{"service":"chat","url":"http://127.0.0.2"}`).Code)
}

func TestStatus(t *testing.T) {
	assert.Equal(t, 200, discovery.Status(nil))
	assert.Equal(t, 404, discovery.Status(fmt.Errorf("x: %w", discovery.ErrUnknownService)))
	assert.Equal(t, 503, discovery.Status(discovery.ErrNoInstance))
	assert.Empty(t, discovery.Complaints(nil))
}

func FuzzHandlerRegister(f *testing.F) {
	f.Add(`{"service":"chat","url":"http://chat.internal:8080","tags":["a"],"metadata":{"a":"b"},"ttl_seconds":5}`)
	f.Add(`{"service":"chat","url":"http://169.254.169.254","service":null}`)
	f.Add(`{"a":{"b":[[[[]]]]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		h, m := door()
		w := knock(h, "POST", "/", body)
		names, err := m.Services(t.Context())
		require.NoError(t, err)
		require.Equal(t, w.Code == 201, len(names) == 1, "status %d", w.Code)
		require.True(t, w.Code == 201 || w.Code >= 400 && w.Code < 500, "status %d for %q", w.Code, body)
		require.True(t, json.Valid(w.Body.Bytes()))
	})
}
