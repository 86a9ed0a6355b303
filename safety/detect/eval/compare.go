package eval

import (
	"context"
	"fmt"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Change is a case on which two inspectors differ.
type Change struct {
	Case     Case
	From, To safety.Verdict
}

// String names the case by its source and line, never by its text.
func (c Change) String() string {
	return fmt.Sprintf("%s:%d: %s → %s (want %s)", c.Case.Source, c.Case.Line, c.From.Severity, c.To.Severity, wanted(c.Case))
}

func wanted(c Case) string {
	switch {
	case !c.Crisis:
		return "nothing"
	case c.Severity == Unknown:
		return "something"
	}
	return c.Severity.String()
}

// Compare lists the cases whose severity changes from one inspector to another:
// what a new pack would do.
func Compare(ctx context.Context, from, to safety.Inspector, cases []Case) ([]Change, error) {
	var changes []Change
	for _, c := range cases {
		content := safety.Content{Text: []byte(c.Text), Direction: c.Direction}
		a, err := from.Inspect(ctx, content)
		if err != nil {
			return nil, fmt.Errorf("eval: %s:%d: %w", c.Source, c.Line, err)
		}
		b, err := to.Inspect(ctx, content)
		if err != nil {
			return nil, fmt.Errorf("eval: %s:%d: %w", c.Source, c.Line, err)
		}
		if a.Severity != b.Severity {
			changes = append(changes, Change{c, a, b})
		}
	}
	return changes, nil
}
