// Package discoverytest helps to test what uses package discovery, and what
// implements it: a fake registry, a fake resolver, instances and endpoints in a
// word, and the tests that every Registry, Registrar and Watcher passes.
//
// A fake registry for a test of one's own:
//
//	registry := &discoverytest.Registry{ByService: map[string][]discovery.Instance{
//		"chat": discoverytest.Instances("chat", "http://10.0.0.1:8080", "http://10.0.0.2:8080"),
//	}}
//	…
//	registry.Fail(errors.New("registry is down")) // and see what happens
//
// A conformance test of one's own registry:
//
//	func TestMine(t *testing.T) {
//		discoverytest.TestRegistry(t, discoverytest.Suite{New: newMine})
//	}
package discoverytest
