package detect

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Source is one file of a rule pack.
type Source struct {
	Name string // for messages: "en.rules"
	Text string
}

// rule says that some words mean a danger.
type rule struct {
	id       string
	category safety.Category
	severity safety.Severity
	response bool
	third    bool   // tells of somebody else
	shadow   bool   // found and counted, but says nothing yet
	ignore   uint16 // frames that do not change it, a bit each
	act      bool   // an act that players let their characters do
	signals  uint32
	language uint8
	why      string
	yes, no  []string
	line     int
	file     string
}

// entry is one compiled pattern: of a rule, or of a frame.
type entry struct {
	masks    [3]uint64 // of each of its rarest needs: the bits of the words that meet it
	needs    []uint16  // classes that must all be in the window
	code     []instr
	rule     int32 // index of the rule, -1 for a frame
	frame    frameKind
	lang     uint8
	response bool
	text     string // the pattern as written, and where
	line     int
}

// combination is a danger that no single sentence tells.
type combination struct {
	id       string
	needs    uint32
	category safety.Category
	severity safety.Severity
}

// program is everything that was compiled from the sources of a pack. It does
// not change any more.
type program struct {
	name         string
	lex          *lexicon
	number, many uint16 // what a word of digits stands for: up to five, and more
	classes      int
	heavy        []uint8  // by word: its number among the words with the most classes, from 1
	heavyIn      []uint32 // by class: which of those it holds
	letterI      uint16
	mute         []bool     // by word: faces, which are heard only at the end
	ofWord       [][]uint16 // classes by word
	kindOf       []uint16   // the first named class of a word, for the model
	anchors      [][]uint16 // rule entries to try by word
	entries      []entry
	macros       []macro
	frames       []int // entries that are frames
	rules        []rule
	signals      []string
	combinations []combination
	languages    []string
	codes        []uint32 // by word: what the model knows it by
	weights      string   // of the model, empty for a pack without one
	langOf       []uint8  // languages in which a word is a frequent one, a bit each
}

// compiler turns sources into a program.
type compiler struct {
	prog      *program
	classes   map[string][]string
	macros    map[string]int
	owners    []pending // of the macros
	key       []byte
	asked     map[sliceKey]uint16 // class by where its words lie
	common    map[string]int
	negations []string          // the words of NEG, over which no gap reaches
	sets      map[string]uint16 // class by its words
	members   [][]uint16
	named     map[string]int
	hot       map[string]bool
	pending   []pending
	errs      []error
	file      string
	line      int
	lang      uint8
	response  bool
}

type pending struct {
	tree      node
	entry     entry
	text      string
	file      string
	line      int
	common    map[string]int
	negations []string
}

const maxErrors = 20

func (c *compiler) fail(format string, args ...any) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, fmt.Errorf("detect: %s:%d: %s", c.file, c.line, fmt.Sprintf(format, args...)))
	}
}

// compile reads all sources; its error joins every complaint.
func compile(sources []Source) (*program, error) {
	p := &program{lex: newLexicon(), classes: 1}
	c := &compiler{prog: p, sets: map[string]uint16{}, asked: map[sliceKey]uint16{}, hot: map[string]bool{}, named: map[string]int{}}
	p.letterI = p.lex.add("i")
	for _, face := range [...]string{":laugh:", ":cry:", ":sad:", ":upside:", ":blood:"} {
		p.lex.add(face)
	}
	p.number, p.many = p.lex.add("#number"), p.lex.add("#many")
	for _, src := range sources {
		c.source(src)
	}
	if len(c.errs) == 0 {
		c.link()
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// source reads one file. Each file has its own classes, macros and language.
//
// A statement begins in the first column; the indented lines below belong to it.
func (c *compiler) source(src Source) {
	c.classes, c.macros, c.common = map[string][]string{}, map[string]int{}, map[string]int{}
	c.file, c.line, c.lang, c.response = src.Name, 0, 0, false
	add := func(string) { c.fail("an indented line belongs to nothing") }
	for text := range strings.SplitSeq(src.Text, "\n") {
		c.line++
		if strings.HasPrefix(text, "#") {
			continue
		}
		text, _, _ = strings.Cut(text, " # ")
		body := strings.TrimSpace(text)
		switch {
		case body == "":
		case text[0] == ' ' || text[0] == '\t':
			add(body)
		default:
			key, rest, _ := strings.Cut(body, " ")
			add = c.statement(key, strings.TrimSpace(rest))
		}
	}
	for i := range c.owners {
		if c.owners[i].file == src.Name {
			c.owners[i].negations = c.classes["NEG"]
		}
	}
}

// statement begins a statement and returns what takes its further lines.
func (c *compiler) statement(key, rest string) (add func(string)) {
	none := func(string) { c.fail("%q has no further lines", key) }
	switch key {
	case "pack":
		c.prog.name = rest
	case "language":
		c.language(rest)
	case "direction":
		c.response = rest == "response"
		if rest != "response" && rest != "request" {
			c.fail("unknown direction %q: want request or response", rest)
		}
	case "stopwords":
		c.stopwords(rest)
		return c.stopwords
	case "common":
		weight, words, _ := strings.Cut(rest, " ")
		c.commonWords(weight, words)
		return func(s string) { c.commonWords(weight, s) }
	case "class":
		name, words, _ := strings.Cut(rest, " ")
		c.class(name, words)
		return func(s string) { c.class(name, s) }
	case "macro":
		name, body, _ := strings.Cut(rest, " ")
		c.macro(name, body)
		return func(s string) { c.macro(name, s) }
	case "rule":
		return c.rule(rest)
	case "frame":
		return c.frame(rest)
	case "combine":
		c.combine(rest)
	default:
		c.fail("unknown statement %q", key)
	}
	return none
}

func (c *compiler) language(name string) {
	if name == "any" {
		c.lang = shared
		return
	}
	i := slices.Index(c.prog.languages, name)
	if i < 0 {
		i = len(c.prog.languages)
		c.prog.languages = append(c.prog.languages, name)
	}
	if i > 7 {
		c.fail("more than 8 languages")
		return
	}
	c.lang = uint8(i)
}

func (c *compiler) stopwords(words string) {
	for _, w := range strings.Fields(words) {
		id := int(c.word(w))
		for len(c.prog.langOf) <= id {
			c.prog.langOf = append(c.prog.langOf, 0)
		}
		c.prog.langOf[id] |= 1 << c.lang
	}
}

func (c *compiler) commonWords(weight, words string) {
	n := 0
	if _, err := fmt.Sscan(weight, &n); err != nil || n <= 0 {
		c.fail("bad weight %q", weight)
	}
	for _, w := range strings.Fields(words) {
		c.common[w] = n
	}
}

func (c *compiler) commonness(word string) int { return max(1, c.common[word]) }

func (c *compiler) word(w string) uint16 {
	if !plainWord(w) {
		c.fail("bad word %q: want lower-case letters without accents", w)
		return 0
	}
	if len(c.prog.lex.words) >= 1<<16-1 {
		c.fail("too many words")
		return 0
	}
	id := c.prog.lex.add(w)
	if at := strings.IndexByte(w, '\''); at >= 0 {
		c.prog.lex.alias([]byte(w[:at]+w[at+1:]), id)
	}
	return id
}

// class adds words to a class. "~word" also stands for its misspellings; a
// name in capitals includes another class.
func (c *compiler) class(name, words string) {
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		c.fail("bad class name %q: want capitals", name)
		return
	}
	c.named[name] = int(uint16(hashWord([]byte(name)))) | 1
	for _, w := range strings.Fields(words) {
		switch {
		case w[0] >= 'A' && w[0] <= 'Z':
			other, ok := c.classes[w]
			if !ok {
				c.fail("unknown class %s", w)
			}
			c.classes[name] = append(c.classes[name], other...)
		case w[0] == '~':
			c.hot[w[1:]] = true
			w = w[1:]
			fallthrough
		default:
			c.kind(c.word(w), c.named[name])
			c.classes[name] = append(c.classes[name], w)
		}
	}
}

// kind remembers the first class that names a word: the model sees words by it.
func (c *compiler) kind(id uint16, class int) {
	for len(c.prog.kindOf) <= int(id) {
		c.prog.kindOf = append(c.prog.kindOf, 0)
	}
	if c.prog.kindOf[id] == 0 {
		c.prog.kindOf[id] = uint16(class)
	}
}

func (c *compiler) macro(name, body string) {
	if name == "" || name[0] < 'A' || name[0] > 'Z' || c.classes[name] != nil {
		c.fail("bad macro name %q", name)
		return
	}
	if body == "" {
		return
	}
	n, err := parsePattern(c, body)
	if err != nil {
		c.fail("%v", err)
		return
	}
	id, ok := c.macros[name]
	if !ok {
		id = len(c.prog.macros)
		c.macros[name] = id
		c.prog.macros = append(c.prog.macros, macro{tree: n})
		c.owners = append(c.owners, pending{file: c.file, line: c.line, text: name, common: c.common})
		return
	}
	if c.calls(n, id, map[int]bool{}) {
		c.fail("macro %s calls itself", name)
		return
	}
	c.prog.macros[id].tree = c.oneOf(c.prog.macros[id].tree, n)
}

func (c *compiler) rule(head string) (add func(string)) {
	fields := strings.Fields(head)
	ignore := func(string) {}
	if len(fields) < 3 {
		c.fail("want rule ID CATEGORY SEVERITY [OPTION...]")
		return ignore
	}
	r := rule{id: fields[0], category: safety.Category(fields[1]), response: c.response, language: c.lang, line: c.line, file: c.file}
	severity, err := safety.ParseSeverity(fields[2])
	if err != nil {
		c.fail("%v", err)
	}
	r.severity = severity
	for _, option := range fields[3:] {
		c.option(&r, option)
	}
	if !knownCategory(r.category) {
		c.fail("unknown category %q", r.category)
	}
	for _, other := range c.prog.rules {
		if other.id == r.id {
			c.fail("rule %s stands already at %s:%d", r.id, other.file, other.line)
		}
	}
	at := int32(len(c.prog.rules))
	c.prog.rules = append(c.prog.rules, r)
	return func(line string) {
		r := &c.prog.rules[at]
		switch key, rest, _ := strings.Cut(line, ": "); key {
		case "why":
			r.why = rest
		case "yes":
			r.yes = append(r.yes, rest)
		case "no":
			r.no = append(r.no, rest)
		default:
			c.pattern(line, entry{rule: at, lang: c.lang})
		}
	}
}

func (c *compiler) option(r *rule, option string) {
	switch {
	case option == "act":
		r.act = true
	case option == "third":
		r.third = true
	case option == "shadow":
		r.shadow = true
	case strings.HasPrefix(option, "sig:"):
		r.signals |= 1 << c.signal(option[4:])
	case strings.HasPrefix(option, "-"):
		kind, ok := frameNamed(option[1:])
		if !ok {
			c.fail("unknown frame %q", option[1:])
		}
		r.ignore |= 1 << kind
	default:
		c.fail("unknown option %q", option)
	}
}

func (c *compiler) signal(name string) int {
	i := slices.Index(c.prog.signals, name)
	if i < 0 {
		i = len(c.prog.signals)
		c.prog.signals = append(c.prog.signals, name)
	}
	if i > 31 {
		c.fail("more than 32 signals")
		return 0
	}
	return i
}

func (c *compiler) frame(name string) (add func(string)) {
	kind, ok := frameNamed(name)
	if !ok {
		c.fail("unknown frame %q", name)
	}
	return func(line string) { c.pattern(line, entry{rule: -1, frame: kind, lang: c.lang}) }
}

// combine reads "combine ID A+B CATEGORY SEVERITY".
func (c *compiler) combine(rest string) {
	fields := strings.Fields(rest)
	if len(fields) != 4 {
		c.fail("want combine ID SIGNAL+SIGNAL CATEGORY SEVERITY")
		return
	}
	severity, err := safety.ParseSeverity(fields[3])
	if err != nil {
		c.fail("%v", err)
	}
	out := combination{id: fields[0], category: safety.Category(fields[2]), severity: severity}
	for name := range strings.SplitSeq(fields[1], "+") {
		if !slices.Contains(c.prog.signals, name) && name != "REAL" {
			c.fail("no rule gives the signal %q", name)
		}
		out.needs |= 1 << c.signal(name)
	}
	c.prog.combinations = append(c.prog.combinations, out)
}

func (c *compiler) pattern(text string, e entry) {
	n, err := parsePattern(c, text)
	if err != nil {
		c.fail("%v", err)
		return
	}
	e.response, e.text, e.line = c.response, text, c.line
	c.pending = append(c.pending, pending{tree: n, entry: e, text: text, file: c.file, line: c.line, common: c.common, negations: c.classes["NEG"]})
}

// link compiles the patterns once all words are known.
func (c *compiler) link() {
	for id, p := range c.owners {
		c.file, c.line, c.common, c.negations = p.file, p.line, p.common, p.negations
		c.linkMacro(id, p)
	}
	for _, p := range c.pending {
		c.file, c.line, c.common, c.negations = p.file, p.line, p.common, p.negations
		c.linkPattern(p)
	}
	if len(c.errs) > 0 {
		return
	}
	for _, w := range slices.Sorted(maps.Keys(c.hot)) {
		c.prog.lex.heat(c.word(w))
	}
	c.spread()
	c.mask()
	c.weigh()
	c.prog.mute = make([]bool, len(c.prog.lex.words))
	for _, face := range [...]string{":laugh:", ":cry:", ":sad:", ":upside:", ":blood:"} {
		c.prog.mute[c.prog.lex.find(hashWord([]byte(face)))] = true
	}
	c.prog.mute[0] = false
	c.prog.langOf = grown(c.prog.langOf, len(c.prog.lex.words))
	c.prog.kindOf = grown(c.prog.kindOf, len(c.prog.lex.words))
	for id, w := range c.prog.lex.words {
		h := hashWord([]byte(w))
		if kind := c.prog.kindOf[id]; kind != 0 {
			h = uint64(kind) * 0x9E3779B97F4A7C15
		}
		c.prog.codes = append(c.prog.codes, uint32(h^h>>32))
	}
}

func grown[T any](s []T, n int) []T {
	return append(s, make([]T, max(0, n-len(s)))...)
}

// complain turns a parseError into a complaint.
func (c *compiler) complain(text string) {
	if r := recover(); r != nil {
		e, ok := r.(parseError)
		if !ok {
			panic(r)
		}
		c.fail("%s in %q", string(e), text)
	}
}

func (c *compiler) linkMacro(id int, p pending) {
	defer c.complain(p.text)
	m := &c.prog.macros[id]
	m.code = c.emit(nil, m.tree, 0)
}

func (c *compiler) linkPattern(p pending) {
	defer c.complain(p.text)
	at := len(c.prog.entries)
	p.entry.code, p.entry.needs = c.emit(nil, p.tree, 0), c.needs(p.tree)
	c.steps(p.entry.code)
	words, _ := c.anchor(p.tree)
	if words == nil {
		c.fail("%q wants at least one word that must stand in it", p.text)
		return
	}
	c.prog.entries = append(c.prog.entries, p.entry)
	if p.entry.rule < 0 {
		c.prog.frames = append(c.prog.frames, at)
		if p.entry.frame != real {
			return
		}
	}
	for _, w := range words {
		id := int(c.word(w))
		c.prog.anchors = grown(c.prog.anchors, id+1)
		if !slices.Contains(c.prog.anchors[id], uint16(at)) {
			c.prog.anchors[id] = append(c.prog.anchors[id], uint16(at))
		}
	}
}

// classOf returns the number of the class of exactly these words.
func (c *compiler) classOf(words []string) uint16 {
	if len(words) == 0 {
		return 0
	}
	known := sliceKey{&words[0], len(words)}
	class, ok := c.asked[known]
	if !ok {
		class = c.newClass(words)
		c.asked[known] = class
	}
	return class
}

// sliceKey tells one slice of words from another; words do not change.
type sliceKey struct {
	first *string
	n     int
}

func (c *compiler) newClass(words []string) uint16 {
	ids := make([]uint16, 0, len(words))
	for _, w := range words {
		ids = append(ids, c.word(w))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	c.key = c.key[:0]
	for _, id := range ids {
		c.key = append(c.key, byte(id), byte(id>>8))
	}
	key := string(c.key)
	class, ok := c.sets[key]
	if !ok {
		if c.prog.classes >= 1<<16-1 {
			panic(parseError("too many word classes"))
		}
		class = uint16(c.prog.classes)
		c.prog.classes++
		c.sets[key] = class
		c.members = append(c.members, ids)
	}
	return class
}

// spread tells every word its classes; a word also has those of "pre*".
func (c *compiler) spread() {
	p := c.prog
	n := len(p.lex.words)
	p.ofWord, p.anchors = make([][]uint16, n), grown(p.anchors, n)
	p.kindOf = grown(p.kindOf, n)
	for class, ids := range c.members {
		for _, id := range ids {
			p.ofWord[id] = append(p.ofWord[id], uint16(class+1))
		}
	}
	var stems []int
	for id, w := range p.lex.words {
		if strings.HasSuffix(w, "*") {
			stems = append(stems, id)
		}
	}
	for id, w := range p.lex.words {
		for _, stem := range stems {
			if id != stem && strings.HasPrefix(w, strings.TrimSuffix(p.lex.words[stem], "*")) {
				p.ofWord[id] = joinIDs(p.ofWord[id], p.ofWord[stem])
				p.anchors[id] = joinIDs(p.anchors[id], p.anchors[stem])
				if p.kindOf[id] == 0 {
					p.kindOf[id] = p.kindOf[stem]
				}
			}
		}
	}
}

// heavyWords is how many words are noted once for a window instead of once for
// each class that holds them: "i" is in hundreds.
const heavyWords = 32

func (c *compiler) weigh() {
	p := c.prog
	p.heavy, p.heavyIn = make([]uint8, len(p.lex.words)), make([]uint32, p.classes)
	ids := make([]int, len(p.lex.words))
	for i := range ids {
		ids[i] = i
	}
	slices.SortStableFunc(ids, func(a, b int) int { return len(p.ofWord[b]) - len(p.ofWord[a]) })
	for h, id := range ids[:min(heavyWords, len(ids))] {
		p.heavy[id] = uint8(h + 1)
		for _, class := range p.ofWord[id] {
			p.heavyIn[class] |= 1 << h
		}
	}
}

// wordBit is a word's bit in the mask of a window.
func wordBit(id uint16) uint64 { return 1 << (uint32(id) * 0x9E3779B1 >> 26) }

// mask gives every pattern the masks of its most selective needs, by which most
// candidates fall before a window is looked at closely.
func (c *compiler) mask() {
	p := c.prog
	ofClass := make([]uint64, p.classes)
	for id, classes := range p.ofWord {
		for _, class := range classes {
			ofClass[class] |= wordBit(uint16(id))
		}
	}
	for i := range p.entries {
		e := &p.entries[i]
		var masks []uint64
		for _, class := range e.needs {
			masks = append(masks, ofClass[class])
		}
		slices.SortFunc(masks, func(a, b uint64) int { return bits.OnesCount64(a) - bits.OnesCount64(b) })
		for j := range e.masks {
			e.masks[j] = ^uint64(0)
			if j < len(masks) {
				e.masks[j] = masks[j]
			}
		}
	}
}

func joinIDs(a, b []uint16) []uint16 {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

var categories = []safety.Category{
	safety.SuicidalIdeation, safety.SelfHarm, safety.HarmToOthers, safety.Abuse, safety.SubstanceCrisis, safety.EatingDisorder,
	safety.Psychosis, safety.Panic, safety.SevereDepression, safety.TraumaResponse, safety.GeneralDistress, safety.ThirdParty,
	safety.Methods, safety.Encouragement, safety.Pact, safety.Glorification, safety.Secrecy, safety.Clinician, safety.Medication,
}

func knownCategory(c safety.Category) bool { return slices.Contains(categories, c) }
