package safety

import (
	"context"
	"net/http"
)

// Guard judges.
type Guard struct {
	Inspector Inspector
	Policy    Policy
	Session   func(*http.Request) string
	Subject   func(*http.Request) string
	Region    func(*http.Request) string
	Fields    []string
	Sessions  Sessions
	Auditor   Auditor
	Escalator Escalator
	Book      *Book
	MaxBody   int64
	Budget    *Budget
	Observe   func(Observation)

	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

type Sessions interface{}
type Escalator interface {
	Escalate(context.Context, Event) error
}
type Book struct{}
type Budget struct{}
type Passage struct{ r *http.Request }
type Message struct {
	Direction                                 Direction
	Route, Session, Subject, Region, Language string
	Data                                      []byte
	Binary                                    bool
}
type Outcome struct {
	Verdict  Verdict
	Level    Severity
	Data     []byte
	Replaced bool
	Help     *Help
}


func (g *Guard) With(Rule) *Guard                                      { return g }
func (g *Guard) Wrap(next http.Handler) http.Handler                   { return next }
func (g *Guard) Judge(ctx context.Context, c Content) (Verdict, error) { return Verdict{}, nil }
func (g *Guard) Open(r *http.Request, max int64) (*Passage, error)     { return &Passage{r}, nil }
func (p *Passage) Verdict() Verdict                                    { return Verdict{} }
func (p *Passage) Level() Severity                                     { return None }
func (p *Passage) Annotate(h http.Header)                              {}
func (p *Passage) Writer(w http.ResponseWriter) http.ResponseWriter    { return w }
func (p *Passage) Close()                                              {}
func (g *Guard) Level(r *http.Request) Severity                        { return None }
func (g *Guard) Message(ctx context.Context, m Message) Outcome        { return Outcome{Data: m.Data} }
func (g *Guard) Help(r *http.Request, s Severity) Help                 { return Help{Severity: s} }
func (g *Guard) Flush(ctx context.Context) error                       { return nil }
func HelpPage(*Guard) http.Handler                                     { return http.NotFoundHandler() }
