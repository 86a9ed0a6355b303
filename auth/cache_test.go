package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

// counting counts how often keys are asked for: how often a token was verified.
type counting struct {
	auth.Keys
	asked atomic.Int64
}

func (c *counting) Find(ctx context.Context, alg, kid string) ([]any, error) {
	c.asked.Add(1)
	return c.Keys.Find(ctx, alg, kid)
}

func TestVerifiedTokensAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewProvider()
		keys := &counting{Keys: provider.Keys()}
		j := &auth.JWT{Keys: keys}
		token := provider.Token(authtest.ExpiresIn(time.Minute))

		first, err := verify(t, j, token)
		require.NoError(t, err)
		second, err := verify(t, j, token)
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.EqualValues(t, 1, keys.asked.Load())

		time.Sleep(time.Minute) // at once, in here
		_, err = verify(t, j, token)
		require.ErrorIs(t, err, auth.ErrExpired, "what is remembered expires too")
	})
}

func TestRememberedTokensAreVerifiedAnewAfterFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := authtest.NewProvider()
		keys := &counting{Keys: provider.Keys()}
		j := &auth.JWT{Keys: keys}
		token := provider.Token()
		for range 31 {
			_, err := verify(t, j, token)
			if err != nil {
				require.ErrorIs(t, err, auth.ErrExpired)
			}
			time.Sleep(time.Minute)
		}
		require.EqualValues(t, 6, keys.asked.Load())
	})
}

// Whoever knows a good token's first two segments must not get in on its account.
func TestAForgedSignatureDoesNotFindTheTrueTokensEntry(t *testing.T) {
	provider := authtest.NewProvider()
	j := provider.JWT()
	token := provider.Token()
	_, err := verify(t, j, token)
	require.NoError(t, err)
	body := token[:strings.LastIndexByte(token, '.')]
	_, err = verify(t, j, body+"."+strings.Repeat("A", 43))
	require.ErrorIs(t, err, auth.ErrInvalidToken)
}

func TestRotationForgetsWhatOldKeysVerified(t *testing.T) {
	provider := authtest.NewProvider()
	j := provider.JWT()
	old := provider.Token()
	_, err := verify(t, j, old)
	require.NoError(t, err)

	provider.Rotate()
	_, err = verify(t, j, old)
	require.NoError(t, err, "the older secret is still honoured")
	_, err = verify(t, j, provider.Token())
	require.NoError(t, err)

	provider.Retire()
	_, err = verify(t, j, old)
	require.ErrorIs(t, err, auth.ErrInvalidToken, "remembered or not")
	_, err = verify(t, j, provider.Token())
	require.NoError(t, err)
}

func TestFailuresAreNotRemembered(t *testing.T) {
	provider, next := authtest.NewProvider(), authtest.NewProvider()
	keys := auth.NewRotating(provider.Keys())
	j := &auth.JWT{Keys: keys}
	token := next.Token()
	_, err := verify(t, j, token)
	require.ErrorIs(t, err, auth.ErrInvalidToken)
	keys.Set(next.Keys())
	_, err = verify(t, j, token)
	require.NoError(t, err)
}

func TestNoCache(t *testing.T) {
	provider := authtest.NewProvider()
	keys := &counting{Keys: provider.Keys()}
	j := &auth.JWT{Keys: keys, CacheSize: -1}
	token := provider.Token()
	for range 3 {
		_, err := verify(t, j, token)
		require.NoError(t, err)
	}
	require.EqualValues(t, 3, keys.asked.Load())
}

func TestLongTokensAreRememberedToo(t *testing.T) {
	provider := authtest.NewProvider()
	keys := &counting{Keys: provider.Keys()}
	j := &auth.JWT{Keys: keys}
	token := provider.Token(authtest.Claim("pad", strings.Repeat("x", 5000)))
	for range 3 {
		_, err := verify(t, j, token)
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, keys.asked.Load())
}

// Everything at once, for the race detector: verifying, rotating, revoking.
func TestSimultaneousUse(t *testing.T) {
	provider := authtest.NewProvider()
	j := provider.JWT()
	j.CacheSize, j.Revocations = 8, new(auth.MemoryRevocations)
	var tokens []string
	for i := range 32 {
		tokens = append(tokens, provider.Token(authtest.Subject(fmt.Sprint("player-", i))))
	}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 200 {
				at := (i*7 + worker) % len(tokens)
				id, err := verify(t, j, tokens[at])
				if assert.NoError(t, err) {
					assert.Equal(t, fmt.Sprint("player-", at), id.Subject)
				}
			}
		})
	}
	group.Go(func() {
		for range 20 {
			provider.Rotate()
		}
	})
	group.Wait()
}

func BenchmarkJWT(b *testing.B) {
	provider := authtest.NewProvider()
	token := provider.Token()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	b.Logf("a token of %d bytes", len(token))
	for _, c := range []struct {
		name string
		jwt  *auth.JWT
	}{
		{"remembered", provider.JWT()},
		{"remembered, revocations asked", &auth.JWT{Keys: provider.Keys(), Revocations: withEntries(1000)}},
		{"verified", &auth.JWT{Keys: provider.Keys(), CacheSize: -1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.jwt.Authenticate(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("remembered, in parallel", func(b *testing.B) {
		j := provider.JWT()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := j.Authenticate(r); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func withEntries(n int) *auth.MemoryRevocations {
	list := new(auth.MemoryRevocations)
	for i := range n {
		_ = list.Revoke(context.Background(), auth.SubjectID(fmt.Sprint(i)), time.Now().Add(time.Hour)) // never fails
	}
	return list
}

// A token that is remembered costs no garbage.
func TestRememberedTokensDoNotAllocate(t *testing.T) {
	provider := authtest.NewProvider()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+provider.Token())
	j := provider.JWT()
	j.Revocations = withEntries(10)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := j.Authenticate(r); err != nil {
			t.Error(err)
		}
	})
	assert.Zero(t, allocs)
}
