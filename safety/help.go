package safety

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

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
// It is data; [Help.Frame], [Help.Members], [Help.SetHeaders] and [Help.String]
// render it.
type Help struct {
	Severity   Severity
	Categories []Category
	Language   string // of Text, BCP 47
	Region     string // ISO 3166 of Resources, "" unknown
	Text       string // at most 60 words, without the resources
	Version    string // of the Book that it comes from
	Resources  []Resource

	words   map[string]string // of the language: how to say "call"
	hotline string            // of the region, or where to find one
}

// Help returns what to give to the person behind a request now, at a severity:
// in the language that they ask for and with the resources of their region. It
// works on a nil Guard and without an [Inspector], for refusals and error pages
// need it most when nothing else works.
func (g *Guard) Help(r *http.Request, s Severity) Help {
	return g.HelpFor(r, Verdict{Severity: s})
}

// HelpFor is [Guard.Help] for what was found in a person's own words: who is
// worried about somebody else gets what such a person needs, each danger the
// lines that know it, and who asks for no language the one that they wrote in.
//
// It is for the message that the verdict is on. Where a conversation stands
// higher than that, other words were graver: give [Guard.Help] of the level then.
func (g *Guard) HelpFor(r *http.Request, v Verdict) Help {
	accept, region := acceptLanguage(r), ""
	if g != nil {
		region = ask(g.Region, r)
	}
	return g.book().Help(cmpOr(accept, v.Language), cmpOr(region, regionOf(accept)), v.Severity, v.Categories...)
}

func acceptLanguage(r *http.Request) string {
	if r == nil {
		return ""
	}
	return strings.Join(r.Header["Accept-Language"], ",")
}

// String returns the help as plain text: the message, an empty line, and one
// line for each resource.
func (h Help) String() string {
	var b strings.Builder
	b.WriteString(h.Text)
	if len(h.Resources) > 0 {
		b.WriteString("\n")
	}
	for _, r := range h.Resources {
		b.WriteString("\n- " + r.Name + ": " + strings.Join(h.ways(r), ", "))
	}
	return b.String()
}

// ways lists how to reach a resource, in the help's language.
func (h Help) ways(r Resource) (ways []string) {
	if r.Phone != "" {
		ways = append(ways, h.say("call", r.Phone))
	}
	if r.SMS != "" {
		ways = append(ways, h.say("text", r.SMS))
	}
	if r.URL != "" {
		ways = append(ways, strings.TrimPrefix(r.URL, "https://"))
	}
	if r.Info != "" {
		ways = append(ways, r.Info)
	}
	return ways
}

func (h Help) say(word, number string) string {
	phrase := cmpOr(h.words[word], word+" {number}")
	return strings.ReplaceAll(phrase, "{number}", number)
}

// link is a resource as TTA's front end shows it: a button with a link.
type link struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// links returns a link for each resource: to its page, or one that dials.
func (h Help) links() []link {
	links := make([]link, 0, len(h.Resources))
	for _, r := range h.Resources {
		links = append(links, link{r.Name, cmpOr(r.URL, cmpOr(dial("tel:", r.Phone), dial("sms:", r.SMS)))})
	}
	return links
}

// dial makes a link of a number (RFC 3966, RFC 5724): its last word, for "HOME
// to 741741" is texted to 741741.
func dial(scheme, number string) string {
	if number == "" {
		return ""
	}
	if i := strings.LastIndex(number, " to "); i >= 0 {
		number = number[i+len(" to "):]
	}
	return scheme + strings.ReplaceAll(number, " ", "-")
}

// Members returns what a JSON reply or problem document carries beside its own
// members: "help" with everything, and "crisis_resources", a list of {name,
// url} that TTA's front end shows as buttons. The caller may change the map.
func (h Help) Members() map[string]any {
	return map[string]any{
		"help": map[string]any{
			"severity":  h.Severity.String(),
			"text":      h.Text,
			"language":  h.Language,
			"region":    h.Region,
			"version":   h.Version,
			"resources": emptyNotNull(h.Resources),
		},
		"crisis_resources": h.links(),
	}
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// SetHeaders says on a reply's headers that help is available, by
// [SupportHeader], and which number to call, by [HotlineHeader].
func (h Help) SetHeaders(header http.Header) {
	header[SupportHeader] = availableValue
	delete(header, HotlineHeader)
	if line := h.line(); line != "" {
		header[HotlineHeader] = []string{line}
	}
}

// line is the region's number. Of help that is no book's it is the first one in it.
func (h Help) line() string {
	if h.hotline != "" || len(h.Resources) == 0 {
		return h.hotline
	}
	return numberOf(h.Resources)
}

// mark is the "safety" member that tells a front end what it shows.
type mark struct {
	Crisis bool       `json:"crisis"`
	Types  []Category `json:"types"`
	Level  Severity   `json:"level"`
}

func (h Help) mark() mark {
	level := min(max(h.Severity, None), Imminent)
	return mark{Crisis: level >= Moderate, Types: emptyNotNull(h.Categories), Level: level}
}

// element is a resource as TTA's chat shows it.
type element struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Label     string `json:"label"`
	Method    string `json:"method"` // phone, text or website
	Info      string `json:"info"`
	Emergency bool   `json:"emergency"`
}

func (h Help) elements() []element {
	elements := []element{}
	for _, r := range h.Resources {
		for _, way := range [...]struct{ method, info string }{{"phone", r.Phone}, {"text", r.SMS}, {"website", r.URL}} {
			if way.info != "" {
				elements = append(elements, element{"resource", r.ID + "-" + way.method, r.Name, way.method, way.info, r.Emergency})
			}
		}
	}
	return elements
}

// Frame returns the help as a message of the TTA chat protocol: from the role
// "system", with the text, the resources as elements, and metadata and links
// that make the front end show its support notice. session may be empty.
func (h Help) Frame(session string, now time.Time) []byte {
	type content struct {
		Text     string    `json:"text"`
		Elements []element `json:"elements"`
	}
	type metadata struct {
		Safety mark `json:"safety"`
	}
	frame, err := json.Marshal(struct {
		ID        string   `json:"id"`
		Role      string   `json:"role"`
		Session   *string  `json:"session_id"`
		Content   content  `json:"content"`
		Timestamp string   `json:"timestamp"`
		Metadata  metadata `json:"metadata"`
		Links     []link   `json:"crisis_resources"`
	}{
		frameID(), "system", orNull(session), content{h.Text, h.elements()},
		now.UTC().Format("2006-01-02T15:04:05.000000Z"), metadata{h.mark()}, h.links(),
	})
	if err != nil {
		panic(err) // strings and lists of them
	}
	return frame
}

// frameID is "msg_" and twelve hexadecimal digits.
func frameID() string {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return "msg_" + hex.EncodeToString(id[:])
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
