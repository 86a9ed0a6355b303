package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// Secret is a text that is never shown: printed, logged or marshalled it says
// only that it is set. Its value is had by a conversion to string.
type Secret string

const hidden = "(set, not shown)"

// String says whether there is a secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString is String, so that %#v does not tell more either.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue is String for structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Format is String for every verb, %x and %q among them.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') || verb == 'q' {
		_, _ = fmt.Fprint(f, s.GoString())
		return
	}
	_, _ = fmt.Fprint(f, s.String())
}

// Size is a number of bytes.
type Size int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"b", 1}, {"", 1},
}

// ParseSize reads a number of bytes: "1048576", "64KiB", "1 MiB", "10MB".
func ParseSize(s string) (Size, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/unit.factor {
			break
		}
		return Size(n * unit.factor), nil
	}
	return 0, fmt.Errorf("%q is not a size: write a number of bytes, with KiB, MiB or GiB if you like", s)
}

// String writes the size so that [ParseSize] reads it back.
func (s Size) String() string {
	for _, unit := range []struct {
		factor Size
		suffix string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s != 0 && s%unit.factor == 0 {
			return fmt.Sprintf("%d%s", s/unit.factor, unit.suffix)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// ParseList reads a JSON array of strings, or values separated by commas.
// Space around values is dropped, and so are values that are empty.
func ParseList(s string) ([]string, error) {
	s = strings.TrimSpace(s)
	var all []string
	if strings.HasPrefix(s, "[") {
		if err := json.Unmarshal([]byte(s), &all); err != nil {
			return nil, errors.New(`not a JSON array of strings: write ["a","b"] or a,b`)
		}
	} else {
		all = strings.Split(s, ",")
	}
	out := []string{}
	for _, v := range all {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out, nil
}

// ParseServices reads a JSON object of service names, each with a list of base
// URLs, or with one URL.
func ParseServices(s string) (map[string][]string, error) {
	const remedy = `write {"player-experience":["http://10.0.0.1:8080"]}`
	d := json.NewDecoder(strings.NewReader(s))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object: " + remedy)
	}
	out := map[string][]string{}
	for d.More() {
		name, urls, err := oneService(d)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, remedy)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("the service %q stands twice: put its URLs into one list", name)
		}
		out[name] = urls
	}
	if _, err := d.Token(); err != nil || d.More() || len(bytes.TrimSpace([]byte(s[d.InputOffset():]))) > 0 {
		return nil, errors.New("not one whole JSON object: " + remedy)
	}
	return out, nil
}

func oneService(d *json.Decoder) (name string, urls []string, err error) {
	t, err := d.Token()
	if err != nil {
		return "", nil, errors.New("broken JSON")
	}
	name, _ = t.(string)
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return "", nil, fmt.Errorf("service %q: broken JSON", name)
	}
	var one string
	if json.Unmarshal(raw, &one) == nil && raw[0] == '"' {
		return name, []string{one}, nil
	}
	if err := json.Unmarshal(raw, &urls); err != nil || raw[0] != '[' {
		return "", nil, fmt.Errorf("service %q: not a list of URLs", name)
	}
	return name, urls, nil
}

// parseDuration reads Go's durations, and plain numbers as seconds.
func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n > int64(maxDuration/time.Second) || n < 0 {
			return 0, fmt.Errorf("%d seconds are out of range", n)
		}
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("not a duration: write seconds (30) or 500ms, 30s, 5m")
	}
	if d < 0 || d > maxDuration {
		return 0, errors.New("out of range: from 0 to 24h")
	}
	return d, nil
}

const maxDuration = 24 * time.Hour

// isOff reads what people write for none.
func isOff(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "off", "none", "unlimited":
		return true
	}
	return false
}

// parsePrefixes reads networks (10.0.0.0/8) and single addresses.
func parsePrefixes(s string) ([]netip.Prefix, error) {
	all, err := ParseList(s)
	if err != nil {
		return nil, err
	}
	out := []netip.Prefix{}
	var errs []error
	for _, v := range all {
		p, err := parsePrefix(v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

func parsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is neither a network (10.0.0.0/8) nor an address", s)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// parseBool reads what people write for yes and no.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "t", "1", "yes", "y", "on":
		return true, nil
	case "false", "f", "0", "no", "n", "off":
		return false, nil
	}
	return false, errors.New("neither true nor false")
}

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 0, errors.New("not a whole number")
	}
	return n, nil
}

// show writes a value as it could be given.
func show(v any) string {
	switch v := v.(type) {
	case Secret:
		return v.String()
	case []string:
		return strings.Join(v, ",")
	case []netip.Prefix:
		out := make([]string, len(v))
		for i, p := range v {
			out[i] = p.String()
		}
		return strings.Join(out, ",")
	case map[string][]string:
		return showServices(v)
	case *ratelimit.Rate:
		if v == nil {
			return ""
		}
		return show(*v)
	case ratelimit.Rate:
		if v.Unlimited() {
			return "off"
		}
		return v.String()
	}
	return fmt.Sprint(v)
}

func showServices(m map[string][]string) string {
	if len(m) == 0 {
		return ""
	}
	shown := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		for _, u := range m[name] {
			shown[name] = append(shown[name], withoutPassword(u))
		}
	}
	out, _ := json.Marshal(shown) // strings cannot fail
	return string(out)
}

// withoutPassword takes from a URL what may be secret in it.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return hidden
	}
	if u.User != nil {
		u.User = url.User("…")
	}
	u.RawQuery, u.Fragment = "", ""
	return strings.Replace(u.String(), url.User("…").String(), "…", 1)
}
