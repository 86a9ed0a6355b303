// Package redisregistry keeps the registry of all gateways in one Redis, in the
// layout that the TTA services in Python read and write, too.
//
//	tta:gateway:services              hash    id → ServiceInfo JSON
//	tta:gateway:health:{id}           string  "healthy", its lifetime is the lease
//	tta:gateway:services:type:{type}  set     ids
//	tta:gateway:services:tag:{tag}    set     ids
//	tta:gateway:services:revision     integer counts our changes
//	tta:gateway:services:changed      channel tells of them
//
// It touches no other key. An entry is live while its health key says
// "healthy". Entries that cannot be read are passed over and told to
// [Registry.OnSkip]. What a Python writer put into an entry and this package
// does not know stays there when the entry is written again.
//
//	options := &redis.UniversalOptions{Addrs: []string{"localhost:6379"}}
//	client := redis.NewUniversalClient(redisregistry.Tune(options))
//	registry := redisregistry.New(client)
//	err := registry.Register(ctx, instance, 30*time.Second)
//
// A Redis that hangs costs a question no more than [Registry.Timeout], if the
// client was made with [Tune]. While it cannot be asked, or after it has come
// back empty, the last good answer stays; heartbeats put the instances that were
// registered here back into it.
package redisregistry
