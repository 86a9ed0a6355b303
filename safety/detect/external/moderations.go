package external

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/theinterneti/tta-gateway/safety"
)

// Moderations asks a service that speaks the shape of OpenAI's moderations
// endpoint (https://platform.openai.com/docs/api-reference/moderations). It
// is safe for simultaneous use.
type Moderations struct {
	URL   string // where to POST
	Key   string // a bearer token, "" sends none
	Model string // "" lets the service choose
	// Client makes the calls, nil means http.DefaultClient. The deadline
	// comes with the context.
	Client *http.Client
	// Thresholds say from which score a category counts, by its name; a
	// category without one counts from 0.5.
	Thresholds map[string]float64
}

// maxAnswer bounds how much of an answer is read.
const maxAnswer = 1 << 20

// moderated maps the service's categories to ours, and what they are worth.
var moderated = map[string]struct {
	category safety.Category
	severity safety.Severity
	reply    safety.Category // what it means when the service's own reply is judged
}{
	"self-harm":              {safety.SelfHarm, safety.Moderate, safety.Encouragement},
	"self-harm/intent":       {safety.SuicidalIdeation, safety.High, safety.Encouragement},
	"self-harm/instructions": {safety.SelfHarm, safety.High, safety.Methods},
	"violence":               {safety.HarmToOthers, safety.Low, safety.Encouragement},
	"harassment/threatening": {safety.HarmToOthers, safety.Moderate, safety.Encouragement},
}

// Classify asks the service.
func (m *Moderations) Classify(ctx context.Context, c safety.Content) (safety.Verdict, error) {
	body, err := json.Marshal(map[string]string{"input": string(c.Text), "model": m.Model})
	if m.Model == "" {
		body, err = json.Marshal(map[string]string{"input": string(c.Text)})
	}
	if err != nil {
		return safety.Verdict{}, fmt.Errorf("external: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(body))
	if err != nil {
		return safety.Verdict{}, fmt.Errorf("external: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if m.Key != "" {
		req.Header.Set("Authorization", "Bearer "+m.Key)
	}
	client := m.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return safety.Verdict{}, fmt.Errorf("external: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return safety.Verdict{}, fmt.Errorf("external: the service answered %d", resp.StatusCode)
	}
	return m.verdict(io.LimitReader(resp.Body, maxAnswer), c)
}

// verdict reads an answer.
func (m *Moderations) verdict(r io.Reader, c safety.Content) (safety.Verdict, error) {
	var answer struct {
		Model   string `json:"model"`
		Results []struct {
			Scores map[string]float64 `json:"category_scores"`
		} `json:"results"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return safety.Verdict{}, fmt.Errorf("external: the answer is malformed: %w", err)
	}
	if len(answer.Results) == 0 {
		return safety.Verdict{}, fmt.Errorf("external: the answer holds no result")
	}
	v := safety.Verdict{Model: "moderations/" + answer.Model}
	for name, score := range answer.Results[0].Scores {
		means, known := moderated[name]
		if !known || !(score >= 0 && score <= 1) {
			continue
		}
		v.Score = max(v.Score, score)
		threshold, ok := m.Thresholds[name]
		if !ok {
			threshold = 0.5
		}
		if score < threshold {
			continue
		}
		category := means.category
		if c.Direction == safety.Response {
			category = means.reply
		}
		v = safety.Highest(v, safety.Verdict{
			Severity: means.severity, Categories: []safety.Category{category}, Score: score,
			Findings: []safety.Finding{{Rule: "moderations " + name, Category: category, Severity: means.severity, End: len(c.Text)}},
		})
	}
	return v, nil
}
