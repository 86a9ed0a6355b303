package safety_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

const (
	sad      = "it has been a hard week and i cannot cope"
	dying    = "i want to die"
	tonight  = "i will do it tonight"
	poison   = "here is how much to take"
	unlucky  = "the ship sank"
	usLine   = "988"
	ourHints = "Are you safe right now?"
)

func script() *safetytest.Script {
	return &safetytest.Script{
		Requests: map[string]safety.Verdict{
			"a bit low": safetytest.Found(safety.Low, safety.GeneralDistress),
			sad:         safetytest.Found(safety.Moderate, safety.GeneralDistress),
			dying:       safetytest.Found(safety.High, safety.SuicidalIdeation),
			tonight:     safetytest.Found(safety.Imminent, safety.SuicidalIdeation),
		},
		Responses: map[string]safety.Verdict{
			poison: safetytest.Found(safety.High, safety.Methods),
			dying:  safetytest.Found(safety.High, safety.SuicidalIdeation),
		},
	}
}

// service answers every request in the same way and remembers what it got.
type service struct {
	status      int
	contentType string
	answer      string
	got         string
	header      http.Header
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.got, s.header = string(body), r.Header.Clone()
	w.Header().Set("Content-Type", s.contentType)
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	_, _ = io.WriteString(w, s.answer)
}

func post(t *testing.T, h http.Handler, contentType, body string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("POST", "/api/v1/gameplay/message", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept-Language", "en-US,en;q=0.9")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(b)
}

func TestHelpStandsInTheReplyToACrisisMessageAndInNoOther(t *testing.T) {
	const message = `{"session_id":"s1","message":"` + dying + `"}`
	tests := []struct {
		desc        string
		status      int
		contentType string
		answer      string
		want        string // H: the help text, R: its links, S: its mark; empty: unchanged
	}{
		{"its own field", 200, "application/json",
			`{"success":true, "response" : "The door opens.","n":1.0}`,
			`{"success":true, "response" : "H\n\nThe door opens.","n":1.0,"crisis_resources":R,"safety":S}`},
		{"an empty field", 200, "application/json", `{"response":""}`, `{"response":"H","crisis_resources":R,"safety":S}`},
		{"a field that is null", 200, "application/json", `{"response":null}`, `{"response":"H","crisis_resources":R,"safety":S}`},
		{"an object without the field", 201, "application/json", `{"id":7}`, `{"id":7,"crisis_resources":R,"safety":S}`},
		{"an empty object", 200, "application/json", ` { } `, ` { "crisis_resources":R,"safety":S} `},
		{"members that are there already", 200, "application/json",
			`{"safety":{"crisis":false},"crisis_resources":[]}`, `{"safety":{"crisis":false},"crisis_resources":R}`},
		{"an error's message and detail", 422, "application/problem+json",
			`{"error":"SAFETY_ERROR","message":"No.","detail":"Not so."}`,
			`{"error":"SAFETY_ERROR","message":"H\n\nNo.","detail":"H\n\nNot so.","crisis_resources":R,"safety":S}`},
		{"an error that brings help itself", 429, "application/problem+json",
			`{"message":"Slow down.","crisis_resources":[{"name":"x","url":"y"}],"safety":1}`,
			`{"message":"Slow down.","crisis_resources":[{"name":"x","url":"y"}],"safety":1}`},
		{"message of a success is the service's", 200, "application/json", `{"message":"ok"}`, `{"message":"ok","crisis_resources":R,"safety":S}`},
		{"plain text", 200, "text/plain; charset=utf-8", "The door opens.", "H\n\nThe door opens."},
		{"an array", 200, "application/json", `[1,2]`, ""},
		{"a string", 200, "application/json", `"x"`, ""},
		{"HTML", 200, "text/html", `<p>The door opens.</p>`, ""},
		{"broken JSON", 200, "application/json", `{"response":"The`, ""},
		{"nothing", 204, "", "", ""},
		{"an event stream", 200, "text/event-stream", "data: {}\n\n", ""},
		{"an image", 200, "image/png", "\x89PNG", ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			g := (&safety.Guard{Inspector: script()}).With(safety.Rule{Reply: "response"})
			s := &service{status: tt.status, contentType: tt.contentType, answer: tt.answer}

			calm := post(t, g.Wrap(s), "application/json", `{"message":"open the door"}`)
			assert.Equal(t, tt.answer, text(t, calm), "the reply to another message")
			assert.Empty(t, calm.Header.Get(safety.SupportHeader))
			assert.Empty(t, calm.Header.Get(safety.HotlineHeader))

			res := post(t, g.Wrap(s), "application/json", message)
			assert.Equal(t, message, s.got, "the message is delivered as it came")
			assert.Equal(t, "available", res.Header.Get(safety.SupportHeader))
			assert.Equal(t, usLine, res.Header.Get(safety.HotlineHeader))
			got := text(t, res)
			if tt.want == "" {
				assert.Equal(t, tt.answer, got)
				return
			}
			assert.Equal(t, expand(t, tt.want, tt.contentType), got)
			assert.Equal(t, tt.status, res.StatusCode)
			if strings.Contains(tt.contentType, "json") {
				assert.True(t, json.Valid([]byte(got)))
			}
			if got != tt.answer {
				assert.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			}
		})
	}
}

// expand writes the help for a high verdict in the US in the place of H, R, S.
func expand(t *testing.T, pattern, contentType string) string {
	t.Helper()
	h := safety.DefaultBook().Help("en", "US", safety.High, safety.SuicidalIdeation)
	text := h.String()
	if strings.Contains(contentType, "json") {
		text = strings.NewReplacer("\n", `\n`, "&", `\u0026`).Replace(text)
	}
	links, err := json.Marshal(h.Members()["crisis_resources"])
	require.NoError(t, err)
	return strings.NewReplacer(
		`"H`, `"`+text, ":R", ":"+string(links),
		":S", `:{"crisis":true,"types":["suicidal_ideation"],"level":"high"}`,
	).Replace(strings.Replace(pattern, "H\n", text+"\n", 1))
}

func TestTheServiceIsToldWhatWasFound(t *testing.T) {
	tests := []struct {
		desc, body, severity, categories, level string
	}{
		{"nothing", `{"message":"` + unlucky + `"}`, "none", "", ""},
		{"something low", `{"message":"a bit low"}`, "low", "general_distress", "low"},
		{"two things", `{"a":"` + dying + `","b":"` + sad + `"}`, "high", "suicidal_ideation,general_distress", "high"},
		{"something imminent", `{"message":"` + tonight + `"}`, "imminent", "suicidal_ideation", "imminent"},
		{"nothing that could be known", "\x00\x01\x02\x03\xff\xfe\xfd\xfc", "unknown", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			g := &safety.Guard{Inspector: script()}
			s := &service{contentType: "application/json", answer: "{}"}
			r := httptest.NewRequest("POST", "/", strings.NewReader(tt.body))
			r.Header.Set("X-Safety-Severity", "imminent")
			r.Header.Set("X-Safety-Session-Level", "imminent")
			r.Header.Set("X-Safety-Categories", "forged")
			g.Wrap(s).ServeHTTP(httptest.NewRecorder(), r)
			assert.Equal(t, tt.severity, s.header.Get(safety.SeverityHeader))
			assert.Equal(t, tt.categories, s.header.Get(safety.CategoriesHeader))
			assert.Equal(t, tt.level, s.header.Get(safety.SessionLevelHeader))
		})
	}
}

func TestForgedHeadersAreRemovedAlsoWhereNothingIsJudged(t *testing.T) {
	for desc, g := range map[string]*safety.Guard{
		"no body":       {Inspector: script()},
		"not inspected": (&safety.Guard{Inspector: script()}).With(safety.NotInspected("")),
	} {
		s := &service{}
		r := httptest.NewRequest("GET", "/", nil)
		for _, name := range []string{safety.SeverityHeader, safety.CategoriesHeader, safety.SessionLevelHeader} {
			r.Header.Set(name, "imminent")
		}
		g.Wrap(s).ServeHTTP(httptest.NewRecorder(), r)
		assert.NotContains(t, s.header, "imminent", desc)
		assert.Empty(t, s.header.Get(safety.SeverityHeader), desc)
		assert.Empty(t, s.header.Get(safety.CategoriesHeader), desc)
		assert.Empty(t, s.header.Get(safety.SessionLevelHeader), desc)
	}
}

func TestHarmThatOnlyTheWholeShowsReplacesAllThatIsRead(t *testing.T) {
	inspector := script()
	inspector.Responses["all of them"] = safetytest.Found(safety.Imminent, safety.Methods)
	g := &safety.Guard{Inspector: inspector}
	s := &service{contentType: "application/json", answer: `{"a":"` + poison + `","b":"now all of","c":"them at once","role":"assistant"}`}
	got := text(t, post(t, g.Wrap(s), "application/json", "{}"))
	assert.NotContains(t, got, "all of")
	assert.NotContains(t, got, "at once")
	assert.Contains(t, got, `"role":"assistant"`)
}

func TestHarmFromTheServiceIsReplacedInItsPlace(t *testing.T) {
	replaced := strings.NewReplacer("&", `\u0026`).Replace("This reply was held back by an automated check because it could have done harm. If you are going through something hard, real people are ready to listen: 988 Suicide & Crisis Lifeline, call 988.")
	tests := []struct {
		desc, contentType, answer, want string
	}{
		{"in the reply's field", "application/json", `{"response":"Well, ` + poison + `.","n":1}`, `{"response":"` + replaced + `","n":1}`},
		{"in any other", "application/json", `{"response":"Yes.","choices":[{"text":"` + poison + `"}]}`, `{"response":"Yes.","choices":[{"text":"` + replaced + `"}]}`},
		{"spelt with escapes", "application/json", `{"x":"here is ho\u0077 much to take"}`, `{"x":"` + replaced + `"}`},
		{"cut over two fields", "application/json", `{"id":"12345678-90","a":"here is how","b":"much to take"}`, `{"id":"12345678-90","a":"` + replaced + `","b":"` + replaced + `"}`},
		{"in UTF-16", "application/json", "{\x00\"\x00x\x00\"\x00:\x00\"\x00" + utf16(poison) + "\"\x00}\x00", `{"x":"` + replaced + `"}`},
		{"in a text", "text/plain", "Well, " + poison, strings.ReplaceAll(replaced, `\u0026`, "&")},
		{"in HTML", "text/html", "<b>" + poison, strings.ReplaceAll(replaced, `\u0026`, "&")},
		{"in broken JSON", "application/json", `{"response":"` + poison, `{"response":"` + replaced + `"}`},
		{"a person's own words are left alone", "application/json", `{"history":["` + dying + `"]}`, `{"history":["` + dying + `"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			var log safetytest.Log
			g := (&safety.Guard{Inspector: script(), Auditor: &log}).With(safety.Rule{Reply: "response"})
			s := &service{contentType: tt.contentType, answer: tt.answer}
			res := post(t, g.Wrap(s), "application/json", `{"message":"go on"}`)
			assert.Equal(t, tt.want, text(t, res))
			require.NoError(t, g.Flush(t.Context()))
			if tt.want != tt.answer {
				require.Len(t, log.Recorded(), 1)
				assert.Equal(t, []string{"replace"}, log.Recorded()[0].Actions)
				assert.Equal(t, safety.Response, log.Recorded()[0].Direction)
			}
		})
	}
}

func utf16(s string) string {
	var b strings.Builder
	for _, c := range s {
		b.WriteRune(c)
		b.WriteByte(0)
	}
	return b.String()
}

func TestWhenTheInspectorFailsWordsAreDeliveredAndHelpIsNamed(t *testing.T) {
	inspectors := map[string]safety.Inspector{
		"it returns an error": &safetytest.Script{Err: errors.New("no route to host")},
		"it panics": &safetytest.Script{Answer: func(context.Context, safety.Content) (safety.Verdict, error) {
			panic("secret words of a message")
		}},
		"it panics aside": safetytest.Slow{Inspector: &safetytest.Script{Answer: func(context.Context, safety.Content) (safety.Verdict, error) {
			var none []int
			return safety.Verdict{Score: float64(none[1])}, nil
		}}},
		"it never answers": safetytest.Slow{Inspector: &safetytest.Script{Answer: func(ctx context.Context, _ safety.Content) (safety.Verdict, error) {
			<-ctx.Done()
			return safety.Verdict{}, ctx.Err()
		}}},
	}
	for desc, inspector := range inspectors {
		t.Run(desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safetytest.Log
				var seen safetytest.Observer
				guard := &safety.Guard{Inspector: inspector, Auditor: &log, Observe: seen.Observe}
				s := &service{contentType: "application/json", answer: `{"response":"Yes."}`}

				began := time.Now()
				res := post(t, guard.With(safety.Rule{Reply: "response"}).Wrap(s), "application/json", `{"message":"`+dying+`"}`)
				assert.LessOrEqual(t, time.Since(began), 2*safety.DefaultDeadline)
				assert.Contains(t, s.got, dying)
				assert.Equal(t, "unknown", s.header.Get(safety.SeverityHeader))
				assert.Equal(t, usLine, res.Header.Get(safety.HotlineHeader))
				assert.Empty(t, res.Header.Get("X-Therapeutic-Safety"))
				assert.Regexp(t, `^{"response":"Yes\.\\n\\nThe automated safety check could not look at this reply`, text(t, res))

				res = post(t, guard.With(safety.Rule{Reply: "response", Hold: true}).Wrap(s), "application/json", `{}`)
				got := text(t, res)
				assert.NotContains(t, got, "Yes.")
				assert.Contains(t, got, "so it is not shown")

				require.NoError(t, guard.Flush(t.Context()))
				for _, e := range log.Recorded() {
					assert.Equal(t, safety.KindUnknown, e.Kind)
					assert.Equal(t, safety.SkippedInspectorFailed, e.Skipped)
				}
				assert.Len(t, log.Recorded(), 3)
				_, skipped := seen.Bytes(safety.Request)
				assert.NotZero(t, skipped)
				assert.Subset(t, seen.Actions(), []string{"footer", "hold"})
			})
		})
	}
}

// What was said in a coding that cannot be undone may be anything. The reply's
// headers say where help is, once in a while; its body stays as it is.
func TestWhatCouldNotBeReadNamesHelpOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safetytest.Log
		guard := &safety.Guard{Inspector: script(), Auditor: &log, Subject: func(r *http.Request) string { return r.Header.Get("X-Who") }}
		s := &service{contentType: "application/json", answer: `{"response":"Yes."}`}
		say := func(who, contentType, coding, body string) (supported bool) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(body))
			r.Header["X-Who"], r.Header["Content-Encoding"], r.Header["Content-Type"] = []string{who}, []string{coding}, []string{contentType}
			w := httptest.NewRecorder()
			guard.With(safety.Rule{Reply: "response"}).Wrap(s).ServeHTTP(w, r)
			assert.Equal(t, s.answer, w.Body.String())
			return w.Header().Get(safety.SupportHeader) != ""
		}
		assert.True(t, say("ada", "application/json", "br", "\x0b\x02\x80hm\x03"))
		assert.Equal(t, "unknown", s.header.Get(safety.SeverityHeader))
		assert.False(t, say("ada", "application/json", "br", "\x0b\x02\x80hm\x03"), "a client that always writes so is not told always")
		assert.True(t, say("bob", "text/plain; charset=klingon", "", "qaSuchbe'"), "others are")
		time.Sleep(safety.DefaultCooldown + 1)
		assert.True(t, say("ada", "application/json", "gzip, gzip, gzip", "hm"))
		assert.True(t, say("", "application/json", "br", "hm"), "whom nobody knows is told each time")
		assert.True(t, say("", "application/json", "br", "hm"))

		assert.False(t, say("", "image/png", "", "\x89PNG\x00\x01\x02\x03"), "a picture is nothing said")
		assert.False(t, say("", "application/json", "", `{"m":`), "broken JSON was read as a text")
		require.NoError(t, guard.Flush(t.Context()))
	})
}

func TestJudgeSaysWhyItCouldNot(t *testing.T) {
	g := &safety.Guard{Inspector: &safetytest.Script{Answer: func(context.Context, safety.Content) (safety.Verdict, error) {
		panic("words of a message")
	}}}
	v, err := g.Judge(t.Context(), safety.Content{Text: []byte("x")})
	require.ErrorIs(t, err, safety.ErrInspector)
	assert.NotContains(t, err.Error(), "words of a message")
	assert.Equal(t, safety.SkippedInspectorFailed, v.Skipped)

	v, err = (&safety.Guard{}).Judge(t.Context(), safety.Content{Text: []byte("x")})
	require.NoError(t, err)
	assert.True(t, v.Unknown())
}

func TestInspectionsThatAreLeftBehindAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := (&safety.Guard{Inspector: safetytest.Slow{Inspector: &safetytest.Script{Answer: func(context.Context, safety.Content) (safety.Verdict, error) {
			<-release // it does not even obey its context
			return safety.Verdict{}, nil
		}}}}).With(safety.Rule{Reply: "response", Hold: true})
		reply := safety.Message{Direction: safety.Response, Data: []byte(`{"response":"Yes."}`)}
		for range 1024 {
			g.Message(t.Context(), reply)
		}
		began := time.Now()
		out := g.Message(t.Context(), reply)
		assert.Zero(t, time.Since(began), "nobody waits for what cannot come")
		assert.Equal(t, safety.SkippedInspectorFailed, out.Verdict.Skipped)
		assert.NotContains(t, string(out.Data), "Yes.", "and what cannot be judged is held")
		_, err := g.Judge(t.Context(), safety.Content{})
		assert.ErrorContains(t, err, "1024 inspections")
		close(release)
	})
}

func TestASeverityThatDoesNotExistIsTheNearestThatDoes(t *testing.T) {
	for given, want := range map[safety.Severity]safety.Severity{99: safety.Imminent, -7: safety.None} {
		g := &safety.Guard{Inspector: &safetytest.Script{Answer: func(context.Context, safety.Content) (safety.Verdict, error) {
			return safety.Verdict{Severity: given}, nil
		}}, Book: new(safety.Book), Budget: new(safety.Budget)}
		out := g.Message(t.Context(), safety.Message{Subject: "ada", Data: []byte("x y")})
		assert.Equal(t, want, out.Verdict.Severity)
	}
}

func TestOnePoisonedTextDoesNotHideTheOthers(t *testing.T) {
	g := &safety.Guard{Inspector: &safetytest.Script{Answer: func(_ context.Context, c safety.Content) (safety.Verdict, error) {
		if bytes.Contains(c.Text, []byte("poison")) {
			panic("!")
		}
		return safetytest.Found(safety.High, safety.SelfHarm), nil
	}}}
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"a":"poison","b":"words"}`))
	p, err := g.Open(r, 0)
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, safety.High, p.Verdict().Severity)
	assert.Equal(t, safety.SkippedInspectorFailed, p.Verdict().Skipped)
}

func TestAGuardWithoutAnInspectorPassesEverythingAndClaimsNothing(t *testing.T) {
	var seen safetytest.Observer
	for desc, g := range map[string]*safety.Guard{
		"zero":          {},
		"nil":           nil,
		"not inspected": (&safety.Guard{Inspector: script(), Observe: seen.Observe}).With(safety.NotInspected("catalogue data")),
	} {
		t.Run(desc, func(t *testing.T) {
			s := &service{contentType: "application/json", answer: `{"response":"` + poison + `"}`}
			res := post(t, g.Wrap(s), "application/json", `{"message":"`+dying+`"}`)
			assert.Equal(t, s.answer, text(t, res))
			assert.Equal(t, `{"message":"`+dying+`"}`, s.got)
			assert.Empty(t, s.header.Get(safety.SeverityHeader))
			assert.NoError(t, g.Flush(t.Context()))
			assert.NoError(t, g.Check())
			assert.Equal(t, safety.None, g.Level(httptest.NewRequest("GET", "/", nil)))
			assert.Contains(t, g.Help(nil, safety.High).Text, ourHints)
			p, err := g.Open(httptest.NewRequest("POST", "/", strings.NewReader("x")), 0)
			require.NoError(t, err)
			assert.NotEmpty(t, p.Verdict().Skipped)
			p.Close()
			out := g.Message(t.Context(), safety.Message{Data: []byte(dying)})
			assert.Equal(t, dying, string(out.Data))
			assert.Nil(t, out.Help)
		})
	}
	for _, o := range seen.All() {
		assert.False(t, o.Inspected)
		assert.Equal(t, "catalogue data", o.Skipped)
	}
	assert.Len(t, seen.All(), 3, "both ways of the exchange, and the message")
}

func TestBodiesThatCannotBeReadAreRefused(t *testing.T) {
	g := &safety.Guard{Inspector: script(), Subject: func(*http.Request) string { return "ada" }}
	s := &service{}
	tests := []struct {
		desc string
		body io.Reader
		want int
	}{
		{"too large", http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(`{"m":"`+dying+`"`+strings.Repeat(" ", 100))), 64), 413},
		{"broken", io.MultiReader(strings.NewReader(`{"m":"`+dying), &broken{}), 400},
		{"without end or progress", stuck{}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", tt.body)
			w := httptest.NewRecorder()
			g.Wrap(s).ServeHTTP(w, r)
			assert.Equal(t, tt.want, w.Code)
			assert.Contains(t, w.Body.String(), "findahelpline.com")
			assert.Empty(t, s.got, "it never reached the service")
		})
	}
	assert.Equal(t, safety.High, g.Level(httptest.NewRequest("GET", "/", nil)), "what had arrived was heard nevertheless")

	g = &safety.Guard{Inspector: script(), ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusTeapot)
	}}
	w := httptest.NewRecorder()
	g.Wrap(s).ServeHTTP(w, httptest.NewRequest("POST", "/", &broken{}))
	assert.Equal(t, http.StatusTeapot, w.Code)
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }
