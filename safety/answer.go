package safety

import (
	"net/http"
	"strings"
)

// answer is what a held reply comes to.
type answer struct {
	body        []byte // nil: send what is held
	contentType string // of body, "" = as it was
	looked      bool   // all of it was looked at
	plain       hold   // the decoded reply, which body may be a part of
}

func (a *answer) changed() bool { return a.body != nil }

func (a *answer) bodyOr(held []byte) []byte {
	if a.body != nil {
		return a.body
	}
	return held
}

func (a *answer) release() { a.plain.release() }

// composer makes an answer of a judged reply.
type composer struct {
	passage     *Passage
	status      int
	contentType string
	doc         []byte // decoded
	cut         bool   // doc is not all of the reply
	question    *inquiry
	actions     Action
	failed      bool // the inspector failed
	done        []string
}

// answer judges a held reply and says what to send.
func (p *Passage) answer(status int, header http.Header, held []byte, cut string) (a answer) {
	started := p.guard.started()
	a.plain.budget = p.guard.plan.budget
	q := p.guard.inquire(p.exchange.route, p.exchange.key(), Response)
	q.contentType, q.doc, q.fields = header.Get("Content-Type"), held, p.guard.plan.replyFields
	q.harm = p.guard.plan.table
	if codings := layers(header["Content-Encoding"]); len(codings) > 0 && len(held) > 0 {
		q.skip(decode(codings, held, &a.plain, p.guard.plan.maxBody))
		q.doc = a.plain.data
	}
	q.skip(cut)
	broken := q.verdict.Skipped != ""
	q.run(p.ctx)
	p.exchange.count(Response, len(held), q, since(started))
	c := composer{
		passage: p, status: status, contentType: q.contentType, doc: q.doc, cut: broken, question: q,
		actions: p.guard.plan.table.of(Response, q.verdict), failed: q.verdict.Skipped == SkippedInspectorFailed,
	}
	a.body, a.contentType = c.compose()
	a.looked = q.verdict.Skipped == ""
	p.exchange.said = &p.verdict
	p.exchange.recordVerdict(p.ctx, Response, q.verdict, consequences{level: p.does.level, done: c.done}, c.actions)
	return a
}

// compose returns the changed reply and its type, or nil where nothing changes.
func (c *composer) compose() (body []byte, contentType string) {
	if c.passage.owes(c.status) && !c.carries() {
		return c.anew(), problemType
	}
	switch c.question.kind {
	case empty, binaryData:
		return nil, ""
	case jsonText:
		if !c.cut {
			return c.composeJSON(), c.question.recodedType()
		}
	}
	return c.composeText()
}

// harmful reports whether the reply must not be delivered as it is, and by
// which sentence it is replaced.
func (c *composer) harmful() (sentence string, yes bool) {
	x := &c.passage.exchange
	switch {
	case c.actions&Replace != 0:
		c.done = append(c.done, "replace")
		return x.sentence("replaced"), true
	case c.failed && x.guard.rule.Hold:
		c.done = append(c.done, "hold")
		return x.sentence("held"), true
	}
	return "", false
}

// sentence is one of the book's, in the person's language and region.
func (x *exchange) sentence(name string) string {
	return x.guard.book().reply(name, x.tongue(Verdict{}), cmpOr(x.region, regionOf(x.fallback)))
}

// footer is what stands below a reply that could not be judged, "" below others.
func (c *composer) footer() string {
	if !c.failed || c.passage.guard.rule.Hold {
		return ""
	}
	return c.passage.exchange.sentence("footer")
}

// help is what stands above a reply to a message that calls for it, "" above others.
func (c *composer) help() string {
	if h := c.passage.shown(); h != nil {
		return h.String()
	}
	return ""
}

// shown is the help that goes into a reply's body. Help that is due only
// because nothing could be judged stands in the headers alone.
func (p *Passage) shown() *Help {
	if h := p.does.help; h != nil && p.guard.shows(h) {
		return h
	}
	return nil
}

// shows reports whether the Policy puts help of this severity before the person.
func (g *Guard) shows(h *Help) bool {
	return g.ready().table.of(Request, Verdict{Severity: h.Severity})&ShowHelp != 0
}

// composeText changes a reply that is no JSON document.
func (c *composer) composeText() ([]byte, string) {
	const plain = "text/plain; charset=utf-8"
	if sentence, yes := c.harmful(); yes {
		if isJSONType(mediaType(c.contentType)) {
			return c.insteadOfJSON(sentence), "application/json"
		}
		return []byte(paragraphs(c.help(), sentence)), plain
	}
	help, footer := c.help(), c.footer()
	if c.cut || !c.isPlain() || help == "" && footer == "" {
		return nil, ""
	}
	if footer != "" {
		c.done = append(c.done, "footer")
	}
	return []byte(paragraphs(help, string(c.doc), footer)), plain
}

// isPlain reports whether the reply is a text that a sentence may be added to.
func (c *composer) isPlain() bool {
	if !equalFold(mediaType(c.contentType), "text/plain") {
		return false
	}
	switch charsetOf(c.contentType) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// paragraphs joins texts with an empty line between them.
func paragraphs(texts ...string) (all string) {
	for _, t := range texts {
		if t != "" && all != "" {
			all += "\n\n"
		}
		all += t
	}
	return all
}

// insteadOfJSON is a document for the place of one that is broken or too long
// to be changed.
func (c *composer) insteadOfJSON(sentence string) []byte {
	j := jsonEditor{doc: []byte("{}")}
	name := c.passage.guard.rule.Reply
	if name == "" || CheckPath(name) != nil || strings.ContainsAny(name, ".*[") {
		name = "message"
	}
	text := appendQuoted(nil, paragraphs(c.help(), sentence))
	j.set(nil, 1, append([]jsonMember{{name, text}}, c.members()...)...)
	return applied(j.doc, j.edits)
}

// members are what a JSON object gets when help is due.
func (c *composer) members() []jsonMember {
	h := c.passage.shown()
	if h == nil {
		return nil
	}
	return []jsonMember{{"crisis_resources", jsonOf(h.links())}, {"safety", jsonOf(h.mark())}}
}

// composeJSON changes a JSON document, in its own fields.
func (c *composer) composeJSON() []byte {
	j := jsonEditor{doc: c.doc}
	said := j.strings(c.passage.guard.plan.reply, true)
	help := c.help()
	for _, at := range said {
		if help != "" {
			j.prepend(at, help, "\n\n")
		}
	}
	if help != "" {
		c.addMembers(&j, said)
	}
	c.replaceHarm(&j, said)
	if footer := c.footer(); footer != "" && len(said) > 0 {
		c.done = append(c.done, "footer")
		for _, at := range said {
			j.append(at, footer, "\n\n")
		}
	}
	if len(j.edits) == 0 {
		return nil
	}
	return applied(j.doc, j.edits)
}

// addMembers adds the links, and puts help first in what an error says.
func (c *composer) addMembers(j *jsonEditor, said []span) {
	have, end, ok := j.members()
	if !ok {
		return
	}
	for _, m := range have {
		isText := m.name == "message" || m.name == "detail"
		if at := (span{m.start, m.end}); isText && c.status >= 400 && j.doc[m.start] == '"' && !contains(said, at) && !hasHelp(j, have) {
			j.prepend(at, c.help(), "\n\n")
		}
	}
	j.set(have, end, c.members()...)
}

// hasHelp reports whether the document brings help of its own.
func hasHelp(j *jsonEditor, have []member) bool {
	for _, m := range have {
		if m.name == "crisis_resources" && !j.isEmpty(m) {
			return true
		}
	}
	return false
}

func contains(all []span, one span) bool {
	for _, at := range all {
		if at == one {
			return true
		}
	}
	return false
}

// replaceHarm puts the safe sentence in the place of what would do harm: of the
// very strings that do, or, where only all together do or nothing is known,
// of what the person reads.
func (c *composer) replaceHarm(j *jsonEditor, said []span) {
	sentence, yes := c.harmful()
	if !yes {
		return
	}
	places := c.question.harmful
	if len(places) == 0 || c.question.together || c.failed {
		places = c.prose(j, said)
	}
	for _, at := range places {
		if j.doc[at.start] == '"' {
			j.replace(at, sentence)
		}
	}
}

// prose is what the person reads of a document: the reply's own field and every
// judged string of several words. Where there is neither and harm is known to be
// there, it is every judged string; where nothing is known, a message without
// anything to read, such as "typing", goes on.
func (c *composer) prose(j *jsonEditor, said []span) (places []span) {
	places = append(places, said...)
	var all []span
	var w walker
	for w.reset(j.doc, c.passage.guard.plan.replyFields); w.next(); {
		at := span{w.start, w.end}
		if contains(places, at) || machineMade(w.text) {
			continue
		}
		if all = append(all, at); severalWords(w.text) {
			places = append(places, at)
		}
	}
	if len(places) == 0 && !c.failed {
		return all
	}
	return places
}

func severalWords(text []byte) bool {
	words := 0
	for _, c := range text {
		if c == ' ' || c == '\n' {
			words++
		}
	}
	return words > 0
}
