package discovery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Bounds of [Handler].
const (
	// MaxRegistration is the largest body it reads, in bytes.
	MaxRegistration = 64 << 10
	// DefaultMinLease and DefaultMaxLease bound what a caller may ask for.
	DefaultMinLease = 5 * time.Second
	DefaultMaxLease = 10 * time.Minute
)

// What a [Handler] refuses, beside the errors of its parts.
var (
	ErrTooLarge  = errors.New("discovery: registration is too large")
	ErrMediaType = errors.New("discovery: registration is not application/json")
	ErrMethod    = errors.New("discovery: method is not allowed here")
	ErrNotFound  = errors.New("discovery: no such resource")
	ErrForbidden = errors.New("discovery: caller may not do this")
	// ErrConflict: the ID belongs to an instance at another URL.
	ErrConflict = errors.New("discovery: id is taken by an instance at another url")
)

// statuses map errors to what an HTTP client is told.
var statuses = []struct {
	err    error
	status int
}{
	{ErrTooLarge, http.StatusRequestEntityTooLarge},
	{ErrMediaType, http.StatusUnsupportedMediaType},
	{ErrMethod, http.StatusMethodNotAllowed},
	{ErrNotFound, http.StatusNotFound},
	{ErrForbidden, http.StatusForbidden},
	{ErrAddress, http.StatusForbidden},
	{ErrConflict, http.StatusConflict},
	{ErrInvalid, http.StatusBadRequest},
	{ErrUnknownInstance, http.StatusNotFound},
	{ErrUnknownService, http.StatusNotFound},
	{ErrFull, http.StatusInsufficientStorage},
}

// Status returns the HTTP status for an error of a [Handler]: 4xx for what the
// caller can mend, 507 for [ErrFull], else 503. It returns 200 for nil.
func Status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusServiceUnavailable
}

// Complaints returns the single complaints of a joined error, in order, without
// the words that every one of them begins with.
func Complaints(err error) []string {
	var out []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		for _, e := range joined.Unwrap() {
			out = append(out, Complaints(e)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	return []string{strings.TrimPrefix(strings.TrimPrefix(err.Error(), "discovery: "), "invalid: ")}
}

// Handler lets instances register over HTTP. Mount it with http.StripPrefix:
//
//	POST   /                 register: {"service","url", …} → 201 with id and lease
//	PUT    /{service}/{id}   heartbeat: empty body or {"ttl_seconds"} → 200
//	DELETE /{service}/{id}   leave → 204
//	GET    /{service}        the instances of a service → 200
//	GET    /                 those of all services, if Registry is a Lister → 200
//
// It does not authenticate. Who may register an instance of a service gets that
// service's traffic, credentials included: wrap it by something that knows who
// is asking, and let Permit say who may be which service.
//
// What it accepts cannot lead the gateway to where Rules forbid: hosts are
// resolved and checked at registration, and the addresses recorded in
// [Instance.Addrs]. Let the dialer use those, or at least Rules.Control. A
// heartbeat does not resolve again: an instance whose addresses have changed
// registers again.
type Handler struct {
	// Registrar takes the instances. It must be set.
	Registrar Registrar
	// Registry answers GET, and tells whose an ID is. Nil means Registrar, if
	// that is a Registry; if it is none, GET answers 404.
	Registry Registry
	// Permit says whether the caller may register, prolong or remove instances
	// of service; with service "", whether he may list all. Nil permits everyone
	// who gets here. An error refuses; wrap [ErrForbidden] for a 403.
	Permit func(r *http.Request, service string) error
	// Rules say which addresses are accepted. The zero value means loopback and
	// private ones.
	Rules AddressRules
	// Schemes lists the URL schemes that are accepted. Nil means http and https.
	Schemes []string
	// Resolver resolves host names. Nil means [net.DefaultResolver].
	Resolver Resolver
	// MinLease and MaxLease bound the leases that are given; without a wish it
	// is [DefaultLease], within the bounds. Zero means [DefaultMinLease] and
	// [DefaultMaxLease].
	MinLease, MaxLease time.Duration
	// Timeout bounds the work for one request. Zero means 5 seconds.
	Timeout time.Duration
	// ErrorHandler writes refusals; [Status] and [Complaints] help it. Nil writes
	// problem details (RFC 9457) that tell a 4xx's complaints, and of other
	// errors nothing.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), cmp.Or(h.Timeout, 5*time.Second))
	defer cancel()
	w.Header().Set("Cache-Control", "no-store")
	status, answer, err := h.answer(w, r.WithContext(ctx))
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	writeJSON(w, "application/json", status, answer)
}

// answer finds what the request asks for.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (int, any, error) {
	service, id, depth := splitPath(r.URL.Path)
	switch depth {
	case 0:
		return h.root(w, r)
	case 1:
		return h.service(w, r, service)
	case 2:
		return h.instance(w, r, service, id)
	}
	return 0, nil, ErrNotFound
}

// splitPath returns the segments of a path and how many there are.
func splitPath(path string) (service, id string, depth int) {
	path = strings.Trim(path, "/")
	if path == "" {
		return "", "", 0
	}
	service, rest, more := strings.Cut(path, "/")
	if !more {
		return service, "", 1
	}
	if strings.Contains(rest, "/") {
		return "", "", 3
	}
	return service, rest, 2
}

func (h *Handler) root(w http.ResponseWriter, r *http.Request) (int, any, error) {
	switch r.Method {
	case http.MethodPost:
		return h.register(w, r)
	case http.MethodGet, http.MethodHead:
		return h.list(r)
	}
	return 0, nil, notAllowed(w, "GET, HEAD, POST")
}

func (h *Handler) service(w http.ResponseWriter, r *http.Request, service string) (int, any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return 0, nil, notAllowed(w, "GET, HEAD")
	}
	if err := h.permit(r, service); err != nil {
		return 0, nil, err
	}
	all, err := h.find(r.Context(), service)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, listAnswer{describe(all)}, nil
}

func (h *Handler) instance(w http.ResponseWriter, r *http.Request, service, id string) (int, any, error) {
	switch r.Method {
	case http.MethodPut:
		return h.heartbeat(w, r, service, id)
	case http.MethodDelete:
		return h.leave(r, service, id)
	}
	return 0, nil, notAllowed(w, "DELETE, PUT")
}

func notAllowed(w http.ResponseWriter, allow string) error {
	w.Header().Set("Allow", allow)
	return fmt.Errorf("%w: use %s", ErrMethod, allow)
}

func (h *Handler) permit(r *http.Request, service string) error {
	if h.Permit == nil {
		return nil
	}
	return h.Permit(r, service)
}

// registration is what a caller sends to register.
type registration struct {
	ID         string            `json:"id"`
	Service    string            `json:"service"`
	URL        string            `json:"url"`
	Weight     int               `json:"weight"`
	Tags       []string          `json:"tags"`
	Metadata   map[string]string `json:"metadata"`
	Draining   bool              `json:"draining"`
	TTLSeconds float64           `json:"ttl_seconds"`
}

// leaseAnswer is what a caller learns of his lease.
type leaseAnswer struct {
	instanceAnswer
	TTLSeconds       float64   `json:"ttl_seconds"`
	HeartbeatSeconds float64   `json:"heartbeat_seconds"` // how often to send one
	ExpiresAt        time.Time `json:"expires_at"`
}

// instanceAnswer is an instance as callers see it.
type instanceAnswer struct {
	ID        string            `json:"id"`
	Service   string            `json:"service"`
	URL       string            `json:"url,omitempty"`
	Weight    int               `json:"weight,omitempty"`
	Tags      []string          `json:"tags,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Draining  bool              `json:"draining,omitempty"`
	Addresses []netip.Addr      `json:"addresses,omitempty"`
}

type listAnswer struct {
	Instances []instanceAnswer `json:"instances"`
}

func describe(all []Instance) []instanceAnswer {
	out := make([]instanceAnswer, len(all))
	for n, i := range all {
		out[n] = describeOne(i)
	}
	return out
}

func describeOne(i Instance) instanceAnswer {
	return instanceAnswer{
		ID: i.ID, Service: i.Service, URL: i.URL.String(), Weight: i.Weight,
		Tags: i.Tags, Metadata: i.Metadata, Draining: i.Draining, Addresses: i.Addrs,
	}
}

func (h *Handler) register(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var in registration
	if err := readJSON(w, r, &in, true); err != nil {
		return 0, nil, err
	}
	i, ttl, err := h.check(in)
	if err != nil {
		return 0, nil, err
	}
	if err := h.permit(r, i.Service); err != nil {
		return 0, nil, err
	}
	if i.Addrs, err = h.Rules.Resolve(r.Context(), h.Resolver, i.URL.Hostname()); err != nil {
		return 0, nil, err
	}
	if err := h.free(r.Context(), i); err != nil {
		return 0, nil, err
	}
	if err := h.Registrar.Register(r.Context(), i, ttl); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, newLease(describeOne(i), ttl), nil
}

// check returns the instance and lease that in asks for, or all complaints.
func (h *Handler) check(in registration) (Instance, time.Duration, error) {
	ttl, leaseErr := h.lease(in.TTLSeconds)
	u, urlErr := h.parseURL(in.URL)
	i, err := Instance{
		ID: in.ID, Service: in.Service, URL: u, Weight: in.Weight,
		Tags: in.Tags, Metadata: in.Metadata, Draining: in.Draining,
	}.Complete()
	if err := errors.Join(leaseErr, urlErr, err); err != nil {
		return Instance{}, 0, err
	}
	return i, ttl, nil
}

// parseURL parses a URL of one of the accepted schemes. Beside an error it
// returns one that is good, so that what is wrong with the rest of the instance
// can be told without complaining of its URL twice.
func (h *Handler) parseURL(raw string) (*url.URL, error) {
	u, err := ParseURL(raw)
	if err != nil {
		return &url.URL{Scheme: "http", Host: "unknown"}, err
	}
	if h.Schemes != nil && !slices.Contains(h.Schemes, u.Scheme) {
		return u, invalid("url scheme %q: use %s", u.Scheme, strings.Join(h.Schemes, " or "))
	}
	return u, nil
}

// lease returns the lease for a wish in seconds; zero wishes nothing.
func (h *Handler) lease(seconds float64) (time.Duration, error) {
	shortest, longest := cmp.Or(h.MinLease, DefaultMinLease), cmp.Or(h.MaxLease, DefaultMaxLease)
	if seconds == 0 {
		return min(max(DefaultLease, shortest), longest), nil
	}
	if seconds < shortest.Seconds() || seconds > longest.Seconds() {
		return 0, invalid("ttl_seconds %v: use %v to %v", seconds, shortest.Seconds(), longest.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// free refuses to replace an instance by one at another place: an ID is its
// instance's until the lease ends.
func (h *Handler) free(ctx context.Context, i Instance) error {
	all, err := h.find(ctx, i.Service)
	if err != nil {
		return nil // the registrar will say what is wrong with it
	}
	for _, other := range all {
		if other.ID == i.ID && !sameURL(other.URL, i.URL) {
			return fmt.Errorf("%w: leave first, or choose another id", ErrConflict)
		}
	}
	return nil
}

func newLease(i instanceAnswer, ttl time.Duration) leaseAnswer {
	return leaseAnswer{
		instanceAnswer: i, TTLSeconds: ttl.Seconds(), HeartbeatSeconds: (ttl / 3).Seconds(),
		ExpiresAt: time.Now().Add(ttl).UTC().Truncate(time.Millisecond),
	}
}

func (h *Handler) heartbeat(w http.ResponseWriter, r *http.Request, service, id string) (int, any, error) {
	var in struct {
		TTLSeconds float64 `json:"ttl_seconds"`
	}
	if err := readJSON(w, r, &in, false); err != nil {
		return 0, nil, err
	}
	ttl, err := h.lease(in.TTLSeconds)
	if err := errors.Join(err, checkName("service", service), checkName("id", id)); err != nil {
		return 0, nil, err
	}
	if err := h.permit(r, service); err != nil {
		return 0, nil, err
	}
	if err := h.Registrar.Heartbeat(r.Context(), service, id, ttl); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, newLease(instanceAnswer{ID: id, Service: service}, ttl), nil
}

func (h *Handler) leave(r *http.Request, service, id string) (int, any, error) {
	if err := errors.Join(checkName("service", service), checkName("id", id)); err != nil {
		return 0, nil, err
	}
	if err := h.permit(r, service); err != nil {
		return 0, nil, err
	}
	if err := h.Registrar.Deregister(r.Context(), service, id); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

// list answers with the instances of all services.
func (h *Handler) list(r *http.Request) (int, any, error) {
	if err := h.permit(r, ""); err != nil {
		return 0, nil, err
	}
	lister, ok := h.registry().(Lister)
	if !ok {
		return 0, nil, fmt.Errorf("%w: this registry cannot list its services, ask for one by name", ErrNotFound)
	}
	names, err := lister.Services(r.Context())
	if err != nil {
		return 0, nil, err
	}
	answer := listAnswer{[]instanceAnswer{}}
	for _, name := range names {
		all, err := h.find(r.Context(), name)
		if err != nil && !errors.Is(err, ErrUnknownService) {
			return 0, nil, err
		}
		answer.Instances = append(answer.Instances, describe(all)...)
	}
	return http.StatusOK, answer, nil
}

func (h *Handler) registry() Registry {
	if h.Registry != nil {
		return h.Registry
	}
	registry, _ := h.Registrar.(Registry)
	return registry
}

// find returns the instances of a service; an old answer is one, too.
func (h *Handler) find(ctx context.Context, service string) ([]Instance, error) {
	registry := h.registry()
	if registry == nil {
		return nil, fmt.Errorf("%w: this registry cannot be read", ErrNotFound)
	}
	all, err := registry.Instances(ctx, service)
	if errors.Is(err, ErrStale) {
		return all, nil
	}
	return all, err
}

// readJSON reads the body into v, strictly. An optional body may be empty.
func readJSON(w http.ResponseWriter, r *http.Request, v any, required bool) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRegistration))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("%w: use at most %d bytes", ErrTooLarge, MaxRegistration)
	}
	if err != nil {
		return invalid("body ended early: send it whole")
	}
	if len(body) == 0 && !required {
		return nil
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return fmt.Errorf("%w: set Content-Type", ErrMediaType)
	}
	return decodeStrict(body, v)
}

// refuse writes an error.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if h.ErrorHandler != nil {
		h.ErrorHandler(w, r, err)
		return
	}
	status := Status(err)
	problem := map[string]any{"title": http.StatusText(status), "status": status, "detail": "The registry cannot answer at the moment."}
	if status < 500 {
		complaints := Complaints(err)
		problem["detail"], problem["complaints"] = strings.Join(complaints, "; "), complaints
	}
	writeJSON(w, "application/problem+json", status, problem)
}

func writeJSON(w http.ResponseWriter, mediaType string, status int, v any) {
	if v == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left needs no answer
}
