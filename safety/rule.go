package safety

import (
	"errors"
	"fmt"
)

// Rule is what is special about one route. The zero Rule is the careful one:
// everything is judged, both ways, by the guard's own settings.
type Rule struct {
	// Route is the name under which the route is counted and recorded, for
	// example "/api/v1/gameplay/". Empty means the request's Pattern.
	Route string

	// Skip, when not empty, is the reason why nothing on this route is
	// looked at. What passes is counted as skipped for that reason. Give it
	// by [NotInspected], which insists on one.
	Skip string

	// Fields are the paths of a JSON or form message whose text is judged, in
	// the language of [CheckPath]. nil means the guard's Fields.
	Fields []string

	// ReplyFields are the paths of a JSON reply whose text is judged. nil
	// means every string.
	ReplyFields []string

	// Reply is the path of the string in a JSON reply that the person reads,
	// for example "response". Help is put first in it, and a footer last.
	// Empty means that there is no such string: help stands in members beside.
	Reply string

	// InGame says that messages on this route are moves in a story, so that an
	// [Inspector] may tell a hero's death from a person's.
	InGame bool

	// Hold says that a reply which could not be judged is not delivered: a
	// short sentence stands in its place. Without it such a reply is delivered
	// with a footer that says where help is.
	Hold bool

	// Policy says what follows from a verdict on this route. nil means the
	// guard's Policy.
	Policy *Policy
}

// NotInspected returns the rule of a route on which nothing is looked at, for
// example because it serves catalogue data. The reason is counted with every
// byte that passes; an empty one reads "by configuration".
func NotInspected(reason string) Rule {
	if reason == "" {
		reason = "by configuration"
	}
	return Rule{Skip: reason}
}

// Inspected reports whether the rule lets anything be looked at.
func (r Rule) Inspected() bool { return r.Skip == "" }

// Check returns everything that is wrong with the rule, joined, or nil. A rule
// that is used although it is wrong is read carefully: a list of fields with a
// bad path means every string.
func (r Rule) Check() error {
	return errors.Join(
		checkPaths("fields", r.Fields),
		checkPaths("reply fields", r.ReplyFields),
		checkReply(r.Reply),
	)
}

func checkReply(path string) error {
	if path == "" {
		return nil
	}
	if err := CheckPath(path); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	return nil
}

func checkPaths(what string, paths []string) error {
	_, err := compilePaths(paths)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
