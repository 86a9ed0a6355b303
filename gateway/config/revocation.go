package config

import (
	"context"
	"time"

	"github.com/theinterneti/tta-gateway/auth"
)

// revocations asks the shared list, and this process's own where that does not
// answer: a Redis that is down must not log everybody out. Until it is back, a
// logout at another gateway is not known here.
type revocations struct {
	shared auth.Revocations
	local  *auth.MemoryRevocations
}

// Revoked implements [auth.Revocations].
func (r *revocations) Revoked(ctx context.Context, ids ...string) (bool, error) {
	if gone, _ := r.local.Revoked(ctx, ids...); gone {
		return true, nil
	}
	gone, err := r.shared.Revoked(ctx, ids...)
	return gone && err == nil, nil
}

// Revoke implements [auth.Revocations]. It is kept here in any case; an error
// says that others do not know.
func (r *revocations) Revoke(ctx context.Context, id string, until time.Time) error {
	_ = r.local.Revoke(ctx, id, until) // never fails
	return r.shared.Revoke(ctx, id, until)
}
