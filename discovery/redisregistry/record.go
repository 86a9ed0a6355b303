package redisregistry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
)

// maxRecord is the largest entry that is read, in bytes.
const maxRecord = 64 << 10

// historicWeight is the weight that a ServiceInfo has unless it says another:
// what an instance's 1 is to us.
const historicWeight = 100

// serviceInfo is what we read of an entry. Everything else in it is kept as it
// is.
type serviceInfo struct {
	Name        string   `json:"name"`
	Type        string   `json:"service_type"`
	Endpoint    endpoint `json:"endpoint"`
	Weight      int      `json:"weight"`
	Tags        []string `json:"tags"`
	Metadata    members  `json:"metadata"`
	HealthCheck struct {
		Endpoint string `json:"endpoint"`
	} `json:"health_check"`
	LastSeen    string `json:"last_seen"`
	Therapeutic bool   `json:"therapeutic_priority"`
	Ours        *ours  `json:"tta_gateway"`
}

type members = map[string]json.RawMessage

type endpoint struct {
	Host   string `json:"host"`
	Port   int    `json:"port"`
	Path   string `json:"path"`
	Scheme string `json:"scheme"`
}

// ours is the member that this package adds: the instance exactly, where the
// historic members say less.
type ours struct {
	URL      string            `json:"url"`
	Weight   int               `json:"weight"`
	Tags     []string          `json:"tags,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Draining bool              `json:"draining,omitempty"`
	Addrs    []netip.Addr      `json:"addresses,omitempty"`
}

// A Record is an entry of the hash as it stands, live or not.
type Record struct {
	// Key is the entry's field in the hash.
	Key string
	// Instance is what the entry says. Its ID is Key if this package wrote the
	// entry; else it is the deterministic ID of its URL, since historic writers
	// chose a new random one at every start.
	Instance discovery.Instance
	// Foreign says that another writer wrote it.
	Foreign bool
	// Health is what the health key says: "healthy", "unhealthy", or "" when the
	// lease has run out.
	Health string
	// HealthURL is where the entry wants its health asked, as it stands there.
	HealthURL string
	// LastSeen is when it was last written. Zero when it cannot be read.
	LastSeen time.Time

	raw        string
	typ        string
	weight     int      // the historic one
	historTags []string // those of the index sets
}

// Live reports whether the record's lease runs.
func (r Record) Live() bool { return r.Health == healthy }

// parseRecord reads an entry.
func (r *Registry) parseRecord(key, raw string) (Record, error) {
	if len(raw) > maxRecord {
		return Record{}, fmt.Errorf("%w: entry has %d bytes, at most %d are read", discovery.ErrInvalid, len(raw), maxRecord)
	}
	var info serviceInfo
	if err := json.Unmarshal([]byte(raw), &info); err != nil {
		return Record{}, fmt.Errorf("%w: entry is not a ServiceInfo: %w", discovery.ErrInvalid, jsonError(err))
	}
	rec := Record{
		Key: key, raw: raw, typ: info.Type, weight: clamp(info.Weight, historicWeight), historTags: info.Tags,
		LastSeen: parseTime(info.LastSeen),
	}
	i, err := info.ourInstance(key)
	if err != nil {
		rec.Foreign = true
		i, err = info.foreignInstance(r.UsePath)
	}
	if err != nil {
		return Record{}, err
	}
	rec.Instance, rec.HealthURL = i, info.healthURL()
	return rec, nil
}

// jsonError says what is wrong without repeating what stands there.
func jsonError(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("member %q is a %s", t.Field, t.Value)
	}
	return errors.New("not JSON")
}

var errNotOurs = errors.New("redisregistry: entry has no member of ours that fits")

// ourInstance returns what our member says, if there is one and nobody has
// moved the entry's endpoint since.
func (s serviceInfo) ourInstance(key string) (discovery.Instance, error) {
	if s.Ours == nil {
		return discovery.Instance{}, errNotOurs
	}
	u, err := discovery.ParseURL(s.Ours.URL)
	if err != nil || endpointOf(u) != s.Endpoint {
		return discovery.Instance{}, errNotOurs
	}
	return discovery.Instance{
		ID: key, Service: s.Name, URL: u, Weight: s.Ours.Weight, Tags: s.Ours.Tags,
		Metadata: s.Ours.Metadata, Draining: s.Ours.Draining, Addrs: s.Ours.Addrs,
	}.Complete()
}

// foreignInstance returns what the historic members say. The path of an
// endpoint is where the service's interface begins, and requests carry it
// already: it is told as metadata, unless usePath.
func (s serviceInfo) foreignInstance(usePath bool) (discovery.Instance, error) {
	u := s.Endpoint.url()
	meta := s.plainMetadata()
	if !usePath {
		meta["base_path"] = u.Path
		u.Path = ""
	}
	if meta["base_path"] == "" || meta["base_path"] == "/" {
		delete(meta, "base_path")
	}
	if u.Path == "/" {
		u.Path = ""
	}
	return discovery.Instance{
		Service: s.Name, URL: u, Weight: clamp(s.Weight, historicWeight), Tags: s.plainTags(), Metadata: bounded(meta),
	}.Complete()
}

func clamp(weight, unset int) int {
	if weight == 0 {
		return unset
	}
	return min(max(weight, 1), discovery.MaxWeight)
}

// url returns the endpoint's URL. Its defaults are those of the historic model.
// A service that speaks WebSocket is dialled over HTTP like any other.
func (e endpoint) url() *url.URL {
	scheme := map[string]string{"": "http", "ws": "http", "wss": "https"}
	u := &url.URL{Scheme: e.Scheme, Host: e.Host, Path: e.Path}
	if s, ok := scheme[e.Scheme]; ok {
		u.Scheme = s
	}
	if e.Host != "" {
		u.Host = net.JoinHostPort(strings.Trim(e.Host, "[]"), strconv.Itoa(e.Port))
	}
	return u
}

// endpointOf returns the historic form of a URL.
func endpointOf(u *url.URL) endpoint {
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	path := u.Path
	if path == "" {
		path = "/"
	}
	return endpoint{Host: u.Hostname(), Port: port, Path: path, Scheme: u.Scheme}
}

// healthURL joins endpoint and health path as the historic poller did.
func (s serviceInfo) healthURL() string {
	u := s.Endpoint.url()
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + strings.TrimPrefix(s.HealthCheck.Endpoint, "/")
	return u.String()
}

// plainMetadata returns metadata as text; what is no text stays JSON.
func (s serviceInfo) plainMetadata() map[string]string {
	out := map[string]string{}
	for name, raw := range s.Metadata {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		out[name] = text
	}
	return out
}

// plainTags returns the tags that an Instance may have, and "therapeutic" for
// a service whose flag says so.
func (s serviceInfo) plainTags() []string {
	var out []string
	for _, t := range s.Tags {
		if t = strings.ToLower(strings.TrimSpace(t)); t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	if (s.Therapeutic || s.Type == "therapeutic") && !slices.Contains(out, "therapeutic") {
		out = append(out, "therapeutic")
	}
	out = slices.DeleteFunc(out, func(t string) bool { return len(t) > discovery.MaxTagLength })
	return out[:min(len(out), discovery.MaxTags)]
}

// bounded drops what is more metadata than an Instance may have: in an entry
// that somebody else wrote, that is no reason not to reach the service.
func bounded(meta map[string]string) map[string]string {
	size, n, out := 0, 0, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		size += len(name) + len(meta[name])
		if n++; n > discovery.MaxMetadata || size > discovery.MaxMetadataSize {
			break
		}
		out[name] = meta[name]
	}
	return out
}

// parseTime reads the times that Python writes, with or without a zone; those
// without are UTC.
func parseTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// formatTime writes a time as the historic model does: UTC, without a zone.
func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

// render returns the entry for i: old with our members put in, or a new one
// with the defaults of the historic model. Members that we do not know stay.
func render(i discovery.Instance, old string, now time.Time) (string, error) {
	entry := members{}
	if old != "" && json.Unmarshal([]byte(old), &entry) != nil {
		entry = members{} // it could not be read by anybody
	}
	if entry == nil { // it was the JSON null
		entry = members{}
	}
	for name, value := range defaults(i, now) {
		if _, there := entry[name]; !there {
			entry[name] = encode(value)
		}
	}
	for name, value := range owned(i, entry, now) {
		entry[name] = encode(value)
	}
	raw, err := json.Marshal(entry)
	if err == nil && len(raw) > maxRecord {
		err = fmt.Errorf("%w: entry would have %d bytes, use at most %d", discovery.ErrInvalid, len(raw), maxRecord)
	}
	return string(raw), err
}

// encode encodes what is made of strings, numbers and maps of them, which
// cannot fail.
func encode(v any) json.RawMessage {
	raw, _ := json.Marshal(v)
	return raw
}

// defaults are members that we write into a new entry and leave alone in an
// old one. We check nothing on the service's behalf, so safety_validated is
// false.
func defaults(i discovery.Instance, now time.Time) map[string]any {
	return map[string]any{
		"version": "1.0.0", "service_type": serviceType(i), "priority": 100,
		"health_check": map[string]any{
			"enabled": true, "endpoint": "/health", "interval": 30, "timeout": 5, "retries": 3, "expected_status": 200,
		},
		"metrics": map[string]any{
			"request_count": 0, "error_count": 0, "average_response_time": 0.0,
			"last_response_time": nil, "uptime": 0.0, "last_health_check": nil,
		},
		"registered_at": formatTime(now), "crisis_support": slices.Contains(i.Tags, "crisis"), "safety_validated": false,
	}
}

// owned are the members that are always ours to say.
func owned(i discovery.Instance, entry members, now time.Time) map[string]any {
	return map[string]any{
		"id": i.ID, "name": i.Service, "endpoint": mergedEndpoint(i.URL, entry["endpoint"]),
		"weight": min(i.Weight*historicWeight, discovery.MaxWeight), "tags": historicTags(i.Tags),
		"metadata": mergedMetadata(i.Metadata, entry["metadata"]), "status": healthy,
		"therapeutic_priority": slices.Contains(i.Tags, "therapeutic"), "last_seen": formatTime(now),
		"tta_gateway": ours{i.URL.String(), i.Weight, i.Tags, i.Metadata, i.Draining, i.Addrs},
	}
}

// serviceTypes are those of the historic model.
var serviceTypes = []string{"api", "websocket", "therapeutic", "authentication", "database", "cache", "messaging"}

// serviceType is what the instance's metadata says, if the historic model
// knows it.
func serviceType(i discovery.Instance) string {
	if t := i.Metadata["service_type"]; slices.Contains(serviceTypes, t) {
		return t
	}
	return "api"
}

func historicTags(tags []string) []string {
	out := []string{}
	for _, t := range tags {
		if t = strings.ToLower(strings.TrimSpace(t)); t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func mergedEndpoint(u *url.URL, old json.RawMessage) members {
	merged, e := parseMembers(old), endpointOf(u)
	for name, value := range map[string]any{"host": e.Host, "port": e.Port, "path": e.Path, "scheme": e.Scheme} {
		merged[name] = encode(value)
	}
	return merged
}

// mergedMetadata keeps what is no text: an Instance cannot say it.
func mergedMetadata(meta map[string]string, old json.RawMessage) members {
	merged := parseMembers(old)
	maps.DeleteFunc(merged, func(_ string, raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '"' })
	for name, value := range meta {
		merged[name] = encode(value)
	}
	return merged
}

func parseMembers(raw json.RawMessage) members {
	var m members
	if len(raw) == 0 || json.Unmarshal(raw, &m) != nil || m == nil {
		return members{}
	}
	return m
}
