package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
)

// Two gateways count together; when their Redis is gone, each counts alone.
func Example() {
	server, err := miniredis.Run() // in production, a real one
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	gateway := func() ratelimit.Store {
		options, err := redisstore.Options("redis://"+server.Addr(), 0, "")
		if err != nil {
			panic(err)
		}
		client := redis.NewUniversalClient(options) // close it when the program ends
		return &ratelimit.Fallback{Store: redisstore.New(client, redisstore.WithTimeout(time.Second)), Share: 0.5}
	}
	one, two := gateway(), gateway()
	ada := ratelimit.Limit{Name: "default", Key: "ada", Rate: ratelimit.Rate{N: 4, Per: time.Hour}}
	for i, store := range []ratelimit.Store{one, two, one, two, one} {
		d, err := store.Take(context.Background(), ada)
		fmt.Println(i+1, d.Allowed, d.Remaining, err)
	}
	// Output:
	// 1 true 3 <nil>
	// 2 true 2 <nil>
	// 3 true 1 <nil>
	// 4 true 0 <nil>
	// 5 false 0 <nil>
}

// The mistake to avoid: go-redis's own settings wait seconds for a server that
// hangs, repeat commands that were perhaps carried out, and do not heed
// contexts. A Store keeps its deadline even so, at the price of a goroutine
// for each Take; Options makes a client that needs none.
func ExampleOptions_incorrect() {
	careless := &redis.Options{Addr: "localhost:6379"}
	tuned, err := redisstore.Options("redis://localhost:6379", 0, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("careless: heeds contexts:", careless.ContextTimeoutEnabled)
	fmt.Println("tuned:    heeds contexts:", tuned.ContextTimeoutEnabled, "read timeout:", tuned.ReadTimeout)
	// Output:
	// careless: heeds contexts: false
	// tuned:    heeds contexts: true read timeout: 100ms
}
