// Command gatewayd is the TTA gateway as a program: settings from the
// environment, signals, exit codes. Everything it does is in the packages.
//
//	gatewayd            serve, as TTA_GATEWAY_* say
//	gatewayd -demo      serve a story on this machine, with nothing else needed
//	gatewayd -config    print the effective settings and where each comes from
//	gatewayd -routes    print the route table; with -o yaml as a routes file
//	gatewayd -check     say whether the settings are good
//	gatewayd -health    ask a running gateway of the same settings
//	gatewayd -version
//
// It exits with 0 when it has ended as it should, 1 when something failed, and
// 2 when it was called or set up wrongly. SIGINT and SIGTERM end it gracefully,
// a second one at once; SIGHUP reads files and settings again.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/config"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = ""

func main() {
	p := &program{args: os.Args[1:], environ: os.Environ(), out: os.Stdout, log: os.Stderr}
	os.Exit(p.main())
}

// program is one run of gatewayd, apart from the process it runs in.
type program struct {
	args     []string
	environ  []string
	out, log io.Writer

	demo, config, routes, check, health, version bool
	format                                       string
}

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // nobody but who called it can put it right
)

func (p *program) main() int {
	err := p.flags()
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err == nil {
		err = p.run()
	}
	var settings *config.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &settings):
		_, _ = fmt.Fprintln(p.log, settings)
		return exitUsage
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintln(p.log, err)
		return exitUsage
	}
	_, _ = fmt.Fprintln(p.log, "gatewayd:", err)
	return exitFailed
}

var errUsage = errors.New("gatewayd: called wrongly")

func (p *program) flags() error {
	set := flag.NewFlagSet("gatewayd", flag.ContinueOnError)
	set.SetOutput(p.log)
	set.BoolVar(&p.demo, "demo", false, "serve a demo story on this machine, with a random secret and nothing else needed")
	set.BoolVar(&p.config, "config", false, "print the effective settings and where each comes from")
	set.BoolVar(&p.routes, "routes", false, "print the route table")
	set.StringVar(&p.format, "o", "text", "with -routes: text for people, yaml for a routes file")
	set.BoolVar(&p.check, "check", false, "say whether the settings are good")
	set.BoolVar(&p.health, "health", false, "ask a running gateway of the same settings whether it is ready")
	set.BoolVar(&p.version, "version", false, "print the version")
	if err := set.Parse(p.args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage // what is wrong has been printed
	}
	if set.NArg() > 0 {
		return fmt.Errorf("%w: %q is not understood; gatewayd -help lists what is", errUsage, set.Arg(0))
	}
	return nil
}

func (p *program) run() error {
	if p.version {
		v, revision := build()
		_, err := fmt.Fprintln(p.out, strings.TrimSpace("gatewayd "+v+" "+revision))
		return err
	}
	c, err := config.Load(config.Source{Environ: p.environ, Demo: p.demo})
	if p.health {
		return p.ask(c) // it does not take good settings to ask
	}
	if p.config {
		return errors.Join(p.printSettings(c), err)
	}
	if err != nil {
		return err
	}
	switch {
	case p.routes:
		return p.printRoutes(c)
	case p.check:
		p.printWarnings(c)
		_, err := fmt.Fprintln(p.out, "the settings are good")
		return err
	}
	return p.serve(c)
}

func (p *program) printWarnings(c *config.Config) {
	for _, w := range c.Warnings {
		_, _ = fmt.Fprintln(p.log, "warning:", w)
	}
}

func (p *program) printSettings(c *config.Config) error {
	p.printWarnings(c)
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, s := range c.Settings() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, s.Source) // Flush tells what failed
	}
	return w.Flush()
}

func (p *program) printRoutes(c *config.Config) error {
	switch p.format {
	case "text":
		return c.Table.Print(p.out)
	case "yaml":
		return c.Table.Encode(p.out)
	}
	return fmt.Errorf("%w: -o %q is not known; write text or yaml", errUsage, p.format)
}

// build is the version and revision of this binary.
func build() (v, revision string) {
	v = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return first(v, "dev"), ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return first(v, strings.Trim(info.Main.Version, "()"), "dev"), revision
}

// first is the first that says something.
func first(all ...string) string {
	for _, s := range all {
		if s != "" && s != "devel" {
			return s
		}
	}
	return ""
}

// serve runs the gateway until a signal ends it.
func (p *program) serve(c *config.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	var world *stage
	if p.demo {
		var err error
		if c, world, err = p.stage(c); err != nil {
			return err
		}
	}
	return p.serveParts(ctx, c, world)
}

func (p *program) serveParts(ctx context.Context, c *config.Config, world *stage) error {
	host := config.Host{Log: p.log}
	host.Version, host.Revision = build()
	tracing, err := startTracing(ctx, p.environ, host.Version)
	if err != nil {
		return err
	}
	defer tracing.stop()
	host.Options = append(tracing.options, world.options()...)
	parts, err := c.Build(host)
	if err != nil {
		return err
	}
	for _, w := range parts.Warnings {
		parts.Logger.Warn(w)
	}
	redis.SetLogger(quiet{parts.Logger})
	return errors.Join(p.serveGateway(ctx, c, parts, world), parts.Close())
}

func (p *program) serveGateway(ctx context.Context, c *config.Config, parts *config.Parts, world *stage) error {
	ln, err := parts.Listen(ctx)
	if err != nil {
		return err
	}
	g, err := gateway.New(parts.Options()...)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	for _, w := range g.Warnings() {
		parts.Logger.Warn(w)
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { _ = parts.Watch(ctx, g, hangups(ctx)) }) // it returns nothing but nil
	world.run(ctx, &all, cancel)
	parts.Logger.Info("serving", slog.String("address", ln.Addr().String()), slog.Bool("tls", c.TLSCertFile != ""), slog.Int("routes", len(c.Table.Routes)))
	world.tell(p.out, ln.Addr())
	err = g.Serve(ctx, ln)
	parts.Logger.Info("ended", slog.Bool("in order", err == nil))
	return errors.Join(err, world.err())
}

// hangups says when SIGHUP came.
func hangups(ctx context.Context) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { signal.Stop(signals) })
	out := make(chan struct{})
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			select {
			case <-ctx.Done():
				return
			case out <- struct{}{}:
			}
		}
	}()
	return out
}

// quiet takes what the Redis client has to say, which health tells better.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(ctx context.Context, format string, v ...any) {
	q.log.DebugContext(ctx, "redis client", slog.String("said", fmt.Sprintf(format, v...)))
}

// healthTimeout is below what container platforms give a probe.
const healthTimeout = 3 * time.Second

// ask asks the gateway that runs with these settings on this machine.
func (p *program) ask(c *config.Config) error {
	scheme := "http"
	if c.TLSCertFile != "" {
		scheme = "https"
	}
	url := scheme + "://" + net.JoinHostPort(reachable(c.Host), strconv.Itoa(c.Port)) + "/health/ready"
	client := &http.Client{
		Timeout: healthTimeout,
		Transport: &http.Transport{
			Proxy: nil,
			// It asks itself, by an address that no certificate names, and sends
			// nothing that anybody could want.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		},
	}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	_, err = fmt.Fprintln(p.out, "ready")
	return err
}

// reachable is where to ask a listener on host.
func reachable(host string) string {
	switch host {
	case "0.0.0.0", "":
		return "127.0.0.1"
	case "::":
		return "::1"
	}
	return host
}
