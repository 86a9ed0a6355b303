// Package config turns settings into a gateway: environment, files, defaults →
// typed data → parts → options.
//
//	TTA_GATEWAY_* ─┐
//	*_FILE         ├─ Load ─► Config ─ Check ─► Build ─► Parts ─► gateway.New(parts.Options()...)
//	ROUTES_FILE   ─┘    ▲     a plain struct              │
//	                    └──────────── Watch ◄─────────────┘  changed files, SIGHUP
//
// The shortest program:
//
//	c, err := config.Load(config.Source{Environ: os.Environ()})
//	if err != nil { … } // every complaint at once, each with its remedy
//	parts, err := c.Build(config.Host{Log: os.Stderr})
//	if err != nil { … }
//	defer parts.Close()
//	g, err := gateway.New(parts.Options()...)
//	if err != nil { … }
//	ln, err := parts.Listen(ctx)
//	if err != nil { … }
//	go parts.Watch(ctx, g, nil)
//	err = g.Serve(ctx, ln)
//
// It is the only package that knows all others, and nothing in it that a
// program could not do by hand: a Config may be filled in instead of loaded
// (begin with [Default]), and options that follow those of the parts override
// them.
//
// # Settings
//
// All settings stand in one table, [Settings], from which the parser, the
// output of gatewayd -config and the table of the README are made. Names are
// read without regard to letter case; an empty value counts as unset. Lists
// are JSON arrays or separated by commas. Durations are Go's ("90s") or a
// number of seconds. Secrets can come from a file, NAME_FILE.
//
// # Routes
//
// Without a routes file the table is that of the TTA services, [DefaultRoutes].
// [ParseRoutes] describes the file.
//
// # Sticky sessions
//
// The player-experience service keeps sessions in its process's memory. Where
// several of its processes run, set LOAD_BALANCING_ALGORITHM to
// consistent_hash: every known caller then stays with one of them, as long as
// it is there.
package config
