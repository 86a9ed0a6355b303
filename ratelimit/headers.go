package ratelimit

import (
	"fmt"
	"math/bits"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A HeaderStyle says which fields tell a client about its limit.
type HeaderStyle int8

const (
	// Both is Legacy and Draft together: the zero style.
	Both HeaderStyle = iota
	// Legacy is X-RateLimit-Limit, X-RateLimit-Remaining and
	// X-RateLimit-Reset, the last in seconds since 1970: what the TTA
	// services and most clients speak.
	Legacy
	// Draft is RateLimit and RateLimit-Policy as in revision 10 of
	// draft-ietf-httpapi-ratelimit-headers. It is a draft: a later release
	// may follow a later revision.
	Draft
	// NoHeaders tells nothing but Retry-After, which every refusal carries
	// (RFC 9110, section 10.2.3).
	NoHeaders
)

var styleNames = [...]string{"both", "legacy", "draft", "none"}

// String is "both", "legacy", "draft" or "none".
func (s HeaderStyle) String() string {
	if s < 0 || int(s) >= len(styleNames) {
		return fmt.Sprintf("style(%d)", int8(s))
	}
	return styleNames[s]
}

// ParseHeaderStyle reads a style's name: both, legacy, draft or none.
func ParseHeaderStyle(s string) (HeaderStyle, error) {
	for i, name := range styleNames {
		if strings.EqualFold(strings.TrimSpace(s), name) {
			return HeaderStyle(i), nil
		}
	}
	return Both, fmt.Errorf("ratelimit: unknown header style %.40q; use one of %s", s, strings.Join(styleNames[:], ", "))
}

// A field is one of the header fields that are written here. It is a number,
// not a name, so that a row of them holds no pointers.
type field uint8

const (
	fieldLimit field = iota
	fieldRemaining
	fieldReset
	fieldPolicy
	fieldState
	fieldRetryAfter
	fieldCount
)

// fieldNames are in the canonical form that http.Header uses for its keys.
var fieldNames = [fieldCount]string{
	"X-Ratelimit-Limit",
	"X-Ratelimit-Remaining",
	"X-Ratelimit-Reset",
	"Ratelimit-Policy",
	"Ratelimit",
	"Retry-After",
}

// SetHeaders writes into h what d says about its limit, in the given style,
// and Retry-After when d refuses: whole seconds, rounded up, never 0. Fields of
// the same names are replaced. A Decision without a limit writes nothing.
//
// The limit is told as the bucket: its size, what remains of it, and when it
// is full again. For a Rate without a Burst of its own the size is N.
//
// Keys are not told: they may be persons.
func SetHeaders(h http.Header, d Decision, style HeaderStyle) {
	SetHeadersAt(time.Now(), h, d, style)
}

// SetHeadersAt is [SetHeaders] at the time now, on which X-RateLimit-Reset
// depends.
func SetHeadersAt(now time.Time, h http.Header, d Decision, style HeaderStyle) {
	var space [192]byte // enough for all fields of a name of usual length
	f := fields{text: space[:0]}
	if !d.Limit.Rate.Unlimited() {
		if style == Both || style == Legacy {
			f = f.legacy(now, &d)
		}
		if style == Both || style == Draft {
			f = f.draft(&d)
		}
	}
	if !d.Allowed {
		f = f.number(fieldRetryAfter, retrySeconds(d.RetryAfter))
	}
	f.writeTo(h)
}

// fields collects header values in one buffer, so that all of them together
// cost two allocations: this happens for every request of a gateway. It is
// passed by value, since a buffer behind a pointer would go to the heap.
type fields struct {
	text  []byte
	which [fieldCount]field
	ends  [fieldCount]int
	count int
}

func (f fields) legacy(now time.Time, d *Decision) fields {
	full := now.Add(d.Reset).Add(time.Second - 1) // rounded up
	f = f.number(fieldLimit, int64(d.Limit.Rate.Size()))
	f = f.number(fieldRemaining, int64(d.Remaining))
	return f.number(fieldReset, full.Unix())
}

func (f fields) draft(d *Decision) fields {
	f.text = appendName(f.text, d.Limit.Name)
	f.text = appendParameter(f.text, ";q=", int64(d.Limit.Rate.Size()))
	if window, whole := windowSeconds(d.Limit.Rate); whole {
		f.text = appendParameter(f.text, ";w=", window)
	}
	f = f.end(fieldPolicy)

	f.text = appendName(f.text, d.Limit.Name)
	f.text = appendParameter(f.text, ";r=", int64(d.Remaining))
	f.text = appendParameter(f.text, ";t=", ceilSeconds(d.Reset))
	return f.end(fieldState)
}

func (f fields) number(which field, value int64) fields {
	f.text = strconv.AppendInt(f.text, value, 10)
	return f.end(which)
}

// end says that all that was written since the last end is the value of which.
func (f fields) end(which field) fields {
	f.which[f.count], f.ends[f.count] = which, len(f.text)
	f.count++
	return f
}

func (f fields) writeTo(h http.Header) {
	text, values, start := string(f.text), make([]string, f.count), 0
	for i, end := range f.ends[:f.count] {
		values[i] = text[start:end]
		h[fieldNames[f.which[i]]] = values[i : i+1 : i+1]
		start = end
	}
}

// appendName writes a String of RFC 9651, section 4.1.6. Limits without a name
// are told as "default", since the draft wants one.
func appendName(b []byte, s string) []byte {
	if s == "" {
		s = "default"
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func appendParameter(b []byte, key string, value int64) []byte {
	return strconv.AppendInt(append(b, key...), value, 10)
}

// windowSeconds is the time in which a whole bucket comes back. The draft
// tells windows in whole seconds, or not at all.
func windowSeconds(r Rate) (seconds int64, whole bool) {
	window := uint64(r.Per)
	if r.Burst != 0 {
		hi, lo := bits.Mul64(uint64(r.Per), uint64(r.Burst))
		if hi >= uint64(r.N) {
			return 0, false
		}
		var rest uint64
		if window, rest = bits.Div64(hi, lo, uint64(r.N)); rest != 0 {
			return 0, false
		}
	}
	return int64(window / uint64(time.Second)), window%uint64(time.Second) == 0
}

func ceilSeconds(d time.Duration) int64 {
	seconds := int64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	return seconds
}

// retrySeconds is the value of Retry-After: delay-seconds are whole
// (RFC 9110, section 10.2.3), and 0 would invite the client to hammer.
func retrySeconds(d time.Duration) int64 { return max(1, ceilSeconds(d)) }
