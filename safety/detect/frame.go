package detect

import "github.com/theinterneti/tta-gateway/safety"

// frameKind is a way in which the words around a finding change what it means.
type frameKind uint8

const (
	negation frameKind = iota // "i am not going to …"
	scope                     // ends the reach of a negation: "but"
	past                      // "years ago", "i used to"
	now                       // "again", "tonight": takes past back
	fiction                   // "my character", "the goblin"
	real                      // "irl", "ooc": takes fiction back, in the whole text
	info                      // "an essay on", "the documentary"
	laugh                     // "lol"
	figure                    // "so bad that i", "of embarrassment"
	quote                     // words in quotation marks
	recovery                  // "i am better now", "clean for two years"
	accident                  // "shaving", "chopping onions"
	frameKinds
)

var frameNames = [frameKinds]string{"negation", "scope", "past", "now", "fiction", "real", "info", "laugh", "figure", "quote", "recovery", "accident"}

func frameNamed(name string) (frameKind, bool) {
	for i, n := range frameNames {
		if n == name {
			return frameKind(i), true
		}
	}
	return 0, false
}

// damping says what a frame leaves of each severity. The table is fixed and
// small so that a clinician can read it. A frame never deletes what is
// imminent: someone who took all their pills may well write "lol".
var damping = [frameKinds][safety.Imminent + 1]safety.Severity{
	negation: {safety.None, safety.None, safety.None, safety.None, safety.Low},
	past:     {safety.None, safety.None, safety.None, safety.Low, safety.Moderate},
	recovery: {safety.None, safety.None, safety.None, safety.None, safety.Moderate},
	fiction:  {safety.None, safety.None, safety.Low, safety.Low, safety.Low},
	info:     {safety.None, safety.None, safety.Low, safety.Low, safety.Moderate},
	laugh:    {safety.None, safety.Low, safety.Low, safety.High, safety.Imminent},
	figure:   {safety.None, safety.None, safety.Low, safety.Moderate, safety.High},
	quote:    {safety.None, safety.None, safety.Low, safety.Low, safety.Low},
	accident: {safety.None, safety.None, safety.None, safety.Low, safety.Low},
}

// damps are the frames that lower, in the order in which they are applied.
var damps = [...]frameKind{negation, past, recovery, fiction, info, quote, accident, figure, laugh}

// around says which frames lie over a hit on words [from, to) of the window.
func (s *scratch) around(hit hit) uint16 {
	s.findFrames(hit.lang, s.prog.rules[hit.rule].response)
	var found uint16
	for kind := range frameKinds {
		if s.frames[kind] != 0 {
			found |= 1 << kind
		}
	}
	found &^= 1<<negation | 1<<scope | 1<<quote
	if s.negated(hit) {
		found |= 1 << negation
	}
	if s.window[hit.from].flags&inQuotes != 0 {
		found |= 1 << quote
	}
	if found&(1<<now) != 0 {
		found &^= 1<<past | 1<<recovery
	}
	return found
}

// findFrames evaluates the frames of a language once for a window.
func (s *scratch) findFrames(lang uint8, response bool) {
	if s.framed == int(lang) {
		return
	}
	s.framed = int(lang)
	s.frames = [frameKinds]uint64{}
	for _, at := range s.prog.frames {
		e := &s.prog.entries[at]
		if e.response == response && (e.lang == lang || e.lang == shared) {
			s.frames[e.frame] |= s.run(e.code, s.words)
		}
	}
}

// reach is how many words a negation carries.
const reach = 7

// negated reports whether a negation before the hit reaches its last word:
// within a few words, in the same clause, and not past a "but". A negation
// within the hit is part of the rule's meaning, since gaps do not reach over one.
func (s *scratch) negated(h hit) bool {
	last := h.to - 1
	for p := last; p > 0 && p > last-reach; p-- {
		border := uint64(1) << p
		if p <= h.from && s.window[p].flags&afterBreak != 0 {
			return false
		}
		if p <= h.from && s.frames[negation]&border != 0 {
			return true
		}
		if p <= h.from+1 && s.frames[scope]&border != 0 {
			return false
		}
	}
	return false
}
