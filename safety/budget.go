package safety

import "sync/atomic"

// DefaultBudget is the memory for held bodies of a [Guard] that was given no
// [Budget] of its own.
const DefaultBudget = 64 << 20

// freeHold is how much of every body is held without asking the budget. It is
// far more than a chat message, so that no flood of big bodies can buy a
// crisis message out of being judged; what it costs is bounded by the number
// of connections.
const freeHold = 16 << 10

// Budget bounds the memory that bodies held for inspection take together.
// Guards made by [Guard.With] share their parent's, and several guards may be
// given the same. The zero Budget has [DefaultBudget] bytes. It is safe for
// simultaneous use.
//
// A body that finds the budget used up is judged as far as it was held, and the
// rest passes, counted as skipped for [SkippedBudget]. The first 16 KiB of a
// body never ask.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many bytes; 0 or less means [DefaultBudget].
func NewBudget(bytes int64) *Budget {
	return &Budget{limit: bytes}
}

// Used returns how many bytes are taken now.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) take(n int64) bool {
	if b.used.Add(n) <= b.bytes() {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *Budget) bytes() int64 {
	if b.limit <= 0 {
		return DefaultBudget
	}
	return b.limit
}

func (b *Budget) give(n int64) { b.used.Add(-n) }

// hold is a buffer whose room beyond freeHold is taken from a budget. The zero
// hold is empty; release gives everything back.
type hold struct {
	budget *Budget
	taken  int64
	block  *[]byte // from blocks
	data   []byte
}

// reserve makes room for n more bytes and reports whether the budget has them.
func (h *hold) reserve(n int) bool {
	need := len(h.data) + n
	if need <= cap(h.data) {
		return true
	}
	size := max(need, 2*cap(h.data), smallBlock)
	if beyond := int64(size-freeHold) - h.taken; beyond > 0 {
		if !h.budget.take(beyond) {
			return false
		}
		h.taken += beyond
	}
	h.move(size)
	return true
}

// move goes to a block of at least size bytes and uses size of them.
func (h *hold) move(size int) {
	if h.block != nil && cap(*h.block) >= size {
		h.data = (*h.block)[:len(h.data):size]
		return
	}
	old := h.block
	h.block = takeBlock(size)
	h.data = append((*h.block)[:0:size], h.data...)
	giveBlock(old)
}

// lose lets go of the room without giving it to anybody else.
func (h *hold) lose() { h.block = nil }

// release gives the room back. Nothing of data may be used afterwards.
func (h *hold) release() {
	if h.taken > 0 {
		h.budget.give(h.taken)
	}
	giveBlock(h.block)
	*h = hold{budget: h.budget}
}
