package h1

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A turn that comes while its request gives up is not lost: a connection goes
// back to the pool, leave to make one goes to the next in the queue.
func TestTurnThatComesTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	given := 0
	for range 200 { // the select takes either at random
		h := &host{t: &Transport{}, open: 1}
		client, service := net.Pipe()
		c := newConn(client, h)
		turn := make(chan *conn, 1)
		turn <- c
		got, err := h.await(ctx, turn)
		if err == nil {
			require.Same(t, c, got)
			h.put(got)
		} else {
			given++
		}
		assert.Len(t, h.idle, 1)
		assert.Equal(t, 1, h.open)
		h.closeIdle()
		assert.Zero(t, h.open)
		service.Close()

		h = &host{t: &Transport{}, open: 1}
		next := make(chan *conn, 1)
		h.waiting = append(h.waiting, next)
		turn = make(chan *conn, 1)
		turn <- nil
		if _, err := h.await(ctx, turn); err == nil {
			h.vacate()
		}
		assert.Len(t, next, 1)
		assert.Empty(t, h.waiting)
		assert.Equal(t, 1, h.open)
	}
	assert.Positive(t, given)
}

// A pool that has been forgotten is not used again.
func TestGonePool(t *testing.T) {
	tr := &Transport{}
	h := tr.hostOf("service")
	assert.Same(t, h, tr.hostOf("service"))
	tr.forget()
	_, err := h.get(t.Context(), false)
	assert.Equal(t, errGone, err)
	assert.NotSame(t, h, tr.hostOf("service"))
	assert.Equal(t, "service:80", h.addr)
	assert.Equal(t, "[::1]:8080", address("[::1]:8080"))
}
