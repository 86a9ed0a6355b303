package detect

import (
	"fmt"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Profile says how much evidence each severity wants. It moves one threshold
// per severity on the score and one on what the model alone says, and nothing else: the rules, frames and
// scores of a text are the same under every profile. What is imminent is
// reported under all of them.
type Profile int

// The profiles.
const (
	Balanced  Profile = iota // the default: what the measurements in the package's documentation are of
	Sensitive                // every rule is believed, and the model sooner
	Strict                   // fewer false alarms, more that is missed
)

var profileNames = [...]string{"balanced", "sensitive", "strict"}

// String returns "balanced", "sensitive" or "strict".
func (p Profile) String() string {
	if p < 0 || int(p) >= len(profileNames) {
		return fmt.Sprintf("Profile(%d)", int(p))
	}
	return profileNames[p]
}

// ParseProfile reads what [Profile.String] writes.
func ParseProfile(text string) (Profile, error) {
	for i, name := range profileNames {
		if name == text {
			return Profile(i), nil
		}
	}
	return 0, fmt.Errorf("detect: unknown profile %q: want balanced, sensitive or strict", text)
}

// thresholds are those of one profile. The balanced ones for moderate were set
// where table talk full of violent words stays at 15 texts flagged in ten thousand.
type thresholds struct {
	keep [safety.Imminent + 1]float64 // the score a rule's severity wants
	lift [safety.High + 1]float64     // the log odds from which the model alone gives a severity
}

var profiles = [...]thresholds{
	Balanced:  {keep: [...]float64{0, 0.05, 0.67, 0.40, 0}, lift: [...]float64{0, 1.5, 2.10, 3.5}},
	Sensitive: {keep: [...]float64{0, 0, 0, 0, 0}, lift: [...]float64{0, 1.0, 1.5, 3.0}},
	Strict:    {keep: [...]float64{0, 0.15, 0.80, 0.78, 0}, lift: [...]float64{0, 2.15, 2.8, 4.5}},
}

// WithProfile returns a detector that shares everything with d but the profile.
func (d *Detector) WithProfile(p Profile) *Detector {
	if p < 0 || int(p) >= len(profiles) {
		p = Balanced
	}
	other := *d
	other.profile = p
	return &other
}

// settle applies the profile to a finding's severity.
func (t *thresholds) settle(level safety.Severity, logit float64) safety.Severity {
	for level > safety.None && score(level, logit) < t.keep[level] {
		level--
	}
	return level
}

// lifted is the severity that the model gives alone.
func (t *thresholds) lifted(logit float64) safety.Severity {
	for s := safety.High; s > safety.None; s-- {
		if logit >= t.lift[s] {
			return s
		}
	}
	return safety.None
}
