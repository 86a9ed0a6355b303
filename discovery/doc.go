// Package discovery knows which instances there are, and which one gets a
// request.
package discovery
