package eval

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/theinterneti/tta-gateway/safety"
)

// Unknown is the Severity of a case whose severity nobody graded.
const Unknown safety.Severity = -1

// A Case is one labelled text.
type Case struct {
	Text      string
	Crisis    bool   // the text should be found
	Ignore    bool   // neither hit nor false alarm: ambiguous, unreviewed, unsafe in another way
	Kind      string // of a harmless text: "command", "idiom", …; of a crisis: its category
	Severity  safety.Severity
	Language  string
	Source    string
	Direction safety.Direction
	Line      int
}

// line is the JSON form.
type line struct {
	Text      string           `json:"text"`
	Label     string           `json:"label"`
	Source    string           `json:"source"`
	Category  string           `json:"cat"`
	Severity  *int             `json:"severity"`
	Language  string           `json:"lang"`
	Direction safety.Direction `json:"direction"`
}

const maxLine = 16 << 20

// Read reads cases in either form; the first byte tells which: JSON lines
// begin with "{". name is used in errors and as the source of cases that name none.
func Read(name string, r io.Reader) ([]Case, error) {
	br := bufio.NewReader(r)
	first, err := br.Peek(1)
	if err == io.EOF {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	parse := corpusLines(name)
	if first[0] == '{' {
		parse = jsonLine(name)
	}
	scan := bufio.NewScanner(br)
	scan.Buffer(make([]byte, 0, 64<<10), maxLine)
	var cases []Case
	for n := 1; scan.Scan(); n++ {
		c, ok, err := parse(scan.Text())
		if err != nil {
			return nil, fmt.Errorf("eval: %s:%d: %w", name, n, err)
		}
		if ok {
			c.Line = n
			cases = append(cases, c)
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("eval: %s: %w", name, err)
	}
	return cases, nil
}

func jsonLine(name string) func(string) (Case, bool, error) {
	return func(text string) (Case, bool, error) {
		if strings.TrimSpace(text) == "" {
			return Case{}, false, nil
		}
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return Case{}, false, err
		}
		c := Case{Text: l.Text, Kind: l.Category, Severity: Unknown, Language: l.Language, Source: l.Source, Direction: l.Direction}
		if l.Severity != nil {
			c.Severity = safety.Severity(*l.Severity)
		}
		if c.Language == "" {
			c.Language = "en"
		}
		if c.Source == "" {
			c.Source = name
		}
		switch l.Label {
		case "crisis", "harmful":
			c.Crisis = true
		case "benign", "distress":
			if c.Kind == "" {
				c.Kind = l.Label
			}
		case "unsafe_other", "ambiguous", "unreviewed", "unknown":
			c.Ignore = true
		default:
			return Case{}, false, fmt.Errorf("unknown label %q", l.Label)
		}
		return c, true, nil
	}
}

// corpusLines reads our own form, in which a section's head says what its lines are.
func corpusLines(name string) func(string) (Case, bool, error) {
	var head Case
	return func(text string) (Case, bool, error) {
		text = strings.TrimSpace(text)
		switch {
		case text == "" || text[0] == '#':
			return Case{}, false, nil
		case text[0] == '@':
			var err error
			head, err = section(text)
			head.Source = name
			return Case{}, false, err
		case head.Source == "":
			return Case{}, false, fmt.Errorf("a text before the first section")
		}
		c := head
		c.Text = text
		return c, true, nil
	}
}

// section reads "@ language label kind severity".
func section(text string) (Case, error) {
	f := strings.Fields(text[1:])
	if len(f) != 4 {
		return Case{}, fmt.Errorf("want @ LANGUAGE LABEL KIND SEVERITY")
	}
	severity, err := strconv.Atoi(f[3])
	if err != nil || severity < 0 || severity > int(safety.Imminent) {
		return Case{}, fmt.Errorf("bad severity %q", f[3])
	}
	c := Case{Language: f[0], Kind: f[2], Severity: safety.Severity(severity)}
	switch f[1] {
	case "crisis":
		c.Crisis = true
	case "benign", "distress":
	case "reply-harm":
		c.Crisis, c.Direction = true, safety.Response
	case "reply-ok":
		c.Direction = safety.Response
	default:
		return Case{}, fmt.Errorf("unknown label %q", f[1])
	}
	return c, nil
}
