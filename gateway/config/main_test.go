package config_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// noise is what the Redis client says of a server that a test took away.
type noise struct{}

func (noise) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(noise{})
	goleak.VerifyTestMain(m)
}
