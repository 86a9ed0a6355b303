package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// loadTable fills in the route table, unless there is one.
func (c *Config) loadTable(found *complaints) {
	if c.Table != nil {
		return
	}
	if c.RoutesFile == "" {
		c.Table = DefaultRoutes(c.Services)
		return
	}
	content, err := c.readFile(c.RoutesFile)
	if err != nil {
		s := settingNamed("TTA_GATEWAY_ROUTES_FILE")
		found.add(s.Name, c.RoutesFile, "cannot be read ("+fileProblem(err)+")", s.remedy)
		return
	}
	table, err := ParseRoutes(c.RoutesFile, content)
	if err != nil {
		found.join(err)
		return
	}
	c.Table = table
}

// Bounds of a routes file. They keep a mistaken file from becoming an outage.
const (
	maxRoutesFile = 1 << 20
	maxRoutes     = 10_000
)

// ParseRoutes reads a routes file, YAML or JSON. name is for the complaints,
// which come all at once, each as "name:line: …". Unknown and repeated members
// are errors, and so are anchors and aliases.
//
//	version: 1
//	services:                        # optional
//	  player-experience:
//	    health: /health              # what probes ask; off: not probed
//	    balancer: consistent_hash    # instead of LOAD_BALANCING_ALGORITHM
//	    retries: 2                   # 0: none
//	    critical: true               # the gateway is degraded without it
//	    protocol: http2              # auto (default), http1, http2
//	    slow_start: 30s              # until a new instance gets its full share
//	routes:
//	  - pattern: /api/v1/players/{player_id}/    # [HOST]/PATH; a slash at the end: all below, too
//	    methods: [GET, PUT]          # default: GET HEAD POST PUT PATCH DELETE OPTIONS
//	    service: player-experience   # required
//	    allow: owner(player_id) | role(admin)    # default: known
//	    lane: therapeutic            # background, normal (default), therapeutic
//	    limits:
//	      - {name: exports, rate: 5/day, by: subject, cost: 1}   # by: subject, address, all
//	    inspect:                     # default: everything, both ways
//	      fields: [message, context]
//	      reply_fields: [response]
//	      reply: response            # where help goes
//	      in_game: true
//	      hold: true
//	      # or, alone: skip: catalogue data
//	    upgrade: true                # WebSockets
//	    chat: true                   # the TTA chat protocol
//	    max_body: 64KiB              # off: no bound
//	    timeouts: {header: 30s, idle: 60s, overall: 35s, socket: 5m}   # off: none
//	    body_rate: 240               # bytes per second that a body must come with; off: any
//	    rewrite: /v2/players/{player_id}
//	    raw_path: true
//	    strip_query: [debug]
//	    with: [player_registration]  # our own middleware
func ParseRoutes(name string, content []byte) (*Table, error) {
	r := &reader{name: name}
	if len(content) > maxRoutesFile {
		r.complain(1, "larger than %d bytes", maxRoutesFile)
		return nil, r.found.err()
	}
	root := r.parse(content)
	if root == nil {
		return nil, r.found.err()
	}
	table := r.table(root)
	if err := r.found.err(); err != nil {
		return nil, err
	}
	return table, nil
}

// reader walks the tree of a routes file. It is a walk of our own because
// decoding into structs stops at the first complaint.
type reader struct {
	name  string
	found complaints
}

// FileError is a complaint about a line of a routes file.
type FileError struct {
	File    string
	Line    int
	Problem string
}

// Error is "file:line: problem", as editors read it.
func (e *FileError) Error() string {
	return fmt.Sprintf("config: %s:%d: %s", e.File, e.Line, e.Problem)
}

func (r *reader) complain(line int, format string, args ...any) {
	r.found.all = append(r.found.all, &FileError{File: r.name, Line: line, Problem: fmt.Sprintf(format, args...)})
}

func (r *reader) at(n ast.Node, format string, args ...any) { r.complain(line(n), format, args...) }

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

// parse returns the document's root mapping, nil after a complaint.
func (r *reader) parse(content []byte) ast.Node {
	file, err := parseYAML(content)
	if err != nil {
		var bad interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &bad) && bad.GetToken() != nil {
			r.complain(bad.GetToken().Position.Line, "%s", bad.GetMessage())
			return nil
		}
		r.complain(1, "%v", err)
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		r.complain(1, "must be one document with a list of routes")
		return nil
	}
	return file.Docs[0].Body
}

// parseYAML is the library's parser, whose panics on odd input are errors.
func parseYAML(content []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("not YAML")
		}
	}()
	return parser.ParseBytes(content, 0)
}

// members is what a mapping may hold, each with who reads it.
type members map[string]func(ast.Node)

// mapping reads a mapping and complains about what does not belong into it.
func (r *reader) mapping(n ast.Node, what string, m members) {
	if !r.isMapping(n, what) {
		return
	}
	seen := map[string]bool{}
	for it := n.(ast.MapNode).MapRange(); it.Next(); {
		key, ok := r.key(it.Key())
		switch read := m[key]; {
		case !ok:
		case seen[key]:
			r.at(it.Key(), "%s: %q stands twice", what, key)
		case read == nil:
			r.at(it.Key(), "%s: %q is not known; known are %s", what, key, strings.Join(m.names(), ", "))
		default:
			read(it.Value())
		}
		seen[key] = true
	}
}

func (m members) names() []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (r *reader) isMapping(n ast.Node, what string) bool {
	if _, ok := n.(ast.MapNode); ok && n.Type() != ast.AnchorType && n.Type() != ast.AliasType {
		return true
	}
	r.at(n, "%s must be a mapping of names to values", what)
	return false
}

func (r *reader) key(n ast.Node) (string, bool) {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value, true
	}
	r.at(n, "a name must be plain text, without anchors, aliases or merging")
	return "", false
}

// each reads the elements of a sequence.
func (r *reader) each(n ast.Node, what string, read func(ast.Node)) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.at(n, "%s must be a list", what)
		return
	}
	for _, v := range seq.Values {
		read(v)
	}
}

// text reads a scalar as it is written.
func (r *reader) text(n ast.Node, what string) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(v.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	r.at(n, "%s must be one value, without anchors or aliases", what)
	return "", false
}

// parsed reads a scalar by a function, whose complaint gets its place.
func parsed[T any](r *reader, n ast.Node, what string, parse func(string) (T, error), into *T) {
	s, ok := r.text(n, what)
	if !ok {
		return
	}
	v, err := parse(s)
	if err != nil {
		r.at(n, "%s: %q: %v", what, s, err)
		return
	}
	*into = v
}

func asIs(s string) (string, error) { return s, nil }

func (r *reader) texts(n ast.Node, what string) []string {
	out := []string{}
	r.each(n, what, func(n ast.Node) {
		if s, ok := r.text(n, what); ok {
			out = append(out, s)
		}
	})
	return out
}

func (r *reader) table(root ast.Node) *Table {
	t := &Table{}
	version := ""
	r.mapping(root, "a routes file", members{
		"version":  func(n ast.Node) { parsed(r, n, "version", parseVersion, &version) },
		"services": func(n ast.Node) { t.Services = r.services(n) },
		"routes": func(n ast.Node) {
			r.each(n, "routes", func(n ast.Node) { t.Routes = append(t.Routes, r.route(n)) })
		},
	})
	if version == "" && len(r.found.all) == 0 {
		r.at(root, `there is no "version"; write version: 1`)
	}
	switch {
	case len(t.Routes) == 0 && len(r.found.all) == 0:
		r.at(root, `there are no "routes"`)
	case len(t.Routes) > maxRoutes:
		r.at(root, "more than %d routes", maxRoutes)
	}
	used := t.serviceNames()
	for name := range t.Services {
		if !slices.Contains(used, name) && len(r.found.all) == 0 {
			r.at(root, "services: no route leads to %q", name)
		}
	}
	return t
}

func parseVersion(s string) (string, error) {
	if s != "1" {
		return "", errors.New("only version 1 is known")
	}
	return s, nil
}

func (r *reader) services(n ast.Node) map[string]Service {
	out := map[string]Service{}
	if !r.isMapping(n, "services") {
		return out
	}
	for it := n.(ast.MapNode).MapRange(); it.Next(); {
		name, ok := r.key(it.Key())
		if !ok {
			continue
		}
		if _, twice := out[name]; twice {
			r.at(it.Key(), "services: %q stands twice", name)
		}
		out[name] = r.service(it.Value())
	}
	return out
}

func (r *reader) service(n ast.Node) Service {
	var s Service
	r.mapping(n, "a service", members{
		"health":     func(n ast.Node) { parsed(r, n, "health", parseHealthPath, &s.Health) },
		"balancer":   func(n ast.Node) { parsed(r, n, "balancer", parseBalancerName, &s.Balancer) },
		"retries":    func(n ast.Node) { parsed(r, n, "retries", parseRetries, &s.Retries) },
		"critical":   func(n ast.Node) { parsed(r, n, "critical", parseBool, &s.Critical) },
		"protocol":   func(n ast.Node) { parsed(r, n, "protocol", gateway.ParseProtocol, &s.Protocol) },
		"slow_start": func(n ast.Node) { parsed(r, n, "slow_start", parseDuration, &s.SlowStart) },
	})
	return s
}

func parseHealthPath(s string) (string, error) {
	if s != "off" && !strings.HasPrefix(s, "/") {
		return "", errors.New("write a path such as /health, or off")
	}
	return s, nil
}

func parseBalancerName(s string) (string, error) {
	_, err := discovery.ParseBalancer(s)
	return s, err
}

func parseRetries(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 10 {
		return 0, errors.New("write a number from 0 to 10")
	}
	if n == 0 {
		return -1, nil
	}
	return n, nil
}

func (r *reader) route(n ast.Node) Route {
	var rt Route
	var bodyRate int64
	before := len(r.found.all)
	r.mapping(n, "a route", members{
		"pattern": func(n ast.Node) { parsed(r, n, "pattern", asIs, &rt.Pattern) },
		"methods": func(n ast.Node) { rt.Methods = r.texts(n, "methods") },
		"service": func(n ast.Node) { parsed(r, n, "service", asIs, &rt.Service) },
		"allow":   func(n ast.Node) { parsed(r, n, "allow", auth.ParsePolicy, &rt.Allow) },
		"lane":    func(n ast.Node) { parsed(r, n, "lane", parseLane, &rt.Lane) },
		"limits": func(n ast.Node) {
			r.each(n, "limits", func(n ast.Node) { rt.Limits = append(rt.Limits, r.quota(n)) })
		},
		"inspect":     func(n ast.Node) { rt.Inspect = r.rule(n) },
		"upgrade":     func(n ast.Node) { parsed(r, n, "upgrade", parseBool, &rt.Upgrade) },
		"chat":        func(n ast.Node) { parsed(r, n, "chat", parseBool, &rt.Chat) },
		"max_body":    func(n ast.Node) { parsed(r, n, "max_body", parseBound, &rt.MaxBody) },
		"timeouts":    func(n ast.Node) { rt.Timeouts = r.timeouts(n) },
		"body_rate":   func(n ast.Node) { parsed(r, n, "body_rate", parseBound, &bodyRate) },
		"rewrite":     func(n ast.Node) { parsed(r, n, "rewrite", asIs, &rt.Rewrite) },
		"raw_path":    func(n ast.Node) { parsed(r, n, "raw_path", parseBool, &rt.RawPath) },
		"strip_query": func(n ast.Node) { rt.StripQuery = r.texts(n, "strip_query") },
		"with":        func(n ast.Node) { rt.With = r.with(n) },
	})
	rt.Timeouts.BodyRate = bodyRate
	if len(r.found.all) == before {
		r.checkRoute(n, rt)
	}
	return rt
}

// checkRoute asks the gateway about one route, so that what it says gets a
// line; what routes are to each other is found when the table is built.
func (r *reader) checkRoute(n ast.Node, rt Route) {
	_, err := gateway.New(gateway.WithRoutes(rt.Route))
	var found complaints
	found.join(err)
	for _, err := range found.all {
		r.at(n, "%s", strings.TrimPrefix(err.Error(), "gateway: "))
	}
	if err := rt.Inspect.Check(); err != nil {
		r.at(n, "route %q: %s", rt.Pattern, strings.TrimPrefix(err.Error(), "safety: "))
	}
}

func (r *reader) with(n ast.Node) []string {
	names := r.texts(n, "with")
	for _, name := range names {
		if !slices.Contains(middlewareNames, name) {
			r.at(n, "with: %q is not known; known are %s", name, strings.Join(middlewareNames, ", "))
		}
	}
	return names
}

func parseLane(s string) (ratelimit.Lane, error) {
	lane, err := ratelimit.ParseLane(s)
	if err == nil && lane >= ratelimit.Crisis {
		return 0, errors.New("a route cannot be in the crisis lane: only what a person says leads there")
	}
	return lane, err
}

// parseBound reads a size, "off" as none.
func parseBound(s string) (int64, error) {
	if isOff(s) {
		return -1, nil
	}
	size, err := ParseSize(s)
	if err == nil && size == 0 {
		err = errors.New("write a size above 0, or off for no bound")
	}
	return int64(size), err
}

func (r *reader) quota(n ast.Node) gateway.Quota {
	var q gateway.Quota
	r.mapping(n, "a limit", members{
		"name": func(n ast.Node) { parsed(r, n, "name", asIs, &q.Name) },
		"rate": func(n ast.Node) { parsed(r, n, "rate", ratelimit.ParseRate, &q.Rate) },
		"by":   func(n ast.Node) { parsed(r, n, "by", asIs, &q.By) },
		"cost": func(n ast.Node) { parsed(r, n, "cost", parseCost, &q.Cost) },
	})
	return q
}

func parseCost(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, errors.New("write a number from 1")
	}
	return n, nil
}

func (r *reader) rule(n ast.Node) safety.Rule {
	var rule safety.Rule
	skip := ""
	r.mapping(n, "inspect", members{
		"skip":         func(n ast.Node) { parsed(r, n, "skip", parseReason, &skip) },
		"fields":       func(n ast.Node) { rule.Fields = r.texts(n, "fields") },
		"reply_fields": func(n ast.Node) { rule.ReplyFields = r.texts(n, "reply_fields") },
		"reply":        func(n ast.Node) { parsed(r, n, "reply", asIs, &rule.Reply) },
		"in_game":      func(n ast.Node) { parsed(r, n, "in_game", parseBool, &rule.InGame) },
		"hold":         func(n ast.Node) { parsed(r, n, "hold", parseBool, &rule.Hold) },
	})
	if skip == "" {
		return rule
	}
	if rule.Fields != nil || rule.ReplyFields != nil || rule.Reply != "" || rule.InGame || rule.Hold {
		r.at(n, "inspect: skip stands alone: where nothing is looked at, nothing else means anything")
	}
	return safety.NotInspected(skip)
}

func parseReason(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", errors.New("say why")
	}
	return s, nil
}

func (r *reader) timeouts(n ast.Node) gateway.Timeouts {
	var t gateway.Timeouts
	r.mapping(n, "timeouts", members{
		"header":  func(n ast.Node) { parsed(r, n, "header", parseTimeout, &t.Header) },
		"idle":    func(n ast.Node) { parsed(r, n, "idle", parseTimeout, &t.Idle) },
		"overall": func(n ast.Node) { parsed(r, n, "overall", parseTimeout, &t.Overall) },
		"socket":  func(n ast.Node) { parsed(r, n, "socket", parseTimeout, &t.Socket) },
	})
	return t
}

// parseTimeout reads a duration, "off" as none.
func parseTimeout(s string) (time.Duration, error) {
	if isOff(s) {
		return -1, nil
	}
	d, err := parseDuration(s)
	if err == nil && d == 0 {
		err = errors.New("write a duration above 0, or off for none")
	}
	return d, err
}
