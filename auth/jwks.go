package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// What a JWKS uses where its fields are zero.
const (
	DefaultJWKSMaxAge   = time.Hour
	DefaultJWKSMaxStale = 24 * time.Hour
	DefaultJWKSCooldown = 30 * time.Second
	DefaultJWKSTimeout  = 5 * time.Second
)

// Bounds of a key set and of what is remembered about it.
const (
	maxJWKSBytes   = 1 << 20
	maxJWKSKeys    = 100
	maxUnknownKIDs = 1024
)

// JWKS are the public keys that an identity provider publishes as a JSON Web Key Set (RFC 7517). URL is all it needs.
// It fetches them when they are first asked for, when they have grown old, and when a token names a key that is not
// among them: that is how providers rotate keys.
//
// Tokens come from anybody, so that no token makes it fetch more than once per Cooldown; a kid that the provider did
// not know a moment ago is not asked for again until four Cooldowns have passed; one fetch serves all who wait; and no
// more than 1 MiB and 100 keys are taken. When the provider cannot be reached, the keys at hand serve on for MaxStale.
// Secrets ("oct"), keys meant for encryption, RSA keys below 2048 bits and keys of unknown kinds are passed over.
//
// A fetch runs on a goroutine of its own for Timeout at most, so that a caller who gives up does not end it for the
// others. A JWKS is used by pointer, is safe for simultaneous use, and must neither be copied nor have its fields
// changed after first use.
type JWKS struct {
	// URL of the key set: https, or http on a loopback address.
	URL string
	// AllowPlainHTTP permits http elsewhere. Whoever can change what passes on that way can then issue tokens.
	AllowPlainHTTP bool
	// Client fetches. Nil: one without cookies, that does not follow redirects.
	Client *http.Client
	// MaxAge is how old keys may become before they are fetched anew, in the background. 0: an hour.
	MaxAge time.Duration
	// MaxStale is how old keys may become when they cannot be fetched anew; beyond it, every token is ErrUnavailable.
	// 0: a day. It bounds how long a key serves on that was withdrawn while the provider was out of reach.
	MaxStale time.Duration
	// Cooldown is the least time between two fetches, whatever their reason. 0: 30 seconds.
	Cooldown time.Duration
	// Timeout of a fetch. 0: 5 seconds.
	Timeout time.Duration
	// OnError learns why a fetch failed. It is called on the fetch's goroutine, must be safe for simultaneous use, and
	// must not block. Nil: nobody does.
	OnError func(error)

	current atomic.Pointer[keySet]

	mu       sync.Mutex
	inflight *fetch
	started  time.Time            // of the last fetch
	failure  error                // of the last fetch
	unknown  map[string]time.Time // kids that the provider did not know, until when they are not asked for again
}

// keySet is what was fetched. It is not changed.
type keySet struct {
	keyfunc    keyfunc.Keyfunc
	digest     [sha256.Size]byte
	generation uint64
	fetched    time.Time
}

// fetch is one under way; err is to be read after done.
type fetch struct {
	done chan struct{}
	err  error
}

// Validate tells all that is wrong with the fields, or nil.
func (j *JWKS) Validate() error {
	return errors.Join(j.checkURL(), j.checkAges())
}

func (j *JWKS) checkURL() error {
	u, err := url.Parse(j.URL)
	switch {
	case err != nil || u.Host == "":
		return errors.New("auth: JWKS.URL is no absolute URL; give https://…")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (j.AllowPlainHTTP || isLoopback(u.Hostname())):
		return nil
	}
	return fmt.Errorf("auth: JWKS.URL %q is not https; give https://…, or set AllowPlainHTTP on a network you trust", u.Redacted())
}

// checkAges sees to it that keys are not given up before they may be fetched anew.
func (j *JWKS) checkAges() error {
	age, stale := orDefault(j.MaxAge, DefaultJWKSMaxAge), orDefault(j.MaxStale, DefaultJWKSMaxStale)
	cooldown := orDefault(j.Cooldown, DefaultJWKSCooldown)
	if stale <= age || stale <= cooldown {
		return fmt.Errorf("auth: JWKS.MaxStale is %v; give more than MaxAge, %v, and Cooldown, %v", stale, age, cooldown)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Generation changes whenever other keys were fetched than before.
func (j *JWKS) Generation() uint64 {
	if set := j.current.Load(); set != nil {
		return set.generation
	}
	return 0
}

// Find returns the key that kid names, or without a kid all that fit the algorithm (4 at most).
func (j *JWKS) Find(ctx context.Context, alg, kid string) ([]any, error) {
	set, err := j.usable(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := set.find(alg, kid)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return keys, err
	}
	if err := j.lookFor(ctx, kid); err != nil {
		return nil, err
	}
	if keys, err = j.current.Load().find(alg, kid); errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, errNoKey
	}
	return keys, err
}

// usable returns keys that are not too old, and fetches them if there are none. Keys past MaxAge are good for now,
// while newer ones are fetched.
func (j *JWKS) usable(ctx context.Context) (*keySet, error) {
	set := j.current.Load()
	age := time.Duration(0)
	if set != nil {
		age = time.Since(set.fetched)
	}
	switch {
	case set != nil && age < orDefault(j.MaxAge, DefaultJWKSMaxAge):
		return set, nil
	case set != nil && age < orDefault(j.MaxStale, DefaultJWKSMaxStale):
		j.begin(false)
		return set, nil
	}
	if err := j.wait(ctx, j.begin(false)); err != nil {
		return nil, err
	}
	return j.current.Load(), nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// lookFor fetches the keys anew for the sake of a kid that is not among them, if it is time. Its error means that the
// kid may exist for all we know.
func (j *JWKS) lookFor(ctx context.Context, kid string) error {
	if j.isUnknown(kid) {
		return nil
	}
	f := j.begin(false)
	if f == nil {
		return j.lastFailure()
	}
	if err := j.wait(ctx, f); err != nil {
		return err
	}
	if _, err := j.current.Load().keyfunc.Storage().KeyRead(ctx, kid); err != nil {
		j.remember(kid)
	}
	return nil
}

// isUnknown tells whether the provider did not know the kid a moment ago.
func (j *JWKS) isUnknown(kid string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	until, ok := j.unknown[kid]
	return ok && time.Now().Before(until)
}

// remember notes a kid that the provider does not know. When there are too many, all are forgotten: the Cooldown
// remains.
func (j *JWKS) remember(kid string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.unknown == nil || len(j.unknown) >= maxUnknownKIDs {
		j.unknown = make(map[string]time.Time)
	}
	j.unknown[kid] = time.Now().Add(4 * orDefault(j.Cooldown, DefaultJWKSCooldown))
}

func (j *JWKS) lastFailure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil {
		return fmt.Errorf("%w: key set: %w", ErrUnavailable, j.failure)
	}
	return nil
}

// begin returns the fetch that is under way, or starts one. During the Cooldown it returns nil, unless forced.
func (j *JWKS) begin(force bool) *fetch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inflight != nil {
		return j.inflight
	}
	if !force && !j.started.IsZero() && time.Since(j.started) < orDefault(j.Cooldown, DefaultJWKSCooldown) {
		return nil
	}
	j.started = time.Now()
	j.inflight = &fetch{done: make(chan struct{})}
	go j.run(j.inflight)
	return j.inflight
}

// wait waits for a fetch. No fetch means that the last one failed a moment ago.
func (j *JWKS) wait(ctx context.Context, f *fetch) error {
	if f == nil {
		if err := j.lastFailure(); err != nil {
			return err
		}
		return fmt.Errorf("%w: key set: it is not time to fetch it", ErrUnavailable)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return fmt.Errorf("%w: key set: %w", ErrUnavailable, context.Cause(ctx))
	}
	if f.err != nil {
		return fmt.Errorf("%w: key set: %w", ErrUnavailable, f.err)
	}
	return nil
}

// run is the goroutine of a fetch.
func (j *JWKS) run(f *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(j.Timeout, DefaultJWKSTimeout))
	defer cancel()
	f.err = j.fetch(ctx)
	j.mu.Lock()
	j.failure, j.inflight = f.err, nil
	j.mu.Unlock()
	close(f.done)
	if f.err != nil && j.OnError != nil {
		j.OnError(fmt.Errorf("auth: key set: %w", f.err))
	}
}

func (j *JWKS) fetch(ctx context.Context) error {
	if err := j.Validate(); err != nil {
		return err
	}
	data, err := j.get(ctx)
	if err != nil {
		return err
	}
	set, err := parseKeySet(data)
	if err != nil {
		return err
	}
	set.digest, set.fetched, set.generation = sha256.Sum256(data), time.Now(), 1
	if old := j.current.Load(); old != nil {
		set.generation = old.generation
		if set.digest != old.digest {
			set.generation++
		}
	}
	j.current.Store(set) // only one fetch runs at a time
	return nil
}

// careful follows no redirects: the keys are where the operator said, or nowhere.
var careful = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (j *JWKS) get(ctx context.Context) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, j.URL, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	client := j.Client
	if client == nil {
		client = careful
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	return readAll(res.Body)
}

func readAll(body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxJWKSBytes+1))
	if err == nil && len(data) > maxJWKSBytes {
		err = fmt.Errorf("more than %d bytes", maxJWKSBytes)
	}
	return data, err
}

// parseKeySet reads a key set. One bad key does not spoil the others (RFC 7517, section 5); a set without any good one
// is an error, so that it does not replace keys that serve.
func parseKeySet(data []byte) (*keySet, error) {
	var listed jwkset.JWKSMarshal
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&listed); err != nil {
		return nil, fmt.Errorf("not a key set: %w", err)
	}
	if len(listed.Keys) > maxJWKSKeys {
		return nil, fmt.Errorf("%d keys are too many", len(listed.Keys))
	}
	storage, good := jwkset.NewMemoryStorage(), 0
	for _, m := range listed.Keys {
		if key, ok := publicJWK(m); ok {
			good++
			if err := storage.KeyWrite(context.Background(), key); err != nil {
				return nil, err
			}
		}
	}
	if good == 0 {
		return nil, fmt.Errorf("none of %d keys can verify tokens", len(listed.Keys))
	}
	f, err := keyfunc.New(keyfunc.Options{Storage: storage})
	return &keySet{keyfunc: f}, err
}

// publicJWK returns the key, if it is a public one for signatures. Certificates, and URLs of them, are not looked at.
func publicJWK(m jwkset.JWKMarshal) (key jwkset.JWK, ok bool) {
	if m.USE != "" && m.USE != jwkset.UseSig {
		return key, false
	}
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
	key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	return key, err == nil && checkPublic(key.Key()) == nil
}

// find asks the set, as a token with such a header would.
func (s *keySet) find(alg, kid string) ([]any, error) {
	header := map[string]any{"alg": alg}
	if kid == "" {
		return s.nameless(alg)
	}
	header["kid"] = kid
	key, err := s.keyfunc.Keyfunc(&jwt.Token{Header: header})
	switch {
	case errors.Is(err, jwkset.ErrKeyNotFound):
		return nil, err
	case err != nil || !fits(alg, key):
		return nil, errNoKey
	}
	return []any{key}, nil
}

func (s *keySet) nameless(alg string) ([]any, error) {
	all, err := s.keyfunc.VerificationKeySet(context.Background())
	if err != nil {
		return nil, errNoKey
	}
	keys := make([]crypto.PublicKey, len(all.Keys))
	for i, key := range all.Keys {
		keys[i] = key
	}
	return oneOf(alg, keys)
}

// Refresh fetches the keys now, whatever their age and the Cooldown: at start, to know that they can be had, or when
// an operator asks. It must not be called at the wish of a client.
func (j *JWKS) Refresh(ctx context.Context) error {
	return j.wait(ctx, j.begin(true))
}

// Run keeps the keys fresh until the context ends, so that no request finds them old; it returns the context's cause.
// Without Run, keys are fetched when they are asked for. Failures go to OnError, and are tried again after Cooldown.
func (j *JWKS) Run(ctx context.Context) error {
	for {
		pause := orDefault(j.MaxAge, DefaultJWKSMaxAge) / 2
		if j.Refresh(ctx) != nil {
			pause = min(pause, orDefault(j.Cooldown, DefaultJWKSCooldown))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
