// Package demo is a small, honest stand-in for the services behind the gateway: accounts, players,
// characters, story worlds, sessions, a gentle story told over HTTP, server-sent events and /ws/chat.
//
// It exists so that a newcomer can play a turn within a minute of cloning, with no database, no Redis
// and no network, and so that balancing, failover, streams and faults can be seen. It knows nothing of
// the gateway: everything here is a plain [http.Handler].
//
//	          World (one store, one secret)
//	         ╱                             ╲
//	Instance "story-a"             Instance "story-b"      http.Handler: routes, errors, tokens, chat
//	        │                               │
//	Server 127.0.0.1:41001         Server 127.0.0.1:41002  stopped and started again by Control
//
// The shortest program:
//
//	world := demo.New(secret, demo.Options{})
//	server, err := demo.Listen(world.Story("story-a"), "127.0.0.1:0")
//	if err != nil {
//		return err
//	}
//	return server.Run(ctx)
//
// # What is like the real service
//
// Paths, methods, shapes of requests, replies and errors, the two shapes of tokens, the trailing-slash
// redirects to an absolute address, the chat protocol; and its weak sides, which a gateway has to live
// with: a role chosen by the client at registration is accepted, a refresh token passes as an access
// token, a session's summary is shown to whoever knows its id, and a chat "ping" is an unknown type.
//
// # What is ours
//
// The story and every sentence. GET /api/v1/conversation/{session_id}/stream, which tells the present
// scene as server-sent events. And the faults, which exist only here, as headers or query parameters:
//
//	X-Demo-Delay  demo_delay   wait first: "2s", at most 30 s
//	X-Demo-Fail   demo_fail    "500" (any 4xx or 5xx), "hangup" (no answer at all), "truncate" (half an answer)
//	X-Demo-On     demo_on      only on the instance of this name
//	X-Demo-Id                  the name under which a delivery is noted in [Stats]
//
// Do not put this package in front of real people: it keeps everything in memory, judges nothing and
// helps nobody. Help is the gateway's work.
package demo
