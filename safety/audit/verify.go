package audit

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrBroken says that a trail was altered, or was never one. Errors of [Verify]
// wrap it; they are [*BrokenError].
var ErrBroken = errors.New("audit: the chain is broken")

// BrokenError names the first record that does not fit.
type BrokenError struct {
	Line  int    // counted from 1
	Seq   uint64 // of the last record that fits, 0 if none does
	Cause error
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("%v at line %d, after record %d: %v", ErrBroken, e.Line, e.Seq, e.Cause)
}

// Unwrap returns ErrBroken and the cause.
func (e *BrokenError) Unwrap() []error { return []error{ErrBroken, e.Cause} }

// Report is what [Verify] found.
type Report struct {
	Records     int
	First, Last uint64 // the numbers of the first and last record
	Begin, End  string // the hash before the first, and that of the last
}

// Verify reads a trail and checks every record. A file that begins with record 1
// begins a chain; of one that begins with a later record (because older ones
// were moved away) Begin must be the End of the older file. Verify cannot know
// whether records are missing at the end: compare Last and End with what was
// noted down elsewhere.
func Verify(r io.Reader) (report Report, err error) {
	lines := bufio.NewReader(r)
	var at link
	for n := 1; ; n++ {
		text, err := lines.ReadBytes('\n')
		switch {
		case err == io.EOF && len(text) == 0:
			report.Last, report.End = at.seq, hex.EncodeToString(at.hash[:])
			return report, nil
		case err == io.EOF:
			return report, &BrokenError{n, at.seq, errors.New("the last line has no end")}
		case err != nil:
			return report, fmt.Errorf("audit: verify: %w", err)
		}
		one, err := parse(text)
		if err == nil {
			err = follows(&report, at, one)
		}
		if err != nil {
			return report, &BrokenError{n, at.seq, err}
		}
		report.Records++
		at = link{one.entry.Seq, one.hash}
	}
}

// follows checks that a record comes next after the end of the chain.
func follows(report *Report, at link, next record) error {
	if report.Records == 0 {
		report.First, report.Begin = next.entry.Seq, hex.EncodeToString(next.prev[:])
		if (next.entry.Seq == 1) != (next.prev == [sha256.Size]byte{}) || next.entry.Seq == 0 {
			return fmt.Errorf("record %d does not begin a chain", next.entry.Seq)
		}
		return nil
	}
	if next.entry.Seq != at.seq+1 {
		return fmt.Errorf("record %d follows record %d", next.entry.Seq, at.seq)
	}
	if next.prev != at.hash {
		return errors.New("it does not follow from the record before")
	}
	return nil
}

// lastLine returns the last whole line of a file, where it ends, and how large
// the file is. It reads backwards, so that a long trail opens fast.
func lastLine(f *os.File) (text []byte, end, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, 0, err
	}
	size = info.Size()
	end, err = lineEnd(f, size)
	if err != nil || end == 0 {
		return nil, 0, size, err
	}
	start, err := lineEnd(f, end-1)
	if err != nil {
		return nil, 0, size, err
	}
	text = make([]byte, end-start)
	_, err = f.ReadAt(text, start)
	return text, end, size, err
}

// lineEnd returns the offset after the last newline before an offset, 0 if
// there is none.
func lineEnd(f *os.File, before int64) (int64, error) {
	var block [4096]byte
	for before > 0 {
		n := min(before, int64(len(block)))
		if _, err := f.ReadAt(block[:n], before-n); err != nil {
			return 0, err
		}
		for i := n - 1; i >= 0; i-- {
			if block[i] == '\n' {
				return before - n + i + 1, nil
			}
		}
		before -= n
	}
	return 0, nil
}
