package config

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theinterneti/tta-gateway/gateway"
)

// pollEvery is how often files are looked at.
const pollEvery = 3 * time.Second

// Watch puts changed settings in force until ctx ends: when one of the files
// that they name has other content (which is how Kubernetes exchanges mounted
// secrets), and whenever hup says so. Secrets, the TLS pair, the metrics token
// and routes are taken over at once, the Redis password by new connections;
// everything else keeps the value of the start. Settings that are wrong are
// refused as a whole: a log line says everything that is, and the old ones
// stay. hup may be nil. It blocks, and returns nil.
func (p *Parts) Watch(ctx context.Context, g *gateway.Gateway, hup <-chan struct{}) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	seen := p.config.Load().read()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-hup:
			if !ok {
				hup = nil // nobody will ask any more
				continue
			}
			asked = true
		case <-ticker.C:
		}
		now := p.config.Load().look()
		if !asked && maps.Equal(now, seen) {
			continue
		}
		seen = now
		_ = p.Reload(ctx, g) // it has been logged, and the old settings stay
	}
}

// read is what was in the files when the settings in force were read.
func (c *Config) read() map[string]sum {
	out := map[string]sum{}
	for _, name := range c.files() {
		out[name] = c.sums[name]
	}
	return out
}

// look is what is in the files now.
func (c *Config) look() map[string]sum {
	out := map[string]sum{}
	for _, name := range c.files() {
		out[name] = sumOf(c.peek(name))
	}
	return out
}

// files are those whose content is a setting.
func (c *Config) files() []string {
	all := slices.Clone(c.watched)
	for _, name := range []string{c.RoutesFile, c.TLSCertFile, c.TLSKeyFile} {
		if name != "" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Reload reads the settings again and puts them in force, or returns and logs
// what is wrong with them and leaves everything as it is. Only settings that
// were loaded can be read again: for a Config that a program filled in it does
// no more than read the files that it names.
func (p *Parts) Reload(ctx context.Context, g *gateway.Gateway) error {
	err := p.reload(g)
	if err != nil {
		p.Logger.ErrorContext(ctx, "changed settings are refused, the old ones stay", slog.String("error", strings.ReplaceAll(err.Error(), "\n", "; ")))
		return err
	}
	p.Logger.InfoContext(ctx, "changed settings are in force")
	return nil
}

func (p *Parts) reload(g *gateway.Gateway) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	before := p.config.Load()
	next, err := before.again()
	if err != nil {
		p.metrics.Reload(false)
		return err
	}
	pair, err := next.certificate()
	if err != nil {
		p.metrics.Reload(false)
		return err
	}
	p.config.Store(next)
	if err := g.Reload(p.Options()...); err != nil {
		p.config.Store(before)
		return err
	}
	p.keys.Set(hmac(next))
	p.pair.Store(pair)
	for _, w := range next.Warnings {
		if !slices.Contains(before.Warnings, w) {
			p.Logger.Warn(w)
		}
	}
	return nil
}

// again is the settings as they are to be read now.
func (c *Config) again() (*Config, error) {
	if c.reread != nil {
		return c.reread()
	}
	next := *c
	next.sums = maps.Clone(c.sums)
	if c.RoutesFile != "" {
		next.Table = nil
	}
	return &next, next.Check()
}
