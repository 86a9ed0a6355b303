package safety

// Action is a set of things that follow from a verdict, joined with |. The
// message or reply itself is always counted, and a request to the service is
// always annotated; an Action says what happens besides.
type Action uint8

// What may follow from a verdict.
const (
	// Record writes an [Event] to the [Auditor].
	Record Action = 1 << iota
	// ShowHelp gives the person the help of the verdict's severity: in the
	// reply to an HTTP message, in a frame of its own on a WebSocket.
	ShowHelp
	// Raise raises the level of the conversation for a while; see [Sessions].
	Raise
	// Escalate asks the [Escalator] to tell a human.
	Escalate
	// Replace puts a safe sentence in the place of a harmful text from the
	// service. On what a person says it has no effect: a person's words are
	// delivered, at every severity.
	Replace
)

// Policy says what follows from a verdict, by direction and severity. A
// severity that a map does not name follows the default, so that a Policy
// names only what it does differently; the zero Policy is the default:
//
//	             request                                response
//	low          Record                                 Record
//	moderate     Record | ShowHelp                      Record | Replace
//	high         Record | ShowHelp | Raise | Escalate   Record | Replace
//	imminent     Record | ShowHelp | Raise | Escalate   Record | Replace
//
// The response column applies to what a service should not say ([Methods],
// [Encouragement], …). A reply that merely tells of distress, such as the
// history of a person's own messages, is counted and left alone.
//
// There is no way to block what a person says, and none to turn off the help
// for an imminent danger: a row for Imminent always shows it.
type Policy struct {
	Request, Response map[Severity]Action
}

var (
	defaultRequest  = rows{Low: Record, Moderate: Record | ShowHelp, High: Record | ShowHelp | Raise | Escalate, Imminent: Record | ShowHelp | Raise | Escalate}
	defaultResponse = rows{Low: Record, Moderate: Record | Replace, High: Record | Replace, Imminent: Record | Replace}
)

// rows is a column of the table, by severity.
type rows [Imminent + 1]Action

// table is a compiled Policy, by direction.
type table [Response + 1]rows

func (p Policy) compile() *table {
	t := &table{Request: defaultRequest.with(p.Request), Response: defaultResponse.with(p.Response)}
	for s := range t[Request] {
		t[Request][s] &^= Replace
	}
	t[Request][Imminent] |= ShowHelp
	return t
}

func (r rows) with(changed map[Severity]Action) rows {
	for s, a := range changed {
		if s >= None && s <= Imminent {
			r[s] = a
		}
	}
	return r
}

// of returns what follows from a verdict in a direction.
func (t *table) of(d Direction, v Verdict) Action {
	s := min(max(v.Severity, None), Imminent)
	if d == Response && !speaksHarm(v) {
		return 0
	}
	return t[d][s]
}

// speaksHarm reports whether the verdict names what a service should not say.
func speaksHarm(v Verdict) bool {
	for _, c := range v.Categories {
		switch c {
		case Methods, Encouragement, Pact, Glorification, Secrecy, Clinician, Medication:
			return true
		}
	}
	return false
}
