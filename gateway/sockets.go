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
	mu        sync.Mutex
	open      map[*socket]struct{}
	byCaller  map[string]int
	closed    bool          // no more come in
	empty     chan struct{} // closed when the last one has gone; nil until somebody waits
	farewells chan struct{} // a place for each refused chat that is being told why
}

// maxFarewells is how many refused chats may be told why at once; those beyond
// get the plain answer.
const maxFarewells = 256

// socket is one live connection in the registry.
type socket struct {
	all     *sockets
	caller  string
	pattern string // of its route
	tunnel  bool   // its bytes pass unread

	mu    sync.Mutex // guards the fields below
	lane  ratelimit.Lane
	asked bool // to end
	code  int  // with which, and why
	why   string
	end   func(code int, reason string) // ends it politely, within closePatience
	cut   func()                        // ends it at once
}

var (
	errDraining       = errors.New("gateway: no new connections: shutting down")
	errTooManySockets = errors.New("gateway: too many connections")
)

func newSockets() *sockets {
	return &sockets{open: map[*socket]struct{}{}, byCaller: map[string]int{}, farewells: make(chan struct{}, maxFarewells)}
}

// enter counts a connection of rt in.
func (all *sockets) enter(rt *route, caller string, lane ratelimit.Lane) (*socket, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case all.closed:
		return nil, errDraining
	case all.full(caller, lane, &rt.state.webSocket):
		return nil, errTooManySockets
	}
	s := &socket{all: all, caller: caller, pattern: rt.Pattern, tunnel: rt.tunnels(), lane: lane}
	all.open[s] = struct{}{}
	all.byCaller[caller]++
	return s, nil
}

// full reports whether there is no room for one more. A caller in crisis may
// have twice as many, and a tenth more than there is room for is kept for those
// in crisis: more than anybody needs, and no more, because a sentence is cheap.
// all.mu is held.
func (all *sockets) full(caller string, lane ratelimit.Lane, limits *WebSocket) bool {
	total, each := limits.Total, limits.PerCaller
	if lane >= ratelimit.Crisis {
		total += max(1, total/10)
		each *= 2
	}
	return limits.Total > 0 && len(all.open) >= total || limits.PerCaller > 0 && all.byCaller[caller] >= each
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

// raise moves it to a higher lane; from is the one that it was in, and moved is
// false if that was as high.
func (s *socket) raise(to ratelimit.Lane) (from ratelimit.Lane, moved bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from = s.lane; from >= to {
		return from, false
	}
	s.lane = to
	return from, true
}

func (s *socket) currentLane() ratelimit.Lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lane
}

// begin says how the connection is ended, now that it is one. What was asked
// for while it was being opened, or what a reload has decided since, happens
// at once.
func (s *socket) begin(g *Gateway, end func(code int, reason string), cut func()) {
	s.mu.Lock()
	s.end, s.cut = end, cut
	asked, code, why := s.asked, s.code, s.why
	s.mu.Unlock()
	switch {
	case asked:
		end(code, why)
	case s.all.isClosed():
		s.close(closeRestart, "restarting")
	case s.outdated(g.state.Load()):
		s.close(closeRestart, "route changed")
	}
}

// close ends the connection politely. Only the first call counts.
func (s *socket) close(code int, reason string) {
	s.mu.Lock()
	end := s.end
	first := !s.asked
	if first {
		s.asked, s.code, s.why = true, code, reason
	}
	s.mu.Unlock()
	if first && end != nil {
		end(code, reason)
	}
}

// kill ends the connection without a word.
func (s *socket) kill() {
	s.mu.Lock()
	cut := s.cut
	s.mu.Unlock()
	if cut != nil {
		cut()
	}
}

// outdated reports that the connection cannot go on under a table: its route
// has gone, or wants its messages read where they pass unread.
func (s *socket) outdated(now *state) bool {
	rt := now.upgradeRoute(s.pattern)
	return rt == nil || s.tunnel && !rt.tunnels()
}

// reloaded ends the connections that cannot go on under the new table.
func (all *sockets) reloaded(now *state) {
	for _, s := range all.these(func(s *socket) bool { return s.outdated(now) }) {
		go s.close(closeRestart, "route changed") // bounded by closePatience; its handler waits for it
	}
}

// these are the open connections of a kind.
func (all *sockets) these(are func(*socket) bool) []*socket {
	all.mu.Lock()
	defer all.mu.Unlock()
	var out []*socket
	for s := range all.open {
		if are(s) {
			out = append(out, s)
		}
	}
	return out
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

func (all *sockets) isClosed() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.closed
}

// drain ends all connections with 1012, spread over a while so that they do
// not all come back at once, those of the crisis lane last, and waits until
// they have gone. When ctx ends before, all that are left are told at once, and
// cut a moment later.
func (all *sockets) drain(ctx context.Context, spread time.Duration) error {
	all.refuse()
	var ending sync.WaitGroup
	defer ending.Wait()
	open, _ := all.count()
	step := spread / time.Duration(max(1, open-1))
	told := 0
	for _, lane := range lanes {
		for _, s := range all.these(func(s *socket) bool { return s.currentLane() == lane }) {
			if told > 0 {
				pause(ctx, step)
			}
			if s.currentLane() != lane { // raised while it waited: its turn comes later
				continue
			}
			told++
			ending.Go(func() { s.close(closeRestart, "restarting") })
		}
	}
	err := all.wait(ctx)
	if err != nil {
		all.cutOff(context.WithoutCancel(ctx))
	}
	return err
}

// cutOff gives those who are left a moment to take leave, and then none.
func (all *sockets) cutOff(ctx context.Context) {
	for range 2 {
		short, cancel := context.WithTimeout(ctx, farewellPatience)
		err := all.wait(short)
		cancel()
		if err == nil {
			return
		}
		for _, s := range all.these(func(*socket) bool { return true }) {
			s.kill()
		}
	}
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
