// Package redisrevocation is a list of revoked tokens that all gateways on one Redis share: a logout at one is a logout
// at all of them, and survives a restart.
//
//	JWT ── Revoked? ──► List ── remembered for a second ──► the answer
//	                      └──── else one round trip ──────► Redis   tta:gateway:revoked:<id>, gone at the token's expiry
//
//	list := &redisrevocation.List{Client: client}
//	j := &auth.JWT{Keys: keys, Revocations: list}
//
// A list is asked on every request, so that it must not make every request depend on Redis: answers are remembered for
// Fresh, and while Redis is out of reach the last answer serves on for Grace. Only tokens that were never asked about
// are refused meanwhile (503): whether they were revoked, nobody can tell.
//
// Give a client that honours deadlines and does not repeat itself, or a Redis that hangs costs seconds:
//
//	redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
//
// Redis 7.0 or later is needed (PEXPIREAT with GT).
package redisrevocation
