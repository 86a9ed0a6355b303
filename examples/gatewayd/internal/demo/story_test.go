package demo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEverySceneCanBeReachedAndLeft(t *testing.T) {
	reached, ahead := map[string]bool{}, []string{beginning}
	for len(ahead) > 0 {
		at := ahead[0]
		ahead = ahead[1:]
		if reached[at] {
			continue
		}
		reached[at] = true
		require.Contains(t, scenes, at)
		require.GreaterOrEqual(t, len(scenes[at].choices), 2, at)
		require.GreaterOrEqual(t, len(scenes[at].tellings), 2, at)
		for _, c := range scenes[at].choices {
			ahead = append(ahead, c.to)
		}
	}
	assert.Len(t, reached, len(scenes))
	assert.GreaterOrEqual(t, len(scenes), 18)
}

func TestEveryChoiceCanBeTakenByItsLabel(t *testing.T) {
	for at, s := range scenes {
		for _, c := range s.choices {
			story := newTale()
			story.At = at
			assert.Equal(t, c.to, story.turn("evening-1", c.Label, false).Scene, "%s: %s", at, c.Label)
		}
	}
}

func TestATellingIsDeterministicBySession(t *testing.T) {
	said := []string{"hello", "light a lamp", "follow the cat", "hm", "hm", "look", "orchard", "breathe"}
	tell := func(session string) (told []string) {
		story := newTale()
		for _, s := range said {
			told = append(told, story.turn(session, s, false).Text)
		}
		return told
	}
	assert.Equal(t, tell("evening-1"), tell("evening-1"))
	assert.NotEqual(t, tell("evening-1"), tell("evening-2"))
}

func TestNoAnswerTwiceRunning(t *testing.T) {
	for _, said := range []string{"", "look", "breathe", "I want to die", "xyzzy"} {
		story, last := newTale(), ""
		for range 12 {
			text := story.turn("evening-1", said, false).Text
			assert.NotEqual(t, last, text, "answering %q", said)
			last = text
		}
	}
}

func TestTheStoryDoesNotPrattleOn(t *testing.T) {
	for said, heavy := range map[string]bool{
		"I want to die":                            true,
		"i just wanna hurt myself":                 true,
		"quiero matarme":                           true,
		"I don't want to be alive anymore":         true,
		"I can't stand another evening, suicidal.": true,
		"the cutting wind howled":                  false,
		"I hurt my knee on the stairs":             false,
		"let the fire die down":                    false,
	} {
		story := newTale()
		assert.Equal(t, heavy, story.turn("evening-1", said, false).Intent == "pause", said)
	}
}

// What the story says must be fit for anybody at any time, and must not itself sound an alarm.
func TestTheStoryIsGentle(t *testing.T) {
	var said []string
	for _, s := range scenes {
		said = append(said, s.tellings...)
		for _, c := range s.choices {
			said = append(said, c.Label)
		}
	}
	said = append(append(append(said, echoes...), breaths...), pauses...)
	for _, text := range said {
		for word := range wordsOf(text) {
			assert.NotContains(t, []string{"kill", "die", "died", "dead", "death", "hurt", "blood", "knife", "gun", "pills", "jump", "hopeless", "must"}, word, text)
		}
		assert.NotContains(t, text, "!", text)
	}
}

func TestSentencesLoseNothing(t *testing.T) {
	for _, text := range []string{"", "One.", "One. Two. Three.", "No stop at the end. Here"} {
		assert.Equal(t, text, strings.Join(sentences(text), ""))
	}
}

func TestAShelfKeepsTheNewest(t *testing.T) {
	s := newShelf[int](2)
	for n, id := range []string{"a", "b", "a", "c", "d"} {
		s.put(id, &n)
	}
	s.remove("nothing")
	assert.Nil(t, s.get("b"))
	assert.Len(t, s.all(func(*int) bool { return true }), 2)
	s.remove("c")
	assert.Equal(t, []string{"d"}, s.order)
	assert.Len(t, s.byID, 1)
}
