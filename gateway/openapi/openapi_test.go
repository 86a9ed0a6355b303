package openapi_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway/openapi"
)

var operations = []openapi.Operation{
	{Path: "/api/v1/players/{player_id}/", Methods: []string{"GET", "PUT", "PROPFIND"}, Service: "player-experience", Policy: "owner(player_id)", Lane: "therapeutic", Inspected: true, MaxBody: 1 << 20},
	{Path: "/api/v1/worlds/", Methods: []string{"GET"}, Service: "player-experience", Policy: "known", Lane: "normal", NotInspected: "catalogue data"},
	{Path: "/ws/chat", Methods: []string{"GET"}, Service: "player-experience", Policy: "known", Upgrade: true},
	{Path: "/exact/{$}", Methods: []string{"GET"}, Policy: "anyone", Public: true, Summary: "A trailing slash", Internal: true},
}

func document(t *testing.T) map[string]any {
	t.Helper()
	text, err := openapi.Document(openapi.Info{Title: "T", Version: "1"}, operations)
	require.NoError(t, err)
	again, err := openapi.Document(openapi.Info{Title: "T", Version: "1"}, operations)
	require.NoError(t, err)
	assert.Equal(t, string(text), string(again), "the order is stable")
	var doc map[string]any
	require.NoError(t, json.Unmarshal(text, &doc))
	return doc
}

// at walks a decoded document.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for _, key := range path {
		m, ok := v.(map[string]any)
		require.True(t, ok, "%v", path)
		v = m[key]
	}
	return v
}

func TestDocument(t *testing.T) {
	doc := document(t)
	assert.Equal(t, "3.1.0", doc["openapi"])
	paths := at(t, doc, "paths").(map[string]any)
	assert.Len(t, paths, 4)
	player := at(t, paths, "/api/v1/players/{player_id}/{rest}", "put")
	assert.Equal(t, "owner(player_id)", at(t, player, "x-tta-allow"))
	assert.Equal(t, true, at(t, player, "x-tta-inspected"))
	assert.EqualValues(t, 1<<20, at(t, player, "x-tta-max-body"))
	assert.Len(t, at(t, player, "parameters"), 2)
	assert.NotNil(t, at(t, player, "security"))
	assert.NotNil(t, at(t, player, "responses", "401"))
	assert.Nil(t, at(t, paths, "/api/v1/players/{player_id}/{rest}", "propfind"), "OpenAPI has no such method")
	assert.Equal(t, "catalogue data", at(t, paths, "/api/v1/worlds/{rest}", "get", "x-tta-not-inspected"))
	assert.Equal(t, true, at(t, paths, "/ws/chat", "get", "x-tta-websocket"))
	exact := at(t, paths, "/exact/", "get")
	assert.Nil(t, at(t, exact, "security"))
	assert.Equal(t, "A trailing slash", at(t, exact, "summary"))
}

func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	doc := document(t)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				var parts []string
				for part := range splitRef(ref) {
					parts = append(parts, part)
				}
				assert.NotNil(t, at(t, doc, parts...), ref)
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(doc)
}

func splitRef(ref string) func(func(string) bool) {
	return func(yield func(string) bool) {
		part := ""
		for _, c := range ref[len("#/"):] + "/" {
			if c != '/' {
				part += string(c)
				continue
			}
			if !yield(part) {
				return
			}
			part = ""
		}
	}
}

func TestOperationIDsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, item := range at(t, document(t), "paths").(map[string]any) {
		for _, op := range item.(map[string]any) {
			id := at(t, op, "operationId").(string)
			assert.False(t, seen[id], id)
			seen[id] = true
		}
	}
}

func TestPageNeedsNobodyElse(t *testing.T) {
	w := httptest.NewRecorder()
	openapi.Page("/openapi.json").ServeHTTP(w, httptest.NewRequest("GET", "/docs", nil))
	assert.Contains(t, w.Header().Get("Content-Type"), "text/html")
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "connect-src 'self'")
	assert.Contains(t, w.Body.String(), "/openapi.json")
	assert.NotContains(t, w.Body.String(), "https://")
}

func ExampleDocument() {
	doc, err := openapi.Document(openapi.Info{Title: "Stories", Version: "1.0.0"}, []openapi.Operation{
		{Path: "/stories/{id}", Methods: []string{"GET"}, Service: "story", Policy: "known"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var parsed struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		}
	}
	_ = json.Unmarshal(doc, &parsed)
	fmt.Println(parsed.Paths["/stories/{id}"]["get"].ID)
	// Output: get_stories_id
}
