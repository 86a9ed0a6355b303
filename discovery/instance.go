package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what an [Instance] may carry. They keep one registration from
// filling a registry, a log line or a metrics label.
const (
	MaxNameLength   = 128  // of a service name and of an ID, in bytes
	MaxURLLength    = 2048 // of the URL's text, in bytes
	MaxWeight       = 1000
	MaxTags         = 32
	MaxTagLength    = 64 // in bytes
	MaxMetadata     = 32 // members
	MaxMetadataSize = 4096
)

// An Instance is one running copy of a service and where it answers.
//
// It is data: registries hand out copies, and nobody changes one that was
// handed out (its URL, Tags and Metadata may be shared).
type Instance struct {
	// ID names the instance among those of its service: 1 to [MaxNameLength]
	// letters, digits, and the marks . _ : - . Empty means [InstanceID].
	ID string
	// Service is the name that routes use, with the same alphabet as ID.
	Service string
	// URL is where the instance answers: scheme http or https, a host, a port
	// where it is not the scheme's own, and a path that requests are put under.
	// It has no user information, query or fragment.
	URL *url.URL
	// Weight is the instance's share of the work beside that of its
	// neighbours, 1 to [MaxWeight]. Zero means 1.
	Weight int
	// Tags are free words, [MaxTags] at most.
	Tags []string
	// Metadata are free pairs, [MaxMetadata] at most.
	Metadata map[string]string
	// Draining says that the instance finishes what it has and wants no new
	// work. Balancers pass it over while another one is left.
	Draining bool
	// Addrs are the addresses that the URL's host had when the instance was
	// registered and its addresses were checked. A dialer that connects to these
	// only, instead of resolving the name once more, cannot be led elsewhere by
	// a name whose answer changes. Empty means that nobody recorded them.
	Addrs []netip.Addr
}

// NewInstance parses rawURL and returns a complete instance of service with
// its deterministic ID. The error joins every complaint.
func NewInstance(service, rawURL string) (Instance, error) {
	u, err := ParseURL(rawURL)
	if err != nil {
		return Instance{}, errors.Join(err, checkName("service", service))
	}
	return Instance{Service: service, URL: u}.Complete()
}

// ParseURL parses and checks the URL of an instance. The error wraps
// [ErrInvalid] and joins every complaint.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The text of the error of url.Parse repeats the URL, and with it
		// whatever password stands in it.
		return nil, invalid("url cannot be parsed: write it like http://host:8080")
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	return u, nil
}

// Complete returns a copy with what was left out filled in: a deterministic
// ID, weight 1. The error wraps [ErrInvalid] and joins every complaint, as
// that of [Instance.Validate] does.
func (i Instance) Complete() (Instance, error) {
	if i.Weight == 0 {
		i.Weight = 1
	}
	if i.ID == "" && i.URL != nil {
		i.ID = InstanceID(i.Service, i.URL)
	}
	return i, i.Validate()
}

// Validate returns nil when a registry may hold the instance. Otherwise its
// error wraps [ErrInvalid] and joins every complaint, each with its remedy.
// An empty ID and a zero Weight are no complaints: [Instance.Complete] fills
// them in.
func (i Instance) Validate() error {
	errs := []error{checkName("service", i.Service), checkURL(i.URL), checkTags(i.Tags), checkMetadata(i.Metadata)}
	if i.ID != "" {
		errs = append(errs, checkName("id", i.ID))
	}
	if i.Weight < 0 || i.Weight > MaxWeight {
		errs = append(errs, invalid("weight %d: use 1 to %d", i.Weight, MaxWeight))
	}
	return errors.Join(errs...)
}

// Clone returns a copy that shares nothing with i.
func (i Instance) Clone() Instance {
	if i.URL != nil {
		u := *i.URL
		i.URL = &u
	}
	i.Tags = slices.Clone(i.Tags)
	i.Metadata = maps.Clone(i.Metadata)
	i.Addrs = slices.Clone(i.Addrs)
	return i
}

// Equal reports whether both say the same in every field.
func (i Instance) Equal(o Instance) bool {
	return i.ID == o.ID && i.Service == o.Service && sameURL(i.URL, o.URL) &&
		i.Weight == o.Weight && i.Draining == o.Draining && slices.Equal(i.Tags, o.Tags) &&
		maps.Equal(i.Metadata, o.Metadata) && slices.Equal(i.Addrs, o.Addrs)
}

// String returns service, ID and URL, for logs.
func (i Instance) String() string {
	u := "-"
	if i.URL != nil {
		u = i.URL.Redacted()
	}
	return i.Service + "/" + i.ID + " " + u
}

// InstanceID returns the ID of an instance that did not choose one: the service
// name and a digest of service, scheme, host, port and path. It is the same in
// every process and at every start, so that an instance that registers again,
// or through another gateway, replaces itself instead of standing there twice.
func InstanceID(service string, u *url.URL) string {
	canonical := strings.Join([]string{
		service, strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), port(u), strings.TrimSuffix(u.EscapedPath(), "/"),
	}, "\x00")
	sum := sha256.Sum256([]byte(canonical))
	prefix := service
	if len(prefix) > MaxNameLength-17 {
		prefix = prefix[:MaxNameLength-17]
	}
	return prefix + "-" + hex.EncodeToString(sum[:8])
}

// port returns the port that u names or its scheme implies.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if strings.EqualFold(u.Scheme, "https") {
		return "443"
	}
	return "80"
}

func sameURL(a, b *url.URL) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a == b || a.String() == b.String()
}

// checkName checks a service name or an ID.
func checkName(what, s string) error {
	if s == "" {
		return invalid("%s is empty: give it a name", what)
	}
	if len(s) > MaxNameLength {
		return invalid("%s has %d bytes: use at most %d", what, len(s), MaxNameLength)
	}
	if s == "." || s == ".." || strings.IndexFunc(s, notNameRune) >= 0 {
		return invalid("%s %q: use letters, digits, and . _ : - only", what, s)
	}
	return nil
}

func notNameRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("._:-", r)
}

// checkURL joins all complaints about where an instance says it answers.
func checkURL(u *url.URL) error {
	if u == nil {
		return invalid("url is missing: write it like http://host:8080")
	}
	return errors.Join(checkScheme(u), checkHost(u), checkBare(u))
}

func checkScheme(u *url.URL) error {
	if u.Scheme == "http" || u.Scheme == "https" {
		return nil
	}
	return invalid("url scheme %q: use http or https", u.Scheme)
}

func checkHost(u *url.URL) error {
	host := u.Hostname()
	switch {
	case host == "":
		return invalid("url has no host: write it like http://host:8080")
	case len(host) > 253:
		return invalid("url host has %d bytes: use at most 253", len(host))
	case !validHost(host):
		return invalid("url host %q: use a DNS name or an IP address in its usual notation", host)
	case !validPort(u):
		return invalid("url port %q: use 1 to 65535", u.Port())
	}
	return nil
}

// validHost accepts IP addresses and DNS names. A name that ends in a number
// is none: such hosts ("127.1", "0x7f.1", "2130706433") are addresses to some
// resolvers and names to others (WHATWG URL, section 3.5).
func validHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, l := range labels {
		if !validLabel(l) {
			return false
		}
	}
	return !endsInNumber(labels[len(labels)-1])
}

// validLabel accepts what RFC 1123, section 2.1 allows, and the underscore
// that Docker and service names use.
func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(l, func(r rune) bool { return r != '_' && (r == '.' || r == ':' || notNameRune(r)) })
}

func endsInNumber(l string) bool {
	if _, err := strconv.ParseUint(l, 0, 64); err == nil {
		return true
	}
	return !strings.ContainsFunc(l, func(r rune) bool { return r < '0' || r > '9' })
}

func validPort(u *url.URL) bool {
	p := u.Port()
	if p == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return err == nil && n > 0
}

// checkBare refuses everything in a URL that is not scheme, host, port, path.
func checkBare(u *url.URL) error {
	var errs []error
	if u.User != nil {
		errs = append(errs, invalid("url carries user information: remove it, credentials do not belong in a registry"))
	}
	if u.RawQuery != "" || u.ForceQuery {
		errs = append(errs, invalid("url carries a query: remove it"))
	}
	if u.Fragment != "" {
		errs = append(errs, invalid("url carries a fragment: remove it"))
	}
	if u.Opaque != "" {
		errs = append(errs, invalid("url has no authority: write it like http://host:8080"))
	}
	if n := len(u.String()); n > MaxURLLength {
		errs = append(errs, invalid("url has %d bytes: use at most %d", n, MaxURLLength))
	}
	return errors.Join(append(errs, checkPath(u))...)
}

// checkPath refuses base paths that would not survive being forwarded exactly.
func checkPath(u *url.URL) error {
	if strings.ContainsFunc(u.Path, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) || !utf8.ValidString(u.Path) {
		return invalid("url path %q: remove control characters and backslashes", u.Path)
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return invalid("url path %q: remove the dot segments", u.Path)
		}
	}
	return nil
}

func checkTags(tags []string) error {
	if len(tags) > MaxTags {
		return invalid("%d tags: use at most %d", len(tags), MaxTags)
	}
	var errs []error
	for _, t := range tags {
		if t == "" || len(t) > MaxTagLength || unprintable(t) {
			errs = append(errs, invalid("tag %q: use 1 to %d printable bytes", clip(t), MaxTagLength))
		}
	}
	return errors.Join(errs...)
}

func checkMetadata(m map[string]string) error {
	if len(m) > MaxMetadata {
		return invalid("%d metadata members: use at most %d", len(m), MaxMetadata)
	}
	size, errs := 0, []error(nil)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		size += len(k) + len(m[k])
		if k == "" || unprintable(k) || unprintable(m[k]) {
			errs = append(errs, invalid("metadata member %q: use printable text, and a name", clip(k)))
		}
	}
	if size > MaxMetadataSize {
		errs = append(errs, invalid("metadata has %d bytes: use at most %d", size, MaxMetadataSize))
	}
	return errors.Join(errs...)
}

func unprintable(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// clip shortens what a stranger sent before it is repeated in an error.
func clip(s string) string {
	if len(s) <= 40 {
		return s
	}
	return s[:40] + "…"
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// hostAddr returns the address that u names without a resolver, if it does.
func hostAddr(host string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

// joinHostPort is net.JoinHostPort for an address.
func joinHostPort(ip netip.Addr, port string) string {
	return net.JoinHostPort(ip.String(), port)
}
