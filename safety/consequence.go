package safety

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"
)

// exchange is who speaks, where and in which conversation: what an HTTP
// request and a WebSocket message have in common.
type exchange struct {
	guard                      *Guard
	transport                  string
	route, session, subject    string
	language, region, fallback string   // fallback: of Accept-Language
	said                       *Verdict // on what the person said, nil where that is not known here
}

// key returns under what the conversation is remembered.
func (x *exchange) key() string { return cmpOr(x.session, x.subject) }

// consequences is what follows from one message.
type consequences struct {
	level Severity
	help  *Help    // to be given now
	done  []string // names of what was done
}

// follow does what the policy says of a message from a person: of the message,
// or of the conversation where that rose by more.
func (x *exchange) follow(ctx context.Context, v Verdict, heard course, always Severity) (c consequences) {
	weighed := v
	if heard.rose {
		weighed.Severity = max(v.Severity, heard.level)
	}
	actions := x.guard.ready().table.of(Request, weighed)
	failed := v.Skipped == SkippedInspectorFailed
	unknown := failed || unread(v)
	if actions&(ShowHelp|Raise|Escalate) == 0 && !unknown {
		c.level = max(v.Severity, heard.level, x.level(ctx))
		x.recordVerdict(ctx, Request, v, c, actions)
		return c
	}
	now := time.Now()
	state, due := x.update(ctx, weighed.Severity, actions, unknown, now)
	c.level = max(v.Severity, heard.level, state.LevelAt(now))
	if due.help || always <= Moderate && (failed || weighed.Severity >= always && actions&ShowHelp != 0) {
		help := x.help(weighed)
		c.help = &help
		c.done = append(c.done, "help")
	}
	if actions&Raise != 0 && x.key() != "" {
		c.done = append(c.done, "raise")
	}
	if due.escalation && x.guard.Escalator != nil {
		c.done = append(c.done, "escalate")
	}
	event := x.recordVerdict(ctx, Request, v, c, actions)
	if due.escalation && x.guard.Escalator != nil {
		x.escalate(ctx, event)
	}
	return c
}

// unread reports whether something was said in a coding or charset that we cannot
// undo. It may be anything, so the standing help is due, but only once in a
// while: a client that always writes so must not be told with every reply. What
// is no text is no reason, and neither is what was judged in part.
func unread(v Verdict) bool { return v.Severity == None && v.Skipped == SkippedCoding }

// dues is what is due in a conversation now.
type dues struct{ help, escalation bool }

// update raises the conversation's level and finds out what is due in it. A
// store that fails makes everything due: rather twice than not at all.
func (x *exchange) update(ctx context.Context, s Severity, actions Action, unknown bool, now time.Time) (State, dues) {
	wanted := dues{help: actions&ShowHelp != 0 || unknown, escalation: actions&Escalate != 0}
	if x.key() == "" {
		return State{}, wanted
	}
	pause := orDefault(x.guard.Cooldown, DefaultCooldown)
	var due dues
	state, err := x.guard.ready().sessions.Update(ctx, x.key(), func(state *State) {
		due = dues{
			help:       wanted.help && state.Shown.due(s, now, pause),
			escalation: wanted.escalation && state.Told.due(s, now, pause),
		}
		if actions&Raise != 0 {
			state.raise(s, now)
		}
		if due.help {
			state.Shown.mark(s, now)
		}
		if due.escalation {
			state.Told.mark(s, now)
		}
	})
	if err != nil {
		return State{}, wanted
	}
	return state, due
}

func (x *exchange) help(v Verdict) Help {
	return x.guard.book().Help(x.tongue(v), cmpOr(x.region, regionOf(x.fallback)), v.Severity, v.Categories...)
}

// tongue is the language to answer in: what the host says, else what the
// browser asks for, else what was written.
func (x *exchange) tongue(v Verdict) string {
	if x.language != "" {
		return x.language
	}
	return cmpOr(x.fallback, v.Language)
}

// book returns the guard's texts, or the built-in ones.
func (g *Guard) book() *Book {
	if g != nil && g.Book != nil && g.Book.languages != nil {
		return g.Book
	}
	return DefaultBook()
}

// due are the reasons of skipping that belong in the trail: a verdict was owed.
var dueReasons = []string{SkippedInspectorFailed, SkippedTooLarge, SkippedCoding, SkippedMalformed, SkippedBudget}

// recordVerdict hands an event to the Auditor, if one is due, tells the
// observer of what was done, and returns the event.
func (x *exchange) recordVerdict(ctx context.Context, d Direction, v Verdict, c consequences, actions Action) Event {
	for _, name := range c.done {
		x.guard.observe(Observation{Route: x.route, Direction: d, Transport: x.transport, Verdict: v, Action: name})
	}
	found, owed := actions&Record != 0, slices.Contains(dueReasons, v.Skipped)
	if !found && !owed && len(c.done) == 0 {
		return Event{}
	}
	if d == Request {
		said := v
		x.said = &said
	}
	e := x.event(d, v, c)
	if v.Unknown() {
		e.Kind = KindUnknown
	}
	x.record(x.apart(ctx), e)
	return e
}

// apart is the context of what goes on after its request: it has its values but
// not its end, and a verdict of its own. The one in the context may be a host's
// record of the request, which is written while this one is read.
func apart(ctx context.Context, v Verdict) context.Context {
	return NewContext(context.WithoutCancel(ctx), v)
}

// apart is apart with the verdict on what the person said, as far as it is known.
func (x *exchange) apart(ctx context.Context) context.Context {
	if x.said != nil {
		return apart(ctx, *x.said)
	}
	return apart(ctx, FromContext(ctx))
}

func (x *exchange) event(d Direction, v Verdict, c consequences) Event {
	e := Event{
		ID: rand.Text(), Time: time.Now().UTC(), Kind: KindVerdict, Direction: d, Transport: x.transport,
		Route: x.route, Session: x.session, Subject: x.subject,
		Severity: v.Severity, Level: c.level, Categories: v.Categories, Rules: rulesOf(v), Score: v.Score,
		Language: v.Language, Model: v.Model, Skipped: v.Skipped, Actions: c.done,
	}
	if c.help != nil {
		e.Message = c.help.Language + " " + c.help.Version
	}
	return e
}

func rulesOf(v Verdict) (rules []string) {
	for _, f := range v.Findings {
		if f.Rule != "" && !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	return rules
}

// record hands an event to the Auditor in the background; ctx is apart already.
func (x *exchange) record(ctx context.Context, e Event) {
	g := x.guard
	if g.Auditor == nil {
		return
	}
	kept := g.shared().errands.record(func() {
		if err := recordSafely(ctx, g.Auditor, e); err != nil {
			x.observeFate(e, "audit failed")
		}
	}, max(e.Severity, e.Level) >= High)
	if !kept {
		x.observeFate(e, "audit lost")
	}
}

func (x *exchange) observeFate(e Event, action string) {
	x.guard.observe(Observation{
		Route: e.Route, Direction: e.Direction, Transport: e.Transport, Action: action,
		Verdict: Verdict{Severity: e.Severity, Categories: e.Categories, Skipped: e.Skipped},
	})
}

// escalate tells a human in the background, and records what became of it.
func (x *exchange) escalate(ctx context.Context, e Event) {
	g := x.guard
	ctx = x.apart(ctx)
	begun := g.shared().errands.escalate(func() {
		within, cancel := context.WithTimeout(ctx, orDefault(g.EscalationTimeout, DefaultEscalationTimeout))
		defer cancel()
		if err := escalateSafely(within, g.Escalator, e); err != nil {
			x.escalated(ctx, e, Failed)
			return
		}
		x.escalated(ctx, e, Acknowledged)
	})
	if !begun {
		x.escalated(ctx, e, Dropped)
	}
}

// escalated records an outcome. After one that is no acknowledgement the next
// message of this severity tries again.
func (x *exchange) escalated(ctx context.Context, about Event, outcome string) {
	e := about
	e.ID, e.Related, e.Time, e.Kind, e.Outcome, e.Actions, e.Message = rand.Text(), about.ID, time.Now().UTC(), KindEscalation, outcome, nil, ""
	x.record(ctx, e)
	if outcome == Acknowledged {
		x.observeFate(e, "escalated")
		return
	}
	x.observeFate(e, "escalation failed")
	if x.key() != "" {
		_, _ = x.guard.ready().sessions.Update(ctx, x.key(), func(s *State) { s.Told = moments{} })
	}
}

// recordSafely and escalateSafely survive the host's code: a panic in the
// background would take the whole process, and everybody's conversation, along.
func recordSafely(ctx context.Context, a Auditor, e Event) (err error) {
	defer survive(&err)
	return a.Record(ctx, e)
}

func escalateSafely(ctx context.Context, t Escalator, e Event) (err error) {
	defer survive(&err)
	return t.Escalate(ctx, e)
}

func survive(err *error) {
	if p := recover(); p != nil {
		*err = errors.New("safety: the auditor or escalator panicked")
	}
}
