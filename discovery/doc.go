// Package discovery knows which instances there are, and which one gets a
// request.
//
//	Static   Memory   DNS   redisregistry   yours        who is there
//	   └────────┴───┬──┴──────────┴───────────┘
//	                │ Registry (Watcher, Registrar)      First, Merge
//	              Cache                                  the last good answer stays
//	                │ []*Endpoint                        calls in flight, latency
//	             Balancer                                which one
//	                │
//	            *Endpoint ── Enter, Leave
//
// A Registry answers with instances. A [Cache] keeps its answers as endpoints,
// on which the upstream stage counts its calls, and a [Balancer] picks one by
// what was counted. A [Handler] lets instances register over HTTP.
//
//	registry, err := discovery.NewStatic(map[string][]string{
//		"chat": {"http://10.0.0.1:8080", "http://10.0.0.2:8080"},
//	})
//	…
//	cache := &discovery.Cache{Registry: registry}
//	go cache.Run(ctx)
//	balancer := discovery.NewLeastLoaded()
//
//	all, err := cache.Endpoints(r.Context(), "chat") // no lock, no allocation
//	…
//	endpoint := balancer.Pick(r, all)
//	endpoint.Enter()
//	defer func() { endpoint.Leave(time.Since(start), ok) }()
//
// # Which balancer
//
// [LeastLoaded] suits most: it notices who is slow, full or failing. [Hash]
// keeps a user with the instance that has something of him in memory.
// [LeastConnections] suits sockets, [Weighted] and [RoundRobin] suit those who
// want to know beforehand what each instance gets.
//
// # Who is trusted
//
// Who may register an instance gets its service's traffic. A [Handler] checks
// where instances lead ([AddressRules]), not who asks: that is for what wraps it.
package discovery
