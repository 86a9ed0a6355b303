package config

import (
	"errors"
	"fmt"
	"strings"
)

// Error is every complaint about the settings, joined. A program exits with
// status 2 for it: nobody but its operator can put that right.
type Error struct {
	Complaints []error
}

// Error lists the complaints, one in each line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Complaints))
	for i, c := range e.Complaints {
		lines[i] = c.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the complaints to errors.Is and errors.As.
func (e *Error) Unwrap() []error { return e.Complaints }

// Complaint says what is wrong with one setting, and what to do.
type Complaint struct {
	Setting string // TTA_GATEWAY_PORT
	Value   string // as it was given; empty for a secret, and for one that is not set
	Problem string
	Remedy  string
}

// Error names the setting, its value, the problem and the remedy.
func (c *Complaint) Error() string {
	name := c.Setting
	if c.Value != "" {
		name = fmt.Sprintf("%s=%q", c.Setting, shorten(c.Value))
	}
	if c.Remedy == "" {
		return fmt.Sprintf("config: %s: %s", name, c.Problem)
	}
	return fmt.Sprintf("config: %s: %s; %s", name, c.Problem, c.Remedy)
}

// shorten keeps a value that is a whole document from filling the screen.
func shorten(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// complaints collects what is wrong.
type complaints struct{ all []error }

func (c *complaints) add(setting, value, problem, remedy string) {
	c.all = append(c.all, &Complaint{Setting: setting, Value: value, Problem: problem, Remedy: remedy})
}

// join takes in an error, split into its parts where it has several.
func (c *complaints) join(err error) {
	if err == nil {
		return
	}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) && err == error(asError(several)) {
		for _, e := range several.Unwrap() {
			c.join(e)
		}
		return
	}
	c.all = append(c.all, err)
}

func asError(v any) error {
	err, _ := v.(error)
	return err
}

// err is nil, or all of them as an *Error.
func (c *complaints) err() error {
	if len(c.all) == 0 {
		return nil
	}
	return &Error{Complaints: c.all}
}
