package safety

import (
	"cmp"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// edit puts text in the place of the bytes [start, end) of a document.
type edit struct {
	start, end int
	text       []byte
}

// applied returns the document with all edits done. Those at the same place
// stand in the order in which they were given. Edits must not overlap.
func applied(doc []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	size := len(doc)
	for _, e := range edits {
		size += len(e.text)
	}
	out, at := make([]byte, 0, size), 0
	for _, e := range edits {
		out = append(append(out, doc[at:e.start]...), e.text...)
		at = e.end
	}
	return append(out, doc[at:]...)
}

// jsonEditor collects the edits of one JSON document, which is valid. Nothing
// but what is edited changes: not the order of members, not a space, not the
// way a number is written.
type jsonEditor struct {
	doc   []byte
	edits []edit
}

// member is a member of the document's outermost object.
type member struct {
	name       string
	start, end int // of its value
}

// members returns the members of the outermost object and where it ends; ok is
// false where the document is not an object.
func (j *jsonEditor) members() (all []member, end int, ok bool) {
	var w walker
	w.reset(j.doc, nil)
	if w.space(); w.pos >= len(w.data) || w.data[w.pos] != '{' {
		return nil, 0, false
	}
	w.pos++
	for {
		w.space()
		if w.accept('}') {
			return all, w.pos - 1, true
		}
		if w.accept(',') {
			w.space()
		}
		name, ok := w.readString()
		if !ok {
			return nil, 0, false
		}
		m := member{name: string(name)}
		w.space()
		if !w.accept(':') {
			return nil, 0, false
		}
		w.space()
		m.start = w.pos
		w.skipValue()
		m.end = w.pos
		all = append(all, m)
	}
}

// skipValue goes past a value of a document that is known to be valid.
func (w *walker) skipValue() {
	depth := 0
	for w.pos < len(w.data) {
		switch c := w.data[w.pos]; c {
		case '"':
			if _, ok := w.readString(); !ok {
				return
			}
		case '{', '[':
			depth++
			w.pos++
		case '}', ']':
			if depth == 0 {
				return
			}
			depth--
			w.pos++
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return
			}
			w.pos++
		default:
			w.pos++
		}
		if depth == 0 && w.pos < len(w.data) && endsValue(w.data[w.pos]) {
			return
		}
	}
}

func endsValue(c byte) bool {
	return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' || c == '\r' || c == '\n'
}

// strings returns the places of the strings, and with nulls of the nulls, that
// the paths lead to.
func (j *jsonEditor) strings(p *paths, nulls bool) (found []span) {
	if p == nil {
		return nil
	}
	var w walker
	w.reset(j.doc, p)
	for w.nulls = nulls; w.next(); {
		if w.depth > 0 { // a document that is nothing but a string has no fields
			found = append(found, span{w.start, w.end})
		}
	}
	return found
}

// prepend puts text first in the string at a place; a null becomes the text.
func (j *jsonEditor) prepend(at span, text, separator string) {
	if j.doc[at.start] != '"' {
		j.replace(at, text)
		return
	}
	if at.end-at.start > len(`""`) {
		text += separator
	}
	j.edits = append(j.edits, edit{at.start + 1, at.start + 1, appendEscaped(nil, text)})
}

// append puts text last in the string at a place; a null stays one.
func (j *jsonEditor) append(at span, text, separator string) {
	if j.doc[at.start] != '"' {
		return
	}
	if at.end-at.start > len(`""`) {
		text = separator + text
	}
	j.edits = append(j.edits, edit{at.end - 1, at.end - 1, appendEscaped(nil, text)})
}

// replace puts text in the place of the string, or null, at a place.
func (j *jsonEditor) replace(at span, text string) {
	if j.doc[at.start] != '"' {
		j.edits = append(j.edits, edit{at.start, at.end, appendQuoted(nil, text)})
		return
	}
	j.edits = append(j.edits, edit{at.start + 1, at.end - 1, appendEscaped(nil, text)})
}

// set gives the outermost object members that it does not have yet; one that it
// has with nothing in it gets the value.
func (j *jsonEditor) set(have []member, end int, more ...jsonMember) {
	var added []byte
	for _, m := range more {
		i := slices.IndexFunc(have, func(h member) bool { return h.name == m.name })
		switch {
		case i < 0:
			added = append(appendQuoted(append(added, ','), m.name), ':')
			added = append(added, m.value...)
		case j.isEmpty(have[i]):
			j.edits = append(j.edits, edit{have[i].start, have[i].end, m.value})
		}
	}
	if len(have) == 0 && len(added) > 0 {
		added = added[1:]
	}
	if len(added) > 0 {
		j.edits = append(j.edits, edit{end, end, added})
	}
}

// jsonMember is a member to add: its name and its value in JSON.
type jsonMember struct {
	name  string
	value []byte
}

func (j *jsonEditor) isEmpty(m member) bool {
	value := string(j.doc[m.start:m.end])
	return value == "null" || value == "[]" || value == "{}"
}

func jsonOf(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // links and marks: strings, bools and known severities
	}
	return data
}

func appendQuoted(out []byte, text string) []byte {
	return append(appendEscaped(append(out, '"'), text), '"')
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends text as it stands inside a JSON string. What HTML or
// old JavaScript could read otherwise is escaped too.
func appendEscaped(out []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, '\\', 'n')
		case r < ' ' || r == '<' || r == '>' || r == '&':
			out = append(out, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&0xf])
		case r == '\u2028' || r == '\u2029':
			out = append(out, '\\', 'u', '2', '0', '2', hexDigits[r&0xf])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}
