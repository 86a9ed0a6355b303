package demo

import (
	"hash/fnv"
	"maps"
	"strings"
	"unicode"
)

// tale is how far one telling of the story has come. It is a value's worth of state: what is answered
// depends on the session's id, the turns taken and the words said, and on nothing else.
type tale struct {
	Turn int
	At   string
	Seen map[string]int // how often each scene was told
}

// line is one answer of the story.
type line struct {
	Scene, Text, Intent string
	Choices             []choice
	Turn                int
}

// choice is a way on. Its words are what a person may say to take it.
type choice struct {
	ID    string `json:"choice_id"`
	Label string `json:"label"`
	words []string
	to    string
}

// scene is one place of the story, told in more than one way.
type scene struct {
	tellings []string
	choices  []choice
}

func newTale() tale { return tale{At: beginning, Seen: map[string]int{beginning: 1}} }

func (t tale) copy() tale {
	t.Seen = maps.Clone(t.Seen)
	return t
}

// turn answers what was said. Outside says that the message is about something that matters more than
// the story; a few plain words say it too.
func (t *tale) turn(session, said string, outside bool) line {
	t.Turn++
	words := wordsOf(said)
	if outside || heavy(words) {
		return t.answer(pick(pauses, session, t.Turn), "pause")
	}
	if c, ok := t.way(words); ok {
		return t.follow(session, c)
	}
	switch {
	case anyOf(words, "breathe", "breath", "breathing", "respirar"):
		return t.answer(pick(breaths, session, t.Turn), "grounding")
	case anyOf(words, "look", "where", "again", "mirar"):
		return t.tell(session)
	}
	return t.answer(pick(echoes, session, t.Turn)+" "+t.ways(), "listening")
}

// choose takes the choice of that id, when the present scene offers it.
func (t *tale) choose(session, id string) (line, bool) {
	for _, c := range scenes[t.At].choices {
		if c.ID == id {
			t.Turn++
			return t.follow(session, c), true
		}
	}
	return line{}, false
}

func (t *tale) follow(session string, c choice) line {
	t.At = c.to
	return t.tell(session)
}

// tell tells the present scene, and otherwise than the last time.
func (t *tale) tell(session string) line {
	t.Seen[t.At]++
	return t.look(session)
}

// look is the present scene as it was last told.
func (t *tale) look(session string) line {
	return t.answer(pick(scenes[t.At].tellings, session, t.Seen[t.At])+" "+t.ways(), "story")
}

func (t *tale) answer(text, intent string) line {
	return line{Scene: t.At, Text: text, Intent: intent, Choices: scenes[t.At].choices, Turn: t.Turn}
}

// way is the choice whose words fit best what was said.
func (t *tale) way(words map[string]bool) (best choice, found bool) {
	most := 0
	for _, c := range scenes[t.At].choices {
		if n := count(words, c.words); n > most {
			best, most = c, n
		}
	}
	return best, most > 0
}

// ways names the choices in one sentence.
func (t *tale) ways() string {
	labels := []string{}
	for _, c := range scenes[t.At].choices {
		labels = append(labels, c.Label)
	}
	return "You could " + strings.Join(labels[:len(labels)-1], ", ") + " or " + labels[len(labels)-1] + "."
}

// pick takes turns through what there is, and begins where the session's id says.
func pick(from []string, session string, turn int) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(session))
	start := int(h.Sum32() % uint32(len(from)))
	return from[(start+turn)%len(from)]
}

func wordsOf(s string) map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
		words[w] = true
	}
	return words
}

func anyOf(words map[string]bool, of ...string) bool { return count(words, of) > 0 }

func count(words map[string]bool, of []string) (n int) {
	for _, w := range of {
		if words[w] {
			n++
		}
	}
	return n
}

// heavy is no detector: it only keeps the story from prattling on when the words are plainly about
// something else. Whether help is due, and which, is for the gateway to judge.
func heavy(words map[string]bool) bool {
	return anyOf(words, "suicide", "suicidal", "overdose", "hopeless", "matarme", "suicidarme", "morir", "kms") ||
		words["myself"] && anyOf(words, "kill", "killing", "hurt", "hurting", "harm", "cut", "cutting") ||
		words["die"] && anyOf(words, "want", "wanna", "wish") ||
		words["alive"] && anyOf(words, "don't", "dont", "not")
}
