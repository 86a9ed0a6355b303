package h1

import (
	"context"
	"maps"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

// host is the pool of one service address. idle is a stack: the connection
// used last is the warmest, and those at the bottom grow old and go. So idle
// is sorted by idleSince.
type host struct {
	t    *Transport
	addr string

	mu      sync.Mutex // guards the fields below
	idle    []*conn
	open    int          // connections that are idle, in use or being made; not tunnels
	waiting []chan *conn // in order; a nil connection is leave to make one
	gone    bool         // taken out of the Transport's table: do not use
}

// hostOf returns the pool for the host of a URL, making it if need be.
func (t *Transport) hostOf(name string) *host {
	if table := t.hosts.Load(); table != nil {
		if h := (*table)[name]; h != nil {
			return h
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	table := t.table()
	if h := table[name]; h != nil {
		return h
	}
	h := &host{t: t, addr: address(name)}
	table = maps.Clone(table)
	table[name] = h
	t.hosts.Store(&table)
	return h
}

func (t *Transport) table() map[string]*host {
	if table := t.hosts.Load(); table != nil {
		return *table
	}
	return map[string]*host{}
}

// address is what to dial for the host of an http URL.
func address(name string) string {
	u := url.URL{Host: name}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// get returns a connection to h: the warmest idle one unless fresh, else a
// new one, waiting for leave where MaxPerHost are open.
func (h *host) get(ctx context.Context, fresh bool) (*conn, error) {
	c, turn, err := h.claim(fresh)
	if err != nil || c != nil {
		return c, err
	}
	if turn != nil {
		if c, err = h.await(ctx, turn); err != nil || c != nil {
			return c, err
		}
	}
	nc, err := h.t.dial(ctx, h.addr)
	if err != nil {
		h.vacate()
		return nil, err
	}
	return newConn(nc, h), nil
}

// claim returns an idle connection, or the turn to wait for, or neither: then
// room for one more has been reserved.
func (h *host) claim(fresh bool) (c *conn, turn chan *conn, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return nil, nil, errGone
	}
	if !fresh {
		if c = h.pop(time.Now()); c != nil {
			return c, nil, nil
		}
	}
	if limit := h.t.MaxPerHost; limit > 0 && h.open >= limit && !h.evict() {
		turn = make(chan *conn, 1)
		h.waiting = append(h.waiting, turn)
		return nil, turn, nil
	}
	h.open++
	return nil, nil, nil
}

// pop requires that mu is held. When the warmest has expired, all have.
func (h *host) pop(now time.Time) *conn {
	n := len(h.idle)
	if n == 0 {
		return nil
	}
	c := h.idle[n-1]
	if h.t.expired(c, now) {
		h.expire(now)
		return nil
	}
	h.idle[n-1] = nil
	h.idle = h.idle[:n-1]
	return c
}

// evict requires that mu is held; it makes room by closing the coldest.
func (h *host) evict() bool {
	if len(h.idle) == 0 {
		return false
	}
	h.idle[0].nc.Close()
	h.idle = slices.Delete(h.idle, 0, 1)
	h.open--
	return true
}

func (h *host) await(ctx context.Context, turn chan *conn) (*conn, error) {
	h.t.count.Waited.Add(1)
	select {
	case c := <-turn:
		return c, nil
	case <-ctx.Done():
	}
	if !h.forgo(turn) { // the turn came all the same: pass it on
		if c := <-turn; c != nil {
			h.put(c)
		} else {
			h.vacate()
		}
	}
	return nil, context.Cause(ctx)
}

// forgo leaves the queue; it reports false when the turn had already come.
func (h *host) forgo(turn chan *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.waiting, turn)
	if i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	return i >= 0
}

// put takes back a connection that stands exactly between two messages.
func (h *host) put(c *conn) {
	c.used = true
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) > 0 {
		h.next() <- c
		return
	}
	if h.gone || len(h.idle) >= h.t.maxIdle() {
		h.open--
		c.nc.Close()
		return
	}
	c.idleSince = time.Now()
	h.expire(c.idleSince)
	h.idle = append(h.idle, c)
}

// discard closes a connection that is in use.
func (h *host) discard(c *conn) {
	c.nc.Close()
	h.vacate()
}

// vacate gives up the room of a connection, to the first who waits for it.
func (h *host) vacate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) > 0 {
		h.next() <- nil
		return
	}
	h.open--
}

// next requires that mu is held and somebody waits. The channel has room.
func (h *host) next() chan *conn {
	turn := h.waiting[0]
	h.waiting = h.waiting[1:]
	return turn
}

// expire requires that mu is held.
func (h *host) expire(now time.Time) {
	for len(h.idle) > 0 && h.t.expired(h.idle[0], now) {
		h.evict()
	}
}

func (h *host) closeIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.evict() {
	}
}

// retire marks a pool without connections as gone and reports whether it was one.
func (h *host) retire() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = h.open == 0 && len(h.waiting) == 0
	return h.gone
}

func (h *host) size() (idle, open int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.idle), h.open
}

func (t *Transport) expired(c *conn, now time.Time) bool {
	limit := t.idleTimeout()
	return limit > 0 && now.Sub(c.idleSince) >= limit
}

// sweep closes what has been idle for too long, and forgets addresses to
// which no connection is left.
func (t *Transport) sweep(now time.Time) {
	for _, h := range t.table() {
		h.mu.Lock()
		h.expire(now)
		h.mu.Unlock()
	}
	t.forget()
}

func (t *Transport) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := maps.Clone(t.table())
	maps.DeleteFunc(kept, func(_ string, h *host) bool { return h.retire() })
	t.hosts.Store(&kept)
}
