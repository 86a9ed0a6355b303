package metrics

import (
	"strings"
	"sync"
)

// Other stands in a label for everything that has no name of its own there.
const Other = "_OTHER"

// How many values a label may take. A gateway needs far fewer; whoever fills a vocabulary has put something into a label that does not
// belong there, and loses that detail instead of the memory of the process.
const (
	mostEndpoints = 20_000
	mostServices  = 1_000
	mostWords     = 100
	longestWord   = 200 // bytes
)

// words are the vocabularies of the labels that callers fill.
type words struct {
	endpoint, service                                    vocabulary
	lane, direction, transport, reason                   vocabulary
	severity, intervention, scope, event, status, result vocabulary
	state, outcome                                       vocabulary
	version, revision                                    vocabulary
}

// vocabulary is the set of values that one label has taken. The zero value takes up to mostWords.
type vocabulary struct {
	mu    sync.RWMutex
	known map[string]string
	most  int
}

// take returns the label value for s: s itself if it is known or there is room, else Other.
func (v *vocabulary) take(s string) string {
	v.mu.RLock()
	word, ok := v.known[s]
	v.mu.RUnlock()
	if ok {
		return word
	}
	return v.learn(label(s, "none"))
}

func (v *vocabulary) learn(word string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok := v.known[word]; ok {
		return known
	}
	if len(v.known) >= v.room() {
		return Other
	}
	if v.known == nil {
		v.known = make(map[string]string)
	}
	v.known[word] = word
	return word
}

func (v *vocabulary) room() int {
	if v.most > 0 {
		return v.most
	}
	return mostWords
}

// label makes s fit to be a label value: valid UTF-8, or the Prometheus library would panic; not too long; not empty, which Prometheus
// takes for no label at all.
func label(s, ifEmpty string) string {
	if s == "" {
		return ifEmpty
	}
	if len(s) > longestWord {
		s = s[:longestWord]
	}
	return strings.ToValidUTF8(s, "?")
}

// mostCached is how many combinations of labels a cache keeps; others work as well, only slower.
const mostCached = 10_000

// cache finds what belongs to a combination of labels, as the caller spelled them, in one step.
type cache[K comparable, V any] struct {
	mu    sync.RWMutex
	known map[K]V
}

func (c *cache[K, V]) get(key K, find func(K) V) V {
	c.mu.RLock()
	v, ok := c.known[key]
	c.mu.RUnlock()
	if ok {
		return v
	}
	v = find(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = make(map[K]V)
	}
	if len(c.known) < mostCached {
		c.known[key] = v
	}
	return v
}
