package demo_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAPlayersOwnThings(t *testing.T) {
	w := newWorld()
	story, who := w.Story("a"), account(t, w, "player")
	token, other := w.AccessToken(who), w.AccessToken(account(t, w, "therapist"))
	own := "/api/v1/players/" + who.ID

	assert.Equal(t, who.Username, ask(t, story, "GET", own, token, "").at("username"))
	assert.Equal(t, "mira-two", ask(t, story, "PUT", own, token, `{"username":"mira-two"}`).at("username"))
	assert.Equal(t, http.StatusUnprocessableEntity, ask(t, story, "PUT", own, token, `{"email":"nowhere"}`).status)
	assert.Equal(t, "high", ask(t, story, "PATCH", own+"/therapeutic-preferences", token, `{"intensity_level":"high"}`).at("intensity_level"))
	assert.Equal(t, true, ask(t, story, "PUT", own+"/settings/accessibility", token, `{"reduced_motion":true}`).at("reduced_motion"))
	settings := ask(t, story, "GET", own+"/settings", token, "")
	assert.Equal(t, "high", settings.at("therapeutic", "intensity_level"))
	assert.Equal(t, true, settings.at("accessibility", "reduced_motion"))

	for _, path := range []string{"", "/progress", "/dashboard", "/export", "/settings", "/data/export", "/progress/viz?days=3"} {
		assert.Equal(t, http.StatusOK, ask(t, story, "GET", own+path, token, "").status, path)
		assert.Equal(t, http.StatusForbidden, ask(t, story, "GET", own+path, other, "").status, path)
	}
	assert.EqualValues(t, 1, ask(t, story, "GET", "/api/v1/players/", token, "").at("count"))
	assert.EqualValues(t, 2, ask(t, story, "GET", "/api/v1/players/", w.AccessToken(account(t, w, "admin")), "").at("count").(float64)-1)
}

func TestProgressCountsWhatWasPlayed(t *testing.T) {
	w := newWorld()
	story, who := w.Story("a"), account(t, w, "player")
	token := w.AccessToken(who)
	for _, said := range []string{"walk to the lighthouse", "climb the stair"} {
		ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-1","message":"`+said+`"}`)
	}
	progress := ask(t, story, "GET", "/api/v1/players/"+who.ID+"/progress", token, "")
	assert.EqualValues(t, 2, progress.at("turns"))
	assert.EqualValues(t, 3, progress.at("milestones"))
	series := ask(t, story, "GET", "/api/v1/players/"+who.ID+"/progress/viz?days=2", token, "").at("series", "turns").([]any)
	require.Len(t, series, 2)
	assert.EqualValues(t, 2, series[0].(float64)+series[1].(float64))
	assert.EqualValues(t, 2, ask(t, story, "GET", "/api/v1/conversation/player/analytics", token, "").at("total_interactions"))
}

func TestErasingLeavesNothing(t *testing.T) {
	w := newWorld()
	story, who := w.Story("a"), account(t, w, "player")
	token := w.AccessToken(who)
	ask(t, story, "POST", "/api/v1/conversation/send", token, `{"session_id":"evening-1","message":"hello"}`)
	ask(t, story, "POST", "/api/v1/characters/", token, `{"name":"Aria"}`)
	require.Contains(t, ask(t, story, "GET", "/api/v1/players/"+who.ID+"/data/export", token, "").raw, "hello")
	ask(t, story, "DELETE", "/api/v1/players/"+who.ID+"/data", token, "")
	export := ask(t, story, "GET", "/api/v1/players/"+who.ID+"/data/export", token, "")
	assert.Empty(t, export.at("characters"))
	assert.Empty(t, export.at("sessions"))
	assert.Equal(t, http.StatusOK, ask(t, story, "DELETE", "/api/v1/players/"+who.ID, token, "").status)
	assert.Equal(t, http.StatusNotFound, ask(t, story, "GET", "/api/v1/players/"+who.ID, token, "").status)
}

func TestAnyoneMayBecomeAPlayer(t *testing.T) {
	story := newWorld().Story("a")
	made := ask(t, story, "POST", "/api/v1/players/", "", `{"username":"guest","email":"guest@example.org"}`)
	assert.Equal(t, http.StatusCreated, made.status)
	assert.NotEmpty(t, made.at("player_id"))
	assert.Equal(t, http.StatusBadRequest, ask(t, story, "POST", "/api/v1/players/", "", `{"username":"guest","email":"g@example.org"}`).status)
	assert.Equal(t, http.StatusUnprocessableEntity, ask(t, story, "POST", "/api/v1/players/", "", `{}`).status)
}

func TestCharacters(t *testing.T) {
	w := newWorld()
	story := w.Story("a")
	token, other := w.AccessToken(account(t, w, "player")), w.AccessToken(account(t, w, "therapist"))
	made := ask(t, story, "POST", "/api/v1/characters/", token,
		`{"name":"Aria","background":{"backstory":"grew up by the sea"},"therapeutic_profile":{"readiness_level":0.5},"unknown":"dropped"}`)
	require.Equal(t, http.StatusCreated, made.status, made.raw)
	assert.Equal(t, "grew up by the sea", made.at("background", "backstory"))
	assert.NotContains(t, made.raw, "dropped")
	path := "/api/v1/characters/" + made.at("character_id").(string)

	assert.Equal(t, "Ria", ask(t, story, "PUT", path, token, `{"name":"Ria"}`).at("name"))
	assert.Equal(t, "grew up by the sea", ask(t, story, "GET", path, token, "").at("background", "backstory"))
	assert.Equal(t, "ready", ask(t, story, "PATCH", path+"/therapeutic-profile", token, `{"state":"ready"}`).at("state"))
	assert.EqualValues(t, 0.5, ask(t, story, "GET", path+"/therapeutic-profile", token, "").at("readiness_level"))
	assert.Equal(t, http.StatusOK, ask(t, story, "GET", "/api/v1/worlds/world-harbour/compatibility/"+made.at("character_id").(string), token, "").status)

	assert.Equal(t, http.StatusForbidden, ask(t, story, "GET", path, other, "").status)
	assert.Equal(t, "[]\n", ask(t, story, "GET", "/api/v1/characters/", other, "").raw)
	for _, bad := range []string{`{}`, `{"name":"A"}`, `{"name":7}`, `{"name":"Aria","therapeutic_profile":"calm"}`, `[]`} {
		assert.Equal(t, http.StatusUnprocessableEntity, ask(t, story, "POST", "/api/v1/characters/", token, bad).status, bad)
	}
	gone := ask(t, story, "DELETE", path, token, "")
	assert.Equal(t, http.StatusNoContent, gone.status)
	assert.Empty(t, gone.raw)
	assert.Equal(t, http.StatusNotFound, ask(t, story, "GET", path, token, "").status)
}

func TestWorlds(t *testing.T) {
	w := newWorld()
	story, token := w.Story("a"), w.AccessToken(account(t, w, "player"))
	assert.Contains(t, ask(t, story, "GET", "/api/v1/worlds/", token, "").raw, "Lantern Harbour")
	assert.Equal(t, "The Night Library", ask(t, story, "GET", "/api/v1/worlds/world-library", token, "").at("name"))
	assert.Equal(t, http.StatusNotFound, ask(t, story, "GET", "/api/v1/worlds/atlantis", token, "").status)
	assert.Equal(t, "slow", ask(t, story, "POST", "/api/v1/worlds/world-library/customize", token, `{"pace":"slow"}`).at("parameters", "pace"))
}
