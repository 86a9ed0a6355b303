package redisregistry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/discovery"
)

// The keys in Redis, and what stands in them. They are this package's promise
// to other versions of itself.
const (
	servicesKey = "tta:gateway:services"
	revisionKey = servicesKey + ":revision"
	changedKey  = servicesKey + ":changed"
	typePrefix  = servicesKey + ":type:"
	tagPrefix   = servicesKey + ":tag:"
	healthKey   = "tta:gateway:health:"

	healthy   = "healthy"
	unhealthy = "unhealthy"
)

// Defaults of [Registry].
const (
	DefaultTimeout    = 500 * time.Millisecond
	DefaultPoll       = 3 * time.Second
	DefaultGrace      = 90 * time.Second
	DefaultRetain     = 10 * time.Minute
	DefaultMaxEntries = 10_000
)

// ErrUnavailable: Redis could not be asked.
var ErrUnavailable = errors.New("redisregistry: redis is not available")

// A Registry is a discovery Registry, Registrar, Watcher and Lister on Redis.
// It is made by [New]; its fields may be set before first use. It is safe for
// simultaneous use, and must not be copied after first use.
type Registry struct {
	// Timeout bounds each call to Redis. Zero means [DefaultTimeout].
	Timeout time.Duration
	// Poll is how often Watch looks, besides when it is told: leases run out
	// without a word. Zero means [DefaultPoll].
	Poll time.Duration
	// Grace is how long the last good answer stays when Redis comes back with
	// less than it had. Zero means [DefaultGrace]; negative means not at all.
	Grace time.Duration
	// Retain is how long Run keeps an entry that this package wrote after its
	// lease has run out. Zero means [DefaultRetain].
	Retain time.Duration
	// UsePath puts requests under the endpoint path of entries that other
	// writers wrote. They name there what requests carry already; by default the
	// path is only told, as metadata "base_path".
	UsePath bool
	// MaxEntries bounds the hash: a Redis with more is not read, and takes no
	// new entry. Zero means [DefaultMaxEntries].
	MaxEntries int
	// OnSkip, if set, is told of each entry that cannot be read, once for each
	// text of it.
	OnSkip func(key string, err error)

	client redis.UniversalClient
	now    func() time.Time

	mu       sync.Mutex // guards the fields below
	own      map[string]lease
	last     *snapshot
	lost     time.Time         // when Redis was first seen to have lost entries
	skipped  map[string]string // by key: the text that could not be read
	lapsedAt map[string]time.Time
}

// lease is one that was registered here, to put it back when Redis loses it.
type lease struct {
	instance discovery.Instance
	ttl      time.Duration
	until    time.Time
}

// New returns a registry on client, which the caller made (see [Tune]) and
// closes. It does not talk to Redis yet.
func New(client redis.UniversalClient) *Registry {
	return &Registry{
		client: client, now: time.Now, own: map[string]lease{},
		skipped: map[string]string{}, lapsedAt: map[string]time.Time{},
	}
}

// snapshot is all that the hash said at one time.
type snapshot struct {
	revision int64
	records  []Record                        // sorted by key
	live     map[string][]discovery.Instance // by service; there with none when known and all lapsed
}

// Instances implements discovery.Registry. Each call asks Redis; a
// discovery.Cache keeps the answers.
func (r *Registry) Instances(ctx context.Context, service string) ([]discovery.Instance, error) {
	s, err := r.look(ctx)
	if s == nil {
		return nil, err
	}
	all, known := s.live[service]
	if !known && err == nil {
		return nil, discovery.UnknownService(service)
	}
	return slices.Clone(all), err
}

// Services implements discovery.Lister.
func (r *Registry) Services(ctx context.Context) ([]string, error) {
	s, err := r.look(ctx)
	if s == nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.live)), err
}

// Records returns all entries that can be read, live or not, sorted by key: for
// a poller of health, see [Registry.Mark], and for people.
func (r *Registry) Records(ctx context.Context) ([]Record, error) {
	s, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	return s.records, nil
}

// look returns what Redis says, or the last good answer and why.
func (r *Registry) look(ctx context.Context) (*snapshot, error) {
	s, err := r.read(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.accept(s)
	}
	switch {
	case err == nil:
		return s, nil
	case r.last != nil:
		return r.last, fmt.Errorf("%w: %w", discovery.ErrStale, err)
	}
	return nil, err
}

// errLost: Redis came back with less than it had.
var errLost = errors.New("redisregistry: redis has lost entries, waiting for their heartbeats")

// accept requires that r.mu is held. It takes a snapshot as the last good one,
// unless Redis has lost data: then it waits, up to Grace, until those that were
// there have come back. What was removed on purpose has raised the revision.
func (r *Registry) accept(s *snapshot) error {
	if r.last != nil && s.revision < r.last.revision && !s.covers(r.last) {
		if r.lost.IsZero() {
			r.lost = r.now()
		}
		if r.now().Sub(r.lost) < cmp.Or(r.Grace, DefaultGrace) {
			return errLost
		}
	}
	r.last, r.lost = s, time.Time{}
	return nil
}

// covers reports whether every instance that was live is again.
func (s *snapshot) covers(old *snapshot) bool {
	for service, all := range old.live {
		for _, i := range all {
			if !slices.ContainsFunc(s.live[service], func(o discovery.Instance) bool { return o.ID == i.ID }) {
				return false
			}
		}
	}
	return true
}

// read reads the whole registry in two round trips.
func (r *Registry) read(ctx context.Context) (*snapshot, error) {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	entries, revision, err := r.readEntries(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	s := &snapshot{revision: revision, records: r.parse(entries)}
	if err := r.readHealth(ctx, s.records); err != nil {
		return nil, unavailable(err)
	}
	s.live = group(s.records)
	return s, nil
}

func (r *Registry) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, cmp.Or(r.Timeout, DefaultTimeout))
}

// unavailable gives what the client says one class: its timeouts, refusals and
// context errors are all the same to us.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func (r *Registry) maxEntries() int { return cmp.Or(r.MaxEntries, DefaultMaxEntries) }

func (r *Registry) readEntries(ctx context.Context) (map[string]string, int64, error) {
	n, err := r.client.HLen(ctx, servicesKey).Result()
	if err != nil {
		return nil, 0, err
	}
	if n > int64(r.maxEntries()) {
		return nil, 0, fmt.Errorf("hash %s has %d entries: remove some, or raise MaxEntries from %d", servicesKey, n, r.maxEntries())
	}
	var entries *redis.MapStringStringCmd
	var revision *redis.StringCmd
	_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		revision, entries = p.Get(ctx, revisionKey), p.HGetAll(ctx, servicesKey)
		return nil
	})
	if err := entries.Err(); err != nil {
		return nil, 0, err
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, 0, err
	}
	count, _ := revision.Int64() // none yet, or not a number: zero
	return entries.Val(), count, nil
}

// parse reads the entries and tells of those that it cannot read.
func (r *Registry) parse(entries map[string]string) []Record {
	var records []Record
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		rec, err := r.parseRecord(key, entries[key])
		if err != nil {
			r.skip(key, entries[key], err)
			continue
		}
		records = append(records, rec)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.skipped, func(key, raw string) bool { return entries[key] != raw })
	return records
}

// skip tells of an entry once for each text of it.
func (r *Registry) skip(key, raw string, err error) {
	r.mu.Lock()
	before, told := r.skipped[key]
	r.skipped[key] = raw
	r.mu.Unlock()
	if (!told || before != raw) && r.OnSkip != nil {
		r.OnSkip(key, fmt.Errorf("redisregistry: entry %.64q passed over: %w", key, err))
	}
}

// readHealth fills in what the health keys say. They lie in different slots of
// a cluster, so they are asked for one by one, in one go.
func (r *Registry) readHealth(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	answers := make([]*redis.StringCmd, len(records))
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n, rec := range records {
			answers[n] = p.Get(ctx, healthKey+rec.Key)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	for n, a := range answers {
		if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		records[n].Health = a.Val()
	}
	return nil
}

// group returns the live instances by service, sorted by ID. Of several with
// one ID (a historic service that started anew, or that every worker of a
// gateway registered) one stands, ours first.
func group(records []Record) map[string][]discovery.Instance {
	ours, mixed := ordered(records)
	live := map[string][]discovery.Instance{}
	seen := map[string]bool{}
	for _, rec := range ours {
		i := rec.Instance
		key := i.Service + "\x00" + i.ID
		if live[i.Service] == nil {
			live[i.Service] = []discovery.Instance{}
		}
		if !rec.Live() || seen[key] {
			continue
		}
		seen[key] = true
		if mixed[i.Service] {
			i.Weight = rec.weight
		}
		live[i.Service] = append(live[i.Service], i)
	}
	for _, all := range live {
		slices.SortFunc(all, func(a, b discovery.Instance) int { return cmp.Compare(a.ID, b.ID) })
	}
	return live
}

// ordered returns our records before foreign ones, and the services that have
// live ones of both: their weights are compared on the historic scale.
func ordered(records []Record) ([]Record, map[string]bool) {
	var ours, foreign []Record
	own, mixed := map[string]bool{}, map[string]bool{}
	for _, rec := range records {
		if rec.Foreign {
			foreign = append(foreign, rec)
			continue
		}
		ours = append(ours, rec)
		own[rec.Instance.Service] = own[rec.Instance.Service] || rec.Live()
	}
	for _, rec := range foreign {
		if s := rec.Instance.Service; rec.Live() && own[s] {
			mixed[s] = true
		}
	}
	return append(ours, foreign...), mixed
}
