package demo_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

func TestTokensAreGoodForAsLongAsIsSaid(t *testing.T) {
	secret := []byte("a secret of thirty-two bytes or more")
	for life, want := range map[time.Duration]time.Duration{0: 30 * time.Minute, 5 * time.Minute: 5 * time.Minute} {
		world := demo.New(secret, demo.Options{Lifetime: life})
		token, err := jwt.Parse(world.AccessToken(world.Accounts()[0]), func(*jwt.Token) (any, error) { return secret, nil })
		require.NoError(t, err)
		exp, err := token.Claims.GetExpirationTime()
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(want), exp.Time, time.Minute)
	}
}
