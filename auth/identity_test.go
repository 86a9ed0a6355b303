package auth_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/auth"
)

func TestNobodyIsTheZeroIdentity(t *testing.T) {
	nobody := auth.FromContext(context.Background())
	assert.False(t, nobody.Known())
	assert.Equal(t, "nobody", nobody.String())

	forged := auth.Identity{Roles: []string{"admin"}, Permissions: []string{"manage_users"}}
	assert.False(t, forged.HasRole("admin"), "who is nobody has no role, whatever the fields say")
	assert.False(t, forged.HasPermission("manage_users"))
}

func TestContextCarriesAnIdentity(t *testing.T) {
	id := auth.Identity{Subject: "player-1", Roles: []string{"player"}, Permissions: []string{"export_own_data"}}
	ctx := auth.NewContext(context.Background(), id)

	assert.Equal(t, id, auth.FromContext(ctx))
	assert.True(t, auth.FromContext(ctx).HasRole("player"))
	assert.True(t, auth.FromContext(ctx).HasPermission("export_own_data"))
	found, ok := ctx.Value(auth.ContextKey).(*auth.Identity)
	assert.True(t, ok)
	assert.Equal(t, "player-1", found.Subject)
}

func TestLogsDoNotNameAnybody(t *testing.T) {
	id := auth.Identity{Subject: "subject-7", Player: "player-7", Session: "session-7", Roles: []string{"player"},
		Claims: auth.Claims{"email": "seven@example.org"}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("hello", "who", id)
	told := log.String() + fmt.Sprintf("%v %+v %#v %s", id, id, id, id)

	for _, secret := range []string{"subject-7", "player-7", "session-7", "example.org"} {
		assert.NotContains(t, told, secret)
	}
	assert.Contains(t, told, "who.roles=player")
}

func TestClaimsText(t *testing.T) {
	c := auth.Claims{"username": "somebody", "level": 3.0}
	assert.Equal(t, "somebody", c.Text("username"))
	assert.Empty(t, c.Text("level"))
	assert.Empty(t, auth.Claims(nil).Text("username"))
}
