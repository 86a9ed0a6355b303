// Package gatewaytest is a whole gateway in front of fake services, without a
// network: for unit tests of routes, policies and safety wiring.
//
//	gw := gatewaytest.New(t, gatewaytest.Services{"story": handler},
//		gateway.WithRoutes(gateway.Route{Pattern: "/api/", Service: "story"}))
//	resp := gw.Get("/api/v1/worlds", gw.As("player-1"))
//
// Everything runs on in-memory connections that wait on channels alone, so the
// whole of it works inside testing/synctest: a token expires, a breaker
// recovers and an idle socket is closed without anybody waiting, WebSockets
// included. The gateway that [New] gives is not run (see gateway.Gateway.Run):
// a change of the fake registry is seen by the very next request. [Start] gives
// one that is run, and that can be shut down.
package gatewaytest
