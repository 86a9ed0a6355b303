// Package gateway is all of it, in order: one http.Handler that routes,
// authenticates, limits, listens for people in crisis, and forwards.
//
//	client
//	  │ EDGE      id, client address, record, rescue, security headers, CORS, address quota
//	  │ ROUTE     body limit → who is asking → may they → is it safe ⇄ → quota → room
//	  │ UPSTREAM  an instance that is well → its breaker → the attempt, repeated only if that can do no harm
//	service … and out again: the reply is judged, the record is written
//
// A gateway is made by [New] of parts that the other packages of this module
// export, so that it is nothing that a program could not have composed itself:
//
//	g, err := gateway.New(
//		gateway.WithAuthenticator(&auth.JWT{Keys: auth.HMAC(secret)}),
//		gateway.WithRegistry(registry),
//		gateway.WithGuard(&safety.Guard{Inspector: detect.Default()}),
//		gateway.WithRoutes(
//			gateway.Route{Pattern: "/api/v1/gameplay/", Service: "player-experience", Lane: ratelimit.Therapeutic},
//			gateway.Route{Pattern: "/ws/chat", Service: "player-experience", Lane: ratelimit.Therapeutic, Upgrade: true, Chat: true},
//		),
//	)
//	err = g.Serve(ctx, listener)
//
// # Order
//
// Inspection comes before quota and admission are enforced, and no middleware
// of a host's lies between them: somebody who writes that he is in danger is
// let through, whatever he has used up. His whole session is lifted for a
// while. It cannot be bought: only the gateway's own verdict lifts, fields of a
// request that claim as much are stripped, and one caller has a cap on it.
//
// # What a request's context holds
//
// At every [Slot]: [RequestID] and [ClientAddr]. From [AfterAllow] on:
// auth.FromContext. At [AfterAdmit]: ratelimit.FromContext and
// safety.FromContext. Path values are in the request ([http.Request.PathValue]).
//
// # What net/http refuses itself
//
// Some requests never reach the gateway, and their refusals have not its
// shape: 400 for what is not HTTP or has no Host, 408 never (the connection is
// closed), 417 for an unknown Expect, 431 for a head that is too long, 501 for
// an unknown transfer coding, 505 for another major version. "OPTIONS *" is
// answered with an empty 200.
//
// # Forwarding
//
// Bodies go both ways as they come, trailers and interim answers (103) too; a
// service may answer before it has read the body. What stands still or
// trickles is ended by rolling deadlines ([Timeouts]), never by the length of a
// stream. A request is repeated only where that can do no harm: nothing of it
// was sent, or its method is idempotent and its body is still to be had. A POST
// is never sent twice.
//
// An answer that the gateway made carries Proxy-Status (RFC 9209) and says why;
// those of services pass as they are, Retry-After included. What a caller did
// wrong never counts against a service. A breaker sees the heads of answers;
// of those that break off afterwards the comparison of instances hears
// ([Service].Outlier).
//
// What a server on net/http cannot obey, and what happens instead: a request
// with Content-Length and Transfer-Encoding is not seen as such; the service
// gets one framing, written anew. A request's trailers pass if its Trailer field
// announced them, others are dropped. Fields that an answer's Connection lists
// together with "close" are known to [h1.Transport], not to http.Transport. A
// response writer of a host's own must have Unwrap, or deadlines and early
// answers are lost.
//
// # Paths
//
// A path is forwarded exactly as it came, or refused: dot segments (plain,
// escaped, with a parameter), NUL and broken escapes always; encoded slashes
// and backslashes and escapes that are not UTF-8 unless [Route].RawPath says
// otherwise. "//" is an ordinary empty segment. Queries go byte for byte.
package gateway
