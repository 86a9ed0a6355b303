package redisregistry

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// Tune fills in options so that a Redis which hangs or is gone is noticed
// within a fraction of a second, and returns it. It leaves alone what is set,
// except ContextTimeoutEnabled: without it, go-redis does not look at a
// context's deadline, and a hung Redis holds every question for five seconds.
//
// Nothing is retried blindly: a registry is asked again soon anyway, and its
// own writes are safe to repeat by those who know that they failed.
func Tune(o *redis.UniversalOptions) *redis.UniversalOptions {
	o.ContextTimeoutEnabled = true
	setIfZero(&o.DialTimeout, 200*time.Millisecond)
	setIfZero(&o.ReadTimeout, 250*time.Millisecond)
	setIfZero(&o.WriteTimeout, 250*time.Millisecond)
	setIfZero(&o.PoolTimeout, 100*time.Millisecond)
	setIfZero(&o.MaxRetries, -1)
	setIfZero(&o.DialerRetries, 1)
	return o
}

func setIfZero[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
