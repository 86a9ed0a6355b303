package config

import (
	"io"
	"log/slog"
	"strings"
)

// level reads the name of a level as Python's logging has it, too.
func level(name string) (slog.Level, bool) {
	switch strings.ToUpper(strings.TrimSpace(name)) {
	case "DEBUG":
		return slog.LevelDebug, true
	case "INFO", "":
		return slog.LevelInfo, true
	case "WARNING", "WARN":
		return slog.LevelWarn, true
	case "ERROR":
		return slog.LevelError, true
	case "CRITICAL", "FATAL":
		return LevelCritical, true
	}
	return 0, false
}

// LevelCritical is above slog's own levels: an alert that somebody must see.
const LevelCritical = slog.LevelError + 4

// logger writes lines to w; nil means nowhere.
func (c *Config) logger(w io.Writer) *slog.Logger {
	if w == nil {
		return slog.New(slog.DiscardHandler)
	}
	lowest, _ := level(c.LogLevel)
	options := &slog.HandlerOptions{Level: lowest, ReplaceAttr: nameCritical}
	if c.StructuredLogging {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func nameCritical(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.LevelKey && a.Value.Any() == LevelCritical {
		a.Value = slog.StringValue("CRITICAL")
	}
	return a
}
