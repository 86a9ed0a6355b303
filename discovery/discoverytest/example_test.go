package discoverytest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

// A test of one's own, with a registry that changes and fails.
func Example() {
	registry := &discoverytest.Registry{ByService: map[string][]discovery.Instance{
		"chat": discoverytest.Instances("chat", "http://10.0.0.1:8080"),
	}}
	cache := &discovery.Cache{Registry: registry}
	ask := func() {
		all, err := cache.Endpoints(context.Background(), "chat")
		fmt.Println(len(all), err)
	}
	ask()
	registry.Set("chat", discoverytest.Instances("chat", "http://10.0.0.1:8080", "http://10.0.0.2:8080")...)
	ask()
	registry.Fail(errors.New("registry is down"))
	ask()
	registry.Fail(nil)
	registry.Forget("chat")
	ask()
	fmt.Println(registry.Calls())
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 2 <nil>
	// 0 discovery: no instance: service is unknown: "chat"
	// [chat chat chat chat]
}

// The mistake: instances written by hand, without what a registry promises of
// them. A cache completes or drops such; what asks a registry itself must not
// meet them.
func ExampleInstances_incorrect() {
	registry := &discoverytest.Registry{}
	registry.Set("chat", discovery.Instance{ID: "one"})
	cache := &discovery.Cache{Registry: registry}
	_, err := cache.Endpoints(context.Background(), "chat")
	fmt.Println(err)
	// Output: discovery: registry answered with instance "one": discovery: invalid: url is missing: write it like http://host:8080
}

// The conformance test of one's own registry.
func ExampleTestRegistry() {
	suite := discoverytest.Suite{
		New: func(t *testing.T, all ...discovery.Instance) discovery.Registry {
			r, err := discovery.NewStaticInstances(all...)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	}
	_ = func(t *testing.T) { // func TestMine(t *testing.T)
		discoverytest.TestRegistry(t, suite)
		discoverytest.TestWatcher(t, suite)
	}
}

func TestMakersPanicOnNonsense(t *testing.T) {
	for _, f := range []func(){
		func() { discoverytest.Instances("chat", "nonsense") },
		func() { discoverytest.Endpoints("bad name", "http://a") },
		func() { (&discoverytest.Resolver{}).SetAddrs("a", "b") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}
