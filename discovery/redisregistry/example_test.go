package redisregistry_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/redisregistry"
)

func Example() {
	server, err := miniredis.Run() // in production: a Redis
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	options := &redis.UniversalOptions{Addrs: []string{server.Addr()}}
	client := redis.NewUniversalClient(redisregistry.Tune(options))
	defer client.Close()
	registry := redisregistry.New(client)

	ctx := context.Background()
	i, err := discovery.NewInstance("chat", "http://10.0.0.1:8080")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := registry.Register(ctx, i, 30*time.Second); err != nil {
		fmt.Println(err)
		return
	}
	all, err := registry.Instances(ctx, "chat")
	fmt.Println(all[0].URL, err)
	// Output: http://10.0.0.1:8080 <nil>
}

// The mistake: a client as go-redis makes it by itself does not look at
// deadlines, and a Redis that hangs holds each question for seconds.
func ExampleTune_incorrect() {
	careless := &redis.UniversalOptions{Addrs: []string{"localhost:6379"}}
	fmt.Println(careless.ContextTimeoutEnabled, careless.ReadTimeout)
	tuned := redisregistry.Tune(&redis.UniversalOptions{Addrs: []string{"localhost:6379"}})
	fmt.Println(tuned.ContextTimeoutEnabled, tuned.ReadTimeout)
	// Output:
	// false 0s
	// true 250ms
}
