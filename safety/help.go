package safety

import "time"

// Resource is somewhere to find help: a line to call, text or chat with.
type Resource struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Phone        string     `json:"phone,omitempty"`
	SMS          string     `json:"sms,omitempty"` // how to text it: "988", "HOME to 741741"
	URL          string     `json:"url,omitempty"` // of its chat or page, https
	Info         string     `json:"info,omitempty"`
	Availability string     `json:"availability,omitempty"` // "24/7"
	Emergency    bool       `json:"emergency,omitempty"`    // the region's emergency number, or as urgent as it
	Languages    []string   `json:"languages,omitempty"`    // BCP 47; empty = the region's
	Categories   []Category `json:"categories,omitempty"`   // only for these; empty = for everything
	VerifiedOn   string     `json:"verified_on,omitempty"`  // 2026-01-31: when somebody last looked that it is so
	Unverified   bool       `json:"unverified,omitempty"`   // nobody has looked yet: do so before you rely on it
}

// Help is what a person in distress is given: a short text and where to turn.
// It is data; [Help.Frame], [Help.Members] and [Help.String] render it.
type Help struct {
	Severity   Severity
	Categories []Category
	Language   string // of Text, BCP 47
	Region     string // ISO 3166 of Resources, "" unknown
	Text       string // at most 60 words, without the resources
	Version    string // of the Book that it comes from
	Resources  []Resource
}

func (h Help) Members() map[string]any                    { return map[string]any{} }
func (h Help) Frame(session string, now time.Time) []byte { return nil }
