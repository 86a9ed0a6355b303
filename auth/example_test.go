package auth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

// A service that knows its players by their tokens, and lets each see their own data only.
func Example() {
	provider := authtest.NewProvider() // in production: auth.HMAC(secret), from the environment

	gate := &auth.Gate{Authenticator: &auth.JWT{Keys: provider.Keys()}}
	mux := http.NewServeMux()
	mux.Handle("GET /players/{player_id}", gate.Require(auth.Owner("player_id"))(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintln(w, "welcome,", auth.FromContext(r.Context()).Player)
		})))
	handler := gate.Identify(mux)

	ask := func(path, token string) {
		r := httptest.NewRequest("GET", path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		fmt.Print(w.Code, " ", string(body))
	}
	token := provider.Token(authtest.Subject("player-1"))
	ask("/players/player-1", token)
	ask("/players/player-2", token)
	ask("/players/player-1", "")
	// Output:
	// 200 welcome, player-1
	// 403 Forbidden
	// 401 Unauthorized
}

func ExampleParsePolicy() {
	policy, err := auth.ParsePolicy("owner(player_id) | role(admin) & mfa")
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/players/p1", nil)
	r.SetPathValue("player_id", "p1")
	admin := auth.Identity{Subject: "ada", Roles: []string{"admin"}}

	fmt.Println(policy)
	fmt.Println(policy.Check(r, auth.Identity{Subject: "u1", Player: "p1"}))
	fmt.Println(policy.Check(r, admin))
	admin.MFA = true
	fmt.Println(policy.Check(r, admin))
	// Output:
	// owner(player_id) | role(admin) & mfa
	// <nil>
	// auth: forbidden: second factor required
	// <nil>
}

func ExampleParsePolicy_mistake() {
	_, err := auth.ParsePolicy("role(admin) and mfa")
	fmt.Println(err)
	// Output:
	// auth: policy "role(admin) and mfa", character 13: expected "&", "|" or the end
}

// Permission with several names asks for all of them. Whoever means "one of these" lets nobody in by it; Either says
// what was meant.
func ExamplePermission_incorrect() {
	therapist := auth.Identity{Subject: "tom", Permissions: []string{"view_patient_progress"}}

	wrong := auth.Permission("view_patient_progress", "manage_users")
	right := auth.Either(auth.Permission("view_patient_progress"), auth.Permission("manage_users"))
	fmt.Println(wrong, "→", wrong.Check(nil, therapist))
	fmt.Println(right, "→", right.Check(nil, therapist))
	// Output:
	// permission(view_patient_progress,manage_users) → auth: forbidden: needs view_patient_progress manage_users
	// permission(view_patient_progress) | permission(manage_users) → <nil>
}

// Require outside of the router: there is no path value yet, and nobody owns nothing.
func ExampleOwner_incorrect() {
	gate := new(auth.Gate)
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	owner := gate.Require(auth.Owner("player_id"))

	wrong := http.NewServeMux()
	wrong.Handle("/players/{player_id}", ok)
	right := http.NewServeMux()
	right.Handle("/players/{player_id}", owner(ok))

	for _, handler := range []http.Handler{owner(wrong), right} {
		r := httptest.NewRequest("GET", "/players/p1", nil)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, authtest.As(r, auth.Identity{Subject: "u1", Player: "p1"}))
		fmt.Println(w.Code)
	}
	// Output:
	// 403
	// 200
}

// Tokens of two issuers side by side: our own with a shared secret, and those of a clinic's identity provider. Each
// has its own keys and its own rules; they are never mixed.
func ExampleFirst() {
	own, clinic := authtest.NewProvider(), authtest.NewECProvider()
	authenticator := auth.First(
		&auth.JWT{Keys: own.Keys()},
		&auth.JWT{Keys: &auth.JWKS{URL: authtest.JWKSURL, Client: clinic.Client()}, Issuer: "https://clinic.example"},
	)
	for _, token := range []string{
		own.Token(authtest.Subject("player-1")),
		clinic.Token(authtest.Subject("tom"), authtest.Claim("iss", "https://clinic.example")),
		clinic.Token(authtest.Subject("tom"), authtest.Claim("iss", "https://elsewhere.example")),
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		id, err := authenticator.Authenticate(r)
		fmt.Printf("%q %d\n", id.Subject, auth.Status(err))
	}
	// Output:
	// "player-1" 200
	// "tom" 200
	// "" 401
}

// A secret is exchanged while requests are served; tokens of the former one are honoured until it is left out.
func ExampleRotating() {
	former, current := authtest.NewProvider(), authtest.NewProvider()
	keys := auth.NewRotating(auth.HMAC(former.Secret()))
	j := &auth.JWT{Keys: keys}
	token := former.Token()
	ask := func() {
		_, err := j.Verify(context.Background(), token)
		fmt.Println(auth.Status(err))
	}
	ask()
	keys.Set(auth.HMAC(current.Secret(), former.Secret()))
	ask()
	keys.Set(auth.HMAC(current.Secret()))
	ask()
	// Output:
	// 200
	// 200
	// 401
}

func ExampleJWT_Revoke() {
	ctx := context.Background()
	provider := authtest.NewProvider()
	list := new(auth.MemoryRevocations)
	j := &auth.JWT{Keys: provider.Keys(), Revocations: list}
	token := provider.Token(authtest.Subject("player-1"))

	_ = j.Revoke(ctx, token) // logout
	_, err := j.Verify(ctx, token)
	fmt.Println(err)

	_ = list.Revoke(ctx, auth.SubjectID("player-2"), time.Now().Add(24*time.Hour)) // locked out for a day
	_, err = j.Verify(ctx, provider.Token(authtest.Subject("player-2")))
	fmt.Println(err)
	// Output:
	// auth: invalid token: revoked
	// auth: invalid token: revoked
}

func ExampleWeakSecret() {
	fmt.Println(auth.WeakSecret([]byte("your-secret-key")))
	// Output:
	// auth: weak secret: it is a placeholder out of published example files; make one with: openssl rand -base64 48
}

func ExampleChallenge() {
	fmt.Println(auth.Challenge("clinic", auth.ErrUnauthenticated))
	fmt.Println(auth.Challenge("clinic", auth.ErrExpired))
	// Output:
	// Bearer realm="clinic"
	// Bearer realm="clinic", error="invalid_token", error_description="The access token expired"
}
