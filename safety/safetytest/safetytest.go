package safetytest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/theinterneti/tta-gateway/safety"
)

// Script is an [safety.Inspector] that says what it was told to: a text that
// holds a phrase, in any letter case, gets the phrase's verdict, and one that
// holds several the gravest. It remembers what it was shown. The zero Script
// finds nothing. It is safe for simultaneous use; the exported fields must not
// be changed after first use.
type Script struct {
	// Requests and Responses hold a verdict for each phrase, by direction.
	Requests, Responses map[string]safety.Verdict
	// Err, when not nil, is what it returns for every text.
	Err error
	// Answer, when not nil, is asked in place of the phrases.
	Answer func(context.Context, safety.Content) (safety.Verdict, error)

	mu    sync.Mutex
	shown []string // mu guards it
}

// Says returns a script with verdicts on what people say.
func Says(phrases map[string]safety.Verdict) *Script { return &Script{Requests: phrases} }

// Found is a verdict of a severity in a category, with a finding.
func Found(severity safety.Severity, category safety.Category) safety.Verdict {
	return safety.Verdict{
		Severity:   severity,
		Categories: []safety.Category{category},
		Score:      float64(severity) / 4,
		Findings:   []safety.Finding{{Rule: "script/" + string(category), Category: category, Severity: severity}},
		Model:      "script",
	}
}

// Prompt promises that the script answers at once, so that a Guard asks it on
// the request's goroutine. A script with an Answer that takes time belongs in a
// [Slow].
func (s *Script) Prompt() {}

// Inspect says what the script says of a text.
func (s *Script) Inspect(ctx context.Context, c safety.Content) (v safety.Verdict, err error) {
	s.mu.Lock()
	s.shown = append(s.shown, string(c.Text))
	s.mu.Unlock()
	switch {
	case s.Err != nil:
		return safety.Verdict{}, s.Err
	case s.Answer != nil:
		return s.Answer(ctx, c)
	}
	phrases := s.Requests
	if c.Direction == safety.Response {
		phrases = s.Responses
	}
	text := strings.ToLower(string(c.Text))
	for phrase, found := range phrases {
		if strings.Contains(text, strings.ToLower(phrase)) {
			v = safety.Highest(v, found)
		}
	}
	return v, nil
}

// Shown returns the texts that the script was shown, in order.
func (s *Script) Shown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.shown)
}

// Slow is an Inspector without the promise of being prompt: a Guard asks it
// with a copy of the text and a deadline.
type Slow struct{ Inspector safety.Inspector }

// Inspect asks the Inspector.
func (s Slow) Inspect(ctx context.Context, c safety.Content) (safety.Verdict, error) {
	return s.Inspector.Inspect(ctx, c)
}

// Log is a [safety.Auditor] and [safety.Escalator] that remembers. The zero Log
// is ready. It is safe for simultaneous use.
type Log struct {
	// Err, when not nil, is what Record and Escalate return.
	Err error

	mu        sync.Mutex // guards the fields below
	recorded  []safety.Event
	escalated []safety.Event
}

// Record remembers an event.
func (l *Log) Record(_ context.Context, e safety.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recorded = append(l.recorded, e)
	return l.Err
}

// Escalate remembers that a human was told.
func (l *Log) Escalate(_ context.Context, e safety.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.escalated = append(l.escalated, e)
	return l.Err
}

// Recorded returns the events, in order. A Guard records in the background:
// wait for [safety.Guard.Flush] before.
func (l *Log) Recorded() []safety.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.recorded)
}

// Escalated returns the events of which a human was told, in order.
func (l *Log) Escalated() []safety.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.escalated)
}

// Observer remembers observations: give its Observe to [safety.Guard.Observe].
// The zero Observer is ready. It is safe for simultaneous use.
type Observer struct {
	mu  sync.Mutex
	all []safety.Observation // mu guards it
}

// Observe remembers an observation.
func (o *Observer) Observe(one safety.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, one)
}

// All returns the observations, in order.
func (o *Observer) All() []safety.Observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// Actions returns the names of what was done, in order.
func (o *Observer) Actions() (names []string) {
	for _, one := range o.All() {
		if one.Action != "" {
			names = append(names, one.Action)
		}
	}
	return names
}

// Bytes returns how many bytes passed in a direction, looked at and not.
func (o *Observer) Bytes(d safety.Direction) (inspected, skipped int64) {
	for _, one := range o.All() {
		switch {
		case one.Direction != d:
		case one.Inspected:
			inspected += one.Bytes
		default:
			skipped += one.Bytes
		}
	}
	return inspected, skipped
}

// Sight is what a person saw of a reply or a chat message.
type Sight struct {
	Text      string   // everything they read: the JSON strings one below the other, or the text
	Links     []string // of "crisis_resources": "name url"
	Crisis    bool     // the front end was told to show its support notice
	Supported bool     // the header says that help is available
	Hotline   string   // the number in the header
}

// Saw returns what a person saw of an HTTP reply. It reads and closes the body.
func Saw(res *http.Response) (Sight, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	s := SawMessage(body)
	s.Supported = res.Header.Get(safety.SupportHeader) == "available"
	s.Hotline = res.Header.Get(safety.HotlineHeader)
	return s, err
}

// SawMessage returns what a person saw of a chat message.
func SawMessage(data []byte) (s Sight) {
	var parts struct {
		Links []struct{ Name, URL string } `json:"crisis_resources"`
		Mark  struct{ Crisis bool }        `json:"safety"`
		Meta  struct {
			Mark struct{ Crisis bool } `json:"safety"`
		} `json:"metadata"`
	}
	s.Text = string(data)
	if d := json.NewDecoder(bytes.NewReader(data)); d.Decode(&parts) == nil {
		s.Text = strings.Join(stringsOf(data), "\n")
	}
	for _, l := range parts.Links {
		s.Links = append(s.Links, l.Name+" "+l.URL)
	}
	s.Crisis = parts.Mark.Crisis || parts.Meta.Mark.Crisis
	return s
}

// stringsOf returns the string values of a JSON document, in order.
func stringsOf(data []byte) (all []string) {
	var value any
	if json.Unmarshal(data, &value) == nil {
		collect(value, &all)
	}
	return all
}

func collect(value any, all *[]string) {
	switch v := value.(type) {
	case string:
		*all = append(*all, v)
	case []any:
		for _, one := range v {
			collect(one, all)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			collect(v[name], all)
		}
	}
}
