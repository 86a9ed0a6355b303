package demo

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

// player is one player's profile: what the service knows of them, and their settings by kind.
type player struct {
	ID       string
	Username string
	Email    string
	Created  time.Time
	Active   bool
	Settings map[string]map[string]any
}

func newPlayer(id, username, email string) *player {
	return &player{
		ID: id, Username: username, Email: email, Created: time.Now(), Active: true,
		Settings: map[string]map[string]any{
			"therapeutic":   {"intensity_level": "medium", "preferred_approaches": []string{}},
			"privacy":       {"data_collection_consent": false, "research_participation_consent": false},
			"notifications": {"session_reminders": false},
			"accessibility": {"high_contrast": false, "reduced_motion": false},
		},
	}
}

func (p *player) view() map[string]any {
	return map[string]any{
		"player_id": p.ID, "username": p.Username, "email": p.Email, "created_at": stamp(p.Created),
		"therapeutic_preferences": maps.Clone(p.Settings["therapeutic"]),
		"privacy_settings":        maps.Clone(p.Settings["privacy"]),
		"characters":              []string{}, "is_active": p.Active,
	}
}

const ownOnly = "You may only access your own resources"

// own wraps the routes below /players/{player_id}: only that player may take them.
func own(next func(w *World, r *http.Request, p *player) (any, error)) handler {
	return func(i *Instance, r *http.Request, who caller) (any, error) {
		if r.PathValue("player_id") != who.player {
			return nil, refuse(http.StatusForbidden, ownOnly)
		}
		i.world.mu.Lock()
		defer i.world.mu.Unlock()
		p := i.world.players.get(who.player)
		if p == nil {
			return nil, refuse(http.StatusNotFound, "Player not found")
		}
		return next(i.world, r, p)
	}
}

// listPlayers shows a caller their own profile, and those who manage users all of them.
func listPlayers(i *Instance, _ *http.Request, who caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	views := []map[string]any{}
	for _, p := range i.world.players.all(func(p *player) bool { return who.role == "admin" || p.ID == who.player }) {
		views = append(views, p.view())
	}
	return map[string]any{"players": views, "count": len(views)}, nil
}

func createPlayer(i *Instance, r *http.Request, who caller) (any, error) {
	var in struct{ Username, Email string }
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if !userName.MatchString(in.Username) || !plainAddress(in.Email) {
		return nil, invalid(unfit("username", "3 to 50 letters, digits, hyphens or underscores"), unfit("email", "An email address"))
	}
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	p := newPlayer(who.player, in.Username, in.Email)
	if p.ID == "" {
		p.ID = newID()
	}
	if i.world.playerTaken(p) {
		return nil, refuse(http.StatusBadRequest, "Username or email is already taken")
	}
	i.world.players.put(p.ID, p)
	return created(p.view()), nil
}

func (w *World) playerTaken(p *player) bool {
	return len(w.players.all(func(other *player) bool {
		return other.ID == p.ID || strings.EqualFold(other.Username, p.Username) || strings.EqualFold(other.Email, p.Email)
	})) > 0
}

func getPlayer(_ *World, _ *http.Request, p *player) (any, error) { return p.view(), nil }

func updatePlayer(_ *World, r *http.Request, p *player) (any, error) {
	var in struct{ Username, Email *string }
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Username != nil && !userName.MatchString(*in.Username) {
		return nil, invalid(unfit("username", "3 to 50 letters, digits, hyphens or underscores"))
	}
	if in.Email != nil && !plainAddress(*in.Email) {
		return nil, invalid(unfit("email", "An email address"))
	}
	if in.Username != nil {
		p.Username = *in.Username
	}
	if in.Email != nil {
		p.Email = *in.Email
	}
	return p.view(), nil
}

func deletePlayer(w *World, _ *http.Request, p *player) (any, error) {
	w.erase(p.ID)
	w.players.remove(p.ID)
	return map[string]string{"message": "Player profile deleted"}, nil
}

// erase forgets what a player made: characters, sessions, messages.
func (w *World) erase(id string) {
	for _, c := range w.characters.all(func(c *character) bool { return c.Owner == id }) {
		w.characters.remove(c.ID)
	}
	for _, s := range w.sessionsOf(id) {
		w.sessions.remove(s.ID)
	}
}

func playerProgress(w *World, _ *http.Request, p *player) (any, error) {
	turns, seen := 0, 0
	sessions := w.sessionsOf(p.ID)
	for _, s := range sessions {
		turns, seen = turns+s.Tale.Turn, max(seen, len(s.Tale.Seen))
	}
	return map[string]any{
		"player_id": p.ID, "sessions": len(sessions), "turns": turns, "milestones": seen, "milestones_total": len(scenes),
	}, nil
}

func playerDashboard(w *World, r *http.Request, p *player) (any, error) {
	progress, err := playerProgress(w, r, p)
	return map[string]any{
		"player_id": p.ID, "username": p.Username, "active_characters": w.charactersOf(p.ID),
		"progress": progress, "recommendations": recommendations,
	}, err
}

// progressOverTime counts the player's own messages per day of the last days (7 unless said, at most 90).
func progressOverTime(w *World, r *http.Request, p *player) (any, error) {
	days := number(r, "days", 7, 90)
	labels, turns := make([]string, days), make([]int, days)
	today := time.Now().UTC()
	for d := range days {
		labels[d] = today.AddDate(0, 0, d+1-days).Format(time.DateOnly)
	}
	for _, s := range w.sessionsOf(p.ID) {
		for _, m := range s.Messages {
			for d, label := range labels {
				if m.Role == "user" && strings.HasPrefix(m.Timestamp, label) {
					turns[d]++
				}
			}
		}
	}
	return map[string]any{"player_id": p.ID, "time_buckets": labels, "series": map[string]any{"turns": turns}}, nil
}

func playerSettings(_ *World, _ *http.Request, p *player) (any, error) {
	out := map[string]any{"player_id": p.ID}
	for kind, values := range p.Settings {
		out[kind] = maps.Clone(values)
	}
	return out, nil
}

// changeSettings merges the body into the settings of one kind.
func changeSettings(kind string) func(*World, *http.Request, *player) (any, error) {
	return func(_ *World, r *http.Request, p *player) (any, error) {
		var in map[string]any
		if err := read(r, &in); err != nil {
			return nil, err
		}
		merged := maps.Clone(p.Settings[kind])
		maps.Copy(merged, in)
		if len(merged) > 50 {
			return nil, invalid(problem{Loc: []string{"body"}, Msg: "At most 50 settings", Type: "too_long"})
		}
		p.Settings[kind] = merged
		return maps.Clone(merged), nil
	}
}

// exportPlayer gives a player everything that is kept of them.
func exportPlayer(w *World, _ *http.Request, p *player) (any, error) {
	sessions := []map[string]any{}
	for _, s := range w.sessionsOf(p.ID) {
		view := s.view()
		view["messages"] = append([]message{}, s.Messages...)
		sessions = append(sessions, view)
	}
	return map[string]any{
		"player": p.view(), "characters": w.charactersOf(p.ID), "sessions": sessions, "exported_at": stamp(time.Now()),
	}, nil
}

func erasePlayerData(w *World, _ *http.Request, p *player) (any, error) {
	w.erase(p.ID)
	return map[string]string{"message": "Player data deleted"}, nil
}
