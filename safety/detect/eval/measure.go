package eval

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Row counts the verdicts on one group of cases.
type Row struct {
	Group string
	Cases int
	// At counts the verdicts of at least that severity.
	At [safety.Imminent + 1]int
}

// Rate is the share of cases with a verdict of at least s.
func (r Row) Rate(s safety.Severity) float64 {
	if r.Cases == 0 {
		return 0
	}
	return float64(r.At[s]) / float64(r.Cases)
}

// A Report says how a detector did. Found holds groups of texts that should be
// found, so that its rates are recall; Harmless those that should not.
type Report struct {
	Found, Harmless []Row
	AP, AUC         float64 // of the score, over all cases
	RecallAt        map[float64]float64
	Wrong           []Wrong // at the operating point "moderate or above"
}

// Wrong is a case on which verdict and label differ.
type Wrong struct {
	Case    Case
	Verdict safety.Verdict
}

// scored is what the curves are drawn from.
type scored struct {
	score  float64
	crisis bool
}

// Measure judges every case alone.
func Measure(ctx context.Context, in safety.Inspector, cases []Case) (Report, error) {
	found, harmless := map[string]*Row{}, map[string]*Row{}
	var all []scored
	var rep Report
	for _, c := range cases {
		v, err := in.Inspect(ctx, safety.Content{Text: []byte(c.Text), Direction: c.Direction})
		if err != nil {
			return Report{}, fmt.Errorf("eval: %s:%d: %w", c.Source, c.Line, err)
		}
		if c.Ignore {
			continue
		}
		all = append(all, scored{v.Score, c.Crisis})
		rows := harmless
		if c.Crisis {
			rows = found
		}
		for _, group := range groups(c) {
			count(rows, group, v)
		}
		if (v.Severity >= safety.Moderate) != c.Crisis {
			rep.Wrong = append(rep.Wrong, Wrong{c, v})
		}
	}
	rep.Found, rep.Harmless = sorted(found), sorted(harmless)
	rep.AP, rep.AUC = curves(all)
	rep.RecallAt = map[float64]float64{}
	for _, fpr := range []float64{0.001, 0.01, 0.05} {
		rep.RecallAt[fpr] = recallAt(all, fpr)
	}
	return rep, nil
}

func groups(c Case) []string {
	out := []string{"all", c.Source, c.Language + " " + cmp.Or(c.Kind, "?")}
	if c.Language != "en" {
		out = append(out, "lang "+c.Language)
	}
	if c.Crisis && c.Severity != Unknown {
		out = append(out, "severity "+c.Severity.String())
	}
	return out
}

func count(rows map[string]*Row, group string, v safety.Verdict) {
	row, ok := rows[group]
	if !ok {
		row = &Row{Group: group}
		rows[group] = row
	}
	row.Cases++
	for s := safety.None; s <= v.Severity; s++ {
		row.At[s]++
	}
}

func sorted(rows map[string]*Row) []Row {
	var out []Row
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, *rows[name])
	}
	return out
}

// curves returns average precision and the area under the ROC curve; equal
// scores count as half right.
func curves(all []scored) (ap, auc float64) {
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	pos, neg := 0.0, 0.0
	for _, s := range all {
		if s.crisis {
			pos++
		} else {
			neg++
		}
	}
	if pos == 0 || neg == 0 {
		return 0, 0
	}
	tp, fp := 0.0, 0.0
	for i := 0; i < len(all); {
		p, n := 0.0, 0.0
		j := i
		for ; j < len(all) && all[j].score == all[i].score; j++ {
			if all[j].crisis {
				p++
			} else {
				n++
			}
		}
		auc += n * (tp + p/2)
		tp, fp = tp+p, fp+n
		ap += p / pos * tp / (tp + fp)
		i = j
	}
	return ap, auc / (pos * neg)
}

// recallAt returns the recall at the lowest threshold whose false alarms stay within fpr.
func recallAt(all []scored, fpr float64) float64 {
	pos, neg := 0, 0
	for _, s := range all {
		if s.crisis {
			pos++
		} else {
			neg++
		}
	}
	if pos == 0 {
		return 0
	}
	tp, fp, best := 0, 0, 0
	for i := 0; i < len(all); {
		j := i
		for ; j < len(all) && all[j].score == all[i].score; j++ {
			if all[j].crisis {
				tp++
			} else {
				fp++
			}
		}
		if float64(fp) > fpr*float64(neg) {
			break
		}
		best, i = tp, j
	}
	return float64(best) / float64(pos)
}

// String prints the report as tables. It holds no text.
func (r Report) String() string {
	var b strings.Builder
	table := func(title string, rows []Row) {
		fmt.Fprintf(&b, "%-44s %7s %8s %8s %8s %8s\n", title, "cases", ">=low", ">=mod", ">=high", "imminent")
		for _, row := range rows {
			fmt.Fprintf(&b, "  %-42s %7d %8.4f %8.4f %8.4f %8.4f\n", row.Group, row.Cases,
				row.Rate(safety.Low), row.Rate(safety.Moderate), row.Rate(safety.High), row.Rate(safety.Imminent))
		}
	}
	table("should be found: recall", r.Found)
	table("harmless: false alarms", r.Harmless)
	fmt.Fprintf(&b, "AP %.4f  AUC %.4f  recall at false alarms", r.AP, r.AUC)
	for _, fpr := range slices.Sorted(maps.Keys(r.RecallAt)) {
		fmt.Fprintf(&b, "  %g%%: %.3f", fpr*100, r.RecallAt[fpr])
	}
	b.WriteByte('\n')
	return b.String()
}
