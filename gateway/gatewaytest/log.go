package gatewaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
)

// Log is a slog.Handler that remembers. The zero Log is ready; it is safe for
// simultaneous use.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Enabled is true of every level.
func (l *Log) Enabled(context.Context, slog.Level) bool { return true }

// Handle remembers a record as a line of JSON.
func (l *Log) Handle(ctx context.Context, r slog.Record) error {
	return (&branch{log: l}).Handle(ctx, r)
}

// WithAttrs returns a handler that remembers in the same place.
func (l *Log) WithAttrs(attrs []slog.Attr) slog.Handler { return (&branch{log: l}).WithAttrs(attrs) }

// WithGroup returns a handler that remembers in the same place.
func (l *Log) WithGroup(name string) slog.Handler { return (&branch{log: l}).WithGroup(name) }

// Text is everything that was written, a line of JSON each.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// Requests are the access log's lines, decoded, in order.
func (l *Log) Requests() []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for _, line := range l.lines {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == "request" {
			out = append(out, m)
		}
	}
	return out
}

// branch is a Log with what WithAttrs and WithGroup added, which it replays.
type branch struct {
	log  *Log
	with []func(slog.Handler) slog.Handler
}

func (b *branch) Enabled(context.Context, slog.Level) bool { return true }

func (b *branch) Handle(ctx context.Context, r slog.Record) error {
	var buf bytes.Buffer
	var h slog.Handler = slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug - 4})
	for _, with := range b.with {
		h = with(h)
	}
	if err := h.Handle(ctx, r); err != nil {
		return err
	}
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	b.log.lines = append(b.log.lines, strings.TrimSuffix(buf.String(), "\n"))
	return nil
}

func (b *branch) and(f func(slog.Handler) slog.Handler) *branch {
	return &branch{log: b.log, with: append(b.with[:len(b.with):len(b.with)], f)}
}

func (b *branch) WithAttrs(attrs []slog.Attr) slog.Handler {
	return b.and(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (b *branch) WithGroup(name string) slog.Handler {
	return b.and(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}
