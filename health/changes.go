package health

import "sync"

// changes hands news over one at a time and in the order in which they were added, outside every other lock, so that the listener
// may call back into whoever tells. It is added to under the owner's lock, which makes that order the order of events.
type changes[T any] struct {
	mu      sync.Mutex
	waiting []T
	telling bool
}

func (c *changes[T]) add(news T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, news)
}

// tell hands over what waits. While another goroutine (or a listener further up this stack) is telling, that one takes it along.
func (c *changes[T]) tell(listen func(T)) {
	if !c.begin() {
		return
	}
	done := false
	defer c.end(&done)
	for {
		news, ok := c.next()
		if !ok {
			done = true
			return
		}
		listen(news)
	}
}

func (c *changes[T]) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.telling {
		return false
	}
	c.telling = true
	return true
}

// next also ends the telling when nothing is left, in one step: news that are added later find nobody telling, and are not lost.
func (c *changes[T]) next() (news T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.waiting, c.telling = nil, false
		return news, false
	}
	news = c.waiting[0]
	c.waiting = c.waiting[1:]
	return news, true
}

// end gives the telling up when a listener panicked; what still waits is told with the next news.
func (c *changes[T]) end(done *bool) {
	if *done {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.telling = false
}
