package eval

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

// ReadFile is [Read] of a file.
func ReadFile(name string) ([]Case, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	defer f.Close()
	return Read(name, f)
}

// Causes counts the patterns behind a report's false alarms, the most frequent
// first. It names patterns, never texts.
func Causes(d *detect.Detector, rep Report) []string {
	count := map[string]int{}
	for _, w := range rep.Wrong {
		if w.Case.Crisis {
			continue
		}
		_, reasons := d.Explain(context.Background(), safety.Content{Text: []byte(w.Case.Text), Direction: w.Case.Direction})
		seen := map[string]bool{}
		for _, r := range reasons {
			if r.Severity >= safety.Moderate && !seen[r.Source] {
				seen[r.Source] = true
				count[fmt.Sprintf("%s %s %s %.150s", r.Severity, r.Rule, r.Source, r.Pattern)]++
			}
		}
	}
	var out []string
	for _, cause := range slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(count[b]-count[a], cmp.Compare(a, b)) }) {
		out = append(out, fmt.Sprintf("%5d %s", count[cause], cause))
	}
	return out
}
