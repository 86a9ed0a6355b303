// Package ratelimittest helps to test what limits: a conformance test for
// everybody's [ratelimit.Store], and a Store that answers by script.
//
//	func TestMyStore(t *testing.T) {
//		ratelimittest.TestStore(t, func(t *testing.T) ratelimit.Store { return mystore.New() })
//	}
package ratelimittest
