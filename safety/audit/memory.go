package audit

import (
	"context"
	"slices"
	"sync"

	"github.com/theinterneti/tta-gateway/safety"
)

// Memory is a trail for development: it keeps the last events, as they are,
// with their identifiers, until the process ends. The zero Memory is ready. It
// is safe for simultaneous use.
type Memory struct {
	// Max is how many events are kept, 0 means 1000.
	Max int

	mu     sync.Mutex
	events []safety.Event // mu guards it
}

// Record keeps an event. Its error is always nil.
func (m *Memory) Record(_ context.Context, e safety.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	limit := m.Max
	if limit <= 0 {
		limit = 1000
	}
	if len(m.events) >= limit {
		m.events = slices.Delete(m.events, 0, len(m.events)-limit+1)
	}
	m.events = append(m.events, e)
	return nil
}

// Events returns the events that are kept, the oldest first.
func (m *Memory) Events() []safety.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}
