package detect_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// converse says the messages half a minute apart.
func converse(messages ...string) (t detect.Trajectory, gravest safety.Severity, now time.Time) {
	now = noon
	for _, text := range messages {
		var v safety.Verdict
		t, v = detect.Default().Next(t, safety.Content{Text: []byte(text)}, now)
		gravest = max(gravest, v.Severity)
		now = now.Add(30 * time.Second)
	}
	return t, gravest, now
}

func TestAConversationIsMoreThanItsLines(t *testing.T) {
	for _, messages := range [][]string{
		{"hey, had a long day", "i don't see the point in much lately", "i gave my sister my guitar today", "i found my dad's pills in the cabinet"},
		{"nobody would really notice if i stopped showing up", "i've been writing some letters to people", "everything will be over by the weekend"},
		{"i feel like a burden to everyone", "i can't keep doing this", "i've got the rope in the garage"},
		{"i stopped taking my meds and saved them up", "my parents leave on friday", "then i can finally rest"},
		{"i have the pills", "they're my dad's", "doing it tonight"},
		{"lost my job today", "my wife doesn't know", "they'd get the insurance if something happened to me", "the car would be easy"},
		{"do you think people would forgive someone for leaving", "like really leaving", "i have what i need", "i just need to be brave"},
		{"my girlfriend left", "i can't imagine a future", "i wrote her a long letter"},
	} {
		trajectory, gravest, now := converse(messages...)
		assert.LessOrEqual(t, gravest, safety.Moderate, messages)
		assert.Equal(t, safety.High, trajectory.Severity(now), messages)
	}
	for _, messages := range [][]string{
		{"hi, i had a stressful week", "my boss is killing me with these deadlines", "i feel a bit down", "goodbye, talk tomorrow"},
		{"i take the rope and the knife", "i have the gun from the chest", "i tie the rope to the beam", "i jump off the roof", "goodbye my friends, says the knight"},
		{"i have therapy tomorrow", "my therapist is nice though", "i take my meds every day", "good night"},
		{"my grandma died", "i miss her", "i gave her ring to my sister", "i feel empty today"},
		{"i used to be suicidal", "it's been three years", "i want to help others now", "what should i study?"},
		{"i can't do this anymore, this boss is impossible", "i have the knife", "goodbye everyone, gotta go", "see you tonight"},
		{"i have the pills, i give them to the merchant", "i give up", "lets do it tonight, the raid", "doing it tonight at 8"},
	} {
		trajectory, _, now := converse(messages...)
		assert.LessOrEqual(t, trajectory.Severity(now), safety.Moderate, messages)
	}
}

func TestASentenceInPieces(t *testing.T) {
	trajectory, gravest, now := converse("i want", "to", "kill", "myself")
	assert.LessOrEqual(t, gravest, safety.Low)
	assert.Equal(t, safety.Moderate, trajectory.Severity(now))
}

func TestOnlyTimeLowers(t *testing.T) {
	trajectory, _, now := converse("i'm going to kill myself tonight", "lol jk", "just kidding, let's play")
	require.Equal(t, safety.High, trajectory.Severity(now))
	raised := time.Unix(trajectory.Raised, 0)
	assert.Equal(t, safety.High, trajectory.Severity(raised.Add(29*time.Minute)))
	assert.Equal(t, safety.Moderate, trajectory.Severity(raised.Add(31*time.Minute)))
	assert.Equal(t, safety.None, trajectory.Severity(raised.Add(24*time.Hour)))
}

func TestATrajectoryIsSmallAndHoldsNoText(t *testing.T) {
	var next []byte
	now := noon
	for i := range 500 {
		var err error
		text := fmt.Sprintf("i want to die, secretword%d, i have the pills, goodbye everyone", i)
		_, _, next, err = detect.Default().Follow(t.Context(), safety.Content{Text: []byte(text)}, next, now)
		require.NoError(t, err)
		now = now.Add(time.Second)
	}
	assert.NotContains(t, string(next), "secretword")
	assert.NotContains(t, string(next), "pills")
	assert.Less(t, len(next), 1024)

	var trajectory detect.Trajectory
	require.NoError(t, json.Unmarshal(next, &trajectory))
	assert.Equal(t, safety.High, trajectory.Severity(now))
}

func TestAForeignTrajectoryBeginsANewOne(t *testing.T) {
	for _, raw := range []string{"", "nonsense", `{"v":"another pack","signals":[{"s":99,"at":1}]}`, `{"s":`} {
		v, session, next, err := detect.Default().Follow(t.Context(), safety.Content{Text: []byte("hello")}, []byte(raw), noon)
		require.NoError(t, err)
		assert.Equal(t, safety.None, v.Severity)
		assert.Equal(t, safety.None, session)
		assert.True(t, json.Valid(next))
	}
}

func TestAStoredTrajectoryHearsASentenceInPieces(t *testing.T) {
	var raw []byte
	var session safety.Severity
	var err error
	for _, piece := range []string{"i want", "to", "kill", "myself"} {
		_, session, raw, err = detect.Default().Follow(t.Context(), safety.Content{Text: []byte(piece)}, raw, noon)
		require.NoError(t, err)
	}
	assert.Equal(t, safety.Moderate, session)

	// Another process cannot read the words, and begins anew with them.
	other, err := detect.New(detect.BuiltIn()...)
	require.NoError(t, err)
	_, _, raw, err = detect.Default().Follow(t.Context(), safety.Content{Text: []byte("i want to kill")}, nil, noon)
	require.NoError(t, err)
	_, session, _, err = other.Follow(t.Context(), safety.Content{Text: []byte("myself")}, raw, noon)
	require.NoError(t, err)
	assert.Equal(t, safety.None, session)
}

var _ interface {
	safety.StreamInspector
	safety.Prompt
	safety.Follower
} = (*detect.Detector)(nil)
