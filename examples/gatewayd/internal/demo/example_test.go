package demo_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

// Two instances on one world: what is said to one, the other knows.
func ExampleWorld_Story() {
	world := demo.New([]byte("the secret that the gateway verifies with"), demo.Options{})
	a, b := world.Story("story-a"), world.Story("story-b")
	token := world.AccessToken(world.Accounts()[0])

	turn := func(story http.Handler, message string) {
		body := strings.NewReader(`{"session_id":"first-evening","message":"` + message + `"}`)
		r := httptest.NewRequest("POST", "/api/v1/conversation/send", body)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		story.ServeHTTP(w, r)
		_, scene, _ := strings.Cut(w.Body.String(), `"scene":"`)
		scene, _, _ = strings.Cut(scene, `"`)
		fmt.Println(w.Header().Get(demo.InstanceHeader), scene)
	}
	turn(a, "walk to the lighthouse")
	turn(b, "climb the stair")
	// Output:
	// story-a lighthouse
	// story-b lamproom
}

// A second delivery of the same request is what a retry must never cause.
func ExampleTwice() {
	first := []demo.Delivery{{ID: "turn-1", Method: "POST"}, {ID: "turn-2", Method: "POST"}}
	second := []demo.Delivery{{ID: "turn-2", Method: "POST"}}
	fmt.Println(demo.Twice(append(first, second...)))
	// Output: [turn-2]
}

// The mistake: to put the control behind the gateway, or anywhere else that other machines reach. It
// refuses whoever came through a proxy; give it a loopback listener of its own.
func ExampleControl_incorrect() {
	r := httptest.NewRequest("POST", "http://127.0.0.1:8000/demo/story-a/stop", nil)
	r.RemoteAddr = "127.0.0.1:41234"
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	w := httptest.NewRecorder()
	demo.Control().ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output: 403
}
