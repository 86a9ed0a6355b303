package demo

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// More than 10 messages in 2 seconds get a notice instead of an answer.
const (
	talkBurst  = 10
	talkWindow = 2 * time.Second
)

// frame is what the service sends on a chat socket.
type frame struct {
	ID        string         `json:"id"`
	Role      string         `json:"role"` // system, assistant or interactive
	Session   *string        `json:"session_id"`
	Content   map[string]any `json:"content"`
	Timestamp string         `json:"timestamp"`
	Metadata  map[string]any `json:"metadata"`
}

// element is an interactive part of a frame's content.
type element struct {
	Type  string `json:"type"` // button, instruction, progress, recommendation or ack
	ID    string `json:"id"`
	Label string `json:"label"`
}

// heard is what a client sends.
type heard struct {
	Type     string         `json:"type"`
	Session  string         `json:"session_id"`
	Content  map[string]any `json:"content"`
	Metadata map[string]any `json:"metadata"`
}

// field is a string of the metadata, else of the content.
func (h heard) field(name string) string {
	if s := text(h.Metadata, name); s != "" {
		return s
	}
	return text(h.Content, name)
}

// talk is one person's conversation on one socket. It answers frames with frames and knows no network.
type talk struct {
	world   *World
	who     caller
	typing  bool
	session string // switched to; empty means the player's newest open one
	recent  []time.Time
}

func newTalk(w *World, who caller, r *http.Request) *talk {
	typing := strings.ToLower(r.URL.Query().Get("typing"))
	return &talk{world: w, who: who, typing: slices.Contains([]string{"1", "true", "yes"}, typing)}
}

func (t *talk) welcome() frame {
	f := say("system", "", map[string]any{"text": "You are connected. The lamps are lit; begin whenever you like."})
	f.Metadata["safety"] = map[string]any{"crisis": false}
	return f
}

// hear answers one message. As at the real service, every message that names no session looks one up
// or begins one, even a message of a type that nobody knows.
func (t *talk) hear(raw []byte, now time.Time) []frame {
	if !t.allow(now) {
		return notice("", "You are sending quickly; please slow down a little.")
	}
	var in heard
	if err := json.Unmarshal(raw, &in); err != nil {
		return notice("", "That message could not be read: a JSON object is expected.")
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	s := t.open(in)
	if s == nil {
		return notice("", "That session is not one of yours.")
	}
	switch in.Type {
	case "user_message":
		return t.message(s, in)
	case "interaction":
		return t.interaction(s, in)
	case "feedback":
		return t.feedback(s)
	case "update_settings":
		return t.settings(s, in)
	case "switch_context":
		return t.switchTo(s, in)
	}
	return notice(s.ID, "Unknown message type.")
}

func (t *talk) allow(now time.Time) bool {
	t.recent = since(t.recent, now.Add(-talkWindow))
	t.recent = append(t.recent, now)
	if len(t.recent) > talkBurst+1 {
		t.recent = t.recent[1:]
	}
	return len(t.recent) <= talkBurst
}

// open finds the session a message is about, or nil when it is somebody else's.
func (t *talk) open(in heard) *session {
	id := in.Session
	if id == "" {
		id = t.session
	}
	if id == "" {
		return t.newest(in)
	}
	if !sessionID.MatchString(id) {
		return nil
	}
	s, err := t.world.openSession(id, t.who.player)
	if err != nil {
		return nil
	}
	return s
}

func (t *talk) newest(in heard) *session {
	open := t.world.sessions.all(func(s *session) bool { return s.Owner == t.who.player && !s.Ended })
	if len(open) > 0 {
		return open[len(open)-1]
	}
	s := newSession(newID(), t.who.player)
	s.place(in)
	t.world.sessions.put(s.ID, s)
	return s
}

// place moves a session to the character and the world that a message names.
func (s *session) place(in heard) {
	if id := in.field("character_id"); id != "" {
		s.Character = clip(id)
	}
	if id := in.field("world_id"); id != "" {
		s.World = clip(id)
	}
}

// stages are told on the way to an answer.
var stages = []struct{ name, message string }{
	{"analyzing", "Listening to what you wrote"},
	{"processing", "Thinking about it"},
	{"world_building", "Looking around the harbour"},
	{"generating", "Finding the words"},
	{"complete", "Here it is"},
}

func (t *talk) message(s *session, in heard) []frame {
	said := text(in.Content, "text")
	if strings.TrimSpace(said) == "" {
		return notice(s.ID, "That message has no text.")
	}
	var out []frame
	if t.typing {
		out = append(out, happening(s.ID, "typing", map[string]any{"status": "start"}))
	}
	for _, stage := range stages {
		out = append(out, happening(s.ID, "progress", map[string]any{"stage": stage.name, "message": stage.message}))
	}
	out = append(out, told(s, s.play(said, false), exercises(wordsOf(said))))
	if t.typing {
		out = append(out, happening(s.ID, "typing", map[string]any{"status": "stop"}))
	}
	return out
}

// told is the story's answer with its choices, and what else is offered, as buttons.
func told(s *session, answer line, more []element) frame {
	elements := []element{}
	for _, c := range answer.Choices {
		elements = append(elements, element{"button", c.ID, c.Label})
	}
	f := say("assistant", s.ID, map[string]any{"text": answer.Text, "elements": append(elements, more...)})
	f.Metadata["recommendations"] = recommendations
	f.Metadata["safety"] = map[string]any{"crisis": false, "types": []string{}}
	return f
}

// exercises are offered when somebody says that it is a lot.
func exercises(words map[string]bool) []element {
	if !anyOf(words, "anxious", "panic", "overwhelmed", "stressed", "scared", "worried") {
		return nil
	}
	return []element{
		{"button", "ex_breathing", "Breathe with the tide"},
		{"button", "ex_grounding", "Notice what is around you"},
	}
}

var instructions = map[string]string{
	"ex_breathing": "Breathe in for about four counts, rest a moment, and breathe out a little longer. A few times, at your own pace.",
	"ex_grounding": "Look for five things you can see, four you can feel, three you can hear, two you can smell, and one you can taste.",
}

func (t *talk) interaction(s *session, in heard) []frame {
	id := text(in.Content, "id")
	if id == "" {
		id = text(in.Content, "action")
	}
	if answer, ok := s.Tale.choose(s.ID, id); ok {
		s.note("assistant", answer.Text)
		return []frame{told(s, answer, nil)}
	}
	return []frame{say("interactive", s.ID, map[string]any{"elements": acknowledge(id)})}
}

func acknowledge(id string) []element {
	if steps, ok := instructions[id]; ok {
		return []element{{"instruction", id + "_steps", steps}, {"button", id + "_complete", "Done"}}
	}
	if base, done := strings.CutSuffix(id, "_complete"); done && instructions[base] != "" {
		return []element{{"progress", "pm_" + newID()[:8], "Noted, well done"}}
	}
	return []element{{"ack", clip(id), "Received"}}
}

func (t *talk) feedback(s *session) []frame {
	offers := []element{}
	for _, r := range recommendations {
		offers = append(offers, element{"recommendation", r.ID, r.Title})
	}
	return []frame{say("system", s.ID, map[string]any{"text": "Thank you for telling us.", "elements": offers})}
}

func (t *talk) settings(s *session, in heard) []frame {
	level := strings.ToLower(text(in.Content, "intensity_level"))
	if !slices.Contains([]string{"low", "medium", "moderate", "high"}, level) {
		return notice(s.ID, "An intensity of low, medium or high is expected.")
	}
	s.Therapeutic = map[string]any{"intensity_level": level, "preferred_approaches": texts(in.Content["preferred_approaches"])}
	return notice(s.ID, "Your settings are changed.")
}

func (t *talk) switchTo(s *session, in heard) []frame {
	if id := in.field("session_id"); id != "" && in.Session == "" {
		if s = t.open(heard{Session: id}); s == nil {
			return notice("", "That session is not one of yours.")
		}
	}
	s.place(in)
	t.session = s.ID
	f := say("system", s.ID, map[string]any{"text": "The story continues here."})
	f.Metadata["context"] = s.view()
	return []frame{f}
}

func say(role, session string, content map[string]any) frame {
	f := frame{
		ID: "msg_" + strings.ReplaceAll(newID(), "-", "")[:12], Role: role, Content: content,
		Timestamp: stamp(time.Now()) + "Z", Metadata: map[string]any{},
	}
	if session != "" {
		f.Session = &session
	}
	return f
}

func notice(session, text string) []frame {
	return []frame{say("system", session, map[string]any{"text": text})}
}

func happening(session, event string, more map[string]any) frame {
	more["event"] = event
	return say("system", session, more)
}
