package safety_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// talk is a guard on the conversation of one person.
func talk(g *safety.Guard) (say func(text string) safety.Outcome, level func() safety.Severity) {
	g.Subject = func(*http.Request) string { return "ada" }
	say = func(text string) safety.Outcome {
		return g.Message(context.Background(), safety.Message{
			Route: "/ws/chat", Subject: "ada", Region: "US", Language: "en", Data: []byte(text),
		})
	}
	return say, func() safety.Severity { return g.Level(httptest.NewRequest("GET", "/", nil)) }
}

func TestAConversationIsRaisedForAWhileAndSinksInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say, level := talk(&safety.Guard{Inspector: script()})
		say("go on")
		assert.Equal(t, safety.None, level())
		assert.Equal(t, safety.Moderate, say(sad).Level, "a moderate message counts for itself")
		assert.Equal(t, safety.None, level(), "and raises nothing")

		say(dying)
		assert.Equal(t, safety.High, level())
		assert.Equal(t, safety.High, say("lol jk, open the door").Level, "words do not lower it")
		time.Sleep(29 * time.Minute)
		assert.Equal(t, safety.High, level())
		say(tonight)
		assert.Equal(t, safety.Imminent, level())
		for _, want := range []safety.Severity{safety.High, safety.Moderate, safety.Low, safety.None, safety.None} {
			time.Sleep(30 * time.Minute)
			assert.Equal(t, want, level())
		}
	})
}

func TestALowerMessageDoesNotRenewAHigherLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say, level := talk(&safety.Guard{Inspector: script()})
		say(tonight)
		time.Sleep(20 * time.Minute)
		say(dying)
		assert.Equal(t, safety.Imminent, level())
		time.Sleep(15 * time.Minute)
		assert.Equal(t, safety.High, level())
		say(dying)
		time.Sleep(29 * time.Minute)
		assert.Equal(t, safety.High, level(), "the message of the same level does")
	})
}

func TestHelpOnAWebSocketIsShownOncePerCooldownAndAgainWhenItRises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say, _ := talk(&safety.Guard{Inspector: script()})
		shown := func(text string) bool { return say(text).Help != nil }
		assert.False(t, shown("go on"))
		assert.False(t, shown("a bit low"))
		assert.True(t, shown(sad))
		assert.False(t, shown(sad))
		assert.True(t, shown(dying), "it rose")
		assert.False(t, shown(dying))
		assert.False(t, shown(sad), "less than what was shown already")
		for range 3 {
			assert.True(t, shown(tonight), "never held back")
		}
		time.Sleep(10 * time.Minute)
		assert.True(t, shown(sad))

		say, _ = talk(&safety.Guard{Inspector: script()})
		assert.True(t, shown(dying))
		assert.False(t, shown(sad), "graver help covers it")
	})
}

func TestHelpOverHTTPStandsInTheReplyToEveryCrisisMessage(t *testing.T) {
	g := &safety.Guard{Inspector: script(), Subject: func(*http.Request) string { return "ada" }}
	h := g.Wrap(&service{contentType: "application/json", answer: "{}"})
	for range 3 {
		assert.Contains(t, text(t, post(t, h, "application/json", `{"m":"`+sad+`"}`)), "crisis_resources")
	}
}

func TestASoftCheckInIsAMatterOfPolicy(t *testing.T) {
	policy := safety.Policy{Request: map[safety.Severity]safety.Action{safety.Low: safety.ShowHelp}}
	g := &safety.Guard{Inspector: script(), Policy: policy, Subject: func(*http.Request) string { return "ada" }}
	h := g.Wrap(&service{contentType: "application/json", answer: "{}"})
	assert.Contains(t, text(t, post(t, h, "application/json", `{"m":"a bit low"}`)), "crisis_resources")
	assert.Equal(t, "{}", text(t, post(t, h, "application/json", `{"m":"a bit low"}`)), "once per cool-down")
}

func TestNoPolicyTurnsTheHelpForAnImminentDangerOff(t *testing.T) {
	var off safety.Policy
	off.Request = map[safety.Severity]safety.Action{safety.High: 0, safety.Imminent: safety.Replace}
	g := (&safety.Guard{Inspector: script()}).With(safety.Rule{Policy: &off})
	h := g.Wrap(&service{contentType: "application/json", answer: "{}"})
	assert.Equal(t, "{}", text(t, post(t, h, "application/json", `{"m":"`+dying+`"}`)))
	assert.Contains(t, text(t, post(t, h, "application/json", `{"m":"`+tonight+`"}`)), "crisis_resources")
	assert.Equal(t, tonight, string(g.Message(t.Context(), safety.Message{Data: []byte(tonight)}).Data), "words are never replaced")
}

func TestAHumanIsToldOnceAndAgainUntilSomebodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safetytest.Log
		var seen safetytest.Observer
		log.Err = nil
		g := &safety.Guard{Inspector: script(), Auditor: &log, Escalator: &log, Observe: seen.Observe}
		say, _ := talk(g)
		say(sad)
		say(dying)
		say(dying)
		require.NoError(t, g.Flush(t.Context()))
		require.Len(t, log.Escalated(), 1)
		told := log.Escalated()[0]
		assert.Equal(t, "ada", told.Subject, "who is told must know of whom")
		assert.Equal(t, []string{"script/suicidal_ideation"}, told.Rules)
		assert.Equal(t, []string{"help", "raise", "escalate"}, told.Actions)
		assert.Equal(t, "en "+safety.DefaultBook().Help("en", "", safety.High).Version, told.Message)

		var outcome []safety.Event
		for _, e := range log.Recorded() {
			if e.Kind == safety.KindEscalation {
				outcome = append(outcome, e)
			}
		}
		require.Len(t, outcome, 1)
		assert.Equal(t, safety.Acknowledged, outcome[0].Outcome)
		assert.Equal(t, told.ID, outcome[0].Related)
		assert.NotEqual(t, told.ID, outcome[0].ID)
		assert.Contains(t, seen.Actions(), "escalated")
	})
}

func TestAnEscalationThatFailsIsRecordedAndTriedAgain(t *testing.T) {
	escalators := map[string]safety.EscalatorFunc{
		"an error": func(context.Context, safety.Event) error { return errors.New("nobody answers") },
		"a panic":  func(context.Context, safety.Event) error { panic("!") },
		"no answer": func(ctx context.Context, _ safety.Event) error {
			<-ctx.Done()
			return ctx.Err()
		},
	}
	for desc, escalator := range escalators {
		t.Run(desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safetytest.Log
				var seen safetytest.Observer
				g := &safety.Guard{Inspector: script(), Auditor: &log, Escalator: escalator, Observe: seen.Observe}
				say, _ := talk(g)
				for range 2 {
					say(dying)
					require.NoError(t, g.Flush(t.Context()))
				}
				var failures int
				for _, e := range log.Recorded() {
					if e.Outcome == safety.Failed {
						failures++
					}
				}
				assert.Equal(t, 2, failures)
				assert.Contains(t, seen.Actions(), "escalation failed")
				assert.NotContains(t, seen.Actions(), "escalated")
			})
		})
	}
}

func TestFlushWaitsAndGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := &safety.Guard{Inspector: script(), Auditor: safety.AuditorFunc(func(context.Context, safety.Event) error {
			<-release
			return nil
		})}
		child := g.With(safety.Rule{Route: "/ws/chat"})
		child.Message(t.Context(), safety.Message{Data: []byte(dying)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, g.Flush(ctx), context.DeadlineExceeded, "what a route's guard has to do is the whole guard's")
		close(release)
		assert.NoError(t, g.Flush(t.Context()))
	})
}

func TestAnAuditorThatHangsOrFailsKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen safetytest.Observer
		release := make(chan struct{})
		g := &safety.Guard{Inspector: script(), Observe: seen.Observe, Auditor: safety.AuditorFunc(func(context.Context, safety.Event) error {
			<-release
			return errors.New("disk full")
		})}
		count := func(action string) (n int) {
			for _, name := range seen.Actions() {
				if name == action {
					n++
				}
			}
			return n
		}
		for range 10000 {
			g.Message(t.Context(), safety.Message{Data: []byte("a bit low")})
		}
		assert.InDelta(t, 10000-8192, count("audit lost"), 1)
		before := count("audit lost")
		g.Message(t.Context(), safety.Message{Data: []byte(dying)})
		assert.Equal(t, before, count("audit lost"), "there is room for a grave one")
		close(release)
		require.NoError(t, g.Flush(t.Context()))
		assert.Equal(t, 10001-before, count("audit failed"))
	})
}

func TestNoTextIsEverRecorded(t *testing.T) {
	var log safetytest.Log
	g := &safety.Guard{Inspector: script(), Auditor: &log, Escalator: &log}
	say, _ := talk(g)
	say(`{"text":"` + dying + ` because of Bob"}`)
	require.NoError(t, g.Flush(t.Context()))
	for _, e := range append(log.Recorded(), log.Escalated()...) {
		data, err := json.Marshal(e)
		require.NoError(t, err)
		assert.NotContains(t, string(data), "Bob")
		assert.NotContains(t, string(data), dying)
	}
}

func TestASessionStoreThatFailsCostsNobodyTheirHelp(t *testing.T) {
	g := &safety.Guard{Inspector: script(), Sessions: lost{}}
	say, level := talk(g)
	for range 2 {
		out := say(dying)
		assert.NotNil(t, out.Help)
		assert.Equal(t, safety.High, out.Level)
	}
	assert.Equal(t, safety.None, level())
}

type lost struct{}

func (lost) Load(context.Context, string) (safety.State, error) {
	return safety.State{}, errors.New("lost")
}

func (lost) Update(context.Context, string, func(*safety.State)) (safety.State, error) {
	return safety.State{}, errors.New("lost")
}

func TestMemorySessionsAreBoundedAndKeepTheGravest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &safety.MemorySessions{Max: 8, Hold: time.Minute}
		put := func(key string, level safety.Severity) {
			_, err := m.Update(t.Context(), key, func(s *safety.State) { s.Level, s.Since = level, time.Now() })
			require.NoError(t, err)
		}
		put("ada", safety.Imminent)
		for i := range 100 {
			put(fmt.Sprint(i), safety.High)
			assert.LessOrEqual(t, m.Len(), 8)
		}
		s, err := m.Load(t.Context(), "ada")
		require.NoError(t, err)
		assert.Equal(t, safety.Imminent, s.LevelAt(time.Now()))
		time.Sleep(time.Hour)
		put("new", safety.High)
		assert.Less(t, m.Len(), 8, "what expired is gone")
	})
}

func TestAStateCanBeKeptAsJSON(t *testing.T) {
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	want := safety.State{Level: safety.High, Since: now, Hold: time.Minute, Trajectory: []byte{1, 2}}
	want.Shown[safety.Low] = now
	data, err := json.Marshal(want)
	require.NoError(t, err)
	var got safety.State
	require.NoError(t, json.Unmarshal(data, &got))
	assert.Equal(t, want, got)
	assert.Equal(t, now.Add(3*time.Minute), got.Expires())
}

func TestConversationsAreKeptApart(t *testing.T) {
	g := &safety.Guard{
		Inspector: script(),
		Session:   func(r *http.Request) string { return r.Header.Get("X-Session") },
		Subject:   func(r *http.Request) string { return r.Header.Get("X-Subject") },
	}
	request := func(session, subject string) *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Session", session)
		r.Header.Set("X-Subject", subject)
		return r
	}
	g.Message(t.Context(), safety.Message{Session: "s1", Subject: "ada", Data: []byte(dying)})
	g.Message(t.Context(), safety.Message{Subject: "bob", Data: []byte(dying)})
	g.Message(t.Context(), safety.Message{Data: []byte(dying)})
	child := g.With(safety.Rule{Route: "/x"})
	assert.Equal(t, safety.High, child.Level(request("s1", "")), "routes share what is remembered")
	assert.Equal(t, safety.None, g.Level(request("", "ada")))
	assert.Equal(t, safety.High, g.Level(request("", "bob")))
	assert.Equal(t, safety.None, g.Level(request("", "")), "nobody's danger is everybody's")
}

// drift is an Inspector that finds nothing in a message and counts them: after
// three of a conversation the whole is high.
type drift struct{ *safetytest.Script }

func (d drift) Follow(_ context.Context, c safety.Content, trajectory []byte, _ time.Time) (safety.Verdict, safety.Severity, []byte, error) {
	switch string(c.Text) {
	case "panic":
		panic("!")
	case "fail":
		return safety.Verdict{}, safety.Imminent, nil, errors.New("damaged")
	}
	next := append(append([]byte(nil), trajectory...), 'x')
	if len(next) >= 3 {
		return safety.Verdict{}, safety.High, next, nil
	}
	return safety.Verdict{}, safety.Low, next, nil
}

func TestAConversationCanBeGraveWithoutAGraveMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safetytest.Log
		g := &safety.Guard{Inspector: drift{script()}, Auditor: &log, Escalator: &log}
		say, level := talk(g)
		assert.Equal(t, safety.Low, say("one").Level)
		say("panic")
		say("fail")
		assert.Nil(t, say("two").Help)
		assert.Equal(t, safety.None, level())

		out := say("three")
		assert.Equal(t, safety.None, out.Verdict.Severity, "the message itself is what it is")
		assert.Equal(t, safety.High, out.Level)
		require.NotNil(t, out.Help)
		assert.Equal(t, safety.High, out.Help.Severity)
		assert.Equal(t, safety.High, level())
		assert.Nil(t, say("four").Help, "it rose once")
		require.NoError(t, g.Flush(t.Context()))
		require.Len(t, log.Escalated(), 1)
		assert.Equal(t, safety.KindVerdict, log.Escalated()[0].Kind)
		assert.Equal(t, safety.High, log.Escalated()[0].Level)
	})
}

func TestHelpOverHTTPStandsInTheReplyToTheMessageThatRaisesTheWhole(t *testing.T) {
	g := &safety.Guard{Inspector: drift{script()}, Subject: func(*http.Request) string { return "ada" }}
	h := g.Wrap(&service{contentType: "application/json", answer: "{}"})
	for i, want := range []bool{false, false, true, false} {
		got := text(t, post(t, h, "application/json", `{"m":"go on"}`))
		assert.Equal(t, want, got != "{}", "message %d", i)
	}
	g = &safety.Guard{Inspector: drift{script()}}
	h = g.Wrap(&service{contentType: "application/json", answer: "{}"})
	for range 4 {
		assert.Equal(t, "{}", text(t, post(t, h, "application/json", `{"m":"go on"}`)), "nobody's messages are no conversation")
	}
}

// between is a store in which another message always comes between.
type between struct{ safety.MemorySessions }

func (b *between) Update(ctx context.Context, key string, change func(*safety.State)) (safety.State, error) {
	if _, err := b.MemorySessions.Update(ctx, key, func(s *safety.State) { s.Trajectory = append(s.Trajectory, 'y') }); err != nil {
		return safety.State{}, err
	}
	return b.MemorySessions.Update(ctx, key, change)
}

func TestAMessageThatComesBetweenIsNotForgotten(t *testing.T) {
	store := new(between)
	say, _ := talk(&safety.Guard{Inspector: drift{script()}, Sessions: store})
	say("one")
	s, err := store.Load(t.Context(), "ada")
	require.NoError(t, err)
	assert.Equal(t, "yx", string(s.Trajectory))
	assert.Equal(t, safety.High, say("two").Level, "yx, y between, and x: three")
}
