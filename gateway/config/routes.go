package config

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// Table is a route table as a file spells it, or [DefaultRoutes] makes it.
type Table struct {
	Routes []Route
	// Services says how services are treated that the routes name. One that is
	// not in it gets the zero Service.
	Services map[string]Service
}

// Route is a route of the gateway, and the names of our own middleware around
// it.
type Route struct {
	gateway.Route
	// With names middleware, the outermost first: "player_registration",
	// "logout".
	With []string
}

// Service is what a routes file says about a service.
type Service struct {
	// Health is the path that probes ask. Empty means "/health"; "off" means
	// that the service is not probed.
	Health string
	// Balancer chooses instances. Empty means LoadBalancingAlgorithm.
	Balancer string
	// Retries is how often a request that may be repeated is tried elsewhere.
	// 0 means 2, a negative number never.
	Retries int
	// Critical says that the gateway is degraded while nobody serves it.
	Critical bool
	// Protocol is what it is spoken to in.
	Protocol gateway.Protocol
	// SlowStart is how long a new instance takes to get its full share. 0 means
	// that it gets it at once.
	SlowStart time.Duration
}

const defaultHealthPath = "/health"

func (s Service) healthPath() string {
	switch s.Health {
	case "":
		return defaultHealthPath
	case "off":
		return ""
	}
	return s.Health
}

// serviceNames are the services that routes lead to.
func (t *Table) serviceNames() []string {
	names := map[string]bool{}
	for _, rt := range t.Routes {
		if rt.Service != "" {
			names[rt.Service] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// routes are the gateway's routes, with what settings say where a route says
// nothing.
func (t *Table) routes(c *Config, mw middleware) []gateway.Route {
	out := make([]gateway.Route, len(t.Routes))
	for i, rt := range t.Routes {
		out[i] = rt.Route
		out[i].Use = slices.Concat(mw.named(rt.With), rt.Use)
		if out[i].MaxBody == 0 {
			out[i].MaxBody = int64(c.MaxBody)
		}
		if !c.RateLimitingEnabled {
			out[i].Limits = nil
		}
	}
	return out
}

// The services of TTA. Only the first is a process of its own; the others are
// names under which parts of it were, or will be, deployed.
const (
	playerExperience = "player-experience"
	authentication   = "authentication-service"
	gameplayLoop     = "core-gameplay-loop"
)

// aliases lists, for a service, who serves it as long as nobody has its name.
var aliases = map[string][]string{
	playerExperience:              {"player-experience-interface"},
	"player-experience-interface": {playerExperience},
	authentication:                {playerExperience, "player-experience-interface"},
	gameplayLoop:                  {playerExperience, "player-experience-interface"},
}

// services are those of the settings, or the default one.
func (c *Config) services() map[string][]string {
	if c.Services == nil {
		return map[string][]string{playerExperience: {"http://localhost:8080"}}
	}
	return c.Services
}

// How long an answer may take to begin, by what stands behind a route: some
// ask one language model after the other.
const (
	authTimeout    = 10 * time.Second
	sessionTimeout = 60 * time.Second
	storyTimeout   = 120 * time.Second
)

// staffOrOwner is the rule of the player-experience service for what belongs
// to a player, with staff let through to it: the service itself decides what
// they may see.
var staffOrOwner = auth.Either(auth.Owner("player_id"), auth.Role(auth.RoleAdmin, auth.RoleTherapist))

// DefaultRoutes is the table for the TTA services. Everything leads to
// player-experience, which serves it all today, except that the routes of
// authentication and of sessions and gameplay lead to authentication-service
// and core-gameplay-loop where services has such names.
func DefaultRoutes(services map[string][]string) *Table {
	serve := func(name string, routes ...Route) []Route {
		if services[name] == nil {
			name = playerExperience
		}
		for i := range routes {
			routes[i].Service = name
		}
		return routes
	}
	t := &Table{
		Routes: slices.Concat(
			serve(authentication, authRoutes()...),
			serve(playerExperience, playerRoutes()...),
			serve(playerExperience, characterRoutes()...),
			serve(playerExperience, worldRoutes()...),
			serve(gameplayLoop, storyRoutes()...),
			serve(playerExperience, socketRoutes()...),
			serve(playerExperience, otherRoutes()...),
		),
		Services: map[string]Service{playerExperience: {Critical: true}},
	}
	return t
}

// credentials are never judged: a password is nobody's cry for help, and must
// not be held, matched or noted anywhere.
var credentials = safety.NotInspected("credentials")

func authRoutes() []Route {
	public := func(path string, with string, limit string, n int) Route {
		rt := Route{Route: gateway.Route{
			Pattern:  path,
			Methods:  []string{http.MethodPost},
			Allow:    auth.Anyone,
			Inspect:  credentials,
			Timeouts: gateway.Timeouts{Header: authTimeout},
			Limits:   []gateway.Quota{{Name: limit, By: "address", Rate: ratelimit.Rate{N: n, Per: time.Minute}}},
		}}
		if with != "" {
			rt.With = []string{with}
		}
		return rt
	}
	known := func(path string, with ...string) Route {
		return Route{With: with, Route: gateway.Route{
			Pattern:  path,
			Inspect:  safety.NotInspected("credentials and account data"),
			Timeouts: gateway.Timeouts{Header: authTimeout},
		}}
	}
	password := known("/api/v1/auth/password/")
	password.Limits = []gateway.Quota{{Name: "password", By: "address", Rate: ratelimit.Rate{N: 10, Per: time.Minute}}}
	mfa := known("/api/v1/auth/mfa/")
	mfa.Limits = []gateway.Quota{{Name: "mfa", By: "address", Rate: ratelimit.Rate{N: 10, Per: time.Minute}}}
	return []Route{
		public("/api/v1/auth/login/", "", "login", 10),
		public("/api/v1/auth/register/", playerRegistration, "register", 10),
		public("/api/v1/auth/refresh/", "", "refresh", 30),
		known("/api/v1/auth/logout/", logout),
		known("/api/v1/auth/logout-all/", logout),
		password,
		mfa,
		known("/api/v1/auth/"),
	}
}

func playerRoutes() []Route {
	owned := func(path string) Route {
		return Route{Route: gateway.Route{Pattern: path, Allow: staffOrOwner}}
	}
	create := Route{Route: gateway.Route{Pattern: "/api/v1/players/", Methods: []string{http.MethodPost}, Allow: auth.Anyone,
		Limits: []gateway.Quota{{Name: "players", By: "address", Rate: ratelimit.Rate{N: 10, Per: time.Minute}}}}}
	list := Route{Route: gateway.Route{Pattern: "/api/v1/players/",
		Methods: []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}}}
	preferences := owned("/api/v1/players/{player_id}/therapeutic-preferences/")
	preferences.Lane = ratelimit.Therapeutic
	therapeutic := owned("/api/v1/players/{player_id}/settings/therapeutic/")
	therapeutic.Lane = ratelimit.Therapeutic
	export := owned("/api/v1/players/{player_id}/export/")
	export.Lane = ratelimit.Background
	dataExport := owned("/api/v1/players/{player_id}/data/export/")
	dataExport.Lane = ratelimit.Background
	return []Route{create, list, owned("/api/v1/players/{player_id}/"), preferences, therapeutic, export, dataExport}
}

// characterFields are what a player writes about a character, who is often
// the player.
var characterFields = []string{
	"name", "appearance", "background", "personality_traits", "fears_and_anxieties",
	"therapeutic_profile", "goals", "primary_concerns", "description",
}

func characterRoutes() []Route {
	create := gateway.Route{
		Pattern: "/api/v1/characters/",
		Methods: []string{http.MethodPost},
		Lane:    ratelimit.Therapeutic,
		Inspect: safety.Rule{Fields: characterFields},
		Limits:  []gateway.Quota{{Name: "characters", By: "address", Rate: ratelimit.Rate{N: 5, Per: time.Minute}}},
	}
	list := gateway.Route{
		Pattern: "/api/v1/characters/",
		Methods: []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions},
		Lane:    ratelimit.Therapeutic,
	}
	// Below a character, any text may be the player's own.
	one := gateway.Route{Pattern: "/api/v1/characters/{character_id}/", Lane: ratelimit.Therapeutic}
	return []Route{{Route: create}, {Route: list}, {Route: one}}
}

func worldRoutes() []Route {
	return []Route{
		{Route: gateway.Route{Pattern: "/api/v1/worlds/", Inspect: safety.NotInspected("catalogue data")}},
		{Route: gateway.Route{Pattern: "/api/v1/worlds/{world_id}/customize/"}},
	}
}

// storyRoutes are where a player writes and the story answers.
func storyRoutes() []Route {
	therapeutic := func(path string, header time.Duration, rule safety.Rule, methods ...string) Route {
		return Route{Route: gateway.Route{
			Pattern: path, Methods: methods, Lane: ratelimit.Therapeutic, Inspect: rule,
			Timeouts: gateway.Timeouts{Header: header},
		}}
	}
	turn := safety.Rule{Fields: []string{"message", "character_name", "world_name"}, Reply: "response", InGame: true}
	talk := safety.Rule{Fields: []string{"message", "context"}, Reply: "response"}
	game := safety.Rule{Reply: "response", InGame: true}
	return []Route{
		therapeutic("/api/v1/sessions/", sessionTimeout, safety.Rule{}),
		therapeutic("/api/v1/gameplay/", storyTimeout, game),
		therapeutic("/api/v1/gameplay/message/", storyTimeout, turn, http.MethodPost),
		probe("/api/v1/gameplay/health/"),
		therapeutic("/api/v1/conversation/", storyTimeout, safety.Rule{Reply: "response"}),
		therapeutic("/api/v1/conversation/send/", storyTimeout, talk, http.MethodPost),
	}
}

// probe is a service's own health, which it shows to everybody.
func probe(path string) Route {
	return Route{Route: gateway.Route{
		Pattern: path,
		Methods: []string{http.MethodGet},
		Allow:   auth.Anyone,
		Inspect: safety.NotInspected("health of a service"),
	}}
}

// socketRoutes are the chat, and the historic names of it: what they asked for
// by their name is not to be had by asking.
func socketRoutes() []Route {
	chat := func(path string, idle time.Duration) Route {
		rt := gateway.Route{
			Pattern:  path,
			Methods:  []string{http.MethodGet},
			Lane:     ratelimit.Therapeutic,
			Inspect:  safety.Rule{Fields: []string{"content"}, Reply: "content.text"},
			Upgrade:  true,
			Chat:     true,
			Timeouts: gateway.Timeouts{Socket: idle},
		}
		if path != "/ws/chat" {
			rt.Rewrite = "/ws/chat"
		}
		return Route{Route: rt}
	}
	return []Route{
		chat("/ws/chat", 0),
		chat("/ws/narrative", 0),
		chat("/ws/therapeutic/{session_id}", 30*time.Minute),
		chat("/ws/crisis", time.Hour),
	}
}

func otherRoutes() []Route {
	account := safety.NotInspected("keys and account data of another provider")
	return []Route{
		{Route: gateway.Route{Pattern: "/api/v1/openrouter/", Inspect: account}},
		{Route: gateway.Route{Pattern: "/api/v1/openrouter/auth/status/", Methods: []string{http.MethodGet}, Allow: auth.Anyone, Inspect: account}},
		{Route: gateway.Route{Pattern: "/api/v1/openrouter/auth/token/", Allow: auth.Anyone, Inspect: account}},
		probe("/api/v1/health/"),
		// What the front end asks and no service has yet gets the service's own 404.
		{Route: gateway.Route{Pattern: "/api/v1/"}},
	}
}
