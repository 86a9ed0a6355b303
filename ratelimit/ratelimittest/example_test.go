package ratelimittest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/ratelimit/ratelimittest"
)

// What does a client see that comes too often? No need to come too often.
func ExampleScripted() {
	store := &ratelimittest.Scripted{Answers: []ratelimittest.Answer{
		ratelimittest.Allow(1),
		ratelimittest.Refuse(90 * time.Second),
	}}
	limiter := &ratelimit.Limiter{
		Store: store,
		Limits: func(*http.Request) []ratelimit.Limit {
			return []ratelimit.Limit{{Name: "default", Key: "ada", Rate: ratelimit.Rate{N: 2, Per: time.Minute}}}
		},
	}
	h := limiter.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	for range 2 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		fmt.Printf("%d %s %q\n", w.Code, w.Header().Get("X-RateLimit-Remaining"), w.Header().Get("Retry-After"))
	}
	fmt.Println("asked for", store.Takes()[0][0].Key)
	// Output:
	// 200 1 ""
	// 429 0 "90"
	// asked for ada
}
