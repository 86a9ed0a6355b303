package detect

import (
	"fmt"
	"slices"
	"strings"
)

// A pattern is a small regular expression over words, evaluated for all
// positions of a window at once: bit p of a register says that a match may have
// come as far as the border before word p. A word class is one AND and one
// shift, an alternative one OR, so that the time is linear in the window and in
// the pattern, whatever the text.
//
// The notation:
//
//	word  pre*       one word; a word by its beginning
//	CLASS            any word of a class; a macro's pattern
//	(a b | c)        alternatives
//	[a b]            optional
//	~  ~3            up to two, up to three words, none of them of the class NEG
//	~4 … ~9          up to so many words of any kind
//	!X  &X  <!X      the next word is not X; it is X; the word before is not X
//	^  $             the sentence begins, ends
type node struct {
	op    uint8
	n     int // gap width, class
	words []string
	kids  []node
}

const (
	opClass uint8 = iota
	opGap
	opNotNext
	opNotPrev
	opNext
	opStart
	opEnd
	opSave  // begins alternatives
	opAlt   // ends one, begins the next
	opJoin  // ends the last
	opCall  // a macro
	opGuard // skips what follows when none of a class is in the window
	opSeq   // only in trees
	opAny   // alternatives, only in trees
	opOpt   // only in trees
)

// instr is one step of a compiled pattern.
type instr struct {
	op   uint8
	arg  uint16
	skip uint16 // of a guard: how many instructions; of a gap: its width
}

// macro is a pattern with a name. It is compiled once and called.
type macro struct {
	tree  node
	code  []instr
	steps int
	words []string // of which one must stand in every match, nil unknown
	cost  int
	found bool // words and cost are known
}

// parser reads the notation. Errors come as panics of type parseError and are
// caught by parsePattern.
type parser struct {
	c    *compiler
	toks []string
	pos  int
}

type parseError string

func parsePattern(c *compiler, text string) (n node, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case parseError:
			err = fmt.Errorf("%s in %q", string(r), text)
		default:
			panic(r)
		}
	}()
	p := &parser{c: c, toks: patternTokens(text)}
	n = p.alternatives(0)
	if p.pos < len(p.toks) {
		panic(parseError("unexpected " + p.toks[p.pos]))
	}
	return n, nil
}

func patternTokens(text string) []string {
	var out []string
	for _, field := range strings.Fields(text) {
		for field != "" {
			i := strings.IndexAny(field, "()[]|!^$&")
			switch {
			case i < 0:
				out, field = append(out, field), ""
			case i == 1 && field[0] == '<' && field[1] == '!':
				out, field = append(out, "<!"), field[2:]
			case i > 0:
				out, field = append(out, field[:i]), field[i:]
			default:
				out, field = append(out, field[:1]), field[1:]
			}
		}
	}
	return out
}

const maxDepth = 32

func (p *parser) alternatives(depth int) node {
	if depth > maxDepth {
		panic(parseError("nested too deeply"))
	}
	alts := []node{p.sequence(depth)}
	for p.pos < len(p.toks) && p.toks[p.pos] == "|" {
		p.pos++
		alts = append(alts, p.sequence(depth))
	}
	return p.c.oneOf(alts...)
}

// oneOf makes a choice flat, and gathers all single words in it into one class.
func (c *compiler) oneOf(alts ...node) node {
	if len(alts) == 1 {
		return alts[0]
	}
	var words []string
	var kids []node
	for _, a := range alts {
		flat := []node{a}
		if a.op == opAny {
			flat = a.kids
		}
		for _, k := range flat {
			if w, ok := c.wordSet(k); ok {
				words = append(words, w...)
			} else {
				kids = append(kids, k)
			}
		}
	}
	if words != nil {
		slices.Sort(words)
		kids = append(kids, node{op: opClass, words: slices.Compact(words)})
	}
	if len(kids) == 1 {
		return kids[0]
	}
	return node{op: opAny, kids: kids}
}

func (p *parser) sequence(depth int) node {
	seq := node{op: opSeq}
	for p.pos < len(p.toks) {
		tok := p.toks[p.pos]
		if tok == "|" || tok == ")" || tok == "]" {
			break
		}
		p.pos++
		seq.kids = append(seq.kids, p.element(tok, depth))
	}
	if len(seq.kids) == 0 {
		panic(parseError("empty sequence"))
	}
	return seq
}

func (p *parser) element(tok string, depth int) node {
	switch {
	case tok == "(":
		n := p.alternatives(depth + 1)
		p.want(")")
		return n
	case tok == "[":
		n := p.alternatives(depth + 1)
		p.want("]")
		return node{op: opOpt, kids: []node{n}}
	case tok == "^":
		return node{op: opStart}
	case tok == "$":
		return node{op: opEnd}
	case tok == "!" || tok == "<!" || tok == "&":
		n := p.next(depth)
		words, ok := p.c.wordSet(n)
		if !ok {
			panic(parseError(tok + " wants words or a class"))
		}
		op := opNotNext
		switch tok {
		case "<!":
			op = opNotPrev
		case "&":
			op = opNext
		}
		return node{op: op, words: words}
	case tok[0] == '~':
		n := 2
		if len(tok) == 2 && tok[1] >= '1' && tok[1] <= '9' {
			n = int(tok[1] - '0')
		} else if len(tok) > 1 {
			panic(parseError("bad gap " + tok))
		}
		return node{op: opGap, n: n}
	}
	return p.word(tok)
}

func (p *parser) next(depth int) node {
	if p.pos == len(p.toks) {
		panic(parseError("unexpected end"))
	}
	p.pos++
	return p.element(p.toks[p.pos-1], depth)
}

func (p *parser) want(tok string) {
	if p.pos == len(p.toks) || p.toks[p.pos] != tok {
		panic(parseError("missing " + tok))
	}
	p.pos++
}

func (p *parser) word(tok string) node {
	if tok[0] >= 'A' && tok[0] <= 'Z' {
		if id, ok := p.c.macros[tok]; ok {
			return node{op: opCall, n: id}
		}
		if words, ok := p.c.classes[tok]; ok {
			return node{op: opClass, words: words}
		}
		panic(parseError("unknown class " + tok))
	}
	if !plainWord(tok) {
		panic(parseError("bad word " + tok))
	}
	return node{op: opClass, words: []string{tok}}
}

// plainWord reports whether a pack may name a word so: normalised already.
func plainWord(w string) bool {
	for i := range len(w) {
		b := w[i]
		ok := b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '\'' || b == ':' || b == '#' || b == '*' && i == len(w)-1 && i > 1
		if !ok {
			return false
		}
	}
	return len(w) > 0 && len(w) < 40
}

// wordSet returns the words of a node that is nothing but a choice of single words.
func (c *compiler) wordSet(n node) ([]string, bool) {
	switch n.op {
	case opCall:
		return c.wordSet(c.prog.macros[n.n].tree)
	case opClass:
		return n.words, true
	case opSeq:
		if len(n.kids) == 1 {
			return c.wordSet(n.kids[0])
		}
	case opAny:
		var all []string
		for _, k := range n.kids {
			words, ok := c.wordSet(k)
			if !ok {
				return nil, false
			}
			all = append(all, words...)
		}
		return all, true
	}
	return nil, false
}

// emit writes a node as instructions. depth is that of the registers in use.
func (c *compiler) emit(code []instr, n node, depth int) []instr {
	if depth > maxRegisters-2 {
		panic(parseError("too many alternatives inside each other"))
	}
	if words, ok := c.wordSet(n); ok {
		return append(code, instr{op: opClass, arg: c.classOf(words)})
	}
	switch n.op {
	case opSeq:
		for _, k := range n.kids {
			code = c.emit(code, k, depth)
		}
	case opAny, opOpt:
		code = append(code, instr{op: opSave})
		for i, k := range n.kids {
			if i > 0 {
				code = append(code, instr{op: opAlt})
			}
			code = c.guarded(code, k, depth+2)
		}
		if n.op == opOpt {
			code = append(code, instr{op: opAlt})
		}
		code = append(code, instr{op: opJoin})
	case opCall:
		code = append(code, instr{op: opCall, arg: uint16(n.n)})
	case opGap:
		code = append(code, instr{op: opGap, arg: c.blocked(n.n), skip: uint16(n.n)})
	case opNotNext, opNotPrev, opNext:
		code = append(code, instr{op: n.op, arg: c.classOf(n.words)})
	default:
		code = append(code, instr{op: n.op})
	}
	return code
}

// guarded writes an alternative so that it costs nothing where the words it
// needs are not in the window.
func (c *compiler) guarded(code []instr, n node, depth int) []instr {
	if _, ok := c.wordSet(n); ok {
		return c.emit(code, n, depth)
	}
	words, _ := c.anchor(n)
	if words == nil {
		return c.emit(code, n, depth)
	}
	at := len(code)
	code = c.emit(append(code, instr{op: opGuard, arg: c.classOf(words)}), n, depth)
	code[at].skip = uint16(len(code) - at - 1)
	return code
}

// blocked is the class of words that a gap does not reach over. Within a phrase
// a "not" turns the meaning round; gaps of four words and more join clauses.
func (c *compiler) blocked(gap int) uint16 {
	if gap > 3 {
		return 0
	}
	return c.classOf(c.negations)
}

const maxRegisters = 24

// run evaluates a pattern from the borders in from and returns the borders at
// which a match ends.
func (s *scratch) run(code []instr, from uint64) uint64 {
	var stack [maxRegisters]uint64
	sp, cur := 0, from
	for at := 0; at < len(code); at++ {
		in := &code[at]
		switch in.op {
		case opClass:
			cur = (cur & s.at(in.arg)) << 1
		case opGap:
			room := s.words &^ s.at(in.arg)
			for range in.skip {
				cur |= (cur & room) << 1
			}
		case opNotNext:
			cur &^= s.at(in.arg)
		case opNotPrev:
			cur &^= s.at(in.arg) << 1
		case opNext:
			cur &= s.at(in.arg)
		case opStart:
			cur &= 1
		case opEnd:
			cur &= s.end
		case opCall:
			cur = s.run(s.prog.macros[in.arg].code, cur)
		case opGuard:
			if s.at(in.arg) == 0 {
				cur = 0
				at += int(in.skip)
			}
			continue
		case opSave:
			stack[sp], stack[sp+1] = cur, 0
			sp += 2
			continue
		case opAlt:
			stack[sp-1] |= cur
			cur = stack[sp-2]
			continue
		case opJoin:
			cur |= stack[sp-1]
			sp -= 2
		}
		if cur == 0 && sp == 0 {
			return 0
		}
	}
	return cur
}

// anchor returns the words of which one must stand in the window for the node
// to match, choosing the rarest, and how common they are.
func (c *compiler) anchor(n node) (words []string, cost int) {
	const never = 1 << 30
	if words, ok := c.wordSet(n); ok {
		for _, w := range words {
			cost += c.commonness(w)
		}
		return words, cost
	}
	switch n.op {
	case opCall:
		m := &c.prog.macros[n.n]
		if !m.found {
			m.words, m.cost = c.anchor(m.tree)
			m.found = true
		}
		return m.words, m.cost
	case opSeq:
		cost = never
		for _, k := range n.kids {
			if w, x := c.anchor(k); w != nil && x < cost {
				words, cost = w, x
			}
		}
		return words, cost
	case opAny:
		for _, k := range n.kids {
			w, x := c.anchor(k)
			if w == nil {
				return nil, never
			}
			words, cost = append(words[:len(words):len(words)], w...), cost+x
		}
		return words, cost
	}
	return nil, never
}

// needs lists the classes of which each must stand in the window, apart from
// the anchor, for a pattern to match.
func (c *compiler) needs(n node) (classes []uint16) {
	if n.op != opSeq {
		return nil
	}
	for _, k := range n.kids {
		if words, cost := c.anchor(k); words != nil && cost < 1<<30 {
			classes = append(classes, c.classOf(words))
		}
	}
	return classes
}

// calls reports whether a node calls a macro, directly or by another one. seen
// are the macros that were looked at already.
func (c *compiler) calls(n node, id int, seen map[int]bool) bool {
	if n.op == opCall {
		if n.n == id {
			return true
		}
		if seen[n.n] {
			return false
		}
		seen[n.n] = true
		return c.calls(c.prog.macros[n.n].tree, id, seen)
	}
	for _, k := range n.kids {
		if c.calls(k, id, seen) {
			return true
		}
	}
	return false
}

// maxSteps bounds the work of one pattern, macros and all, so that no pack can
// make a text expensive.
const maxSteps = 1 << 14

// steps counts the instructions that a run of the code may execute.
func (c *compiler) steps(code []instr) (n int) {
	for i := range code {
		n++
		if code[i].op == opCall {
			m := &c.prog.macros[code[i].arg]
			if m.steps == 0 {
				m.steps = c.steps(m.code)
			}
			n += m.steps
		}
		if n > maxSteps {
			panic(parseError("a pattern of more than 16384 steps"))
		}
	}
	return n
}
