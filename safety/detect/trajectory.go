package detect

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Trajectory is what is remembered of a conversation: how much was said that
// weighs, which kinds of things, and when. It is a value; following a
// conversation makes a new one. It holds no text: the words of the last
// messages are kept as numbers for a few minutes, so that a sentence sent in
// pieces is heard, and are left out of the JSON form; [Detector.Follow] adds them
// sealed with a key that only this process has.
//
// The zero Trajectory is a conversation in which nothing was said yet.
type Trajectory struct {
	Version string          `json:"v,omitempty"` // of the pack that the signals belong to
	Level   safety.Severity `json:"level,omitempty"`
	Raised  int64           `json:"raised,omitempty"` // unix seconds of the last message that confirmed Level
	Weight  float64         `json:"weight,omitempty"` // of the evidence, at the time At
	At      int64           `json:"at,omitempty"`     // unix seconds of the last message
	Turns   int             `json:"turns,omitempty"`
	Signals []Sighting      `json:"signals,omitempty"` // what was said, the latest of each kind

	// Sealed holds the last words, readable only by the process that wrote
	// them; empty in a Trajectory that was never encoded.
	Sealed []byte `json:"sealed,omitempty"`

	tail  []uint16
	piece int // words of the last message
}

// A Sighting says that something of a kind was said, and when.
type Sighting struct {
	Signal int   `json:"s"`
	At     int64 `json:"at"`
	Turn   int   `json:"turn"`
	Times  int   `json:"n"`
}

const (
	halfLife   = 30 * time.Minute // of the evidence
	halfTurns  = 20               // and, when much is said, in messages
	memory     = 2 * time.Hour    // how long signals combine
	hold       = 30 * time.Minute // how long a level stays before it sinks by one
	patience   = 3 * time.Minute  // how long the pieces of a sentence belong together
	tailWords  = 14
	fuseWords  = 30
	pieceWords = 3 // a message this short may be a piece of the one before or after
	minSignals = 2
)

// weights say what a message of each severity adds. A moderate message and two
// low ones, of different kinds, make a conversation high.
var weights = [safety.Imminent + 1]float64{0, 0.5, 1.3, 3, 6}

const (
	weightModerate = 1.2
	weightHigh     = 2.0
	often          = 2 // how often HOPELESS must be said before it makes a pair
)

// pairs of signals that make a conversation high wherever they stand in it,
// by name: the first are states, the second what turns them into a plan.
var pairs = [][2]string{
	{"IDEATION", "MEANS"}, {"IDEATION", "DOIT"}, {"IDEATION", "GOODBYE"}, {"IDEATION", "METHOD"}, {"IDEATION", "INTENT"}, {"IDEATION", "TIME"},
	{"PASSIVE", "MEANS"}, {"PASSIVE", "DOIT"}, {"PASSIVE", "GOODBYE"}, {"PASSIVE", "METHOD"}, {"PASSIVE", "INTENT"},
	{"HOPELESS", "MEANS"}, {"HOPELESS", "DOIT"}, {"HOPELESS", "GOODBYE"}, {"HOPELESS", "METHOD"}, {"HOPELESS", "INTENT"},
	{"FEAR", "CONTROL"}, {"FEAR", "ABUSE"}, {"FEAR", "HIT"},
	{"HINT", "MEANS"}, {"HINT", "DOIT"}, {"HINT", "GOODBYE"}, {"HINT", "INTENT"},
	{"SELFHARM", "MEANS"}, {"SELFHARM", "GOODBYE"}, {"SELFHARM", "PASSIVE"}, {"MEANS", "DOIT"}, {"MEANS", "GOODBYE"}, {"DOIT", "GOODBYE"},
}

// Severity returns the level of the conversation at a time. Only time lowers
// it, by one for each half hour since it was last confirmed; nothing that is
// said does.
func (t Trajectory) Severity(now time.Time) safety.Severity {
	if t.Level == safety.None {
		return safety.None
	}
	steps := max(0, now.Unix()-t.Raised) / int64(hold/time.Second)
	return safety.Severity(max(0, int64(t.Level)-steps))
}

// Next judges the next message of a conversation: alone, and as part of it.
// Read the level of the whole from the returned Trajectory's Severity.
func (d *Detector) Next(t Trajectory, c safety.Content, now time.Time) (Trajectory, safety.Verdict) {
	s := d.pool.get()
	defer d.pool.put(s)
	st := newState(c)
	s.text(&st, c.Text, true)
	alone := st.verdict(d)
	whole := alone
	if fused, ok := s.fuse(d, t, c, now); ok {
		fused.add(&st)
		whole = safety.Highest(alone, fused.verdict(d))
	}
	t = t.aged(d.version, now)
	t.note(st.said(d)|d.signalsIn(whole), now)
	t.Weight += weights[whole.Severity]
	if len(st.findings) > 0 && whole.Severity == safety.None {
		t.Weight += 0.3 * float64(min(1, t.fresh()))
	}
	t.raise(whole.Severity, now)
	t.raise(t.level(d), now)
	t.tail, t.piece = s.tail(t.tail), len(s.tokens)
	return t, alone
}

// aged returns a copy of t as it is now: lighter, and without old signals.
func (t Trajectory) aged(version string, now time.Time) Trajectory {
	if t.Version != version {
		t.Signals, t.tail = nil, nil
	}
	if past := now.Unix() - t.At; t.At != 0 && past > 0 {
		t.Weight *= math.Exp2(-float64(past) / halfLife.Seconds())
	}
	t.Weight *= math.Exp2(-1.0 / halfTurns)
	if now.Unix()-t.At > int64(patience/time.Second) {
		t.tail = nil
	}
	t.Level = t.Severity(now)
	if t.Level == safety.None {
		t.Raised = 0
	}
	kept := make([]Sighting, 0, len(t.Signals))
	for _, s := range t.Signals {
		if now.Unix()-s.At <= int64(memory/time.Second) {
			kept = append(kept, s)
		}
	}
	t.Version, t.At, t.Signals, t.Turns = version, now.Unix(), kept, t.Turns+1
	return t
}

// note remembers signals; t.Signals is t's own.
func (t *Trajectory) note(signals uint32, now time.Time) {
	for i := range 32 {
		if signals&(1<<i) == 0 {
			continue
		}
		at := slices.IndexFunc(t.Signals, func(s Sighting) bool { return s.Signal == i })
		if at < 0 {
			t.Signals = append(t.Signals, Sighting{Signal: i, At: now.Unix(), Turn: t.Turns, Times: 1})
			continue
		}
		t.Signals[at].At, t.Signals[at].Turn = now.Unix(), t.Turns
		t.Signals[at].Times++
	}
}

// fresh counts the signals of this turn.
func (t *Trajectory) fresh() (n int) {
	for _, s := range t.Signals {
		if s.Turn == t.Turns {
			n++
		}
	}
	return n
}

// level is what the conversation as a whole amounts to.
func (t *Trajectory) level(d *Detector) safety.Severity {
	var seen uint32
	for _, s := range t.Signals {
		if s.Signal != d.hopeless || s.Times >= often {
			seen |= 1 << s.Signal
		}
	}
	for _, pair := range d.pairs {
		if seen&pair == pair {
			return safety.High
		}
	}
	switch {
	case t.Weight >= weightHigh && len(t.Signals) >= minSignals && t.Level >= safety.Moderate:
		return safety.High
	case t.Weight >= weightModerate:
		return safety.Moderate
	}
	return safety.None
}

func (t *Trajectory) raise(to safety.Severity, now time.Time) {
	if to > safety.None && to >= t.Level {
		t.Level, t.Raised = to, now.Unix()
	}
}

// tail remembers the last words, as numbers; those it does not know as zeros.
func (s *scratch) tail(old []uint16) []uint16 {
	words := append([]uint16(nil), old...)
	for i := range s.tokens {
		words = append(words, s.tokens[i].word)
	}
	return slices.Clone(words[max(0, len(words)-tailWords):])
}

// fuse judges the border between the last messages and this one: only what
// reaches over it counts. The scratch still holds the message's last block, so
// the first is read again.
func (s *scratch) fuse(d *Detector, t Trajectory, c safety.Content, now time.Time) (state, bool) {
	if len(t.tail) == 0 || now.Unix()-t.At > int64(patience/time.Second) || len(c.Text) == 0 || t.Version != d.version {
		return state{}, false
	}
	last := append([]token(nil), s.tokens...)
	defer func() { s.tokens = append(s.tokens[:0], last...) }()
	s.tokenise(c.Text[:nextBlock(c.Text, true)], false)
	s.gather()
	message := append([]token(nil), s.tokens[:min(len(s.tokens), fuseWords)]...)
	if min(t.piece, len(message)) > pieceWords {
		return state{}, false
	}
	s.tokens = s.tokens[:0]
	for _, w := range t.tail {
		s.tokens = append(s.tokens, token{word: w})
	}
	s.tokens = append(s.tokens, message...)
	st := newState(c)
	s.window, s.border = s.tokens, len(t.tail)
	s.look(&st)
	s.border = 0
	return st, true
}

// add joins what was found in the message itself.
func (st *state) add(o *state) {
	st.findings = append(st.findings, o.findings...)
	st.gravest, st.opinions, st.asked = max(0, o.gravest), max(0, o.opinions), max(1, o.asked)
	st.real = st.real || o.real
	st.offset = o.offset
}

// said returns the signals of a text.
func (st *state) said(d *Detector) (signals uint32) {
	for i := range st.findings {
		f := &st.findings[i]
		r := &d.prog.rules[f.rule]
		if level, frames := st.severity(d.prog, f); (level > safety.None || r.severity == safety.None && frames&^(1<<real) == 0) && !r.shadow {
			signals |= r.signals
		}
	}
	return signals
}

// signalsIn returns the signals of a verdict's findings.
func (d *Detector) signalsIn(v safety.Verdict) (signals uint32) {
	for _, f := range v.Findings {
		signals |= d.signalsOf[f.Rule]
	}
	return signals
}

// Follow is [Detector.Next] for hosts that keep the trajectory as bytes: v is
// the verdict on the message alone, session the level of the conversation after
// it. A trajectory that is nil, damaged or of another version begins a new one.
func (d *Detector) Follow(_ context.Context, c safety.Content, trajectory []byte, now time.Time) (v safety.Verdict, session safety.Severity, next []byte, err error) {
	var t Trajectory
	if len(trajectory) > 0 && json.Unmarshal(trajectory, &t) != nil {
		t = Trajectory{}
	}
	t.tail, t.piece = d.sealer.open(t.Sealed)
	t, v = d.Next(t, c, now)
	t.Sealed = d.sealer.seal(t.tail, t.piece)
	next, err = json.Marshal(t)
	return v, t.Severity(now), next, err
}
