package ratelimit

import (
	"fmt"
	"strings"
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

