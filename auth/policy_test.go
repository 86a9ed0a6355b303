package auth_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
)

var (
	nobody    = auth.Identity{}
	alice     = auth.Identity{Subject: "alice", Player: "p1", Roles: []string{"player"}, Permissions: []string{"x"}}
	therapist = auth.Identity{Subject: "tom", Player: "tom", Roles: []string{"therapist"}, Permissions: []string{"x", "y"}}
	admin     = auth.Identity{Subject: "ada", Player: "ada", Roles: []string{"admin"}, MFA: true}
)

func forPlayer(id string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/players/"+id, nil)
	r.SetPathValue("player_id", id)
	return r
}

func TestPolicies(t *testing.T) {
	down := auth.PolicyFunc("down", func(*http.Request, auth.Identity) error { return auth.ErrUnavailable })
	cases := []struct {
		desc   string
		policy auth.Policy
		who    auth.Identity
		want   error
	}{
		{"anyone may be nobody", auth.Anyone, nobody, nil},
		{"known is not nobody", auth.Known, nobody, auth.ErrUnauthenticated},
		{"known", auth.Known, alice, nil},
		{"nobody is let in", auth.Nobody, admin, auth.ErrForbidden},
		{"a second factor", auth.MFA, admin, nil},
		{"no second factor", auth.MFA, alice, auth.ErrMFARequired},
		{"who is it at all", auth.MFA, nobody, auth.ErrUnauthenticated},
		{"a second factor of nobody", auth.MFA, auth.Identity{MFA: true}, auth.ErrUnauthenticated},
		{"one role", auth.Role("player"), alice, nil},
		{"one of the roles", auth.Role("admin", "player"), alice, nil},
		{"no such role", auth.Role("admin"), alice, auth.ErrForbidden},
		{"roles of nobody", auth.Role("admin"), nobody, auth.ErrUnauthenticated},
		{"no roles at all", auth.Role(), admin, auth.ErrForbidden},
		{"every permission", auth.Permission("x", "y"), therapist, nil},
		{"one of two permissions", auth.Permission("x", "y"), alice, auth.ErrForbidden},
		{"permissions of nobody", auth.Permission("x"), nobody, auth.ErrUnauthenticated},
		{"no permissions at all", auth.Permission(), admin, auth.ErrForbidden},
		{"the owner", auth.Owner("player_id"), alice, nil},
		{"not the owner", auth.Owner("player_id"), therapist, auth.ErrForbidden},
		{"admins own nothing either", auth.Owner("player_id"), admin, auth.ErrForbidden},
		{"a path value that is not there", auth.Owner("patient_id"), auth.Identity{Subject: "x"}, auth.ErrForbidden},
		{"owner as nobody", auth.Owner("player_id"), nobody, auth.ErrUnauthenticated},
		{"owner as a nobody with a player", auth.Owner("player_id"), auth.Identity{Player: "p1"}, auth.ErrUnauthenticated},
		{"all", auth.All(auth.Role("admin"), auth.MFA), admin, nil},
		{"all but one", auth.All(auth.Role("player"), auth.MFA), alice, auth.ErrMFARequired},
		{"all of nothing", auth.All(), nobody, nil},
		{"all with nil", auth.All(nil, auth.Anyone), admin, auth.ErrForbidden},
		{"either", auth.Either(auth.Owner("player_id"), auth.Role("admin")), admin, nil},
		{"neither", auth.Either(auth.Owner("player_id"), auth.Role("admin")), therapist, auth.ErrForbidden},
		{"neither, as nobody", auth.Either(auth.Nobody, auth.Known), nobody, auth.ErrUnauthenticated},
		{"either of nothing", auth.Either(), admin, auth.ErrForbidden},
		{"either with nil", auth.Either(nil, auth.Known), alice, nil},
		{"only nil", auth.Either(nil), alice, auth.ErrForbidden},
		{"a hint how to get in", auth.Either(auth.Role("admin"), auth.MFA), alice, auth.ErrMFARequired},
		{"we cannot tell", auth.Either(auth.Role("admin"), down), alice, auth.ErrUnavailable},
		{"we need not tell", auth.Either(down, auth.Known), alice, nil},
		{"a function that is none", auth.PolicyFunc("none", nil), admin, auth.ErrForbidden},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			assert.ErrorIs(t, c.policy.Check(forPlayer("p1"), c.who), c.want)
			if c.want == nil {
				assert.NoError(t, c.policy.Check(forPlayer("p1"), c.who))
			}
		})
	}
}

func TestParsePolicy(t *testing.T) {
	cases := []struct{ text, want string }{
		{"anyone", "anyone"},
		{" known ", "known"},
		{"role(admin) & mfa", "role(admin) & mfa"},
		{"role(admin)&mfa|known", "role(admin) & mfa | known"},
		{"role(admin) & (mfa | owner(player_id))", "role(admin) & (mfa | owner(player_id))"},
		{"(role(admin) & mfa) | known", "role(admin) & mfa | known"},
		{"((known))", "known"},
		{"known & (mfa & anyone)", "known & mfa & anyone"},
		{"known | (mfa | anyone)", "known | mfa | anyone"},
		{"permission( a , b )", "permission(a,b)"},
		{`role("a b", "c\"d", e:f/g.h@i*-_)`, `role("a b","c\"d",e:f/g.h@i*-_)`},
		{"owner(\n\tplayer_id\n)", "owner(player_id)"},
		{"nobody", "nobody"},
	}
	for _, c := range cases {
		t.Run(c.text, func(t *testing.T) {
			p, err := auth.ParsePolicy(c.text)
			require.NoError(t, err)
			assert.Equal(t, c.want, p.String())
		})
	}
}

func TestParsePolicyTellsWhereAndWhy(t *testing.T) {
	cases := []struct {
		text   string
		offset int
		reason string
	}{
		{"", 0, "expected a policy"},
		{"   ", 3, "expected a policy"},
		{"admin", 0, `unknown policy "admin"`},
		{"known & Known", 8, `unknown policy "Known"`},
		{"known known", 6, "or the end"},
		{"known &", 7, "expected a policy"},
		{"known && mfa", 7, "expected a policy"},
		{"role", 4, `expected "("`},
		{"role()", 5, "expected a name"},
		{"role(a", 6, `expected "," or ")"`},
		{"role(a,)", 7, "expected a name"},
		{"role(a b)", 7, `expected "," or ")"`},
		{`role("a)`, 5, "not a Go string"},
		{"role('a')", 5, "expected a name"},
		{"owner(a,b)", 10, "one path parameter"},
		{"(known", 6, `expected ")"`},
		{"known)", 5, "or the end"},
		{"known\x00", 5, "or the end"},
		{"\x00", 0, "expected a policy"},
		{strings.Repeat("(", 100) + "known", 33, "nested too deeply"},
		{strings.Repeat("known|", 1000) + "known", 4096, "longer than"},
	}
	for _, c := range cases {
		t.Run(c.text[:min(len(c.text), 20)], func(t *testing.T) {
			_, err := auth.ParsePolicy(c.text)
			var wrong *auth.PolicyError
			require.ErrorAs(t, err, &wrong)
			assert.Equal(t, c.offset, wrong.Offset)
			assert.Contains(t, wrong.Reason, c.reason)
			assert.Less(t, len(err.Error()), 700)
		})
	}
	_, err := auth.ParsePolicy("role(admin")
	assert.EqualError(t, err, `auth: policy "role(admin", character 11: expected "," or ")"`)
}

// A policy, written and read back, is written the same and decides the same.
func TestPoliciesSurviveWriting(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		before := somePolicy(rnd, 4)
		after, err := auth.ParsePolicy(before.String())
		require.NoError(t, err, before)
		require.Equal(t, before.String(), after.String())
		for _, who := range []auth.Identity{nobody, alice, therapist, admin} {
			a, b := before.Check(forPlayer("p1"), who), after.Check(forPlayer("p1"), who)
			require.Equal(t, auth.Status(a), auth.Status(b), before)
			require.Equal(t, errors.Is(a, auth.ErrMFARequired), errors.Is(b, auth.ErrMFARequired), before)
		}
	}
}

func somePolicy(rnd *rand.Rand, depth int) auth.Policy {
	kind := rnd.IntN(9)
	if depth == 0 {
		kind = rnd.IntN(7)
	}
	switch kind {
	case 0:
		return auth.Anyone
	case 1:
		return auth.Known
	case 2:
		return auth.MFA
	case 3:
		return auth.Nobody
	case 4:
		return auth.Role(someNames(rnd)...)
	case 5:
		return auth.Permission(someNames(rnd)...)
	case 6:
		return auth.Owner([]string{"player_id", "x", "", "ä"}[rnd.IntN(4)])
	case 7:
		return auth.All(somePolicies(rnd, depth-1)...)
	default:
		return auth.Either(somePolicies(rnd, depth-1)...)
	}
}

func somePolicies(rnd *rand.Rand, depth int) []auth.Policy {
	list := make([]auth.Policy, rnd.IntN(4))
	for i := range list {
		list[i] = somePolicy(rnd, depth)
	}
	return list
}

func someNames(rnd *rand.Rand) []string {
	pool := []string{"admin", "player", "x", "y", "", "a b", `"`, "\\", ")", "&", "\n", "ü", "\xff", "a,b"}
	list := make([]string, rnd.IntN(3))
	for i := range list {
		list[i] = pool[rnd.IntN(len(pool))]
	}
	return list
}

func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{"role(admin) & mfa", "owner(player_id) | permission(x,y)", `role("a b")`,
		"((known))", "(", "role(", `role("`, "anyone|nobody&known"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := auth.ParsePolicy(text)
		if err != nil {
			var wrong *auth.PolicyError
			require.ErrorAs(t, err, &wrong)
			require.LessOrEqual(t, wrong.Offset, len(text))
			return
		}
		if len(p.String()) > 4096 { // spaces and escapes take room
			return
		}
		again, err := auth.ParsePolicy(p.String())
		require.NoError(t, err)
		require.Equal(t, p.String(), again.String())
	})
}
