package safety

import (
	"context"
	"sync"
	"time"
)

// DefaultHold is how long a raised conversation stays at a level before it
// sinks by one, unless [MemorySessions.Hold] says otherwise.
const DefaultHold = 30 * time.Minute

// trajectoryLife is how long a conversation in which nobody speaks is followed.
const trajectoryLife = 2 * time.Hour

// State is what is remembered of one conversation. It holds no text. It is
// plain data, so that a [Sessions] may keep it as JSON in a shared store. The
// zero State is a conversation in which nothing happened.
type State struct {
	Level Severity      `json:"level"`          // as raised; what it is now: LevelAt
	Since time.Time     `json:"since,omitzero"` // when it was last raised or confirmed
	Hold  time.Duration `json:"hold,omitempty"` // at each level, 0 = DefaultHold; nanoseconds in JSON
	Shown moments       `json:"shown,omitzero"` // when help of each severity was last shown
	Told  moments       `json:"told,omitzero"`  // when a human was last told, by severity

	// Trajectory belongs to a [Follower]: what it made of the conversation so
	// far. Followed is the level that it gave last, at the time Heard.
	Trajectory []byte    `json:"trajectory,omitempty"`
	Followed   Severity  `json:"followed,omitempty"`
	Heard      time.Time `json:"heard,omitzero"`
}

// moments is a time for each severity.
type moments [Imminent + 1]time.Time

// LevelAt returns the conversation's level at a time: for as long as Hold after
// it was last raised as it was, then one lower for each further Hold. Nothing
// that is said lowers it, only time does.
func (s State) LevelAt(now time.Time) Severity {
	if s.Level == None || s.Since.IsZero() {
		return None
	}
	sunk := max(0, now.Sub(s.Since)/s.hold())
	return Severity(max(0, int64(s.Level)-int64(sunk)))
}

// Expires returns when nothing of the state matters any more.
func (s State) Expires() time.Time {
	end := latest(s.Since.Add(time.Duration(s.Level)*s.hold()), s.Heard.Add(trajectoryLife))
	for i := range s.Shown {
		end = latest(end, s.Shown[i].Add(s.hold()), s.Told[i].Add(s.hold()))
	}
	return end
}

func (s State) hold() time.Duration { return orDefault(s.Hold, DefaultHold) }

// raise lifts the level to at least the given severity, or confirms it.
func (s *State) raise(to Severity, now time.Time) {
	if to >= s.LevelAt(now) {
		s.Level, s.Since = to, now
	}
}

// due reports whether something of this severity should happen again: it did
// not happen at this severity or above within the pause. An imminent danger is
// always due.
func (m *moments) due(severity Severity, now time.Time, pause time.Duration) bool {
	last := m[severity]
	return severity >= Imminent || last.IsZero() || now.Sub(last) >= pause
}

// mark notes that it happened at this severity, which covers the lower ones.
func (m *moments) mark(severity Severity, now time.Time) {
	for s := None; s <= severity; s++ {
		m[s] = now
	}
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// Sessions remembers the State of conversations. Keys are what [Guard.Session]
// or [Guard.Subject] return. Implementations must be safe for simultaneous use,
// bounded, and must forget a State some time after it expires.
//
// Both methods are asked while somebody waits: they must answer fast or with
// an error. A Guard that gets an error goes on with the message alone, and
// rather shows help twice than not at all.
type Sessions interface {
	// Load returns the state of a conversation, the zero State if there is none.
	Load(ctx context.Context, key string) (State, error)
	// Update lets change alter the state and keeps the result. change may be
	// called more than once, each time with the state as it is then.
	Update(ctx context.Context, key string, change func(*State)) (State, error)
}

// MemorySessions keeps states in this process. The zero value is ready; it must
// not be copied after first use. It is safe for simultaneous use.
type MemorySessions struct {
	// Max is how many conversations are remembered, 0 means 65536: those that
	// were raised or shown help, and with a [Follower] all. When it is
	// full, expired ones go, then of a few the calmest.
	Max int
	// Hold is how long a conversation stays at a level before it sinks by one.
	// 0 means DefaultHold.
	Hold time.Duration

	mu     sync.RWMutex
	states map[string]State // mu guards it
}

// Load returns the state of a conversation. Its error is always nil.
func (m *MemorySessions) Load(_ context.Context, key string) (State, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.states[key], nil
}

// Update lets change alter the state of a conversation. Its error is always nil.
func (m *MemorySessions) Update(_ context.Context, key string, change func(*State)) (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.states[key]
	s.Hold = m.Hold
	change(&s)
	if !known {
		m.makeRoom()
	}
	if m.states == nil {
		m.states = make(map[string]State)
	}
	m.states[key] = s
	return s, nil
}

// Len returns how many conversations are remembered.
func (m *MemorySessions) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.states)
}

const (
	defaultMaxSessions = 1 << 16
	evictionSample     = 16 // a full store looks at this many, so that a flood stays cheap
)

// makeRoom drops expired states, and the calmest, of a sample of a full store.
func (m *MemorySessions) makeRoom() {
	limit := m.Max
	if limit <= 0 {
		limit = defaultMaxSessions
	}
	if len(m.states) < limit {
		return
	}
	now, seen, calmest := time.Now(), 0, ""
	for key, s := range m.states { // the order is random enough
		if now.After(s.Expires()) {
			delete(m.states, key)
		} else if seen == 0 || calmer(s, m.states[calmest], now) {
			calmest = key
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	if len(m.states) >= limit {
		delete(m.states, calmest)
	}
}

func calmer(a, b State, now time.Time) bool {
	if la, lb := a.LevelAt(now), b.LevelAt(now); la != lb {
		return la < lb
	}
	return latest(a.Since, a.Heard).Before(latest(b.Since, b.Heard))
}
