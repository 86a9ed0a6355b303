package demo

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

// character is who a player is in a story. Details holds what else the client sent, as it sent it.
type character struct {
	ID, Owner, Name  string
	Created, Changed time.Time
	Details          map[string]any
	Profile          map[string]any
}

func (c *character) view() map[string]any {
	view := maps.Clone(c.Details)
	maps.Copy(view, map[string]any{
		"character_id": c.ID, "player_id": c.Owner, "name": c.Name,
		"created_at": stamp(c.Created), "updated_at": stamp(c.Changed),
		"therapeutic_profile": maps.Clone(c.Profile), "is_active": true,
	})
	return view
}

func (w *World) charactersOf(owner string) []map[string]any {
	views := []map[string]any{}
	for _, c := range w.characters.all(func(c *character) bool { return c.Owner == owner }) {
		views = append(views, c.view())
	}
	return views
}

// ownCharacter wraps the routes below /characters/{character_id}: only its player may take them.
func ownCharacter(next func(w *World, r *http.Request, c *character) (any, error)) handler {
	return func(i *Instance, r *http.Request, who caller) (any, error) {
		i.world.mu.Lock()
		defer i.world.mu.Unlock()
		c := i.world.characters.get(r.PathValue("character_id"))
		switch {
		case c == nil:
			return nil, refuse(http.StatusNotFound, "Character not found")
		case c.Owner != who.player:
			return nil, refuse(http.StatusForbidden, ownOnly)
		}
		return next(i.world, r, c)
	}
}

func listCharacters(i *Instance, _ *http.Request, who caller) (any, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	return i.world.charactersOf(who.player), nil
}

func createCharacter(i *Instance, r *http.Request, who caller) (any, error) {
	c := &character{ID: newID(), Owner: who.player, Created: time.Now(), Details: map[string]any{}, Profile: map[string]any{}}
	if err := c.fill(r); err != nil {
		return nil, err
	}
	if c.Name == "" {
		return nil, invalid(missing("name"))
	}
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	i.world.characters.put(c.ID, c)
	return created(c.view()), nil
}

// fill takes over what the body says: name and therapeutic profile by name, the rest as it is.
func (c *character) fill(r *http.Request) error {
	var in map[string]any
	if err := read(r, &in); err != nil {
		return err
	}
	name, given := in["name"]
	if s, ok := name.(string); given && (!ok || len(strings.TrimSpace(s)) < 2 || len(s) > 50) {
		return invalid(unfit("name", "2 to 50 characters"))
	}
	profile, given := in["therapeutic_profile"]
	fields, ok := profile.(map[string]any)
	if given && !ok {
		return invalid(unfit("therapeutic_profile", "An object"))
	}
	if s := text(in, "name"); s != "" {
		c.Name = strings.TrimSpace(s)
	}
	c.learn(fields)
	c.keep(in)
	c.Changed = time.Now()
	return nil
}

func (c *character) learn(fields map[string]any) {
	profile := maps.Clone(c.Profile)
	maps.Copy(profile, fields)
	c.Profile = profile
}

func (c *character) keep(in map[string]any) {
	details := maps.Clone(c.Details)
	for _, name := range []string{"appearance", "background", "personality_traits", "fears_and_anxieties", "goals"} {
		if v, given := in[name]; given {
			details[name] = v
		}
	}
	c.Details = details
}

func getCharacter(_ *World, _ *http.Request, c *character) (any, error) { return c.view(), nil }

func updateCharacter(_ *World, r *http.Request, c *character) (any, error) {
	if err := c.fill(r); err != nil {
		return nil, err
	}
	return c.view(), nil
}

func deleteCharacter(w *World, _ *http.Request, c *character) (any, error) {
	w.characters.remove(c.ID)
	return noContent(), nil
}

func getProfile(_ *World, _ *http.Request, c *character) (any, error) {
	return maps.Clone(c.Profile), nil
}

func changeProfile(_ *World, r *http.Request, c *character) (any, error) {
	var in map[string]any
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if len(in)+len(c.Profile) > 50 {
		return nil, invalid(problem{Loc: []string{"body"}, Msg: "At most 50 fields", Type: "too_long"})
	}
	c.learn(in)
	c.Changed = time.Now()
	return maps.Clone(c.Profile), nil
}
