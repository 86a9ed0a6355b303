package config

import (
	"context"
	"crypto/sha256"
	"log/slog"
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
	seen := p.fingerprint()
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
		now := p.fingerprint()
		if !asked && now == seen {
			continue
		}
		seen = now
		_ = p.Reload(ctx, g) // it has been logged, and the old settings stay
	}
}

// fingerprint is of the content of all files that settings name.
func (p *Parts) fingerprint() [sha256.Size]byte {
	c := p.config.Load()
	h := sha256.New()
	for _, name := range c.files() {
		content, err := c.readFile(name)
		sum := sha256.Sum256(content)
		if err != nil {
			sum = sha256.Sum256([]byte("unreadable"))
		}
		h.Write([]byte(name + "\x00"))
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
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
	return nil
}

// again is the settings as they are to be read now.
func (c *Config) again() (*Config, error) {
	if c.origins != nil {
		from := c.source
		if c.Demo && from.Demo {
			from.Environ = append(slices.Clone(from.Environ), "TTA_GATEWAY_JWT_SECRET_KEY="+string(c.JWTSecretKey))
		}
		return Load(from)
	}
	next := *c
	if c.RoutesFile != "" {
		next.Table = nil
	}
	return &next, next.Check()
}
