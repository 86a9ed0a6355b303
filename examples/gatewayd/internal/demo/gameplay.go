package demo

import (
	"net/http"
	"time"
)

const longestGameplayMessage = 2000 // characters

// gameplayMessage plays one turn of a session that exists.
func gameplayMessage(i *Instance, r *http.Request, who caller) (any, error) {
	var in struct {
		Session *string `json:"session_id"`
		Message *string `json:"message"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Session == nil || in.Message == nil {
		return nil, invalid(missing("session_id"), missing("message"))
	}
	if problem := unfitTurn(*in.Session, *in.Message, longestGameplayMessage); problem != nil {
		return nil, invalid(*problem)
	}
	r.SetPathValue("session_id", *in.Session)
	return ownSession(func(_ *World, r *http.Request, s *session) (any, error) {
		answer := s.play(*in.Message, outside(r))
		return map[string]any{
			"success": true, "message_id": newID(), "session_id": s.ID, "response": answer.Text,
			"timestamp": stamp(time.Now()), "error": nil, "code": nil,
		}, nil
	})(i, r, who)
}

func beginGameplay(i *Instance, r *http.Request, who caller) (any, error) {
	var in struct {
		Therapeutic map[string]any `json:"therapeutic_context"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	s := newSession(newID(), who.player)
	if in.Therapeutic != nil {
		s.Therapeutic = in.Therapeutic
	}
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	i.world.sessions.put(s.ID, s)
	return map[string]any{
		"success": true, "session_id": s.ID, "user_id": s.Owner, "session_status": s.gameplay(), "created_at": stamp(s.Created),
		"error": nil, "code": nil,
	}, nil
}

// gameplay is where the session's story stands.
func (s *session) gameplay() map[string]any {
	here := s.Tale.look(s.ID)
	return map[string]any{
		"session_id": s.ID, "status": s.status(), "current_scene": here.Scene, "scene_description": here.Text,
		"available_choices": here.Choices, "turn": here.Turn,
	}
}

func listGameplay(i *Instance, _ *http.Request, who caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	active, all := 0, []map[string]any{}
	for _, s := range i.world.sessionsOf(who.player) {
		if !s.Ended {
			active++
		}
		all = append(all, s.view())
	}
	return map[string]any{
		"success": true, "user_id": who.player, "retrieved_at": stamp(time.Now()), "error": nil, "code": nil,
		"session_metrics": map[string]any{"total_sessions": len(all), "active_sessions": active, "sessions": all},
	}, nil
}

func getGameplay(_ *World, _ *http.Request, s *session) (any, error) {
	return map[string]any{
		"success": true, "session_status": s.gameplay(), "retrieved_at": stamp(time.Now()), "error": nil, "code": nil,
	}, nil
}

func endGameplay(_ *World, _ *http.Request, s *session) (any, error) {
	s.Ended, s.Changed = true, time.Now()
	return map[string]any{"success": true, "session_id": s.ID, "ended_at": stamp(s.Changed), "error": nil, "code": nil}, nil
}

// choose takes one of the choices that the present scene offers.
func choose(_ *World, r *http.Request, s *session) (any, error) {
	var in struct {
		Choice *string `json:"choice_id"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Choice == nil {
		return nil, invalid(missing("choice_id"))
	}
	answer, ok := s.Tale.choose(s.ID, *in.Choice)
	if !ok {
		return nil, refuse(http.StatusBadRequest, "That choice is not open here")
	}
	s.note("assistant", answer.Text)
	return map[string]any{
		"success": true, "session_id": s.ID, "processed_at": stamp(time.Now()), "safety_warning": nil, "error": nil, "code": nil,
		"choice_result": map[string]any{
			"choice_id": *in.Choice, "narrative": answer.Text, "scene": answer.Scene, "available_choices": answer.Choices,
		},
	}, nil
}
