package config

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// Print writes the table for people, one route in each line.
func (t *Table) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "METHODS\tPATTERN\tSERVICE\tALLOW\tLANE\tINSPECTED\tMORE") // Flush tells what failed
	for _, rt := range t.Routes {
		methods := "any"
		if rt.Methods != nil {
			methods = strings.Join(rt.Methods, ",")
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			methods, rt.Pattern, rt.Service, allow(rt), rt.Lane, inspected(rt), strings.Join(rt.more(), " "))
	}
	return tw.Flush()
}

func allow(rt Route) string {
	if rt.Allow == nil {
		return auth.Known.String()
	}
	return rt.Allow.String()
}

func inspected(rt Route) string {
	if !rt.Inspect.Inspected() {
		return "no: " + rt.Inspect.Skip
	}
	if rt.Inspect.Fields != nil {
		return "yes: " + strings.Join(rt.Inspect.Fields, ",")
	}
	return "yes"
}

// more is what is special about a route, in few words.
func (rt Route) more() []string {
	var out []string
	for _, q := range rt.Limits {
		out = append(out, fmt.Sprintf("%s=%s", q.Name, q.Rate))
	}
	switch {
	case rt.Chat:
		out = append(out, "chat")
	case rt.Upgrade:
		out = append(out, "upgrade")
	}
	if rt.Rewrite != "" {
		out = append(out, "→"+rt.Rewrite)
	}
	if rt.Timeouts.Header != 0 {
		out = append(out, "header="+timeout(rt.Timeouts.Header))
	}
	return append(out, rt.With...)
}

// Encode writes the table as a routes file, which [ParseRoutes] reads back. A
// Handler and middleware that a program has put in cannot be written.
func (t *Table) Encode(w io.Writer) error {
	e := &encoder{}
	e.line("version: 1")
	e.services(t.Services)
	e.line("routes:")
	for _, rt := range t.Routes {
		e.route(rt)
	}
	_, err := io.WriteString(w, e.String())
	return err
}

// encoder writes the little of YAML that a routes file needs. Texts are
// written as JSON strings, which are YAML, too.
type encoder struct{ strings.Builder }

func (e *encoder) line(format string, args ...any) {
	_, _ = fmt.Fprintf(e, format+"\n", args...) // a Builder does not fail
}

func quoted(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	return strings.TrimSpace(b.String())
}

// plain reports whether a text can stand without quotes and mean itself.
func plain(s string) bool {
	if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/.() ") != "" || strings.TrimSpace(s) != s {
		return false
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return false
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return false
	}
	return s[0] != '-' && s[0] != '.' && s[0] != ' '
}

func flow(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = quoted(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func (e *encoder) services(all map[string]Service) {
	if len(all) == 0 {
		return
	}
	e.line("services:")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var parts []string
		s := all[name]
		add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
		if s.Health != "" {
			add("health: %s", quoted(s.Health))
		}
		if s.Balancer != "" {
			add("balancer: %s", quoted(s.Balancer))
		}
		if s.Retries != 0 {
			add("retries: %d", max(s.Retries, 0))
		}
		if s.Critical {
			add("critical: true")
		}
		if s.Protocol != gateway.ProtocolAuto {
			add("protocol: %s", s.Protocol)
		}
		if s.SlowStart != 0 {
			add("slow_start: %s", s.SlowStart)
		}
		e.line("  %s: {%s}", quoted(name), strings.Join(parts, ", "))
	}
}

func (e *encoder) route(rt Route) {
	e.line("  - pattern: %s", quoted(rt.Pattern))
	e.list("methods", rt.Methods)
	e.text("service", rt.Service)
	if rt.Allow != nil {
		e.text("allow", rt.Allow.String())
	}
	if rt.Lane != ratelimit.Normal {
		e.text("lane", rt.Lane.String())
	}
	if len(rt.Limits) > 0 {
		e.line("    limits:")
	}
	for _, q := range rt.Limits {
		e.line("      - %s", quota(q))
	}
	e.rule(rt.Inspect)
	e.flag("upgrade", rt.Upgrade)
	e.flag("chat", rt.Chat)
	if rt.MaxBody != 0 {
		e.line("    max_body: %s", bound(rt.MaxBody))
	}
	e.timeouts(rt.Timeouts)
	if rt.Timeouts.BodyRate != 0 {
		e.line("    body_rate: %s", bound(rt.Timeouts.BodyRate))
	}
	e.text("rewrite", rt.Rewrite)
	e.flag("raw_path", rt.RawPath)
	e.list("strip_query", rt.StripQuery)
	e.list("with", rt.With)
}

func (e *encoder) text(name, value string) {
	if value != "" {
		e.line("    %s: %s", name, quoted(value))
	}
}

func (e *encoder) list(name string, all []string) {
	if all != nil {
		e.line("    %s: %s", name, flow(all))
	}
}

func (e *encoder) flag(name string, on bool) {
	if on {
		e.line("    %s: true", name)
	}
}

func quota(q gateway.Quota) string {
	out := fmt.Sprintf("{name: %s, rate: %s", quoted(q.Name), quoted(q.Rate.String()))
	if q.By != "" {
		out += ", by: " + quoted(q.By)
	}
	if q.Cost != 0 {
		out += ", cost: " + strconv.Itoa(q.Cost)
	}
	return out + "}"
}

func (e *encoder) rule(rule safety.Rule) {
	if !rule.Inspected() {
		e.line("    inspect: {skip: %s}", quoted(rule.Skip))
		return
	}
	var parts []string
	if rule.Fields != nil {
		parts = append(parts, "fields: "+flow(rule.Fields))
	}
	if rule.ReplyFields != nil {
		parts = append(parts, "reply_fields: "+flow(rule.ReplyFields))
	}
	if rule.Reply != "" {
		parts = append(parts, "reply: "+quoted(rule.Reply))
	}
	if rule.InGame {
		parts = append(parts, "in_game: true")
	}
	if rule.Hold {
		parts = append(parts, "hold: true")
	}
	if parts != nil {
		e.line("    inspect: {%s}", strings.Join(parts, ", "))
	}
}

func bound(n int64) string {
	if n < 0 {
		return "off"
	}
	return Size(n).String()
}

func (e *encoder) timeouts(t gateway.Timeouts) {
	var parts []string
	for _, one := range []struct {
		name string
		d    time.Duration
	}{{"header", t.Header}, {"idle", t.Idle}, {"overall", t.Overall}, {"socket", t.Socket}} {
		if one.d != 0 {
			parts = append(parts, one.name+": "+timeout(one.d))
		}
	}
	if parts != nil {
		e.line("    timeouts: {%s}", strings.Join(parts, ", "))
	}
}

func timeout(d time.Duration) string {
	if d < 0 {
		return "off"
	}
	return d.String()
}
