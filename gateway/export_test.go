package gateway

// Lookup lets benchmarks reach the route table alone.
func Lookup(g *Gateway) func(method, host, path string) bool {
	t := g.state.Load().table
	return func(method, host, path string) bool { return t.lookup(method, host, path).route != nil }
}
