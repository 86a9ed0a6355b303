package detect

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/theinterneti/tta-gateway/safety"
)

const (
	// blockSize is how much text is looked at together when no sentence ends.
	blockSize = 1024
	// overlap is how much of a block is looked at again with the next one
	// where a sentence had to be cut.
	overlap = 160
	// windowSize is how many words a pattern may see at once.
	windowSize = 60
	// windowStep leaves an overlap between the windows of one block.
	windowStep = 40
	// maxFindings bounds what one verdict lists; the gravest are kept.
	maxFindings = 16
	// shared marks patterns of every language.
	shared = 255
)

// scratch is the working memory of one judgement, taken from a pool.
type scratch struct {
	prog      *program
	lex       *lexicon
	tokens    []token
	letters   []byte
	spare     []token
	disguised bool // a digit or sign stood for a letter

	window  []token
	occ     []uint64
	set     []uint16 // classes with bits in occ
	words   uint64
	end     uint64
	frames  [frameKinds]uint64
	framed  int
	tried   []uint32 // by entry: the round in which it was tried
	round   uint32
	todo    []uint16
	heavy   [heavyWords]uint64 // where the words with the most classes stand
	present uint32             // which of them do
	feats   []uint32
	border  int // when set: only matches that reach over this word count
}

type hit struct {
	entry    uint16
	rule     int32
	lang     uint8
	from, to int
}

func newScratch(p *program) *scratch {
	return &scratch{
		prog: p, lex: p.lex,
		tokens: make([]token, 0, maxTokens), letters: make([]byte, 0, 4*blockSize), spare: make([]token, 0, maxTokens),
		occ: make([]uint64, p.classes), set: make([]uint16, 0, p.classes),
		tried: make([]uint32, len(p.entries)), todo: make([]uint16, 0, len(p.entries)),
	}
}

// state is what is known of a text so far. It is a value: copying it and going
// on with the copy does not change the original, as long as findings are cut.
type state struct {
	offset   int // of the next block
	quoted   bool
	direct   safety.Direction
	inGame   bool
	real     bool // somebody said that this is not the game
	findings []found
	votes    [8]uint16
	over     uint16  // the frames of the window that the model thinks gravest of
	kind     uint8   // what that window is about
	gravest  float64 // the model's gravest opinion, noOpinion if it was not asked
	opinions float64 // the sum of its opinions, and how many they are
	asked    int
	words    int
}

// noOpinion is the logit of a text in which no window was worth a look.
const noOpinion = -8

func newState(c safety.Content) state {
	return state{direct: c.Direction, inGame: c.InGame, gravest: noOpinion}
}

// hear takes the model's opinion of a window.
func (st *state) hear(logit float64) {
	st.gravest = max(st.gravest, logit)
	st.opinions += logit
	st.asked++
}

// logit is the model's opinion of the text: mostly its gravest, and its usual
// one, so that a long post is not suspicious for its length.
func (st *state) logit() float64 {
	if st.asked == 0 {
		return noOpinion
	}
	return 0.7*st.gravest + 0.3*st.opinions/float64(st.asked)
}

// found is a finding before the end of the text is known.
type found struct {
	entry      uint16
	rule       int32
	start, end int
	frames     uint16
}

// block judges the next block of a text.
func (s *scratch) block(st *state, text []byte) {
	st.quoted = s.tokenise(text, st.quoted)
	s.gather()
	s.vote(st)
	for at := 0; at < len(s.tokens); at += windowStep {
		s.window = s.tokens[at:min(at+windowSize, len(s.tokens))]
		s.look(st)
		if at+windowSize >= len(s.tokens) {
			break
		}
	}
}

// vote counts the frequent words of each language.
func (s *scratch) vote(st *state) {
	for i := range s.tokens {
		st.words++
		if m := s.prog.langOf[s.tokens[i].word]; m != 0 {
			for m != 0 {
				l := bits.TrailingZeros8(m)
				st.votes[l]++
				m &= m - 1
			}
		}
	}
}

// look finds the candidates of a window by their rarest words and, if there
// are any, evaluates them.
func (s *scratch) look(st *state) {
	s.round++
	s.todo = s.todo[:0]
	var seen uint64
	for i := range s.window {
		seen |= wordBit(s.window[i].word)
	}
	for i := range s.window {
		for _, at := range s.prog.anchors[s.window[i].word] {
			if s.tried[at] == s.round {
				continue
			}
			s.tried[at] = s.round
			m := &s.prog.entries[at].masks
			if seen&m[0] != 0 && seen&m[1] != 0 && seen&m[2] != 0 {
				s.todo = append(s.todo, at)
			}
		}
	}
	if len(s.todo) == 0 {
		return
	}
	s.fill()
	if s.border == 0 && st.direct == safety.Request {
		s.ask(st)
	}
	for _, at := range s.todo {
		s.try(st, at)
	}
}

// ask takes the model's opinion of the window, and remembers the frames of the
// gravest: there is no hit to lie over, so they lie over all of it.
func (s *scratch) ask(st *state) {
	z := s.logit(s.window)
	if z > max(st.gravest, noLift) {
		st.over, st.kind = s.allFrames(st), kindOf(kindTable, s.feats)
	}
	st.hear(z)
}

// modelDamps are the frames that lower what only the model heard: those that
// speak of a whole window. Without a hit nobody knows what a negation denies or
// a figure of speech is about, and the model has learned them with the words
// beside them.
var modelDamps = [...]frameKind{past, recovery, fiction, info, laugh}

// allFrames says which of them are in the window, in the language that most of
// the text so far is in.
func (s *scratch) allFrames(st *state) (found uint16) {
	best := 0
	for i := range s.prog.languages {
		if st.votes[i] > st.votes[best] {
			best = i
		}
	}
	s.findFrames(uint8(best), false)
	for _, kind := range modelDamps {
		if s.frames[kind] != 0 {
			found |= 1 << kind
		}
	}
	if s.frames[now] != 0 {
		found &^= 1<<past | 1<<recovery
	}
	return found
}

// fill notes for each class where its words stand in the window.
func (s *scratch) fill() {
	for _, class := range s.set {
		s.occ[class] = 0
	}
	s.set, s.framed, s.present = s.set[:0], -1, 0
	for i := range s.window {
		if h := s.prog.heavy[s.window[i].word]; h != 0 {
			s.place(h-1, i)
			continue
		}
		for _, class := range s.prog.ofWord[s.window[i].word] {
			if s.occ[class] == 0 {
				s.set = append(s.set, class)
			}
			s.occ[class] |= 1 << i
		}
	}
	s.words = 1<<len(s.window) - 1
	s.end = 1 << len(s.window)
}

// place notes where one of the heavy words stands.
func (s *scratch) place(h uint8, i int) {
	if s.present&(1<<h) == 0 {
		s.present |= 1 << h
		s.heavy[h] = 0
	}
	s.heavy[h] |= 1 << i
}

// at says where the words of a class stand in the window.
func (s *scratch) at(class uint16) uint64 {
	v := s.occ[class]
	for m := s.prog.heavyIn[class] & s.present; m != 0; m &= m - 1 {
		v |= s.heavy[bits.TrailingZeros32(m)]
	}
	return v
}

// try evaluates one rule's pattern.
func (s *scratch) try(st *state, at uint16) {
	e := &s.prog.entries[at]
	for _, class := range e.needs {
		if s.at(class) == 0 {
			return
		}
	}
	if e.rule < 0 {
		st.real = st.real || !e.response && s.run(e.code, s.words) != 0
		return
	}
	r := &s.prog.rules[e.rule]
	if r.response != (st.direct == safety.Response) {
		return
	}
	ends := s.run(e.code, s.words)
	if ends == 0 {
		return
	}
	for from := 0; from < len(s.window) && ends != 0; from++ {
		if got := s.run(e.code, 1<<from); got != 0 {
			to := bits.TrailingZeros64(got)
			if to <= from || s.border > 0 && (from >= s.border || to <= s.border) {
				continue
			}
			s.keep(st, hit{at, e.rule, e.lang, from, to})
			ends &^= got
		}
	}
}

// keep adds a hit with its frames to what was found.
func (s *scratch) keep(st *state, h hit) {
	r := &s.prog.rules[h.rule]
	f := found{entry: h.entry, rule: h.rule, start: st.offset + int(s.window[h.from].start), end: st.offset + int(s.window[h.to-1].end), frames: s.around(h) &^ r.ignore}
	for i := range st.findings {
		o := &st.findings[i]
		if o.rule == f.rule && (o.start == f.start || o.end == f.end) {
			return
		}
	}
	if len(st.findings) < 4*maxFindings {
		st.findings = append(st.findings, f)
	}
}

// severity is what the frames leave of a finding.
func (st *state) severity(p *program, f *found) (safety.Severity, uint16) {
	r := &p.rules[f.rule]
	frames := f.frames
	if st.inGame && r.act {
		frames |= 1 << fiction
	}
	if st.real {
		frames &^= 1<<fiction | 1<<quote | 1<<figure | 1<<laugh
	}
	level := r.severity
	var applied uint16
	for _, kind := range damps {
		if frames&(1<<kind) != 0 {
			if lower := damping[kind][level]; lower < level || r.severity == safety.None {
				level = lower
				applied |= 1 << kind
			}
		}
	}
	if st.real {
		applied |= 1 << real
	}
	return level, applied
}

// verdict sums up.
func (st *state) verdict(d *Detector) safety.Verdict {
	v := safety.Verdict{Model: d.version, Language: st.language(d.prog)}
	limits, logit := &profiles[d.profile], st.logit()
	if st.direct == safety.Response && len(st.findings) > 0 {
		logit = 0 // the model knows nothing of replies: the rules speak alone
	}
	if st.real {
		logit = max(logit, 0) // what is said outside the game is not judged by the game's words
	}
	var signals uint32
	for i := range st.findings {
		f := &st.findings[i]
		r := &d.prog.rules[f.rule]
		level, frames := st.severity(d.prog, f)
		if r.shadow || level == safety.None && (r.severity != safety.None || frames&^(1<<real) != 0) {
			continue
		}
		if frames&^(1<<laugh|1<<real) == 0 {
			signals |= r.signals
		}
		if level = limits.settle(level, max(logit, st.gravest)); level > safety.None {
			v.Findings = append(v.Findings, safety.Finding{Rule: r.id, Category: r.category, Severity: level, Start: f.start, End: f.end, Frames: frameList(frames)})
		}
	}
	if st.real {
		signals |= d.real
	}
	for _, c := range d.prog.combinations {
		if signals&c.needs == c.needs {
			v.Findings = append(v.Findings, safety.Finding{Rule: c.id, Category: c.category, Severity: c.severity, Start: 0, End: st.offset})
		}
	}
	sum(&v)
	if lifted, frames := st.lifted(limits, logit); lifted > v.Severity {
		v.Findings = append(v.Findings, safety.Finding{Rule: "model", Category: kinds[st.kind], Severity: lifted, Start: 0, End: st.offset, Frames: frameList(frames)})
		sum(&v)
	}
	v.Score = score(v.Severity, logit+weightOf(v.Findings))
	return v
}

// lifted is the severity that the model gives alone, and the frames that lowered it.
func (st *state) lifted(limits *thresholds, logit float64) (level safety.Severity, applied uint16) {
	frames := st.over
	if st.inGame {
		frames |= 1 << fiction
	}
	if st.real {
		frames &^= 1<<fiction | 1<<laugh
	}
	level = limits.lifted(logit)
	for _, kind := range modelDamps {
		if lower := damping[kind][level]; frames&(1<<kind) != 0 && lower < level {
			level, applied = lower, applied|1<<kind
		}
	}
	return level, applied
}

// sum orders the findings, and gives the verdict the gravest severity and all
// categories.
func sum(v *safety.Verdict) {
	slices.SortStableFunc(v.Findings, func(a, b safety.Finding) int { return int(b.Severity) - int(a.Severity) })
	if len(v.Findings) > maxFindings {
		v.Findings = v.Findings[:maxFindings]
	}
	v.Categories = nil
	for _, f := range v.Findings {
		v.Severity = max(v.Severity, f.Severity)
		if !slices.Contains(v.Categories, f.Category) {
			v.Categories = append(v.Categories, f.Category)
		}
	}
}

func frameList(frames uint16) []string {
	var out []string
	for kind := range frameKinds {
		if frames&(1<<kind) != 0 {
			out = append(out, frameNames[kind])
		}
	}
	return out
}

// language names the language with the most frequent words, "" if none stands out.
func (st *state) language(p *program) string {
	best, second := 0, uint16(0)
	for i := range p.languages {
		if st.votes[i] > st.votes[best] {
			best = i
		}
	}
	for i := range p.languages {
		if i != best {
			second = max(second, st.votes[i])
		}
	}
	if len(p.languages) == 0 || st.votes[best] == 0 || st.votes[best] == second {
		return ""
	}
	return p.languages[best]
}

// pool hands out scratches of one program.
type pool struct {
	prog *program
	pool sync.Pool
}

func (p *pool) get() *scratch {
	if s, ok := p.pool.Get().(*scratch); ok {
		return s
	}
	return newScratch(p.prog)
}

func (p *pool) put(s *scratch) { p.pool.Put(s) }
