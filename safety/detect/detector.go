package detect

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Detector judges texts by a compiled pack of rules. It is immutable and safe
// for simultaneous use.
type Detector struct {
	prog      *program
	pool      *pool
	version   string
	sealer    sealer
	profile   Profile
	pairs     []uint32          // signals that together make a conversation high
	signalsOf map[string]uint32 // by rule
	hopeless  int               // the signal that must be given often
	real      uint32            // the signal REAL, given where somebody steps out of the game
}

//go:embed rules/*.rules
var builtIn embed.FS

var standard = sync.OnceValue(func() *Detector {
	d, err := New(BuiltIn()...)
	if err != nil {
		panic(err) // the built-in pack is compiled by our tests
	}
	d.prog.weights = weightTable
	d.version += "+" + modelVersion
	return d
})

// Default returns the built-in detector. It is compiled at the first call and
// then shared.
func Default() *Detector { return standard() }

// BuiltIn returns the sources of the built-in pack.
func BuiltIn() []Source {
	names, err := fs.Glob(builtIn, "rules/*.rules")
	if err != nil {
		panic(err)
	}
	var out []Source
	for _, name := range names {
		text, err := builtIn.ReadFile(name)
		if err != nil {
			panic(err)
		}
		out = append(out, Source{Name: name, Text: string(text)})
	}
	return out
}

// New compiles a pack of rules. The error joins every complaint, each with
// file, line and reason.
func New(sources ...Source) (*Detector, error) {
	prog, err := compile(sources)
	if err != nil {
		return nil, err
	}
	sealer, err := newSealer()
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	d := &Detector{prog: prog, pool: &pool{prog: prog}, version: prog.name, signalsOf: map[string]uint32{}, sealer: sealer}
	for i := range prog.rules {
		d.signalsOf[prog.rules[i].id] = prog.rules[i].signals
	}
	d.hopeless = slices.Index(prog.signals, "HOPELESS")
	if i := slices.Index(prog.signals, "REAL"); i >= 0 {
		d.real = 1 << i
	}
	for _, pair := range pairs {
		if a, b := slices.Index(prog.signals, pair[0]), slices.Index(prog.signals, pair[1]); a >= 0 && b >= 0 {
			d.pairs = append(d.pairs, 1<<a|1<<b)
		}
	}
	return d, nil
}

// Version names rule pack and model.
func (d *Detector) Version() string { return d.version }

// Prompt promises that Inspect waits for nothing and is linear in the text.
func (d *Detector) Prompt() {}

// Inspect judges a text. It never fails; bytes that are not UTF-8 separate words.
func (d *Detector) Inspect(_ context.Context, c safety.Content) (safety.Verdict, error) {
	s := d.pool.get()
	defer d.pool.put(s)
	st := newState(c)
	s.text(&st, c.Text, true)
	return st.verdict(d), nil
}

// text judges as many blocks as can be told apart and returns what is left.
func (s *scratch) text(st *state, text []byte, whole bool) []byte {
	for len(text) > 0 {
		n := nextBlock(text, whole)
		if n == 0 {
			break
		}
		s.block(st, text[:n])
		step := n
		if n > overlap && n < len(text) && !endsSentence(text[:n]) {
			step = n - overlap
		}
		st.offset += step
		text = text[step:]
	}
	return text
}

func endsSentence(block []byte) bool {
	n := len(block)
	return n >= 2 && (block[n-2] == '.' || block[n-2] == '!' || block[n-2] == '?' || block[n-2] == '\n')
}

// SelfTest judges every rule's own sentences and joins all that are judged
// wrongly. The sentences are the pack's, nobody wrote them to the service.
func (d *Detector) SelfTest() error {
	var errs []error
	for i := range d.prog.rules {
		errs = append(errs, d.selfTest(&d.prog.rules[i])...)
	}
	return errors.Join(errs...)
}

func (d *Detector) selfTest(r *rule) (errs []error) {
	for _, text := range r.yes {
		if !d.fires(r, text) {
			errs = append(errs, fmt.Errorf("detect: %s:%d: rule %s does not hear its own sentence %q", r.file, r.line, r.id, text))
		}
	}
	for _, text := range r.no {
		if d.fires(r, text) {
			errs = append(errs, fmt.Errorf("detect: %s:%d: rule %s hears %q", r.file, r.line, r.id, text))
		}
	}
	return errs
}

func (d *Detector) fires(r *rule, text string) bool {
	c := safety.Content{Text: []byte(text)}
	if r.response {
		c.Direction = safety.Response
	}
	s := d.pool.get()
	defer d.pool.put(s)
	st := newState(c)
	s.text(&st, c.Text, true)
	for i := range st.findings {
		f := &st.findings[i]
		if level, _ := st.severity(d.prog, f); d.prog.rules[f.rule].id == r.id && (level > 0 || r.severity == 0) {
			return true
		}
	}
	return false
}

// Open begins a text that arrives in pieces.
func (d *Detector) Open(_ context.Context, c safety.Content) (safety.Stream, error) {
	return &stream{d: d, st: newState(c)}, nil
}
