package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/ratelimit"
)

// sockets are the live connections: counted per caller, and ended by the
// gateway, because http.Server.Shutdown knows nothing of hijacked ones.
type sockets struct {
	mu       sync.Mutex
	open     map[*socket]struct{}
	byCaller map[string]int
	closed   bool          // no more come in
	empty    chan struct{} // closed when the last one has gone; nil until somebody waits
}

// socket is one live connection in the registry.
type socket struct {
	all     *sockets
	caller  string
	pattern string                        // of its route
	end     func(code int, reason string) // ends the connection politely; called once

	mu   sync.Mutex
	lane ratelimit.Lane
	once sync.Once
}

var (
	errDraining       = errors.New("gateway: no new connections: shutting down")
	errTooManySockets = errors.New("gateway: too many connections")
)

func newSockets() *sockets {
	return &sockets{open: map[*socket]struct{}{}, byCaller: map[string]int{}}
}

// enter counts a connection in. A caller in crisis is not turned away for
// having others open.
func (all *sockets) enter(caller, pattern string, lane ratelimit.Lane, limits WebSocket) (*socket, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case all.closed:
		return nil, errDraining
	case lane >= ratelimit.Crisis:
	case limits.Total > 0 && len(all.open) >= limits.Total:
		return nil, errTooManySockets
	case limits.PerCaller > 0 && all.byCaller[caller] >= limits.PerCaller:
		return nil, errTooManySockets
	}
	s := &socket{all: all, caller: caller, pattern: pattern, lane: lane}
	all.open[s] = struct{}{}
	all.byCaller[caller]++
	return s, nil
}

// leave counts it out.
func (s *socket) leave() {
	all := s.all
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.open, s)
	if all.byCaller[s.caller]--; all.byCaller[s.caller] <= 0 {
		delete(all.byCaller, s.caller)
	}
	if len(all.open) == 0 && all.empty != nil {
		close(all.empty)
		all.empty = nil
	}
}

func (s *socket) raise(lane ratelimit.Lane) {
	s.mu.Lock()
	s.lane = max(s.lane, lane)
	s.mu.Unlock()
}

func (s *socket) currentLane() ratelimit.Lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lane
}

// onEnd says how the connection is ended. If that was asked for before, it
// happens now.
func (s *socket) onEnd(end func(code int, reason string)) {
	s.all.mu.Lock()
	s.end = end
	closed := s.all.closed
	s.all.mu.Unlock()
	if closed {
		s.close(closeRestart, "restarting")
	}
}

func (s *socket) close(code int, reason string) {
	s.all.mu.Lock()
	end := s.end
	s.all.mu.Unlock()
	if end != nil {
		s.once.Do(func() { end(code, reason) })
	}
}

// endWhere ends the connections whose route is of a kind.
func (all *sockets) endWhere(gone func(pattern string) bool, code int, reason string) {
	all.mu.Lock()
	var ending []*socket
	for s := range all.open {
		if gone(s.pattern) {
			ending = append(ending, s)
		}
	}
	all.mu.Unlock()
	for _, s := range ending {
		go s.close(code, reason) // bounded by closePatience; its relay waits for it
	}
}

// count returns how many there are, and of how many callers.
func (all *sockets) count() (open, callers int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	return len(all.open), len(all.byCaller)
}

// tell hands the counts to f while they cannot change.
func (all *sockets) tell(f func(open, callers int)) {
	all.mu.Lock()
	defer all.mu.Unlock()
	f(len(all.open), len(all.byCaller))
}

// refuse lets no more in.
func (all *sockets) refuse() {
	all.mu.Lock()
	all.closed = true
	all.mu.Unlock()
}

// drain ends all connections with 1012, spread over a while so that they do
// not all come back at once, those of the crisis lane last, and waits until
// they have gone or ctx ends.
func (all *sockets) drain(ctx context.Context, spread time.Duration) error {
	all.refuse()
	var ending sync.WaitGroup
	defer ending.Wait()
	for _, lane := range []ratelimit.Lane{ratelimit.Background, ratelimit.Normal, ratelimit.Therapeutic, ratelimit.Crisis} {
		batch := all.inLane(lane)
		for i, s := range batch {
			ending.Go(func() { s.close(closeRestart, "restarting") })
			if i < len(batch)-1 && !pause(ctx, spread/time.Duration(len(batch))) {
				break
			}
		}
	}
	return all.wait(ctx)
}

func (all *sockets) inLane(lane ratelimit.Lane) []*socket {
	all.mu.Lock()
	defer all.mu.Unlock()
	var out []*socket
	for s := range all.open {
		if s.currentLane() == lane {
			out = append(out, s)
		}
	}
	return out
}

func (all *sockets) wait(ctx context.Context) error {
	all.mu.Lock()
	if len(all.open) == 0 {
		all.mu.Unlock()
		return nil
	}
	if all.empty == nil {
		all.empty = make(chan struct{})
	}
	empty := all.empty
	all.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause waits for d, and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
