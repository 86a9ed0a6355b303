package demo

import "net/http"

// place is a world that a story can be set in: catalogue data, the same for everybody.
type place struct {
	ID          string   `json:"world_id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Themes      []string `json:"therapeutic_themes"`
	Difficulty  string   `json:"difficulty_level"`
	Minutes     int      `json:"estimated_duration_minutes"`
}

var places = []place{
	{"world-harbour", "Lantern Harbour", "A small harbour at dusk, a lighthouse, and people who have time.",
		[]string{"calm", "kindness"}, "gentle", 20},
	{"world-orchard", "The Hill Orchard", "Old apple trees above the harbour, and a bench with a view.",
		[]string{"patience", "noticing"}, "gentle", 15},
	{"world-library", "The Night Library", "A reading room that stays open as long as its lamp burns.",
		[]string{"curiosity", "courage"}, "moderate", 25},
}

func placeOf(id string) (place, bool) {
	for _, p := range places {
		if p.ID == id {
			return p, true
		}
	}
	return place{}, false
}

func listPlaces(*Instance, *http.Request, caller) (any, error) { return places, nil }

func knownPlace(next func(p place, i *Instance, r *http.Request, who caller) (any, error)) handler {
	return func(i *Instance, r *http.Request, who caller) (any, error) {
		p, ok := placeOf(r.PathValue("world_id"))
		if !ok {
			return nil, refuse(http.StatusNotFound, "World not found")
		}
		return next(p, i, r, who)
	}
}

func getPlace(p place, _ *Instance, _ *http.Request, _ caller) (any, error) { return p, nil }

// compatibility suits everybody: the demo has no scale on which a person could fail to fit a place.
func compatibility(p place, i *Instance, r *http.Request, who caller) (any, error) {
	return ownCharacter(func(_ *World, _ *http.Request, c *character) (any, error) {
		return map[string]any{
			"character_id": c.ID, "world_id": p.ID, "overall_score": 1.0, "recommendations": []string{"A place to begin"},
		}, nil
	})(i, r, who)
}

func customize(p place, _ *Instance, r *http.Request, _ caller) (any, error) {
	var in map[string]any
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return map[string]any{"world_id": p.ID, "customized": true, "parameters": in}, nil
}
