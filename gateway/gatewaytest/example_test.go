package gatewaytest_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
)

// A unit test of one's own wiring: a fake service, a fake registry, and a token
// that expires without anybody waiting for it.
func Example() {
	TestProgressIsPrivate := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // time is fake in here
			progress := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "progress for %s", r.Header.Get("X-User-Id"))
			})
			gw := gatewaytest.New(t, gatewaytest.Services{"player-experience": progress},
				gateway.WithRoutes(gateway.Route{
					Pattern: "/players/{player_id}/",
					Service: "player-experience",
					Allow:   auth.Owner("player_id"),
				}))
			ann := gw.As("ann")

			if resp := gw.Get("/players/ann/progress", ann); resp.Body != "progress for ann" {
				t.Errorf("her own: got %d %s", resp.Status, resp.Body)
			}
			if resp := gw.Get("/players/bob/progress", ann); resp.Status != http.StatusForbidden {
				t.Errorf("somebody else's: got %d", resp.Status)
			}

			// The fake registry says what you let it say, from the next request on.
			gw.Registry.Set("player-experience")
			if resp := gw.Get("/players/ann/progress", ann); resp.Status != http.StatusServiceUnavailable {
				t.Errorf("nobody serves: got %d", resp.Status)
			}
			gw.Registry.Set("player-experience", discoverytest.Instances("player-experience", gw.Instance("player-experience", 0).URL())...)

			time.Sleep(authtest.Lifetime + 2*time.Minute) // takes no time
			if resp := gw.Get("/players/ann/progress", ann); resp.Status != http.StatusUnauthorized {
				t.Errorf("an old token: got %d", resp.Status)
			}
		})
	}
	fmt.Println("passed:", passes(TestProgressIsPrivate))
	// Output: passed: true
}
