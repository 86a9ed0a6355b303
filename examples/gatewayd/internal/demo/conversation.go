package demo

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

const longestMessage = 10_000 // characters

// outside says whether the gateway told us that this message is serious: the story is then put down for a while.
func outside(r *http.Request) bool {
	switch r.Header.Get("X-Safety-Severity") {
	case "moderate", "high", "imminent":
		return true
	}
	return false
}

// send plays one turn of a conversation. As at the real service, a new session id begins a new conversation.
func send(i *Instance, r *http.Request, who caller) (any, error) {
	var in struct {
		Session *string        `json:"session_id"`
		Message *string        `json:"message"`
		Context map[string]any `json:"context"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Session == nil || in.Message == nil {
		return nil, invalid(missing("session_id"), missing("message"))
	}
	if problem := unfitTurn(*in.Session, *in.Message, longestMessage); problem != nil {
		return nil, invalid(*problem)
	}
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	s, err := i.world.openSession(*in.Session, who.player)
	if err != nil {
		return nil, err
	}
	answer := s.play(*in.Message, outside(r))
	return map[string]any{
		"message_id": newID(), "session_id": s.ID, "response": answer.Text, "timestamp": stamp(time.Now()),
		"metadata": map[string]any{
			"response_type": "story", "therapeutic_intent": answer.Intent, "safety_level": "safe",
			"generated_by": "demo", "model_used": nil, "scene": answer.Scene, "choices": answer.Choices, "turn": answer.Turn,
		},
	}, nil
}

func unfitTurn(session, message string, most int) *problem {
	var p problem
	switch {
	case !sessionID.MatchString(session):
		p = unfit("session_id", "8 to 64 letters, digits, hyphens or underscores")
	case strings.TrimSpace(message) == "":
		p = unfit("message", "At least 1 character")
	case utf8.RuneCountInString(message) > most:
		p = unfit("message", "Fewer characters")
	default:
		return nil
	}
	return &p
}

// openSession finds the player's session or begins it. The caller holds w.mu.
func (w *World) openSession(id, owner string) (*session, error) {
	s := w.sessions.get(id)
	if s == nil {
		s = newSession(id, owner)
		w.sessions.put(id, s)
	}
	if s.Owner != owner {
		return nil, refuse(http.StatusForbidden, ownOnly)
	}
	return s, nil
}

func history(_ *World, r *http.Request, s *session) (any, error) {
	limit := number(r, "limit", 50, keptMessages)
	shown := s.Messages[max(0, len(s.Messages)-limit):]
	return map[string]any{
		"session_id": s.ID, "messages": append([]message{}, shown...), "total_messages": len(s.Messages),
		"created_at": stamp(s.Created), "last_activity": stamp(s.Changed),
	}, nil
}

func conversationState(_ *World, _ *http.Request, s *session) (any, error) {
	return map[string]any{
		"session_id": s.ID, "player_id": s.Owner, "interaction_count": s.Tale.Turn, "session_goals": append([]string{}, s.Goals...),
		"therapeutic_focus": "general_support", "created_at": stamp(s.Created), "last_updated": stamp(s.Changed),
	}, nil
}

func conversationAnalytics(_ *World, _ *http.Request, s *session) (any, error) {
	return map[string]any{
		"session_id": s.ID, "interaction_count": s.Tale.Turn,
		"progress_indicators": map[string]any{"scenes_seen": len(s.Tale.Seen), "scenes_total": len(scenes)},
	}, nil
}

func deleteConversation(w *World, _ *http.Request, s *session) (any, error) {
	w.sessions.remove(s.ID)
	return map[string]any{"message": "Conversation deleted", "session_id": s.ID}, nil
}

func setGoals(_ *World, r *http.Request, s *session) (any, error) {
	var in struct{ Goals []string }
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if len(in.Goals) > 20 {
		return nil, invalid(unfit("goals", "At most 20 goals"))
	}
	s.Goals = append([]string{}, in.Goals...)
	return map[string]any{"session_id": s.ID, "session_goals": append([]string{}, s.Goals...)}, nil
}

func conversationsOfPlayer(i *Instance, _ *http.Request, who caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	turns := 0
	sessions := i.world.sessionsOf(who.player)
	for _, s := range sessions {
		turns += s.Tale.Turn
	}
	return map[string]any{"player_id": who.player, "total_sessions": len(sessions), "total_interactions": turns}, nil
}

func conversationStatistics(i *Instance, _ *http.Request, _ caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	return map[string]any{"active_conversations": len(i.world.sessions.byID)}, nil
}
