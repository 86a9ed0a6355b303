package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/theinterneti/tta-gateway/safety"
)

// trail writes every event as one line of the log: what was found and done, and not who said what. A
// service that people rely on keeps a trail that cannot be changed unnoticed: package safety/audit.
type trail struct{ log *slog.Logger }

// Record implements [safety.Auditor].
func (t trail) Record(ctx context.Context, e safety.Event) error {
	t.log.InfoContext(ctx, "safety", "event", e.ID, "kind", e.Kind, "route", e.Route,
		"severity", e.Severity.String(), "categories", e.Categories, "actions", e.Actions, "outcome", e.Outcome)
	return nil
}

// pager tells a human by way of a URL, once. Only a 2xx counts as taken over; everything else is an error,
// which is recorded. The event's id is sent as an idempotency key, for there may be repetitions.
type pager struct {
	URL    string
	Client *http.Client // nil means http.DefaultClient; the guard's context bounds the call
}

// Escalate implements [safety.Escalator].
func (p pager) Escalate(ctx context.Context, e safety.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("pager: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("pager: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", e.ID)
	return p.send(r)
}

func (p pager) send(r *http.Request) error {
	client := p.Client
	if client == nil {
		client = http.DefaultClient
	}
	reply, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("pager: %w", err)
	}
	defer reply.Body.Close()
	if reply.StatusCode/100 != 2 {
		return fmt.Errorf("pager: answered %s", reply.Status)
	}
	return nil
}
