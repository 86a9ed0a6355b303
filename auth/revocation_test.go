package auth_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

func TestRevokedTokensAreRefused(t *testing.T) {
	ctx := context.Background()
	provider := authtest.NewProvider()
	list := new(auth.MemoryRevocations)
	j := &auth.JWT{Keys: provider.Keys(), Revocations: list}
	token, other := provider.Token(), provider.Token(authtest.Subject("other"), authtest.Claim("session_id", "s2"))
	refreshed := provider.Token(authtest.Subject("third"), authtest.Refreshed())
	for _, each := range []string{token, other, refreshed} {
		_, err := verify(t, j, each)
		require.NoError(t, err)
	}

	require.NoError(t, j.Revoke(ctx, token))
	_, err := verify(t, j, token)
	require.ErrorIs(t, err, auth.ErrInvalidToken, "although it is remembered as good")
	require.NotErrorIs(t, err, auth.ErrExpired)
	_, err = verify(t, j, other)
	require.NoError(t, err)
	require.NoError(t, j.Revoke(ctx, token), "twice is as good as once")

	require.NoError(t, list.Revoke(ctx, auth.SessionID("s2"), time.Now().Add(time.Hour)))
	_, err = verify(t, j, other)
	require.ErrorIs(t, err, auth.ErrInvalidToken)

	require.NoError(t, list.Revoke(ctx, auth.SubjectID("third"), time.Time{}))
	_, err = verify(t, j, refreshed)
	require.ErrorIs(t, err, auth.ErrInvalidToken)
}

func TestRevokingWhatIsNoToken(t *testing.T) {
	ctx := context.Background()
	provider := authtest.NewProvider()
	list := new(auth.MemoryRevocations)
	j := &auth.JWT{Keys: provider.Keys(), Revocations: list}
	assert.ErrorIs(t, j.Revoke(ctx, "a.b.c"), auth.ErrInvalidToken, "strangers do not fill the list")
	assert.NoError(t, j.Revoke(ctx, provider.Token(authtest.Expired())), "nothing is left to revoke")
	assert.Zero(t, list.Len())
	assert.ErrorIs(t, provider.JWT().Revoke(ctx, provider.Token()), auth.ErrUnavailable, "there is no list")
}

// From an ECDSA signature (r, s) anybody can make (r, n-s), which is as good.
func TestARevokedTokenDoesNotComeBackWithAnotherSignature(t *testing.T) {
	provider := authtest.NewECProvider()
	j := provider.JWT()
	j.Revocations = new(auth.MemoryRevocations)
	token := provider.Token()
	twin := mirrored(t, token)
	_, err := verify(t, j, twin)
	require.NoError(t, err, "both signatures are valid")
	require.NoError(t, j.Revoke(context.Background(), token))
	_, err = verify(t, j, twin)
	require.ErrorIs(t, err, auth.ErrInvalidToken)
}

func mirrored(t *testing.T, token string) string {
	t.Helper()
	at := strings.LastIndexByte(token, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(token[at:])
	require.NoError(t, err)
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	return token[:at] + base64.RawURLEncoding.EncodeToString(sig)
}

func TestWhenRevocationsCannotBeAsked(t *testing.T) {
	provider := authtest.NewProvider()
	down := errors.New("down")
	j := &auth.JWT{Keys: provider.Keys(), Revocations: unreachable{down}}
	_, err := verify(t, j, provider.Token())
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.ErrorIs(t, err, down)
}

type unreachable struct{ err error }

func (u unreachable) Revoked(context.Context, ...string) (bool, error)      { return false, u.err }
func (u unreachable) Revoke(context.Context, string, time.Time) (err error) { return u.err }

func TestMemoryRevocations(t *testing.T) {
	authtest.TestRevocations(t, func(*testing.T) auth.Revocations { return new(auth.MemoryRevocations) })
}

func TestMemoryRevocationsForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		list := new(auth.MemoryRevocations)
		is := func(id string) bool {
			revoked, err := list.Revoked(ctx, "x", id)
			require.NoError(t, err)
			return revoked
		}
		now := time.Now()
		require.NoError(t, list.Revoke(ctx, "short", now.Add(time.Minute)))
		require.NoError(t, list.Revoke(ctx, "long", now.Add(time.Hour)))
		require.NoError(t, list.Revoke(ctx, "long", now.Add(time.Second)), "never shortened")
		require.NoError(t, list.Revoke(ctx, "extended", now.Add(time.Second)))
		require.NoError(t, list.Revoke(ctx, "extended", now.Add(time.Hour)))
		require.NoError(t, list.Revoke(ctx, "good", time.Time{}))
		require.NoError(t, list.Revoke(ctx, "good", now.Add(time.Second)))
		require.NoError(t, list.Revoke(ctx, "over", now))
		require.Equal(t, 4, list.Len())
		require.True(t, is("short"))
		require.False(t, is("over"))

		time.Sleep(time.Minute)
		require.False(t, is("short"))
		require.True(t, is("long"))
		require.True(t, is("extended"))
		require.True(t, is("good"))
		require.NoError(t, list.Revoke(ctx, "another", now.Add(time.Hour)))
		require.Equal(t, 4, list.Len(), "what is over was swept away")
		time.Sleep(1000 * time.Hour)
		require.False(t, is("long"))
		require.True(t, is("good"), "for good")
	})
}

func TestMemoryRevocationsAreBounded(t *testing.T) {
	ctx, now := context.Background(), time.Now()
	list := &auth.MemoryRevocations{MaxEntries: 10}
	require.NoError(t, list.Revoke(ctx, "for good", time.Time{}))
	for i := range 100 {
		require.NoError(t, list.Revoke(ctx, fmt.Sprint(i), now.Add(time.Hour+time.Duration(i)*time.Second)))
	}
	assert.Equal(t, 10, list.Len())
	assert.EqualValues(t, 91, list.Evicted())
	for id, want := range map[string]bool{"for good": true, "99": true, "91": true, "90": false, "0": false} {
		got, err := list.Revoked(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, want, got, id)
	}
}

// However entries come, are extended and make room, the list holds what a plain search for the earliest end would.
func TestMemoryRevocationsAgreeWithAPlainList(t *testing.T) {
	const room = 20
	ctx, now := context.Background(), time.Now()
	rnd := rand.New(rand.NewPCG(3, 4))
	list, plain := &auth.MemoryRevocations{MaxEntries: room}, map[string]time.Time{}
	for range 5000 {
		id := fmt.Sprint(rnd.IntN(60))
		until := now.Add(time.Hour + time.Duration(rnd.Int64N(int64(time.Hour)))) // hardly ever the same twice
		require.NoError(t, list.Revoke(ctx, id, until))
		if old, ok := plain[id]; !ok && len(plain) == room {
			delete(plain, earliest(plain))
			plain[id] = until
		} else if !ok || until.After(old) {
			plain[id] = until
		}
	}
	for i := range 60 {
		id := fmt.Sprint(i)
		got, err := list.Revoked(ctx, id)
		require.NoError(t, err)
		_, want := plain[id]
		assert.Equal(t, want, got, id)
	}
}

func earliest(plain map[string]time.Time) (first string) {
	for id, until := range plain {
		if first == "" || until.Before(plain[first]) {
			first = id
		}
	}
	return first
}

func TestIDsTellNothing(t *testing.T) {
	assert.NotContains(t, auth.SubjectID("alice"), "alice")
	assert.NotEqual(t, strings.TrimPrefix(auth.SubjectID("a"), "subject:"), strings.TrimPrefix(auth.SessionID("a"), "session:"))
	assert.Equal(t, auth.TokenID("a.b.c"), auth.TokenID("a.b.d"), "the signature does not count")
	assert.NotEqual(t, auth.TokenID("a.b.c"), auth.TokenID("a.c.c"))
}
