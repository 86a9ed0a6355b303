package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// Middleware is the shape that every middleware of this module has, and that
// chi, alice and plain net/http share.
type Middleware = func(http.Handler) http.Handler

// Route says who may reach what, under which conditions, and where it is
// served. The zero Route (with a Pattern and a Service or Handler) is the
// careful one: known callers only, inspected, no upgrade, a body of at most
// 1 MiB.
type Route struct {
	// Pattern is "[HOST]/PATH". PATH is made of literal segments and {name}
	// segments. A path that ends in a slash is a prefix: it matches what lies
	// below it and, unlike on [http.ServeMux], the path without the slash too,
	// because a proxy must not redirect. "/{$}" at the end matches the trailing
	// slash only. HOST is exact, or "*.example.com" for every name below
	// example.com; without it the route serves any host.
	//
	// A literal segment beats a {name}, and that beats a prefix; the longest
	// prefix wins. A host that is named beats a wildcard, which beats none.
	Pattern string

	// Methods that the route serves; GET serves HEAD too. Nil means GET, HEAD,
	// POST, PUT, PATCH, DELETE and OPTIONS. A method that is none of these
	// (PROPFIND, ...) is served only where it is named. CONNECT and TRACE
	// cannot be named.
	Methods []string

	// Service is the name under which the registry knows who serves the route.
	// Exactly one of Service and Handler is set.
	Service string

	// Handler serves the route in this process. It runs after the same stages
	// that a service stands behind.
	Handler http.Handler

	// Allow decides who may call. Nil means [auth.Known].
	Allow auth.Policy

	// Limits are quotas of this route, beside the gateway's own.
	Limits []Quota

	// Lane is the priority of the route's requests. From [ratelimit.Therapeutic]
	// on, the therapeutic quota applies instead of the default one, and every
	// refusal carries help resources.
	Lane ratelimit.Lane

	// Inspect is the route's own rule for the guard. The zero Rule inspects
	// with the guard's defaults; [safety.NotInspected] opts out and says why.
	Inspect safety.Rule

	// Upgrade lets a WebSocket handshake through. No other protocol can be
	// upgraded to. The handshake takes a place like a request until it is
	// answered; the connection lasts no longer than the credential that opened it
	// (see [WebSocket]).
	Upgrade bool

	// Chat says that the TTA chat protocol is spoken on the socket: a handshake
	// that is refused is accepted and then closed with a code that the browser
	// can read (1008 and others; an address over its quota gets the plain answer),
	// and {"type":"ping"}, with or without a timestamp, is answered by the
	// gateway, one a second. It needs Upgrade.
	Chat bool

	// MaxBody bounds a request's body in bytes. 0 means 1 MiB; a negative value
	// means no bound.
	MaxBody int64

	// Timeouts of the route; the zero value means the defaults.
	Timeouts Timeouts

	// Rewrite replaces the path that the pattern spells. {name} segments are
	// filled in, and what lies below a prefix follows. Empty means that the path
	// is forwarded as it came.
	Rewrite string

	// RawPath forwards what the path rule refuses elsewhere: encoded slashes and
	// backslashes, and escapes that are not UTF-8. Dot segments and NUL are
	// refused all the same.
	RawPath bool

	// StripQuery names query parameters that are not forwarded. The rest of the
	// query goes on byte for byte.
	StripQuery []string

	// Use wraps the route's last stage, after admission and before the service.
	// The first is the outermost.
	Use []Middleware

	internal bool // an endpoint of the gateway itself: no quota, no host check
	quiet    bool // a probe: not worth an access log line when it went well
	docs     string
}

// Quota is a limit that a route adds to the gateway's own.
type Quota struct {
	// Name labels the limit in headers and metrics. Routes that use one name
	// share one bucket per key.
	Name string
	// Rate is how many requests one key may make.
	Rate ratelimit.Rate
	// By says whose requests are counted together: "subject" (the default; by
	// address for unknown callers), "address" or "all".
	By string
	// Cost of one request. 0 means 1.
	Cost int
}

// Timeouts bound the waits of one route. Zero means the default, a negative
// value none.
type Timeouts struct {
	// Header is how long an instance may take to begin its answer, for each
	// try. The default is 30 seconds.
	Header time.Duration
	// Idle is how long an answer may pause between two bytes, how long a caller
	// may pause in its body, and how long it may take to accept a piece of the
	// answer. It rolls: a stream that moves may last for ever. The default is 60
	// seconds.
	Idle time.Duration
	// Overall bounds the exchange up to the beginning of the answer, retries
	// and waiting for room included; the time in which the body is on its way is
	// not counted. The default is Header and 5 seconds more.
	Overall time.Duration
	// BodyRate is how many bytes per second a caller's body must come with on
	// average, once 10 seconds are over and until the answer begins: what
	// trickles holds a place that somebody else needs. The default is 240. Where
	// callers stream and pause (gRPC), a negative value allows any rate.
	BodyRate int64
	// Socket is how long a WebSocket may be silent in both directions. The
	// default is the gateway's own (WithWebSocket).
	Socket time.Duration
}

const (
	defaultMaxBody       = 1 << 20
	defaultHeaderTimeout = 30 * time.Second
	defaultIdleTimeout   = 60 * time.Second
	overallMargin        = 5 * time.Second
)

func (t Timeouts) withDefaults() Timeouts {
	t.Header = orDefault(t.Header, defaultHeaderTimeout)
	t.Idle = orDefault(t.Idle, defaultIdleTimeout)
	t.BodyRate = orDefault(t.BodyRate, defaultBodyRate)
	if t.Header > 0 {
		t.Overall = orDefault(t.Overall, t.Header+overallMargin)
	}
	return t
}

// orDefault reads a setting of which zero means def and negative means none.
func orDefault[T ~int64](d, def T) T {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}

var forwardedMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
	http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// check returns every complaint about a route.
func (rt *Route) check() []error {
	var errs []error
	complain := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("gateway: route %q: "+format, append([]any{rt.Pattern}, args...)...))
	}
	if rt.Service == "" && rt.Handler == nil {
		complain("nobody serves it; set Service or Handler")
	}
	if rt.Service != "" && rt.Handler != nil {
		complain("has both Service %q and a Handler; set one of them", rt.Service)
	}
	for _, m := range rt.Methods {
		if !httpguts.ValidHeaderFieldName(m) || strings.ToUpper(m) != m {
			complain("method %q is not a method name; use upper-case letters", m)
		}
		if m == http.MethodConnect || m == http.MethodTrace {
			complain("method %s is never forwarded; remove it", m)
		}
	}
	if rt.Chat && !rt.Upgrade {
		complain("Chat needs Upgrade; set both or neither")
	}
	if rt.Upgrade && rt.Service != "" && len(rt.Methods) > 0 && !slices.Contains(rt.Methods, http.MethodGet) {
		complain("Upgrade needs the method GET; add it")
	}
	if !rt.RawPath && strings.Contains(rt.Pattern, "%") {
		if err, lenient := checkPath(rt.Pattern[max(0, strings.IndexByte(rt.Pattern, '/')):]); lenient {
			complain("%w, which is refused; set RawPath to let it through", err)
		}
	}
	if rt.Rewrite != "" && rt.Rewrite[0] != '/' {
		complain("Rewrite %q must begin with a slash", rt.Rewrite)
	}
	for _, q := range rt.Limits {
		if q.Name == "" || q.Rate.N <= 0 {
			complain("a limit needs a Name and a Rate; got name %q, rate %q", q.Name, q.Rate)
		}
		if !slices.Contains([]string{"", "subject", "address", "all"}, q.By) {
			complain("limit %q: By is %q; use subject, address or all", q.Name, q.By)
		}
	}
	return errs
}

// pattern is a parsed Route.Pattern.
type pattern struct {
	host     string // lower case; "" = any; "*.x" = below x
	segments []segment
	prefix   bool // ends in a slash
	exact    bool // ends in /{$}: the trailing slash only
}

type segment struct {
	literal string
	name    string // of a {name} segment
}

func parsePattern(s string) (pattern, error) {
	var p pattern
	slash := strings.IndexByte(s, '/')
	if slash < 0 {
		return p, fmt.Errorf("gateway: route %q: a pattern is [HOST]/PATH; begin the path with a slash", s)
	}
	host, err := parsePatternHost(s[:slash])
	if err != nil {
		return p, fmt.Errorf("gateway: route %q: %w", s, err)
	}
	p.host = host
	path := s[slash:]
	if strings.HasSuffix(path, "/{$}") {
		p.exact = true
		path = strings.TrimSuffix(path, "{$}")
	}
	if strings.HasSuffix(path, "/") {
		p.prefix = !p.exact
		path = strings.TrimSuffix(path, "/")
	}
	if path == "" {
		return p, nil
	}
	for seg := range strings.SplitSeq(path[1:], "/") {
		parsed, err := parseSegment(seg)
		if err != nil {
			return p, fmt.Errorf("gateway: route %q: %w", s, err)
		}
		p.segments = append(p.segments, parsed)
	}
	return p, p.checkNames(s)
}

func parsePatternHost(host string) (string, error) {
	host = strings.ToLower(host)
	name := strings.TrimPrefix(host, "*.")
	if host != "" && (name == "" || strings.ContainsAny(name, "*:{} ")) {
		return "", fmt.Errorf("host %q must be a name without a port, or *.NAME", host)
	}
	return host, nil
}

func parseSegment(seg string) (segment, error) {
	if strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}") {
		name := seg[1 : len(seg)-1]
		if !isName(name) {
			return segment{}, fmt.Errorf("segment %q: a name is made of letters, digits and _", seg)
		}
		return segment{name: name}, nil
	}
	if strings.ContainsAny(seg, "{}") {
		return segment{}, fmt.Errorf("segment %q: a {name} must fill its whole segment", seg)
	}
	if err, lenient := checkPath("/" + seg); err != nil && !lenient {
		return segment{}, fmt.Errorf("segment %q can never match: %w", seg, err)
	}
	literal, _ := unescape(seg)
	return segment{literal: literal}, nil
}

func isName(s string) bool {
	for i, c := range s {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func (p pattern) checkNames(s string) error {
	seen := map[string]bool{}
	for _, seg := range p.segments {
		if seg.name != "" && seen[seg.name] {
			return fmt.Errorf("gateway: route %q: the name {%s} stands twice; give each its own", s, seg.name)
		}
		seen[seg.name] = true
	}
	return nil
}

// shape is the pattern with its names taken out: two patterns of one shape
// match the same paths.
func (p pattern) shape() string {
	var b strings.Builder
	b.WriteString(p.host)
	for _, seg := range p.segments {
		b.WriteByte('/')
		if seg.name != "" {
			b.WriteString("{}")
		} else {
			b.WriteString(strings.ReplaceAll(seg.literal, "{", "{{"))
		}
	}
	switch {
	case p.prefix:
		b.WriteString("/...")
	case p.exact:
		b.WriteString("/")
	}
	return b.String()
}
