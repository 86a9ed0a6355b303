package safety

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Severity says how much danger a text speaks of. Severities are ordered: a
// later one is graver. The order follows the Columbia screener (C-SSRS): a
// passive wish is low, thinking of it moderate, a method, plan or intent high,
// and what is happening now imminent.
//
// A Severity of None says that nothing was found, which is never the same as
// "this person is safe": a text cannot clear a risk.
type Severity int8

// The severities, from nothing found to happening now.
const (
	None     Severity = iota // nothing was found
	Low                      // ambiguous, or a passive wish
	Moderate                 // active thoughts, urges, acute distress
	High                     // method, plan, intent, access to means, recent harm
	Imminent                 // in progress, just done, or about to be
)

var severityNames = [...]string{"none", "low", "moderate", "high", "imminent"}

// String returns "none", "low", "moderate", "high" or "imminent".
func (s Severity) String() string {
	if s < None || s > Imminent {
		return fmt.Sprintf("Severity(%d)", int8(s))
	}
	return severityNames[s]
}

// ParseSeverity reads what [Severity.String] writes, in any letter case.
func ParseSeverity(text string) (Severity, error) {
	i := slices.Index(severityNames[:], strings.ToLower(text))
	if i < 0 {
		return None, fmt.Errorf("safety: unknown severity %q: want one of %s", text, strings.Join(severityNames[:], ", "))
	}
	return Severity(i), nil
}

// MarshalText writes the severity's name; a value outside the known ones is an error.
func (s Severity) MarshalText() ([]byte, error) {
	if s < None || s > Imminent {
		return nil, fmt.Errorf("safety: severity %d does not exist", int8(s))
	}
	return []byte(severityNames[s]), nil
}

// UnmarshalText reads what [Severity.MarshalText] writes.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeverity(string(text))
	return err
}

// Category names what kind of danger was found. It is a word, not a number, so
// that an [Inspector] of your own may add its own; the constants are those that
// the built-in messages and detector know.
type Category string

// What a person may say of themselves or of somebody else.
const (
	SuicidalIdeation Category = "suicidal_ideation"
	SelfHarm         Category = "self_harm"
	HarmToOthers     Category = "harm_to_others"
	Abuse            Category = "abuse"
	SubstanceCrisis  Category = "substance_crisis"
	EatingDisorder   Category = "eating_disorder"
	Psychosis        Category = "psychosis"
	Panic            Category = "panic"
	SevereDepression Category = "severe_depression"
	TraumaResponse   Category = "trauma_response"
	GeneralDistress  Category = "general_distress"
	// ThirdParty marks talk of somebody else's danger ("my friend said that
	// she…"). It stands beside the category of that danger.
	ThirdParty Category = "third_party"
)

// What a service may say to a person that it should not.
const (
	Methods       Category = "methods"       // how to do it, with what, how much
	Encouragement Category = "encouragement" // "you should", "nobody would miss you"
	Pact          Category = "pact"          // "let us do it together"
	Glorification Category = "glorification" // death or harm as beautiful, a release
	Secrecy       Category = "secrecy"       // "tell nobody"
	Clinician     Category = "clinician"     // a machine speaking as a clinician
	Medication    Category = "medication"    // doses, stopping or mixing medicines
)

// Direction says who speaks to whom. The same words weigh differently: a
// person who names a method is in danger, a service that does is a danger.
type Direction int8

// The two directions.
const (
	Request  Direction = iota // the person speaks to the service
	Response                  // the service speaks to the person
)

// String returns "request" or "response".
func (d Direction) String() string {
	if d == Response {
		return "response"
	}
	return "request"
}

// MarshalText writes the direction's name.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "request" or "response".
func (d *Direction) UnmarshalText(text []byte) error {
	switch string(text) {
	case "request":
		*d = Request
	case "response":
		*d = Response
	default:
		return fmt.Errorf("safety: unknown direction %q: want request or response", text)
	}
	return nil
}

// Finding is one reason of a [Verdict]. It says where, never what: Start and
// End are byte offsets into the text that was judged, and no text is kept.
type Finding struct {
	Rule       string // the rule's stable name
	Category   Category
	Severity   Severity
	Start, End int      // bytes [Start, End) of Content.Text
	Frames     []string // what lowered or raised it: "negated", "fiction", "third person", …
}

// Verdict is what an [Inspector] says of a text. It holds no text. The zero
// Verdict says that the text was looked at and nothing was found.
type Verdict struct {
	Severity   Severity
	Categories []Category // without repetition; the gravest first where that is known
	Score      float64    // 0 to 1: orders texts by how likely a crisis is; what else it means, the inspector says; 0 where it has none
	Findings   []Finding
	Language   string // BCP 47, "" unknown
	Model      string // name and version of what judged

	// Skipped says why nothing, or not all, could be said: "too large",
	// "binary", "coding", "inspector failed", … Empty means that everything
	// was looked at. A zero Severity together with a Skipped is "unknown",
	// never "nothing found".
	Skipped string
}

// Has reports whether category is among the verdict's.
func (v Verdict) Has(category Category) bool { return slices.Contains(v.Categories, category) }

// Unknown reports whether the verdict says nothing because nothing could be looked at.
func (v Verdict) Unknown() bool { return v.Severity == None && v.Skipped != "" }

// Highest joins two verdicts on parts of one message: the graver severity and
// score, all categories (those of the graver verdict first), all findings, and
// the first reason for skipping. Findings keep their own offsets. Highest does
// not change its arguments.
func Highest(a, b Verdict) Verdict {
	if b.Severity > a.Severity || b.Severity == a.Severity && b.Score > a.Score {
		a, b = b, a
	}
	a.Categories = union(a.Categories, b.Categories)
	a.Findings = joined(a.Findings, b.Findings)
	a.Language = cmpOr(a.Language, b.Language)
	a.Model = cmpOr(a.Model, b.Model)
	a.Skipped = cmpOr(a.Skipped, b.Skipped)
	return a
}

// contextKey is the type of the keys of this package's context values.
type contextKey struct{ name string }

// ContextKey is the key under which a request's context holds its *Verdict.
// It is exported for contexts that answer Value themselves; everybody else
// uses [NewContext] and [FromContext].
var ContextKey = &contextKey{"verdict"}

// NewContext returns a context that carries the verdict on the request.
func NewContext(ctx context.Context, v Verdict) context.Context {
	return context.WithValue(ctx, ContextKey, &v)
}

// FromContext returns the verdict on the request, or, where nobody judged it,
// one whose Skipped is "not inspected".
func FromContext(ctx context.Context) Verdict {
	if v, ok := ctx.Value(ContextKey).(*Verdict); ok && v != nil {
		return *v
	}
	return Verdict{Skipped: SkippedNotInspected}
}

func union(a, b []Category) []Category {
	out := a
	for _, c := range b {
		if !slices.Contains(out, c) {
			out = append(slices.Clip(out), c)
		}
	}
	return out
}

func joined(a, b []Finding) []Finding {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return append(slices.Clip(a), b...)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
