package gateway

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// SecurityHeaders are the fields that tell browsers to be careful. An empty
// field is not sent. They replace what services send under the same names, so
// that a browser never has to intersect two policies; handlers in this process
// may set their own.
type SecurityHeaders struct {
	ContentTypeOptions    string // X-Content-Type-Options
	FrameOptions          string // X-Frame-Options
	ReferrerPolicy        string // Referrer-Policy
	ContentSecurityPolicy string // Content-Security-Policy
	PermissionsPolicy     string // Permissions-Policy
	OpenerPolicy          string // Cross-Origin-Opener-Policy
	// TransportSecurity is sent only when the caller spoke TLS, or a trusted
	// proxy says so (RFC 6797 section 7.2).
	TransportSecurity string // Strict-Transport-Security
}

// DefaultSecurityHeaders are strict ones for answers that are data: nothing in
// them may be run, framed or guessed at.
func DefaultSecurityHeaders() SecurityHeaders {
	return SecurityHeaders{
		ContentTypeOptions:    "nosniff",
		FrameOptions:          "DENY",
		ReferrerPolicy:        "no-referrer",
		ContentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'",
		PermissionsPolicy:     "camera=(), geolocation=(), microphone=()",
		OpenerPolicy:          "same-origin",
		TransportSecurity:     "max-age=31536000; includeSubDomains",
	}
}

// headerSet is SecurityHeaders compiled: the value slices are shared by all
// answers, so that setting them costs no allocation. Nobody appends to them.
type headerSet struct {
	names  []string
	values [][]string
	hsts   []string
}

func (h SecurityHeaders) compile() headerSet {
	var set headerSet
	add := func(name, value string) {
		if value != "" {
			set.names = append(set.names, name)
			set.values = append(set.values, []string{value}[:1:1])
		}
	}
	add("X-Content-Type-Options", h.ContentTypeOptions)
	add("X-Frame-Options", h.FrameOptions)
	add("Referrer-Policy", h.ReferrerPolicy)
	add("Content-Security-Policy", h.ContentSecurityPolicy)
	add("Permissions-Policy", h.PermissionsPolicy)
	add("Cross-Origin-Opener-Policy", h.OpenerPolicy)
	if h.TransportSecurity != "" {
		set.hsts = []string{h.TransportSecurity}[:1:1]
	}
	return set
}

func (s *headerSet) apply(h http.Header, scheme string) {
	for i, name := range s.names {
		h[name] = s.values[i]
	}
	if scheme == "https" && s.hsts != nil {
		h["Strict-Transport-Security"] = s.hsts
	}
}

// owns reports whether the gateway speaks for a response field, so that a
// service's own is dropped.
func (s *headerSet) owns(name string) bool {
	for _, n := range s.names {
		if n == name {
			return true
		}
	}
	return name == "Strict-Transport-Security" && s.hsts != nil
}

// hopByHop are the fields of one connection only (RFC 9110 section 7.6.1), in
// canonical form.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Http2-Settings": true,
}

// ours are the request fields that only the gateway may send to a service:
// what it says of identity, safety, address and trace. Callers' own are
// dropped, underscore twins too, because CGI and WSGI servers cannot tell
// X_User_Id from X-User-Id.
var ours = map[string]bool{
	"X-Request-Id": true, "X-Correlation-Id": true,
	"Forwarded": true, "X-Real-Ip": true, "True-Client-Ip": true, "Cf-Connecting-Ip": true,
	"X-Client-Ip": true, "X-Cluster-Client-Ip": true, "X-Username": true, "X-Priority": true,
	"X-Original-Url": true, "X-Rewrite-Url": true, "X-Http-Method-Override": true, "X-Http-Method": true, "X-Method-Override": true,
	"Traceparent": true, "Tracestate": true, "Via": true,
}

var ourPrefixes = []string{"X-Forwarded-", "X-User-", "X-Gateway-", "X-Safety-", "X-Therapeutic-", "X-Crisis-"}

// stripped reports whether a request field from a caller is not forwarded.
// name is canonical.
func stripped(name string) bool {
	if hopByHop[name] || ours[name] {
		return true
	}
	if strings.IndexByte(name, '_') >= 0 {
		plain := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		return hopByHop[plain] || ours[plain] || plain == "Authorization" || plain == "Cookie" || plain == "Host" || plain == "Content-Length" || hasOurPrefix(plain)
	}
	return len(name) > 2 && name[0] == 'X' && hasOurPrefix(name)
}

func hasOurPrefix(name string) bool {
	for _, p := range ourPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// connectionListed are the fields that a message's Connection names as its
// own hop's. They are taken out before the gateway adds anything, so that
// nobody can have our own fields removed.
func connectionListed(h http.Header) []string {
	lines := h["Connection"]
	if len(lines) == 0 {
		return nil
	}
	var out []string
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name != "" && name != "Close" && name != "Keep-Alive" && httpguts.ValidHeaderFieldName(name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// malformedStream reports an HTTP/2 request that must not be forwarded: with
// fields of a connection, which there only smugglers send (RFC 9113 section
// 8.2.2), or with a Host that contradicts :authority (section 8.3.1).
func malformedStream(r *http.Request) bool {
	if r.ProtoMajor < 2 {
		return false
	}
	for _, name := range [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade"} {
		if r.Header[name] != nil {
			return true
		}
	}
	for _, te := range r.Header["Te"] {
		if !strings.EqualFold(te, "trailers") {
			return true
		}
	}
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(host, r.Host) {
			return true
		}
	}
	return false
}

// wellFormedHost accepts what can be a name or an address with a port (RFC
// 3986 section 3.2.2). net/http lets more through; but "user@host" is one host
// to us and may be another to a service.
func wellFormedHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~:[]%!$&'()*+;=", c) >= 0:
		default:
			return false
		}
	}
	return true
}
