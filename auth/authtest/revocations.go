package authtest

import (
	"context"
	"testing"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
)

// TestRevocations checks what every [auth.Revocations] must do. The lists that build returns may share their memory:
// each rule uses IDs of its own. It waits for entries to end, a fraction of a second where all is well.
func TestRevocations(t *testing.T, build func(*testing.T) auth.Revocations) {
	for name, rule := range map[string]func(*revocationTest){
		"what nobody revoked is not revoked":      neverRevoked,
		"what was revoked is":                     revokedAtOnce,
		"one of several suffices":                 oneOfSeveral,
		"entries end":                             entriesEnd,
		"entries are never shortened":             neverShortened,
		"for good is for good":                    forGood,
		"what is over is not revoked":             alreadyOver,
		"a context that has ended is no disaster": endedContext,
	} {
		t.Run(name, func(t *testing.T) {
			rule(&revocationTest{T: t, list: build(t), prefix: t.Name() + time.Now().String()})
		})
	}
}

type revocationTest struct {
	*testing.T
	list   auth.Revocations
	prefix string
}

func (t *revocationTest) id(name string) string { return auth.SubjectID(t.prefix + name) }

func (t *revocationTest) revoke(name string, until time.Time) {
	t.Helper()
	if err := t.list.Revoke(context.Background(), t.id(name), until); err != nil {
		t.Fatalf("Revoke: %v", err)
	}
}

func (t *revocationTest) revoked(names ...string) bool {
	t.Helper()
	ids := make([]string, len(names))
	for i, name := range names {
		ids[i] = t.id(name)
	}
	revoked, err := t.list.Revoked(context.Background(), ids...)
	if err != nil {
		t.Fatalf("Revoked: %v", err)
	}
	return revoked
}

func (t *revocationTest) want(want bool, names ...string) {
	t.Helper()
	if got := t.revoked(names...); got != want {
		t.Errorf("Revoked(%q) = %v, want %v", names, got, want)
	}
}

// outlast waits until an entry that was made now, to last but a moment, has ended: so has every other of that kind.
func (t *revocationTest) outlast() {
	t.Helper()
	t.revoke("outlasted", moment())
	for deadline := time.Now().Add(time.Minute); t.revoked("outlasted"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an entry did not end")
		}
	}
}

func moment() time.Time { return time.Now().Add(50 * time.Millisecond) }
func hour() time.Time   { return time.Now().Add(time.Hour) }

func neverRevoked(t *revocationTest) {
	t.want(false)
	t.want(false, "a", "b", "c")
}

func revokedAtOnce(t *revocationTest) {
	t.want(false, "a")
	t.revoke("a", hour())
	t.want(true, "a")
	t.want(false, "b")
}

func oneOfSeveral(t *revocationTest) {
	t.revoke("b", hour())
	t.want(true, "a", "b")
	t.want(true, "b", "a", "c")
	t.want(false, "a", "c")
}

func entriesEnd(t *revocationTest) {
	t.revoke("a", moment())
	t.outlast()
	t.want(false, "a")
}

func neverShortened(t *revocationTest) {
	t.revoke("a", hour())
	t.revoke("a", moment())
	t.revoke("extended", moment())
	t.revoke("extended", hour())
	t.outlast()
	t.want(true, "a")
	t.want(true, "extended")
}

func forGood(t *revocationTest) {
	t.revoke("a", time.Time{})
	t.revoke("a", moment())
	t.outlast()
	t.want(true, "a")
}

func alreadyOver(t *revocationTest) {
	t.revoke("a", time.Now().Add(-time.Hour))
	t.want(false, "a")
}

// endedContext: an error or an answer, but the right one, and no harm to the next caller.
func endedContext(t *revocationTest) {
	t.revoke("a", hour())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if revoked, err := t.list.Revoked(ctx, t.id("a")); err == nil && !revoked {
		t.Error("Revoked with an ended context said false, without an error")
	}
	t.want(true, "a")
}
