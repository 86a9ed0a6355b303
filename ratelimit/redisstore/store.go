package redisstore

import (
	"context"
	"crypto/sha256"
	_ "embed" // take.lua
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

const (
	// DefaultTimeout is the deadline of one Take where nothing else is said.
	DefaultTimeout = 50 * time.Millisecond

	// DefaultPrefix begins every key where nothing else is said.
	DefaultPrefix = "tta:gateway:rl:"

	// maxAbandoned bounds the calls that a client did not end in time and
	// that are left to end by themselves.
	maxAbandoned = 256
)

// ErrBusy says that too many calls are still under way to a server that does
// not answer. It happens only with a client that ignores contexts.
var ErrBusy = errors.New("redisstore: too many calls wait for a server that does not answer")

// A Store is a [ratelimit.Store] on Redis. Make it with [New]. It is safe for
// simultaneous use.
type Store struct {
	client    redis.UniversalClient
	timeout   time.Duration
	prefix    string
	oneServer bool          // all keys of a script may be anything
	obedient  bool          // the client keeps a context's deadline
	abandoned chan struct{} // one token for each call in a goroutine of its own
}

var _ ratelimit.Store = (*Store)(nil)

// An Option says what a [Store] does differently.
type Option func(*Store)

// WithTimeout sets the deadline of one Take; by default, and where it is not
// positive, [DefaultTimeout]. A deadline of the caller's that is nearer counts.
func WithTimeout(d time.Duration) Option {
	return func(s *Store) {
		if d > 0 {
			s.timeout = d
		}
	}
}

// WithPrefix sets what every key begins with; by default [DefaultPrefix].
// Gateways that are to count together have the same prefix.
func WithPrefix(prefix string) Option {
	return func(s *Store) { s.prefix = prefix }
}

// New returns a Store on client, whose owner the caller stays. It asks the
// server nothing. A client made from [Options] fails fast and does not
// repeat itself, which a limiter wants; with any other the deadline holds too,
// at the price of a goroutine for each Take.
func New(client redis.UniversalClient, options ...Option) *Store {
	s := &Store{
		client:    client,
		timeout:   DefaultTimeout,
		prefix:    DefaultPrefix,
		abandoned: make(chan struct{}, maxAbandoned),
	}
	switch c := client.(type) {
	case *redis.Client:
		s.oneServer, s.obedient = true, c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		s.obedient = c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		s.obedient = c.Options().ContextTimeoutEnabled
	}
	for _, option := range options {
		option(s)
	}
	return s
}

// Take takes from all limits or none; see the package documentation for what
// that means on a cluster. An error means that nothing is known.
func (s *Store) Take(ctx context.Context, limits ...ratelimit.Limit) (ratelimit.Decision, error) {
	limits, err := limited(limits)
	if err != nil || len(limits) == 0 {
		return ratelimit.Decision{Allowed: err == nil}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	decisions := make([]ratelimit.Decision, 0, len(limits))
	var taken []ratelimit.Limit
	for _, group := range s.groups(limits) {
		answers, err := s.ask(ctx, group)
		if err != nil {
			s.giveBack(ctx, taken)
			return ratelimit.Decision{}, fmt.Errorf("redisstore: %w", err)
		}
		decisions = append(decisions, answers...)
		if !ratelimit.Strictest(answers...).Allowed {
			s.giveBack(ctx, taken)
			break
		}
		taken = append(taken, group...)
	}
	return ratelimit.Strictest(decisions...), nil
}

// Key is the Redis key of a limit's bucket.
func (s *Store) Key(l ratelimit.Limit) string {
	sum := sha256.Sum256([]byte(l.Key))
	b := make([]byte, 0, len(s.prefix)+len("{}:")+20+len(l.Name))
	b = append(append(b, s.prefix...), '{')
	b = base64.RawURLEncoding.AppendEncode(b, sum[:15])
	return string(append(append(b, "}:"...), l.Name...))
}

// limited is the limits that limit, all of them valid.
func limited(all []ratelimit.Limit) ([]ratelimit.Limit, error) {
	some := make([]ratelimit.Limit, 0, len(all))
	for _, l := range all {
		if err := l.Validate(); err != nil {
			return nil, fmt.Errorf("redisstore: %w", err)
		}
		if !l.Rate.Unlimited() {
			some = append(some, l)
		}
	}
	return some, nil
}

// groups divides limits into those that one script can take: all on one
// server, else those of one Key.
func (s *Store) groups(limits []ratelimit.Limit) [][]ratelimit.Limit {
	if s.oneServer {
		return [][]ratelimit.Limit{limits}
	}
	var groups [][]ratelimit.Limit
	place := make(map[string]int, len(limits))
	for _, l := range limits {
		i, known := place[l.Key]
		if !known {
			i = len(groups)
			place[l.Key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], l)
	}
	return groups
}

// giveBack returns what was taken, group by group. It has its own deadline,
// since the one of the Take may be why it is needed; where it fails too, the
// units come back with time.
func (s *Store) giveBack(ctx context.Context, taken []ratelimit.Limit) {
	if len(taken) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	back := make([]ratelimit.Limit, len(taken))
	for i, l := range taken {
		l.Cost = -l.Units()
		back[i] = l
	}
	for _, group := range s.groups(back) {
		_, _ = s.ask(ctx, group)
	}
}

// ask runs the script for one group.
func (s *Store) ask(ctx context.Context, group []ratelimit.Limit) ([]ratelimit.Decision, error) {
	keys, args := make([]string, len(group)), make([]any, 0, 4*len(group))
	for i, l := range group {
		keys[i] = s.Key(l)
		args = append(args, l.Rate.N, microseconds(l.Rate.Per), l.Rate.Size(), l.Units())
	}
	numbers, err := s.run(ctx, keys, args)
	if err != nil {
		return nil, err
	}
	if len(numbers) != 3*len(group) {
		return nil, fmt.Errorf("the script answered %d numbers for %d limits", len(numbers), len(group))
	}
	decisions := make([]ratelimit.Decision, len(group))
	for i, l := range group {
		decisions[i] = decision(l, numbers[3*i:])
	}
	return decisions, nil
}

func decision(l ratelimit.Limit, numbers []int64) ratelimit.Decision {
	return ratelimit.Decision{
		Allowed:    numbers[1] == 0,
		Limit:      l,
		Remaining:  int(numbers[0]),
		RetryAfter: time.Duration(numbers[1]) * time.Microsecond,
		Reset:      time.Duration(numbers[2]) * time.Microsecond,
	}
}

// microseconds writes a period with all that it has: a rate is not to grow by
// rounding.
func microseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/1e3, 'f', 3, 64)
}

//go:embed take.lua
var source string

// script is EVALSHA, and EVAL when the server does not know it (any more).
var script = redis.NewScript(source)

// run runs the script, and returns by ctx's deadline whatever the client does.
func (s *Store) run(ctx context.Context, keys []string, args []any) ([]int64, error) {
	if s.obedient {
		return script.Run(ctx, s.client, keys, args...).Int64Slice()
	}
	select {
	case s.abandoned <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	type result struct {
		numbers []int64
		err     error
	}
	answer := make(chan result, 1)
	go func() {
		defer func() { <-s.abandoned }()
		numbers, err := script.Run(ctx, s.client, keys, args...).Int64Slice()
		answer <- result{numbers, err}
	}()
	select {
	case r := <-answer:
		return r.numbers, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
