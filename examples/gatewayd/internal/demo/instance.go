package demo

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// InstanceHeader names the response header in which an instance says who it is, so that balancing can be seen.
const InstanceHeader = "X-Demo-Instance"

// Instance is one running copy of the story service: an [http.Handler] on a [World] that it may share
// with others. It is safe for simultaneous use.
type Instance struct {
	world *World
	name  string
	chats chats

	mu        sync.Mutex // guards the fields below
	stopped   bool
	requests  int64
	delivered []Delivery
	forgotten int64
	calls     map[string][]time.Time
}

// Stats is what an instance has seen.
type Stats struct {
	Name      string     `json:"name"`
	Running   bool       `json:"running"`
	Requests  int64      `json:"requests"`  // all that reached it, WebSocket handshakes too
	Sockets   int        `json:"sockets"`   // open now
	Delivered []Delivery `json:"delivered"` // oldest first; the newest Options.MaxRecords
	Forgotten int64      `json:"forgotten"` // deliveries older than those
}

// Delivery is one request that may change something (any method but GET, HEAD and OPTIONS) and reached
// an instance, whatever came of it.
type Delivery struct {
	// ID is the request's X-Demo-Id, else the first of X-Request-ID, X-Gateway-Request-ID and X-Correlation-ID.
	ID     string `json:"id"`
	Method string `json:"method"`
	Path   string `json:"path"`
}

// Story returns a new instance called name on this world.
func (w *World) Story(name string) *Instance {
	i := &Instance{world: w, name: name, calls: map[string][]time.Time{}}
	i.chats.most = w.options.MaxSockets
	return i
}

// Name is what the instance calls itself.
func (i *Instance) Name() string { return i.name }

// Stop makes the instance behave like a stopped process: its chat sockets end with 1001, and every
// request is hung up on without an answer. It returns when the sockets have ended, a second later at most.
func (i *Instance) Stop() {
	i.setStopped(true)
	i.chats.endAll()
}

// Start undoes Stop. A new instance is started.
func (i *Instance) Start() {
	i.chats.begin()
	i.setStopped(false)
}

func (i *Instance) setStopped(stopped bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = stopped
}

// Stats returns what the instance has seen so far.
func (i *Instance) Stats() Stats {
	i.mu.Lock()
	defer i.mu.Unlock()
	return Stats{
		Name: i.name, Running: !i.stopped, Requests: i.requests, Sockets: i.chats.open(),
		Delivered: append([]Delivery{}, i.delivered...), Forgotten: i.forgotten,
	}
}

// ServeHTTP answers as the player-experience service does.
func (i *Instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !i.note(r) {
		panic(http.ErrAbortHandler)
	}
	i.dress(w.Header())
	unread := i.hold(w, r)
	f, err := faultOf(r, i.name)
	switch {
	case err != nil:
		write(w, nil, err)
	case !f.wait(r), f.hangUp:
		panic(http.ErrAbortHandler)
	case f.status == http.StatusInternalServerError:
		write(w, nil, internal())
	case f.status != 0:
		write(w, nil, refuse(f.status, "A fault that was asked for"))
	case f.truncate:
		h := &half{ResponseWriter: w}
		i.serve(h, r, unread)
		h.hangUp()
	default:
		i.serve(w, r, unread)
	}
}

// note counts the request, and says whether anybody is there to answer it.
func (i *Instance) note(r *http.Request) (running bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return false
	}
	i.requests++
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	i.delivered = append(i.delivered, Delivery{ID: nameOf(r), Method: r.Method, Path: r.URL.Path})
	if surplus := len(i.delivered) - i.world.options.MaxRecords; surplus > 0 {
		i.delivered = append([]Delivery(nil), i.delivered[surplus:]...)
		i.forgotten += int64(surplus)
	}
	return true
}

func nameOf(r *http.Request) string {
	for _, header := range []string{"X-Demo-Id", "X-Request-Id", "X-Gateway-Request-Id", "X-Correlation-Id"} {
		if id := r.Header.Get(header); id != "" {
			return id[:min(len(id), 128)]
		}
	}
	return ""
}

// dress sets what the real service sends with everything, among it headers that a gateway must replace
// and not repeat.
func (i *Instance) dress(h http.Header) {
	h.Set(InstanceHeader, i.name)
	h.Set("X-Request-Id", newID())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	h.Set("Content-Security-Policy", "default-src 'self'; connect-src 'self'; frame-src 'none'")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("X-Therapeutic-Safety", "monitored")
	h.Set("X-Crisis-Hotline", "988")
}

// serve is the service without its faults. The chat handshake goes past everything that stands before
// the other routes, as it does at the real service. Unread says why the body is not there, nil when it is.
func (i *Instance) serve(w http.ResponseWriter, r *http.Request, unread error) {
	if r.URL.Path == "/ws/chat" {
		i.chat(w, r)
		return
	}
	who, err := i.who(r)
	if err == nil {
		err = i.withinCalls(w.Header(), r)
	}
	if err == nil {
		err = unread
	}
	if err != nil {
		write(w, nil, err)
		return
	}
	answer, err := i.answer(r, who)
	if direct, ok := answer.(http.Handler); ok && err == nil {
		direct.ServeHTTP(w, r)
		return
	}
	write(w, answer, err)
}

// who reads the token. On a public route nobody is an answer too.
func (i *Instance) who(r *http.Request) (caller, error) {
	token, present, wellFormed := bearer(r)
	who, _, err := i.world.tokens.read(token)
	switch {
	case public(r):
		return who, nil
	case !present:
		return who, unauthorized("Authentication Required", "Authorization header is required")
	case !wellFormed:
		return who, unauthorized("Invalid Authorization Header", "Authorization header must be in format: Bearer <token>")
	case err != nil:
		return who, unauthorized("Authentication Failed", "Could not validate credentials")
	}
	return who, nil
}

// withinCalls is the service's own limiter: a log of the last minute for each network peer.
func (i *Instance) withinCalls(h http.Header, r *http.Request) error {
	most := i.world.options.Calls
	if most <= 0 {
		return nil
	}
	left, reset := i.call(peerOf(r), most)
	if left < 0 {
		return &refusal{
			status: http.StatusTooManyRequests,
			header: http.Header{"Retry-After": {"60"}},
			body:   map[string]any{"error": "Rate Limit Exceeded", "message": "Too many requests", "retry_after": 60},
		}
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(most))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	return nil
}

// peerOf is who is at the other end, and what a proxy on this machine says of its own other end.
func peerOf(r *http.Request) string {
	hops := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
	if last := strings.TrimSpace(hops[len(hops)-1]); last != "" && loopback(r.RemoteAddr) {
		return last
	}
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return peer
}

// call notes one more call of the peer and says how many are left; -1 means that this one was too many.
func (i *Instance) call(peer string, most int) (left int, reset time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	calls := since(i.calls[peer], now.Add(-time.Minute))
	if len(i.calls) > i.world.options.MaxRecords {
		clear(i.calls)
	}
	if len(calls) < most {
		calls = append(calls, now)
		left = most - len(calls)
	} else {
		left = -1
	}
	i.calls[peer] = calls
	return left, now.Add(time.Minute)
}

// hold reads the body, up to the limit, before any lock is taken: a slow client keeps nobody waiting,
// and from here on the request's context ends when its client goes.
func (i *Instance) hold(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, i.world.options.MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "Request body too large")
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "There was an error reading the body")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func (i *Instance) answer(r *http.Request, who caller) (any, error) {
	serve, allow := find(r)
	if serve != nil {
		return serve(i, r, who)
	}
	if location, ok := otherSlash(r); ok && len(allow) == 0 {
		return reply{status: http.StatusTemporaryRedirect, header: http.Header{"Location": {location}}}, nil
	}
	if len(allow) > 0 {
		refused := refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
		refused.header = http.Header{"Allow": {strings.Join(allow, ", ")}}
		return nil, refused
	}
	return nil, refuse(http.StatusNotFound, "Not Found")
}

// text200 is an answer that is text, not JSON.
type text200 struct{ kind, body string }

func (t text200) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", t.kind)
	_, _ = io.WriteString(w, t.body)
}
