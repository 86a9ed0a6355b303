// Package authtest is an identity provider to test with: it issues tokens of every kind, good and bad, and publishes
// and rotates its keys, without a network.
//
//	provider := authtest.NewProvider()
//	gate := &auth.Gate{Authenticator: provider.JWT()}
//	r.Header.Set("Authorization", "Bearer "+provider.Token(authtest.Subject("player-1")))
//
// Where the way an identity came about does not matter, [As] puts one straight into a request.
package authtest
