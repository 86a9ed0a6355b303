// Package ttarules reads TTA's own safety rule document (the JSON under
// "ao:safety:rules") and judges its patterns beside another inspector.
//
// Those patterns flag nearly half of all denials and much ordinary adventure
// prose, so they are careful guests: whatever level a rule claims, it counts as
// low, and it is in shadow, counted but not heard, until it is enabled by its id.
//
//	rules, err := ttarules.Parse(document)
//	in := &ttarules.Beside{First: detect.Default(), Rules: rules, Enabled: []string{"crisis_001"}}
package ttarules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Rule is one imported pattern.
type Rule struct {
	ID       string
	Category safety.Category
	pattern  *regexp.Regexp
}

// Rules is an imported document. It does not change.
type Rules struct{ rules []Rule }

// document is the part of TTA's document that is understood; the rest is ignored.
type document struct {
	Rules []struct {
		ID         string `json:"id"`
		Category   string `json:"category"`
		Pattern    string `json:"pattern"`
		Flags      string `json:"flags"`
		CrisisType string `json:"crisis_type"`
	} `json:"rules"`
}

// categories maps TTA's crisis types and rule categories.
var categories = map[string]safety.Category{
	"self_harm": safety.SelfHarm, "suicidal_ideation": safety.SuicidalIdeation, "suicide_ideation": safety.SuicidalIdeation,
	"substance_abuse": safety.SubstanceCrisis, "substance_crisis": safety.SubstanceCrisis, "domestic_violence": safety.Abuse, "abuse": safety.Abuse,
	"eating_disorder": safety.EatingDisorder, "panic_attack": safety.Panic, "panic_disorder": safety.Panic, "severe_depression": safety.SevereDepression,
	"violence": safety.HarmToOthers, "harm_to_others": safety.HarmToOthers, "psychosis": safety.Psychosis, "trauma_response": safety.TraumaResponse,
}

const (
	maxRules   = 1000
	maxPattern = 4 << 10
	// maxText bounds what the patterns look at; the inspector beside them sees all.
	maxText = 64 << 10
)

// Parse reads the document. Rules without a pattern are left out: the document
// has kinds of rules that are code elsewhere. The error joins every complaint,
// naming the rule.
func Parse(data []byte) (*Rules, error) {
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("ttarules: %w", err)
	}
	if len(doc.Rules) > maxRules {
		return nil, fmt.Errorf("ttarules: %d rules are more than %d", len(doc.Rules), maxRules)
	}
	var out Rules
	var errs []error
	for i, r := range doc.Rules {
		if r.Pattern == "" {
			continue
		}
		rule, err := compile(r.ID, r.Category, r.CrisisType, r.Pattern, r.Flags)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("ttarules: rule %d %q: %w", i, r.ID, err))
		case out.has(r.ID):
			errs = append(errs, fmt.Errorf("ttarules: rule %d %q: the id is taken", i, r.ID))
		default:
			out.rules = append(out.rules, rule)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &out, nil
}

func compile(id, category, crisis, pattern, flags string) (Rule, error) {
	if id == "" {
		return Rule{}, errors.New("it has no id")
	}
	if len(pattern) > maxPattern {
		return Rule{}, fmt.Errorf("its pattern of %d bytes is longer than %d", len(pattern), maxPattern)
	}
	if flags != "" && flags != "i" {
		return Rule{}, fmt.Errorf("unknown flags %q: want i", flags)
	}
	re, err := regexp.Compile("(?i)" + pattern)
	if flags == "" {
		re, err = regexp.Compile(pattern)
	}
	if err != nil {
		return Rule{}, fmt.Errorf("its pattern does not compile (look-around and back-references are not supported): %w", err)
	}
	c, ok := categories[crisis]
	if !ok {
		c, ok = categories[category]
	}
	if !ok {
		c = safety.GeneralDistress
	}
	return Rule{ID: id, Category: c, pattern: re}, nil
}

func (r *Rules) has(id string) bool {
	return slices.ContainsFunc(r.rules, func(x Rule) bool { return x.ID == id })
}

// IDs lists the imported rules.
func (r *Rules) IDs() []string {
	var ids []string
	for _, x := range r.rules {
		ids = append(ids, x.ID)
	}
	return ids
}

// Beside judges with First, and adds what the enabled rules find, as low. It
// is safe for simultaneous use and must not be copied after first use.
type Beside struct {
	First   safety.Inspector
	Rules   *Rules   // nil: none
	Enabled []string // ids of the rules that are heard; the others are in shadow
	// Shadow, if set, hears the id of each rule in shadow that would have spoken.
	Shadow func(id string)

	shadowed atomic.Int64
}

// Shadowed counts how often rules in shadow would have spoken.
func (b *Beside) Shadowed() int64 { return b.shadowed.Load() }

// Inspect judges a text. The error is First's.
func (b *Beside) Inspect(ctx context.Context, c safety.Content) (safety.Verdict, error) {
	v, err := b.First.Inspect(ctx, c)
	if b.Rules == nil || c.Direction != safety.Request {
		return v, err
	}
	text := c.Text[:min(len(c.Text), maxText)]
	for _, r := range b.Rules.rules {
		at := r.pattern.FindIndex(text)
		if at == nil {
			continue
		}
		if !slices.Contains(b.Enabled, r.ID) {
			b.shadowed.Add(1)
			if b.Shadow != nil {
				b.Shadow(r.ID)
			}
			continue
		}
		found := safety.Finding{Rule: "tta " + r.ID, Category: r.Category, Severity: safety.Low, Start: at[0], End: at[1]}
		v = safety.Highest(v, safety.Verdict{Severity: safety.Low, Categories: []safety.Category{r.Category}, Findings: []safety.Finding{found}})
	}
	return v, err
}
