package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Info heads the document.
type Info struct{ Title, Version string }

// Operation is one route of the table.
type Operation struct {
	Host         string   // "" = any
	Path         string   // with {name} segments; a trailing slash is a prefix, /{$} a trailing slash alone
	Methods      []string // upper case
	Service      string   // "" for what is served in the process
	Policy       string   // who may call
	Public       bool     // anyone may
	Lane         string
	Inspected    bool
	NotInspected string // why not, "" if there is nothing to inspect with
	Upgrade      bool   // to a WebSocket
	MaxBody      int64  // bytes, 0 = no bound
	Summary      string
	Internal     bool // an endpoint of the gateway itself
}

// Document writes the operations as OpenAPI 3.1, in a stable order.
func Document(info Info, ops []Operation) ([]byte, error) {
	paths := map[string]map[string]any{}
	for _, op := range ops {
		path := documentPath(op.Path)
		item := paths[path]
		if item == nil {
			item = map[string]any{}
			paths[path] = item
		}
		for _, m := range op.Methods {
			if key := strings.ToLower(m); known[key] && item[key] == nil {
				item[key] = op.describe(m)
			}
		}
	}
	doc := map[string]any{
		"openapi":    "3.1.0",
		"info":       map[string]any{"title": info.Title, "version": info.Version, "description": description},
		"paths":      paths,
		"tags":       tags(ops),
		"components": components,
	}
	return json.MarshalIndent(doc, "", "  ")
}

const description = "What the gateway lets through. A path that ends in {rest} stands for everything below it. " +
	"Every refusal is application/problem+json; on therapeutic routes it carries help resources."

// known are the methods that a path item can have (OpenAPI 3.1 section 4.8.9).
var known = map[string]bool{"get": true, "put": true, "post": true, "delete": true, "options": true, "head": true, "patch": true}

// documentPath writes a pattern as OpenAPI spells it: a prefix gets a {rest}.
func documentPath(path string) string {
	if rest, ok := strings.CutSuffix(path, "{$}"); ok {
		return rest
	}
	if strings.HasSuffix(path, "/") {
		return path + "{rest}"
	}
	return path
}

func (op Operation) describe(method string) map[string]any {
	out := map[string]any{
		"operationId": operationID(method, op.Path),
		"summary":     op.summary(),
		"tags":        []string{op.tag()},
		"responses":   op.responses(),
		"x-tta-lane":  op.Lane,
		"x-tta-allow": op.Policy,
	}
	if params := parameters(documentPath(op.Path)); len(params) > 0 {
		out["parameters"] = params
	}
	if !op.Public {
		out["security"] = []any{map[string]any{"bearer": []string{}}}
	}
	if op.MaxBody > 0 && !op.Internal {
		out["x-tta-max-body"] = op.MaxBody
	}
	if op.Upgrade {
		out["x-tta-websocket"] = true
	}
	switch {
	case op.Inspected:
		out["x-tta-inspected"] = true
	case op.NotInspected != "":
		out["x-tta-not-inspected"] = op.NotInspected
	}
	return out
}

func (op Operation) summary() string {
	if op.Summary != "" {
		return op.Summary
	}
	if op.Upgrade {
		return "WebSocket of " + op.tag()
	}
	return "Forwarded to " + op.tag()
}

func (op Operation) tag() string {
	if op.Service == "" {
		return "gateway"
	}
	return op.Service
}

// responses are the gateway's own; what a service answers is its to say.
func (op Operation) responses() map[string]any {
	refs := map[string]any{"default": map[string]any{"description": "The answer of " + op.tag()}}
	if op.Internal {
		return refs
	}
	codes := []int{400, 413, 429, 502, 503, 504}
	if !op.Public {
		codes = append(codes, 401, 403)
	}
	for _, c := range codes {
		refs[fmt.Sprint(c)] = map[string]any{"$ref": "#/components/responses/problem"}
	}
	return refs
}

func parameters(path string) []any {
	var out []any
	for seg := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}") {
			out = append(out, map[string]any{
				"name": seg[1 : len(seg)-1], "in": "path", "required": true, "schema": map[string]any{"type": "string"},
			})
		}
	}
	return out
}

func operationID(method, path string) string {
	clean := strings.NewReplacer("/", "_", "{$}", "", "{", "", "}", "", "-", "_", ".", "_").Replace(path)
	return strings.ToLower(method) + strings.TrimSuffix(clean, "_")
}

func tags(ops []Operation) []any {
	names := map[string]bool{}
	for _, op := range ops {
		names[op.tag()] = true
	}
	var out []any
	for _, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, map[string]any{"name": n})
	}
	return out
}

var components = map[string]any{
	"securitySchemes": map[string]any{
		"bearer": map[string]any{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
	},
	"responses": map[string]any{
		"problem": map[string]any{
			"description": "A refusal of the gateway's own (RFC 9457)",
			"content":     map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}},
		},
	},
	"schemas": map[string]any{
		"Problem": map[string]any{
			"type":     "object",
			"required": []string{"type", "title", "status", "detail", "message", "code", "request_id"},
			"properties": map[string]any{
				"type":             map[string]any{"type": "string", "format": "uri"},
				"title":            map[string]any{"type": "string"},
				"status":           map[string]any{"type": "integer"},
				"detail":           map[string]any{"type": "string"},
				"message":          map[string]any{"type": "string", "description": "a sentence for the person"},
				"error":            map[string]any{"type": "string"},
				"code":             map[string]any{"type": "string", "description": "stable; clients may decide on it"},
				"request_id":       map[string]any{"type": "string"},
				"retry_after":      map[string]any{"type": "integer", "description": "seconds"},
				"help":             map[string]any{"type": "object", "description": "on therapeutic routes: where help is"},
				"crisis_resources": map[string]any{"type": "array", "items": map[string]any{"type": "object"}},
			},
		},
	},
}
