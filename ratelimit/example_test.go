package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// Every address may come a hundred times a minute.
func Example() {
	limiter := &ratelimit.Limiter{Limits: func(r *http.Request) []ratelimit.Limit {
		return []ratelimit.Limit{{
			Name: "default",
			Key:  ratelimit.ByRemoteAddr(r),
			Rate: ratelimit.Rate{N: 100, Per: time.Minute},
		}}
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })

	w := httptest.NewRecorder()
	limiter.Wrap(mux).ServeHTTP(w, httptest.NewRequest("GET", "/hello", nil))
	fmt.Println(w.Code, w.Header().Get("X-RateLimit-Remaining"), w.Header().Get("RateLimit-Policy"))
	// Output: 200 99 "default";q=100;w=60
}

func ExampleParseRate() {
	for _, text := range []string{"100/minute", "10/30s", "3/day", "100/minute burst 200", "unlimited", "0/minute"} {
		rate, err := ratelimit.ParseRate(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%v: at once %d\n", rate, rate.Size())
	}
	// Output:
	// 100/minute: at once 100
	// 10/30s: at once 10
	// 3/day: at once 3
	// 100/minute burst 200: at once 200
	// unlimited: at once 0
	// ratelimit: bad rate "0/minute": a count of 0 would let nothing through; write "unlimited" for no limit
}

// Several limits are taken from together, or not at all.
func ExampleMemory_Take() {
	var store ratelimit.Memory
	everybody := ratelimit.Limit{Name: "exports", Rate: ratelimit.Rate{N: 100, Per: time.Hour}}
	ada := ratelimit.Limit{Name: "exports of one", Key: "ada", Rate: ratelimit.Rate{N: 2, Per: 24 * time.Hour}}
	for range 3 {
		d, err := store.Take(context.Background(), everybody, ada)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v by %q, %d remaining, retry after %v\n", d.Allowed, d.Limit.Name, d.Remaining, d.RetryAfter.Round(time.Hour))
	}
	// Output:
	// true by "exports of one", 1 remaining, retry after 0s
	// true by "exports of one", 0 remaining, retry after 0s
	// false by "exports of one", 0 remaining, retry after 12h0m0s
}

// A person in crisis passes the quotas by. The cap on that is just another
// Limit, which takes their place; without it, the crisis lane would be the
// way around them all.
func Example_crisisCap() {
	var store ratelimit.Memory
	limits := func(lane ratelimit.Lane, subject string) []ratelimit.Limit {
		if lane == ratelimit.Crisis {
			return []ratelimit.Limit{{Name: "crisis", Key: subject, Rate: ratelimit.Rate{N: 60, Per: time.Minute}}}
		}
		return []ratelimit.Limit{{Name: "default", Key: subject, Rate: ratelimit.Rate{N: 1, Per: time.Minute}}}
	}
	count := func(lane ratelimit.Lane) (passed int) {
		for range 1000 {
			if d, err := store.Take(context.Background(), limits(lane, "ada")...); err == nil && d.Allowed {
				passed++
			}
		}
		return passed
	}
	fmt.Println("normal:", count(ratelimit.Normal))
	crisis := count(ratelimit.Crisis)
	fmt.Println("crisis:", crisis >= 60 && crisis < 100)
	// Output:
	// normal: 1
	// crisis: true
}

// The mistake to avoid: keying by something that the client chooses. Whoever
// sends a new value with every request is a new subject every time, and no
// limit ever holds. Key by what was verified, or by the address.
func ExampleLimiter_incorrect() {
	limiter := &ratelimit.Limiter{Limits: func(r *http.Request) []ratelimit.Limit {
		return []ratelimit.Limit{{
			Name: "default",
			Key:  r.Header.Get("X-User-Id"), // anybody may write anything here
			Rate: ratelimit.Rate{N: 1, Per: time.Minute},
		}}
	}}
	passed := 0
	for i := range 1000 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-User-Id", fmt.Sprint(i))
		if _, err := limiter.Take(r); err == nil {
			passed++
		}
	}
	fmt.Println(passed, "of 1000 passed a limit of one a minute")
	// Output: 1000 of 1000 passed a limit of one a minute
}

// While the shared store is down, each of three gateways lets a third through.
func ExampleFallback() {
	shared := ratelimit.StoreFunc(func(context.Context, ...ratelimit.Limit) (ratelimit.Decision, error) {
		return ratelimit.Decision{}, errors.New("connection refused")
	})
	store := &ratelimit.Fallback{
		Store:    shared,
		Share:    1.0 / 3,
		OnChange: func(degraded bool) { fmt.Println("degraded:", degraded) },
	}
	passed := 0
	for range 100 {
		d, err := store.Take(context.Background(), ratelimit.Limit{Name: "default", Key: "ada", Rate: ratelimit.Rate{N: 9, Per: time.Hour}})
		if err == nil && d.Allowed {
			passed++
		}
	}
	fmt.Println(passed, "passed;", store.Check(context.Background()))
	// Output:
	// degraded: true
	// 3 passed; ratelimit: the shared store is down, limits are counted locally
}

// Ten at once, of which two places are for a crisis alone.
func ExampleAdmission() {
	admission := &ratelimit.Admission{Limit: 10, CrisisReserve: 2, TherapeuticReserve: 3, Queue: -1}
	ctx := context.Background()
	for _, lane := range []ratelimit.Lane{ratelimit.Background, ratelimit.Normal, ratelimit.Therapeutic, ratelimit.Crisis} {
		for admission.Acquire(ctx, lane) == nil {
		}
		fmt.Println(lane, admission.InUse(lane))
	}
	fmt.Println(admission.Acquire(ctx, ratelimit.Crisis))
	// Output:
	// background 5
	// normal 0
	// therapeutic 3
	// crisis 2
	// ratelimit: overloaded: no room, and no waiting
}

// An allocation-free pair, where a func that gives the place back is too much.
func ExampleAdmission_Acquire() {
	admission := &ratelimit.Admission{Limit: 100}
	lane := ratelimit.Therapeutic
	if err := admission.Acquire(context.Background(), lane); err != nil {
		fmt.Println(ratelimit.Status(err))
		return
	}
	defer admission.Release(lane)
	fmt.Println(admission.InUse(lane), "in")
	// Output: 1 in
}
