package demo

import (
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

const (
	keptMessages = 100  // per session, the newest
	keptRunes    = 2000 // of one message
)

// session is one telling of the story to one player.
type session struct {
	ID, Owner, Character, World string
	Created, Changed            time.Time
	Ended                       bool
	Therapeutic                 map[string]any
	Goals                       []string
	Tale                        tale
	Messages                    []message
}

// message is one line of a conversation as the history shows it.
type message struct {
	Role      string         `json:"role"` // user or assistant
	Content   string         `json:"content"`
	Timestamp string         `json:"timestamp"`
	Metadata  map[string]any `json:"metadata"`
}

// sessionID is the form of ids that clients may choose themselves.
var sessionID = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

func newSession(id, owner string) *session {
	now := time.Now()
	return &session{
		ID: id, Owner: owner, Character: "char-default", World: places[0].ID,
		Created: now, Changed: now, Therapeutic: map[string]any{}, Goals: []string{}, Tale: newTale(),
	}
}

func (s *session) view() map[string]any {
	return map[string]any{
		"session_id": s.ID, "character_id": s.Character, "world_id": s.World, "status": s.status(),
		"created_at": stamp(s.Created), "updated_at": stamp(s.Changed),
	}
}

func (s *session) status() string {
	if s.Ended {
		return "completed"
	}
	return "active"
}

// play takes one turn: what the player said is kept, and so is what the story answers.
func (s *session) play(said string, outside bool) line {
	answer := s.Tale.turn(s.ID, said, outside)
	s.note("user", said)
	s.note("assistant", answer.Text)
	return answer
}

func (s *session) note(role, content string) {
	s.Changed = time.Now()
	s.Messages = append(s.Messages, message{role, clip(content), stamp(s.Changed), map[string]any{}})
	if len(s.Messages) > keptMessages {
		s.Messages = append([]message(nil), s.Messages[len(s.Messages)-keptMessages:]...)
	}
}

func clip(s string) string {
	if runes := []rune(s); len(runes) > keptRunes {
		return string(runes[:keptRunes])
	}
	return s
}

func (w *World) sessionsOf(owner string) []*session {
	return w.sessions.all(func(s *session) bool { return s.Owner == owner })
}

// someSession wraps the routes that show a session to anybody who knows its id: the real service does not ask whose it is.
func someSession(next func(w *World, r *http.Request, s *session) (any, error)) handler {
	return func(i *Instance, r *http.Request, _ caller) (any, error) {
		i.world.mu.Lock()
		defer i.world.mu.Unlock()
		s := i.world.sessions.get(r.PathValue("session_id"))
		if s == nil {
			return nil, refuse(http.StatusNotFound, "Session not found")
		}
		return next(i.world, r, s)
	}
}

// ownSession wraps the routes that only a session's player may take.
func ownSession(next func(w *World, r *http.Request, s *session) (any, error)) handler {
	return func(i *Instance, r *http.Request, who caller) (any, error) {
		return someSession(func(w *World, r *http.Request, s *session) (any, error) {
			if s.Owner != who.player {
				return nil, refuse(http.StatusForbidden, ownOnly)
			}
			return next(w, r, s)
		})(i, r, who)
	}
}

func listSessions(i *Instance, _ *http.Request, who caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	views := []map[string]any{}
	for _, s := range i.world.sessionsOf(who.player) {
		views = append(views, s.view())
	}
	return map[string]any{"sessions": views, "count": len(views)}, nil
}

func createSession(i *Instance, r *http.Request, who caller) (any, error) {
	var in struct {
		Character   *string        `json:"character_id"`
		World       *string        `json:"world_id"`
		Therapeutic map[string]any `json:"therapeutic_settings"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Character == nil || in.World == nil {
		return nil, invalid(missing("character_id"), missing("world_id"))
	}
	s := newSession(newID(), who.player)
	s.Character, s.World = clip(*in.Character), clip(*in.World)
	maps.Copy(s.Therapeutic, in.Therapeutic)
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	i.world.sessions.put(s.ID, s)
	view := s.view()
	delete(view, "updated_at")
	return created(view), nil
}

func getSession(_ *World, _ *http.Request, s *session) (any, error) { return s.view(), nil }

func updateSession(_ *World, r *http.Request, s *session) (any, error) {
	var in struct {
		Therapeutic map[string]any `json:"therapeutic_settings"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Therapeutic != nil {
		s.Therapeutic = in.Therapeutic
	}
	s.Changed = time.Now()
	return s.view(), nil
}

func sessionProgress(_ *World, _ *http.Request, s *session) (any, error) {
	return map[string]any{
		"session_id": s.ID, "character_id": s.Character, "world_id": s.World,
		"progress": map[string]any{"completed_steps": len(s.Tale.Seen), "total_steps": len(scenes), "turns": s.Tale.Turn},
	}, nil
}

func sessionMessages(_ *World, _ *http.Request, s *session) (any, error) {
	return map[string]any{"session_id": s.ID, "messages": append([]message{}, s.Messages...), "count": len(s.Messages)}, nil
}

func clearMessages(_ *World, _ *http.Request, s *session) (any, error) {
	s.Messages = nil
	return map[string]any{"session_id": s.ID, "cleared": true}, nil
}

func copySession(w *World, _ *http.Request, s *session) (any, error) {
	twin := *s
	twin.ID, twin.Created, twin.Ended = newID(), time.Now(), false
	twin.Therapeutic, twin.Goals = maps.Clone(s.Therapeutic), append([]string{}, s.Goals...)
	twin.Tale = s.Tale.copy()
	twin.Messages = append([]message(nil), s.Messages...)
	w.sessions.put(twin.ID, &twin)
	return created(twin.view()), nil
}

// number is a whole number from the query, otherwise the default, at most most.
func number(r *http.Request, name string, otherwise, most int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil || n < 1 {
		return otherwise
	}
	return min(n, most)
}
