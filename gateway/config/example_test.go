package config_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/config"
)

// A whole gateway from an environment.
func Example() {
	c, err := config.Load(config.Source{Environ: []string{
		"TTA_GATEWAY_JWT_SECRET_KEY=k7Jq2-Zp9xVw4nTb8mRs6yLd3hGf1cQa-Ue5",
		`TTA_GATEWAY_SERVICES={"player-experience":["http://10.0.0.1:8080","http://10.0.0.2:8080"]}`,
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	parts, err := c.Build(config.Host{Version: "v1.0.0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = parts.Close() }()
	g, err := gateway.New(parts.Options()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	e := g.Explain(httpGet("/api/v1/players/p-1/progress"))
	fmt.Println(e.Route, e.Allow, e.Service)
	// Output: /api/v1/players/{player_id}/ owner(player_id) | role(admin,therapist) player-experience
}

// A program may fill in a Config itself, and begins with Default.
func ExampleDefault() {
	c := config.Default()
	c.JWTSecretKey = "k7Jq2-Zp9xVw4nTb8mRs6yLd3hGf1cQa-Ue5"
	c.Services = map[string][]string{"player-experience": {"http://10.0.0.1:8080"}}
	fmt.Println(c.Check(), c.Addr())
	// Output: <nil> 127.0.0.1:8000
}

// A Config that does not begin with Default lacks every default, limits among
// them. Check does not let it pass.
func ExampleConfig_incorrect() {
	c := &config.Config{JWTSecretKey: "k7Jq2-Zp9xVw4nTb8mRs6yLd3hGf1cQa-Ue5", Host: "127.0.0.1", Port: 8000}
	var settings *config.Error
	if errors.As(c.Check(), &settings) {
		fmt.Println(strings.Contains(settings.Error(), "TTA_GATEWAY_MAX_BODY"))
	}
	// Output: true
}

// Everything that is wrong is said at once, each with its remedy.
func ExampleLoad_complaints() {
	_, err := config.Load(config.Source{Environ: []string{
		"TTA_GATEWAY_JWT_SECRET_KEY=k7Jq2-Zp9xVw4nTb8mRs6yLd3hGf1cQa-Ue5",
		"TTA_GATEWAY_PORT=http",
		"TTA_GATEWAY_DEFAULT_RATE_LIMIT=often",
	}})
	fmt.Println(err)
	// Output:
	// config: TTA_GATEWAY_PORT="http": not a whole number; write a number from 1 to 65535, or 0 for any free port
	// config: TTA_GATEWAY_DEFAULT_RATE_LIMIT="often": not a rate; write a rate such as 100/minute, 10/30s, or off
}

// A routes file is read strictly: what is not known has a line.
func ExampleParseRoutes_complaints() {
	_, err := config.ParseRoutes("routes.yaml", []byte(`version: 1
routes:
  - pattern: /api/story/
    service: story
    alow: anyone
    lane: crisis
`))
	fmt.Println(strings.Split(err.Error(), "; known")[0])
	// Output: config: routes.yaml:5: a route: "alow" is not known
}
