package gateway_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// What the guard does in the background may ask about the request, while the
// request goes on. The race detector watches.
func TestBackgroundWorkMayAskAboutTheRequest(t *testing.T) {
	var mu sync.Mutex
	var subjects []string
	guard := crisis()
	guard.Auditor = safety.AuditorFunc(func(ctx context.Context, _ safety.Event) error {
		_, _, _ = ratelimit.FromContext(ctx), safety.FromContext(ctx), gateway.RequestID(ctx)
		mu.Lock()
		defer mu.Unlock()
		subjects = append(subjects, auth.FromContext(ctx).Subject)
		return nil
	})
	gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(story)}, gateway.WithGuard(guard),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
	ann := gw.As("ann")
	for range 20 {
		require.Equal(t, 200, gw.Post("/", `{"message":"i want to die"}`, ann).Status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, guard.Flush(ctx))
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, subjects, 20)
	assert.NotContains(t, subjects, "")
}
