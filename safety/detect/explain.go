package detect

import (
	"context"
	"fmt"
	"strings"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Reason tells a person why a rule spoke.
type Reason struct {
	Rule, Why  string
	Pattern    string // as the pack has it
	Source     string // file and line of the pattern
	Category   safety.Category
	Base       safety.Severity // what the rule says
	Severity   safety.Severity // what the frames leave of it
	Frames     []string
	Start, End int
}

// Explain judges a text as [Detector.Inspect] does and gives the reasons, those
// that frames took back too.
func (d *Detector) Explain(ctx context.Context, c safety.Content) (safety.Verdict, []Reason) {
	s := d.pool.get()
	defer d.pool.put(s)
	st := newState(c)
	s.text(&st, c.Text, true)
	var reasons []Reason
	for i := range st.findings {
		f := &st.findings[i]
		r, e := &d.prog.rules[f.rule], &d.prog.entries[f.entry]
		level, frames := st.severity(d.prog, f)
		reasons = append(reasons, Reason{
			Rule: r.id, Why: r.why, Pattern: e.text, Source: fmt.Sprintf("%s:%d", r.file, e.line), Category: r.category,
			Base: r.severity, Severity: level, Frames: frameList(frames), Start: f.start, End: f.end,
		})
	}
	return st.verdict(d), reasons
}

// String is one reason in words, without the text.
func (r Reason) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, %s", r.Rule, r.Category, r.Base)
	if r.Severity != r.Base {
		fmt.Fprintf(&b, ", left %s", r.Severity)
	}
	if len(r.Frames) > 0 {
		fmt.Fprintf(&b, " by %s", strings.Join(r.Frames, ", "))
	}
	fmt.Fprintf(&b, ") at %d-%d: %s [%s]", r.Start, r.End, r.Why, r.Source)
	return b.String()
}
