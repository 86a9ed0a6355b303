package safety

import "sync"

const (
	smallBlock = 4 << 10  // what a block begins with
	largeBlock = 64 << 10 // room beyond this is left to the garbage collector
)

// smallBlocks and largeBlocks are buffers for bodies of up to freeHold and of
// more, so that a chat message does not sit in a catalogue's buffer.
var smallBlocks, largeBlocks sync.Pool

func blocksOf(size int) *sync.Pool {
	if size <= freeHold {
		return &smallBlocks
	}
	return &largeBlocks
}

func takeBlock(size int) *[]byte {
	b, _ := blocksOf(size).Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	if cap(*b) < size {
		*b = make([]byte, 0, size)
	}
	return b
}

func giveBlock(b *[]byte) {
	if b != nil && cap(*b) <= 16*largeBlock+freeHold {
		blocksOf(cap(*b)).Put(b)
	}
}

// scratches are what judging a message needs.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// scratch is the room in which one message is judged.
type scratch struct {
	walker walker
	joined []byte // the texts of a message, one after the other
	bulk   []byte // texts of a message with very many, some at a time
	plain  []byte // a text in UTF-8 that came in another form
}

func (s *scratch) release() {
	s.walker.reset(nil, nil)
	if cap(s.joined) > largeBlock || cap(s.plain) > largeBlock || cap(s.walker.unescaped) > largeBlock {
		return
	}
	scratches.Put(s)
}
