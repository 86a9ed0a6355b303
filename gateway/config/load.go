package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// Source is where settings come from.
type Source struct {
	// Environ are "NAME=value" strings, as os.Environ returns them. Names are
	// read without regard to letter case; where two spellings of one name are
	// there, the one in upper case counts.
	Environ []string
	// ReadFile reads the files that settings name. Nil means os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// Demo allows that there is no JWT secret: a random one is made then.
	Demo bool
}

// Load reads the settings and checks them. The error is an *[Error] with every
// complaint; the Config beside it is never nil, so that it can be shown, and
// must not be built then.
func Load(from Source) (*Config, error) {
	c := &Config{ReadFile: from.ReadFile, Demo: from.Demo, origins: map[string]string{}}
	c.reread = func() (*Config, error) { return Load(from.keeping(c)) }
	var found complaints
	given := c.gather(from.Environ, &found)
	found.join(c.parse(given))
	c.demoSecret()
	c.loadTable(&found)
	found.join(c.check(found.named()))
	c.advise()
	return c, found.err()
}

// keeping is the source for reading settings again: a demo's random secret
// stays what it was.
func (from Source) keeping(c *Config) Source {
	if c.origins[jwtSecretName] == randomOrigin {
		from.Environ = append(slices.Clone(from.Environ), jwtSecretName+"="+string(c.JWTSecretKey))
	}
	return from
}

const (
	jwtSecretName = "TTA_GATEWAY_JWT_SECRET_KEY"
	randomOrigin  = "random (demo)"
)

// gather picks our settings out of an environment, those in files included.
func (c *Config) gather(environ []string, found *complaints) map[string]string {
	given := map[string]string{}
	exact := map[string]bool{}
	for _, line := range environ {
		name, value, ok := strings.Cut(line, "=")
		upper := strings.ToUpper(name)
		if !ok || upper != environmentName && !strings.HasPrefix(upper, Prefix) {
			continue
		}
		if exact[upper] && name != upper {
			c.warn("%s is set as %s too, in other letters; that is not looked at", upper, name)
			continue
		}
		exact[upper] = exact[upper] || name == upper
		given[upper] = value
	}
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		c.take(name, given, out, found)
	}
	return out
}

// take moves one setting from given to out.
func (c *Config) take(name string, given, out map[string]string, found *complaints) {
	value := given[name]
	if value == "" {
		return // compose files set what they have no value for to nothing
	}
	if settingNamed(name) != nil {
		out[name] = value
		c.origins[name] = "environment"
		return
	}
	plain, isFile := strings.CutSuffix(name, "_FILE")
	if s := settingNamed(plain); isFile && s != nil && s.File {
		c.takeFile(s, value, given, out, found)
		return
	}
	c.warn("%s is not a setting%s", name, didYouMean(name))
}

func (c *Config) takeFile(s *Setting, file string, given, out map[string]string, found *complaints) {
	c.watched = append(c.watched, file)
	if given[s.Name] != "" {
		found.add(s.Name, "", "is set, and so is "+s.Name+"_FILE", "set one of them")
		return
	}
	content, err := c.readFile(file)
	if err != nil {
		found.add(s.Name+"_FILE", file, "cannot be read ("+fileProblem(err)+")", "name a file that this process may read")
		return
	}
	value := strings.TrimRight(string(content), "\r\n")
	if value == "" {
		found.add(s.Name+"_FILE", file, "is empty", "write the value into it")
		return
	}
	out[s.Name] = value
	c.origins[s.Name] = "file:" + file
}

// fileProblem is an error without the path, which is told already.
func fileProblem(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// parse fills the fields from the environment and the table's defaults.
func (c *Config) parse(given map[string]string) error {
	values := map[string]string{}
	for _, s := range table {
		if s.Default != "" {
			values[s.Name] = s.Default
		}
	}
	maps.Copy(values, given)
	for _, s := range table {
		if s.Type == "rate" && isOff(values[s.Name]) {
			values[s.Name] = "unlimited"
		}
	}
	err := env.ParseWithOptions(c, env.Options{Environment: values, FuncMap: parsers})
	var found complaints
	var all env.AggregateError
	if err != nil && !errors.As(err, &all) {
		return err
	}
	for _, e := range all.Errors {
		found.join(explain(e, given))
	}
	return found.err()
}

// parsers read the types that fields have.
var parsers = map[reflect.Type]env.ParserFunc{
	reflect.TypeFor[bool]():                func(s string) (any, error) { return parseBool(s) },
	reflect.TypeFor[int]():                 func(s string) (any, error) { return parseInt(s) },
	reflect.TypeFor[time.Duration]():       func(s string) (any, error) { return parseDuration(s) },
	reflect.TypeFor[Size]():                func(s string) (any, error) { return ParseSize(s) },
	reflect.TypeFor[[]string]():            func(s string) (any, error) { return ParseList(s) },
	reflect.TypeFor[[]netip.Prefix]():      func(s string) (any, error) { return parsePrefixes(s) },
	reflect.TypeFor[map[string][]string](): func(s string) (any, error) { return ParseServices(s) },
}

// explain makes a complaint of what the parser says of a field.
func explain(err error, given map[string]string) error {
	var bad env.ParseError
	if !errors.As(err, &bad) {
		return err
	}
	f, _ := reflect.TypeFor[Config]().FieldByName(bad.Name)
	s := settingNamed(f.Tag.Get("env"))
	if s == nil {
		return err
	}
	value := given[s.Name]
	if s.Secret || s.Type == "JSON" { // URLs in it may carry passwords
		value = ""
	}
	problem := bad.Err.Error()
	if errors.Is(bad.Err, ratelimit.ErrRate) {
		problem = "not a rate"
	}
	return &Complaint{Setting: s.Name, Value: value, Problem: problem, Remedy: s.remedy}
}

// named are the settings that there are complaints about already.
func (c *complaints) named() map[string]bool {
	out := map[string]bool{}
	for _, err := range c.all {
		var one *Complaint
		if errors.As(err, &one) {
			out[strings.TrimSuffix(one.Setting, "_FILE")] = true
			out[one.Setting] = true
		}
	}
	return out
}

func (c *Config) demoSecret() {
	if c.Demo && c.JWTSecretKey == "" {
		c.JWTSecretKey = Secret(rand.Text() + rand.Text())
		c.origins[jwtSecretName] = randomOrigin
	}
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// didYouMean names the setting that is nearest to a misspelt one.
func didYouMean(name string) string {
	name = strings.TrimPrefix(name, Prefix)
	best, least := "", len(name)/3+1
	for _, known := range names() {
		if strings.HasSuffix(name, "_FILE") != strings.HasSuffix(known, "_FILE") {
			continue
		}
		if d := distance(name, strings.TrimPrefix(known, Prefix)); d < least {
			best, least = known, d
		}
	}
	if best == "" {
		return "; gatewayd -config lists them"
	}
	return "; did you mean " + best + "?"
}

// names are all that may be set.
func names() []string {
	var out []string
	for _, s := range table {
		out = append(out, s.Name)
		if s.File {
			out = append(out, s.Name+"_FILE")
		}
	}
	return out
}

// distance is Levenshtein's: how many letters to change, add or drop.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
