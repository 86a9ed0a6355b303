// Package ratelimit is fair and calm: a quota for each key, and admission by
// priority when there is not room for everybody.
//
//	request ─► Limiter ────► Admission ─► your handler
//	           how often     how many
//	           may who       at once
//	              │              │
//	            Store          Lane: background < normal < therapeutic < crisis
//	              ├ Memory       in this process, on golang.org/x/time/rate
//	              ├ redisstore   shared by many
//	              └ Fallback     shared, and local while that is down
//
// The shortest program gives every address a hundred requests a minute:
//
//	limiter := &ratelimit.Limiter{Limits: func(r *http.Request) []ratelimit.Limit {
//		return []ratelimit.Limit{{Name: "default", Key: ratelimit.ByRemoteAddr(r), Rate: ratelimit.Rate{N: 100, Per: time.Minute}}}
//	}}
//	http.ListenAndServe(":8000", limiter.Wrap(mux))
//
// # Two questions
//
// A [Limiter] asks whether somebody comes too often. Its answer is the same
// however busy the house is, and a refusal is 429: the client's turn to slow
// down. An [Admission] asks whether there is room now. Its answer depends on
// everybody else, and a refusal is 503: nothing that the client did. Put the
// Limiter outside: it refuses more cheaply than the Admission lets in.
//
// # A crisis
//
// A person in danger is not refused for coming too often. Two things make
// that safe:
//
//   - The [Crisis] lane has reserved room in an Admission that no other lane
//     ever uses. Only the program's own judgement puts a request in that lane.
//   - Passing the quotas by has a limit too, or the lane would be the way
//     around all of them. That cap is nothing special, just a [Limit] with the
//     person's key and a generous [Rate] such as 60/minute, which takes the
//     place of the ordinary limits. See the example "CrisisCap".
//
// # When the shared store is down
//
// A [Store] that fails says so with an error; it never guesses. A Limiter
// alone then refuses. A [Fallback] in between counts locally meanwhile, warm
// from the start and at this process's share, and says that it does.
package ratelimit
