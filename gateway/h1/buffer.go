package h1

import "sync"

const (
	readSize   = 8 << 10  // a read buffer: most answers fit whole
	copySize   = 32 << 10 // for long bodies, either way
	inlineBody = 32 << 10 // a body in memory up to this goes out with the header, in one write
)

// buffer holds what has been read and not yet used: b[r:w]. One belongs to an
// exchange from the first read to the end of its body; an idle connection has
// none.
type buffer struct {
	b    []byte
	r, w int
	section
}

var (
	readBuffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, readSize)} }}
	copyBuffers = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}
	outBuffers  = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}
)

func newBuffer() *buffer { return readBuffers.Get().(*buffer) }

// free gives the buffer back, unless it has grown.
func (in *buffer) free() {
	if len(in.b) != readSize {
		return
	}
	if cap(in.fields) > 256 {
		in.fields = nil
	}
	in.r, in.w = 0, 0
	in.reset(false)
	readBuffers.Put(in)
}

func (in *buffer) data() []byte { return in.b[in.r:in.w] }

// room returns space to read into, after moving the data to the front or
// growing where there is none. It returns nil when data already has limit bytes.
func (in *buffer) room(limit int) []byte {
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.w == len(in.b) && in.r > 0 {
		in.w = copy(in.b, in.b[in.r:in.w])
		in.r = 0
	}
	if in.w == len(in.b) && in.w < limit {
		in.b = append(in.b, make([]byte, min(len(in.b), limit-len(in.b)))...)
	}
	return in.b[in.w:min(len(in.b), max(limit+in.r, in.w))]
}

// take copies data into p.
func (in *buffer) take(p []byte) int {
	n := copy(p, in.data())
	in.r += n
	return n
}

// putOut gives an output buffer back, unless a large request has blown it up.
func putOut(b *[]byte) {
	if b == nil || cap(*b) > 2*inlineBody {
		return
	}
	*b = (*b)[:0]
	outBuffers.Put(b)
}
