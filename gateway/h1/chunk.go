package h1

import (
	"bytes"
	"io"
)

const (
	maxChunkLine = 1 << 10  // a chunk's size line, its extensions included
	maxChunkCost = 16 << 10 // bytes that are not data, beyond what is usual
	maxTrailer   = 64 << 10 // a trailer section
)

// chunks is how far a chunked body has been read.
type chunks struct {
	begun bool // a chunk has been read: CRLF comes before the next size line
	last  bool // only the trailer section is to come
	cost  int64
}

// readChunked reads data, and beyond it only what is in the buffer already:
// so the end is found with the last bytes if it came with them.
func (b *body) readChunked(p []byte) (n int, err error) {
	for n < len(p) {
		if b.left == 0 {
			ok, err := b.nextChunk(n == 0)
			if err != nil {
				return n, err
			}
			if !ok {
				return n, nil
			}
		}
		if n > 0 && b.x.in.r == b.x.in.w {
			return n, nil
		}
		m, err := b.pull(p[n:min(int64(len(p)), int64(n)+b.left)])
		n += m
		b.left -= int64(m)
		if err != nil {
			return n, unexpected(err)
		}
	}
	if b.left == 0 {
		_, err = b.nextChunk(false)
	}
	return n, err
}

// nextChunk reads up to the next chunk's data; without wait it gives up, with
// false, when that is not in the buffer yet. io.EOF is the end of the body.
func (b *body) nextChunk(wait bool) (bool, error) {
	for {
		n, err := b.chunkLine(b.x.in.data())
		if err != nil {
			return false, err
		}
		b.x.in.r += n
		if b.left > 0 {
			return true, nil
		}
		if b.chunks.last {
			return false, b.trailerSection(wait)
		}
		if !wait {
			return false, nil
		}
		if err := b.fill(); err != nil {
			return false, unexpected(err)
		}
	}
}

// chunkLine takes the size line at the start of data, with the end of the
// chunk before it. It returns 0 when the line is not complete yet.
func (b *body) chunkLine(data []byte) (int, error) {
	if b.chunks.last {
		return 0, nil
	}
	skip := 0
	if b.chunks.begun {
		const end = "\r\n"
		if n := min(len(data), len(end)); string(data[:n]) != end[:n] {
			return 0, malformed("chunk is longer than its size")
		}
		if skip = len(end); len(data) < skip {
			return 0, nil
		}
	}
	lf := bytes.IndexByte(data[skip:], '\n')
	if lf > maxChunkLine || lf < 0 && len(data)-skip > maxChunkLine {
		return 0, malformed("chunk size line is too long")
	}
	if lf < 0 {
		return 0, nil
	}
	size, err := parseChunkLine(data[skip : skip+lf])
	if err != nil {
		return 0, err
	}
	if b.chunks.cost = max(0, b.chunks.cost+int64(lf)-usualCost-2*size); b.chunks.cost > maxChunkCost {
		return 0, malformed("chunks are mostly not data")
	}
	b.left = size
	b.chunks.begun, b.chunks.last = true, size == 0
	return skip + lf + 1, nil
}

// usualCost is what a chunk's framing may cost without being counted.
const usualCost = 16

// maxChunk keeps sums of sizes far from overflow.
const maxChunk = 1 << 56

// parseChunkLine takes a chunk's size line up to its line feed: hexadecimal
// digits, perhaps extensions after a semicolon (which mean nothing to us),
// carriage return (RFC 9112, 7.1).
func parseChunkLine(line []byte) (int64, error) {
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return 0, malformed("chunk size line ends without carriage return")
	}
	line = line[:len(line)-1]
	var size int64
	digits := 0
	for digits < len(line) {
		v, ok := unhex(line[digits])
		if !ok {
			break
		}
		if size = size<<4 | int64(v); size >= maxChunk {
			return 0, malformed("chunk size")
		}
		digits++
	}
	extension := bytes.TrimLeft(line[digits:], " \t")
	if digits == 0 || digits > 16 || digits < len(line) && (len(extension) == 0 || extension[0] != ';') || !validValue(extension) {
		return 0, malformed("chunk size")
	}
	return size, nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// trailerSection reads what follows the last chunk, and returns io.EOF at its
// end; nil when that has not come and wait is false.
func (b *body) trailerSection(wait bool) error {
	in := b.x.in
	if !in.trailer {
		in.reset(true)
	}
	for {
		n, err := in.parse(in.data())
		if err != nil {
			return err
		}
		if n > 0 {
			b.addTrailer(string(in.data()[:n]))
			in.r += n
			return io.EOF
		}
		if !wait {
			return nil
		}
		if err := b.fillTrailer(); err != nil {
			return unexpected(err)
		}
	}
}

func (b *body) fillTrailer() error {
	in := b.x.in
	room := in.room(maxTrailer)
	if len(room) == 0 {
		return malformed("trailer section is too large")
	}
	n, err := b.read(room)
	in.w += n
	if n > 0 {
		return nil
	}
	return err
}

// addTrailer adds the fields to Response.Trailer, announced or not, but none
// that frame a message (RFC 9110, 6.5.1).
func (b *body) addTrailer(text string) {
	if len(b.x.in.fields) == 0 {
		return
	}
	for name, values := range b.x.in.header(text) {
		if framingField(name) {
			continue
		}
		if b.x.res.Trailer == nil {
			b.x.res.Trailer = make(map[string][]string)
		}
		b.x.res.Trailer[name] = values
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
