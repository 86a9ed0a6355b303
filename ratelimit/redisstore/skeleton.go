// Package redisstore keeps rate limits on Redis.
package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// A Store keeps limits on Redis.
type Store struct{ client redis.UniversalClient }

// An Option changes a Store.
type Option func(*Store)

// WithTimeout bounds each call; the default is 50 ms.
func WithTimeout(time.Duration) Option { return func(*Store) {} }

// WithPrefix sets the prefix of keys.
func WithPrefix(string) Option { return func(*Store) {} }

// New returns a Store.
func New(client redis.UniversalClient, opts ...Option) *Store { return &Store{client: client} }

// Take is not complete.
func (s *Store) Take(context.Context, ...ratelimit.Limit) (ratelimit.Decision, error) {
	return ratelimit.Decision{}, errors.New("redisstore: not yet")
}

// Options reads a Redis URL.
func Options(url string, db int, password string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, DB: db, Password: password}, nil
}
