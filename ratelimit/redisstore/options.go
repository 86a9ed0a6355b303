package redisstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrURL is all that is said of a Redis URL that cannot be read: the text of
// the URL, and even that of the parser's complaint, may hold a password.
var ErrURL = errors.New("redisstore: cannot read the Redis URL; " +
	"write redis://user:password@host:port/db (or rediss:// for TLS, unix:///path for a socket), " +
	"with special characters in the password percent-encoded")

// Options reads a Redis URL into client settings that suit a limiter: a
// server that is slow or gone must cost a request milliseconds, and a script
// that takes units must not be sent twice.
//
//	redis://user:password@host:6379/0     one server
//	rediss://…                            the same, by TLS
//	unix:///run/redis.sock                a socket
//	redis://a:6379?addr=b:6379&addr=c     a Cluster, by some of its nodes
//	redis://s:26379?master_name=tta       Sentinel; more Sentinels with addr=
//
// A db other than 0 and a password other than "" count instead of what the
// URL says, so that a password may come from a file. Other parameters are
// those of redis.ParseURL (such as pool_size); what the URL says of a
// timeout or of max_retries is kept.
//
// What differs from go-redis's own defaults, and why:
//
//   - contexts are heeded (otherwise a hung server costs 5 s);
//   - reads and writes end after 100 ms, dialling after 200 ms, waiting for a
//     connection after 50 ms;
//   - a command is not repeated, and dialling is tried once (otherwise a
//     refused connection costs 1.7 s, and units are taken twice);
//   - no connections for pipelines, no notices of maintenance, no
//     introducing itself: fewer round trips for a new connection.
//
// The result is for redis.NewUniversalClient, and may be changed before.
func Options(rawURL string, db int, password string) (*redis.UniversalOptions, error) {
	u, more, master, err := split(rawURL)
	if err != nil {
		return nil, err
	}
	read, err := redis.ParseURL(u)
	if err != nil {
		return nil, ErrURL
	}
	o := tuned(read)
	o.MasterName = master
	o.Addrs = append(o.Addrs, more...)
	if db != 0 {
		o.DB = db
	}
	if password != "" {
		o.Password = password
	}
	if err := check(o); err != nil {
		return nil, err
	}
	return o, nil
}

// split takes from the URL what redis.ParseURL does not know.
func split(rawURL string) (rest string, more []string, master string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", nil, "", ErrURL
	}
	query := u.Query()
	master = query.Get("master_name")
	for _, addr := range query["addr"] {
		more = append(more, withPort(addr, master))
	}
	if master != "" && u.Port() == "" {
		u.Host = withPort(u.Host, master)
	}
	query.Del("addr")
	query.Del("master_name")
	u.RawQuery = query.Encode()
	return u.String(), more, master, nil
}

// withPort adds the usual port of a server or a Sentinel.
func withPort(host, master string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if master != "" {
		return net.JoinHostPort(host, "26379")
	}
	return net.JoinHostPort(host, "6379")
}

func check(o *redis.UniversalOptions) error {
	if o.DB < 0 {
		return fmt.Errorf("redisstore: the Redis database is %d; it must be 0 or more", o.DB)
	}
	if o.DB != 0 && len(o.Addrs) > 1 && o.MasterName == "" {
		return fmt.Errorf("redisstore: the Redis database is %d, but a Cluster has only database 0", o.DB)
	}
	return nil
}

func tuned(o *redis.Options) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs:      []string{o.Addr},
		DB:         o.DB,
		Username:   o.Username,
		Password:   o.Password,
		Protocol:   o.Protocol,
		ClientName: o.ClientName,
		TLSConfig:  o.TLSConfig,

		ContextTimeoutEnabled: true,
		DialTimeout:           or(o.DialTimeout, 200*time.Millisecond),
		ReadTimeout:           or(o.ReadTimeout, 100*time.Millisecond),
		WriteTimeout:          or(o.WriteTimeout, 100*time.Millisecond),
		PoolTimeout:           or(o.PoolTimeout, 50*time.Millisecond),
		MaxRetries:            or(o.MaxRetries, -1),
		MinRetryBackoff:       o.MinRetryBackoff,
		MaxRetryBackoff:       o.MaxRetryBackoff,
		DialerRetries:         1,

		PoolFIFO:         o.PoolFIFO,
		PoolSize:         o.PoolSize,
		MinIdleConns:     o.MinIdleConns,
		MaxIdleConns:     o.MaxIdleConns,
		MaxActiveConns:   o.MaxActiveConns,
		ConnMaxIdleTime:  o.ConnMaxIdleTime,
		ConnMaxLifetime:  o.ConnMaxLifetime,
		PipelinePoolSize: -1,

		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// or is said, or usual where nothing was said.
func or[T comparable](said, usual T) T {
	var zero T
	if said == zero {
		return usual
	}
	return said
}
