package detect

import (
	"slices"

	"github.com/theinterneti/tta-gateway/safety"
)

// stream judges a text in the making. What is pending is less than a block; all
// before it is judged for good.
type stream struct {
	d       *Detector
	st      state
	pending []byte
	peeked  int // how much was pending when it was last looked at
	last    safety.Verdict
}

// Write judges what has become complete, and has a look at the rest whenever
// that has grown by an eighth: often enough to be early, seldom enough to be
// linear in the text even when it comes byte by byte.
func (s *stream) Write(p []byte) (safety.Verdict, error) {
	sc := s.d.pool.get()
	defer s.d.pool.put(sc)
	before := s.st.offset
	s.pending = append(s.pending, p...)
	rest := sc.text(&s.st, s.pending, false)
	s.pending = s.pending[:copy(s.pending, rest)]
	moved := s.st.offset != before
	if moved {
		s.peeked = 0
	}
	if moved || len(s.pending) >= s.peeked+max(8, s.peeked/8) {
		s.peeked = len(s.pending)
		s.last = s.peek(sc)
	}
	return s.last, nil
}

// peek judges the pending text as if it were the end, on a copy of the state.
func (s *stream) peek(sc *scratch) safety.Verdict {
	st := s.st
	st.findings = slices.Clip(st.findings)
	sc.text(&st, s.pending, true)
	return st.verdict(s.d)
}

// Close judges the rest.
func (s *stream) Close() (safety.Verdict, error) {
	sc := s.d.pool.get()
	defer s.d.pool.put(sc)
	sc.text(&s.st, s.pending, true)
	s.pending = nil
	return s.st.verdict(s.d), nil
}
