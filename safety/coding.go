package safety

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxLayers is how many codings may lie on one another.
	maxLayers = 2
	// maxRatio bounds how much larger than its coded form a body may be: texts
	// shrink to a tenth, bombs to a thousandth.
	maxRatio = 200
	// calmSize is what a body may grow to whatever its ratio.
	calmSize = 256 << 10
	// maxWindow bounds what a zstd frame may ask for (RFC 8878 section 3.1.1.1.2).
	maxWindow = 8 << 20
)

// Codings are the content codings that are decoded to be judged, besides
// identity: what an upstream may be asked for. A body in another coding passes
// and is counted as skipped for [SkippedCoding].
func Codings() []string { return []string{"gzip", "deflate", "zstd"} }

// layers returns the codings of a Content-Encoding in the order in which they
// were laid on (RFC 9110 section 8.4), nil for none.
func layers(contentEncoding []string) (list []string) {
	for _, line := range contentEncoding {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "identity" {
				list = append(list, name)
			}
		}
	}
	return list
}

// decode undoes codings, the last one first, into out, at most limit bytes of
// it. What could be decoded before something went wrong is in out
// nevertheless; reason says what was skipped.
func decode(codings []string, coded []byte, out *hold, limit int) (reason string) {
	if len(codings) > maxLayers {
		return SkippedCoding
	}
	r := io.Reader(bytes.NewReader(coded))
	for i := len(codings) - 1; i >= 0; i-- {
		d, err := decoder(codings[i], r)
		if err != nil {
			return SkippedCoding
		}
		defer d.Close()
		r = d
	}
	return fill(out, r, min(limit, max(calmSize, maxRatio*len(coded))))
}

// fill reads r into out until its end or the limit.
func fill(out *hold, r io.Reader, limit int) (reason string) {
	for {
		if len(out.data) > limit {
			out.data = out.data[:limit]
			return SkippedTooLarge
		}
		if !out.reserve(1) {
			return SkippedBudget
		}
		room := out.data[len(out.data):min(cap(out.data), limit+1)]
		n, err := r.Read(room)
		out.data = out.data[:len(out.data)+n]
		switch {
		case errors.Is(err, io.EOF) && len(out.data) <= limit:
			return ""
		case err != nil && !errors.Is(err, io.EOF):
			return SkippedCoding
		}
	}
}

func decoder(coding string, r io.Reader) (io.ReadCloser, error) {
	switch coding {
	case "gzip", "x-gzip":
		return gzip.NewReader(r)
	case "deflate":
		return inflate(r)
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, errors.New("safety: unknown coding")
}

// inflate reads "deflate", which RFC 9110 section 8.4.1.2 says is zlib's form
// and which some servers send without it.
func inflate(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	if head, err := b.Peek(2); err == nil && isZlib(head) {
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}

// isZlib recognises the two bytes of RFC 1950 section 2.2.
func isZlib(head []byte) bool {
	return head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0
}
