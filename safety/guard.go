package safety

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxBody is how much of a body is held to be judged, unless
// [Guard.MaxBody] says otherwise.
const DefaultMaxBody = 1 << 20

// Guard stands between a person and a service and looks at what each says to
// the other. It asks an [Inspector], and does what its [Policy] says: what the
// person says is always delivered, annotated; help stands in the reply; a
// human is told; what the service says is replaced where it would do harm.
//
// The zero Guard has no Inspector: everything passes as it is and is counted
// as not inspected. Fields must not be changed after first use. A Guard must
// not be copied; [Guard.With] makes another that shares what it remembers. It
// is safe for simultaneous use. On a nil Guard everything passes, and
// [Guard.Help] gives the built-in help.
type Guard struct {
	// Inspector judges texts. nil: nothing is judged.
	Inspector Inspector
	// Deadline is how long the Inspector may take over one message, 0 means
	// 200 ms. It does not apply to an Inspector that is a [Prompt]. What runs
	// into it is delivered and counted as "inspector failed".
	Deadline time.Duration

	// Policy says what follows from a verdict. The zero Policy is the default.
	Policy Policy
	// Fields are the paths of a JSON or form message whose text is judged; see
	// [CheckPath]. nil means every string that is no credential's (password,
	// token, api_key, …). So is a message judged in which none of the paths
	// leads anywhere: it is not what was expected, and may be anything.
	Fields []string

	// Session returns the key of the conversation that a request belongs to.
	// nil, or an empty answer, means the subject's. It must not be something
	// that one person could say to be another's: a level follows from it.
	Session func(*http.Request) string
	// Subject returns who speaks. nil means nobody known: no level then
	// outlives a message.
	Subject func(*http.Request) string
	// Region returns the ISO 3166 code of where the person is ("US"). nil, or
	// an empty answer, means the region named by Accept-Language, if any.
	Region func(*http.Request) string

	// Sessions remembers the levels of conversations. nil means in memory, for
	// 65536 conversations.
	Sessions Sessions
	// Cooldown is how long the same help is not shown again in a conversation,
	// 0 means 10 minutes. Graver help is always shown, that for an imminent
	// danger every time, and so is that in the reply to an HTTP message of
	// moderate severity or above.
	Cooldown time.Duration

	// Auditor keeps what happened. nil: nobody does.
	Auditor Auditor
	// Escalator tells a human. nil: nobody is told, and nothing says so.
	Escalator Escalator
	// EscalationTimeout is how long one escalation may take, 0 means 2 minutes.
	EscalationTimeout time.Duration

	// Book holds the texts and resources. nil means [DefaultBook].
	Book *Book

	// MaxBody is how many bytes of a body, decoded, are held to be judged; 0
	// means 1 MiB. What is longer passes too: its first part is judged and the
	// rest is counted as skipped.
	MaxBody int64
	// Budget bounds the memory of all held bodies. nil means 64 MiB.
	Budget *Budget

	// Observe is told of everything that passes and of everything that is
	// done, from the goroutine that does it: it must be quick. nil: nobody.
	Observe func(Observation)

	// ErrorHandler answers a request whose body could not be read, for [Guard.Wrap].
	// nil means a short text with where help is, and status 413 or 400.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	rule  Rule
	once  sync.Once
	plan  plan
	state *state
}

// plan is what a Guard's fields and rule come to.
type plan struct {
	fields, replyFields, reply *paths
	table                      *table
	sessions                   Sessions
	budget                     *Budget
	book                       *Book
	maxBody                    int
}

// state is what a Guard and those made from it share.
type state struct {
	sessions    MemorySessions
	budget      Budget
	inspections atomic.Int64
	errands     errands
}

// With returns a guard for one route: this one's settings under the rule, and
// everything that is remembered shared with this one. On a nil Guard it returns nil.
func (g *Guard) With(rule Rule) *Guard {
	if g == nil {
		return nil
	}
	return &Guard{
		Inspector: g.Inspector, Deadline: g.Deadline, Policy: g.Policy, Fields: g.Fields,
		Session: g.Session, Subject: g.Subject, Region: g.Region,
		Sessions: g.Sessions, Cooldown: g.Cooldown,
		Auditor: g.Auditor, Escalator: g.Escalator, EscalationTimeout: g.EscalationTimeout,
		Book: g.Book, MaxBody: g.MaxBody, Budget: g.Budget, Observe: g.Observe, ErrorHandler: g.ErrorHandler,
		rule:  rule,
		state: g.shared(),
	}
}

// Check returns everything that is wrong with the guard's settings and rule,
// joined, or nil. What a wrong setting means until it is put right is the
// careful thing: a bad list of fields means every string.
func (g *Guard) Check() error {
	if g == nil {
		return nil
	}
	return errors.Join(
		checkPaths("fields", g.Fields),
		g.rule.Check(),
		notNegative("MaxBody", g.MaxBody),
		notNegative("Deadline", int64(g.Deadline)),
		notNegative("Cooldown", int64(g.Cooldown)),
	)
}

func notNegative(name string, n int64) error {
	if n < 0 {
		return fmt.Errorf("safety: %s is %d: give 0 for the default, or more", name, n)
	}
	return nil
}

// shared makes the guard ready, once, and returns what it shares.
func (g *Guard) shared() *state {
	g.once.Do(g.prepare)
	return g.state
}

// ready is shared for those who want the plan.
func (g *Guard) ready() *plan {
	g.once.Do(g.prepare)
	return &g.plan
}

func (g *Guard) prepare() {
	if g.state == nil {
		g.state = new(state)
	}
	p := &g.plan
	fields := g.rule.Fields
	if fields == nil {
		fields = g.Fields
	}
	p.fields, _ = compilePaths(fields) // a bad list means every string; Check tells
	p.replyFields, _ = compilePaths(g.rule.ReplyFields)
	if g.rule.Reply != "" {
		p.reply, _ = compilePaths([]string{g.rule.Reply})
	}
	policy := g.Policy
	if g.rule.Policy != nil {
		policy = *g.rule.Policy
	}
	p.table = policy.compile()
	p.sessions, p.budget, p.book, p.maxBody = g.Sessions, g.Budget, g.Book, int(g.MaxBody)
	if p.sessions == nil {
		p.sessions = &g.state.sessions
	}
	if p.budget == nil {
		p.budget = &g.state.budget
	}
	if p.maxBody <= 0 {
		p.maxBody = DefaultMaxBody
	}
}

func (g *Guard) deadline() time.Duration { return orDefault(g.Deadline, DefaultDeadline) }

// orDefault returns d, or the default where d says nothing.
func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// inspects reports whether anything is looked at, and otherwise why not.
func (g *Guard) inspects() (reason string, yes bool) {
	switch {
	case !g.rule.Inspected():
		return g.rule.Skip, false
	case g.Inspector == nil:
		return SkippedNotInspected, false
	}
	return "", true
}

// Judge asks the Inspector about one text, within the Deadline and whatever it
// does. An error wraps [ErrInspector]; the Verdict beside it then says
// [SkippedInspectorFailed] and what is known nevertheless. Judge does nothing
// but judge: no help, no record, no level.
func (g *Guard) Judge(ctx context.Context, c Content) (Verdict, error) {
	if g == nil || g.Inspector == nil {
		return Verdict{Skipped: SkippedNotInspected}, nil
	}
	if _, ok := g.Inspector.(Prompt); ok {
		return failed(g.ask(ctx, c))
	}
	return g.judgeAside(ctx, c)
}

func failed(v Verdict, err error) (Verdict, error) {
	if err != nil {
		v.Skipped = SkippedInspectorFailed
	}
	return v, err
}

func (g *Guard) judgeAside(ctx context.Context, c Content) (Verdict, error) {
	running := &g.shared().inspections
	if running.Add(1) > maxLeftBehind {
		running.Add(-1)
		return failed(Verdict{}, fmt.Errorf("%w: %d inspections are running already", ErrInspector, maxLeftBehind))
	}
	type answer struct {
		Verdict
		error
	}
	ctx, cancel := context.WithTimeout(apart(ctx, FromContext(ctx)), g.deadline())
	done := make(chan answer, 1)
	c.Text = append([]byte(nil), c.Text...)
	defer cancel()
	go func() {
		defer running.Add(-1)
		v, err := g.ask(ctx, c)
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return failed(a.Verdict, a.error)
	case <-ctx.Done():
		return failed(Verdict{}, fmt.Errorf("%w: no answer within %v", ErrInspector, g.deadline()))
	}
}

// Level returns the level of the conversation that a request belongs to,
// without reading its body: high or above means that somebody in it is in
// danger, and that nothing of it should wait.
func (g *Guard) Level(r *http.Request) Severity {
	if g == nil {
		return None
	}
	return g.levelOf(r.Context(), g.key(r))
}

func (g *Guard) levelOf(ctx context.Context, key string) Severity {
	if key == "" {
		return None
	}
	s, err := g.ready().sessions.Load(ctx, key)
	if err != nil || s.Level == None {
		return None
	}
	return s.LevelAt(time.Now())
}

// level is the conversation's level now.
func (x *exchange) level(ctx context.Context) Severity { return x.guard.levelOf(ctx, x.key()) }

// key returns under what a request's conversation is remembered, "" for nothing.
func (g *Guard) key(r *http.Request) string {
	if key := ask(g.Session, r); key != "" {
		return key
	}
	return ask(g.Subject, r)
}

func ask(f func(*http.Request) string, r *http.Request) string {
	if f == nil || r == nil {
		return ""
	}
	return f(r)
}

// Flush waits until everything that was to be recorded and everybody who was
// to be told has been, or until the context ends. Call it before a program
// ends, after the last request.
func (g *Guard) Flush(ctx context.Context) error {
	if g == nil {
		return nil
	}
	return g.shared().errands.wait(ctx)
}

func (g *Guard) observe(o Observation) {
	if g.Observe != nil {
		g.Observe(o)
	}
}
