// Package redisstore keeps rate limits on Redis, so that all processes of a
// service count together.
//
//	gateway ─┐  one script, one round trip   ┌─────────────────────────────────┐
//	gateway ─┼──────────────────────────────►│ tta:gateway:rl:{subject}:name   │
//	gateway ─┘  the server's own clock       │   "units used" "at microsecond" │
//	                                         └─────────────────────────────────┘
//
// A program in short:
//
//	options, err := redisstore.Options("redis://localhost:6379", 0, "")
//	if err != nil { … }
//	client := redis.NewUniversalClient(options)
//	limiter := ratelimit.Limiter{
//		Store:  &ratelimit.Fallback{Store: redisstore.New(client)},
//		Limits: …,
//	}
//
// # What it promises
//
// A [Store] is a ratelimit.Store. Time is the server's, so the clocks of the
// gateways are of no account. Every Take has a deadline, 50 ms unless said
// otherwise, that holds with any client, also one that ignores contexts. A
// Take that was late may still have been counted: then too much is counted,
// never too little. A server that is restarted has forgotten its scripts and
// gets them again by itself; a server that is not there is an error, and a
// [ratelimit.Fallback] in front decides what that means.
//
// When a Redis loses its data, as a replica may that takes over, the buckets on
// it are full again.
//
// go-redis prints a line of its own when it cannot connect, by a logger that
// belongs to the whole process. This package leaves that alone; a program
// that wants it elsewhere, or quiet, says so with redis.SetLogger.
//
// # Cluster
//
// On one server (redis.Client, with or without Sentinel) all limits of a
// Take are one script, and all or none. On a redis.ClusterClient or a
// redis.Ring a script reaches only one slot. The keys of one subject share a
// slot (their hash tag is the subject), so limits with the same Key are still
// one round trip and all or none. Limits with different Keys are asked for one
// subject after the other, in the order given, and when a later one refuses,
// what the earlier took is given back. Meanwhile others may be refused who
// need not have been; nobody is let through who should not be. Then
// RetryAfter speaks of the first that refused. Put the limit that refuses
// most often first.
//
// # Keys
//
// Subjects do not stand in key names: the tag is the first 120 bits of the
// Key's SHA-256, in base64url. That keeps persons out of a server's slow log,
// keeps keys short, and no subject can break out of its braces.
// [Store.Key] tells an operator which key to look at, or to delete when
// somebody is to have a fresh start. A key expires when its bucket is full.
package redisstore
