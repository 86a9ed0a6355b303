package eval

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

// query is one line that asks for a verdict.
type query struct {
	Text      string           `json:"text"`
	Direction safety.Direction `json:"direction"`
	Session   string           `json:"session"`
	InGame    bool             `json:"in_game"`
}

// answer is the verdict on a line.
type answer struct {
	Severity        int               `json:"severity"`
	Score           float64           `json:"score"`
	Categories      []safety.Category `json:"categories"`
	Language        string            `json:"language"`
	Findings        []finding         `json:"findings"`
	Model           string            `json:"model,omitempty"`
	Skipped         string            `json:"skipped,omitempty"`
	SessionSeverity *int              `json:"session_severity,omitempty"`
	Error           string            `json:"error,omitempty"`
}

type finding struct {
	Rule     string          `json:"rule"`
	Category safety.Category `json:"category"`
	Severity int             `json:"severity"`
	Start    int             `json:"start"`
	End      int             `json:"end"`
	Frames   []string        `json:"frames"`
}

// Lines reads JSON lines {"text", "direction", "session"} and writes a verdict
// for each in the same order. Lines of one session are one conversation; they
// are taken to be said one after the other without pauses. A line that is no
// JSON gets a verdict with an "error", and the rest goes on.
func Lines(ctx context.Context, d *detect.Detector, r io.Reader, w io.Writer) error {
	in, out := bufio.NewReaderSize(r, 64<<10), bufio.NewWriter(w)
	sessions := map[string]detect.Trajectory{}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for {
		raw, err := in.ReadBytes('\n')
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			a, aerr := judgeLine(ctx, d, sessions, raw)
			if aerr != nil {
				a = answer{Categories: []safety.Category{}, Findings: []finding{}, Skipped: safety.SkippedMalformed, Error: aerr.Error()}
			}
			if werr := enc.Encode(a); werr != nil {
				return fmt.Errorf("eval: %w", werr)
			}
			if in.Buffered() == 0 {
				if werr := out.Flush(); werr != nil {
					return fmt.Errorf("eval: %w", werr)
				}
			}
		}
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
	}
}

func judgeLine(ctx context.Context, d *detect.Detector, sessions map[string]detect.Trajectory, raw []byte) (answer, error) {
	var q query
	if err := json.Unmarshal(raw, &q); err != nil {
		return answer{}, fmt.Errorf("eval: %w", err)
	}
	c := safety.Content{Text: []byte(q.Text), Direction: q.Direction, Session: q.Session, InGame: q.InGame}
	if q.Session == "" || q.Direction == safety.Response {
		v, err := d.Inspect(ctx, c)
		a := answerOf(v)
		if t, ok := sessions[q.Session]; ok && q.Session != "" {
			level := int(t.Severity(time.Now()))
			a.SessionSeverity = &level
		} else if q.Session != "" {
			a.SessionSeverity = new(int)
		}
		return a, err
	}
	now := time.Now()
	t, v := d.Next(sessions[q.Session], c, now)
	sessions[q.Session] = t
	a := answerOf(v)
	level := int(t.Severity(now))
	a.SessionSeverity = &level
	return a, nil
}

func answerOf(v safety.Verdict) answer {
	a := answer{Severity: int(v.Severity), Score: v.Score, Categories: v.Categories, Language: v.Language, Model: v.Model, Skipped: v.Skipped, Findings: []finding{}}
	if a.Categories == nil {
		a.Categories = []safety.Category{}
	}
	for _, f := range v.Findings {
		if f.Frames == nil {
			f.Frames = []string{}
		}
		a.Findings = append(a.Findings, finding{f.Rule, f.Category, int(f.Severity), f.Start, f.End, f.Frames})
	}
	return a
}
