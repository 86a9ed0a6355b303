package safety_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// breaksOff is a body of which only the beginning arrives.
func breaksOff(text string) io.Reader { return io.MultiReader(strings.NewReader(text), &broken{}) }

func tooLong(text string) io.Reader {
	return http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(text+strings.Repeat(" ", 200))), 100)
}

func TestABodyThatCannotBeReadSaysWhatWasHeard(t *testing.T) {
	g := &safety.Guard{Inspector: script(), Subject: func(r *http.Request) string { return r.Header.Get("X-Who") }}
	open := func(who string, body io.Reader) *safety.BodyError {
		r := httptest.NewRequest("POST", "/", body)
		r.Header.Set("X-Who", who)
		p, err := g.Open(r, 0)
		require.Nil(t, p)
		var b *safety.BodyError
		require.ErrorAs(t, err, &b)
		return b
	}
	b := open("ada", tooLong(`{"m":"`+dying+`"`))
	assert.Equal(t, safety.High, b.Verdict.Severity)
	assert.Equal(t, safety.High, b.Level)
	require.NotNil(t, b.Help)
	assert.Contains(t, b.Help.Text, ourHints)
	var large *http.MaxBytesError
	require.ErrorAs(t, b, &large)
	assert.Equal(t, int64(100), large.Limit)
	assert.ErrorContains(t, b, "safety: read the body: http: request body too large")

	b = open("ada", breaksOff("and now "))
	assert.Equal(t, safety.None, b.Verdict.Severity)
	assert.Equal(t, safety.High, b.Level, "the conversation still stands where it stood")
	assert.Nil(t, b.Help, "nothing was said for which more help is due")

	b = open("bob", breaksOff("and now "))
	assert.Equal(t, safety.None, b.Level)
}

func TestARefusalGivesHelpToWhoIsRefused(t *testing.T) {
	refuse := func(body io.Reader) (string, http.Header) {
		g := &safety.Guard{Inspector: script()}
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/", body)
		r.Header.Set("Accept-Language", "en-US")
		g.Wrap(&service{}).ServeHTTP(w, r)
		assert.GreaterOrEqual(t, w.Code, 400)
		return w.Body.String(), w.Header()
	}
	for desc, body := range map[string]io.Reader{"too large": tooLong(dying), "broken": breaksOff(dying)} {
		text, header := refuse(body)
		assert.True(t, strings.HasPrefix(text, "This is an automated message. Thank you for telling this."), desc)
		assert.Contains(t, text, "This message could not be read.", desc)
		assert.Equal(t, "available", header.Get(safety.SupportHeader), desc)
		assert.Equal(t, usLine, header.Get(safety.HotlineHeader), desc)
	}
	text, header := refuse(breaksOff("go on"))
	assert.True(t, strings.HasPrefix(text, "This message could not be read."))
	assert.Empty(t, header.Get(safety.SupportHeader))

	g := &safety.Guard{Inspector: &safetytest.Script{Err: errors.New("down")}}
	w := httptest.NewRecorder()
	g.Wrap(&service{}).ServeHTTP(w, httptest.NewRequest("POST", "/", breaksOff(dying)))
	assert.Equal(t, "available", w.Header().Get(safety.SupportHeader), "nobody knows what was said")
	assert.True(t, strings.HasPrefix(w.Body.String(), "This message could not be read."))
}

// refusing answers with an error as services and the proxies before them do.
type refusing struct {
	status int
	header http.Header
	answer string
}

func (s refusing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for name, values := range s.header {
		w.Header()[name] = values
	}
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.answer)
}

func fields(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestAnErrorThatCannotCarryHelpIsAnsweredAnew(t *testing.T) {
	tests := []struct {
		desc   string
		status int
		header http.Header
		answer string
	}{
		{"nothing", 503, fields("Content-Length", "0"), ""},
		{"nothing, with a type", 500, fields("Content-Type", "application/json"), ""},
		{"HTML", 502, fields("Content-Type", "text/html"), "<html><h1>502 Bad Gateway</h1></html>"},
		{"an array", 422, fields("Content-Type", "application/json"), `["no"]`},
		{"a string", 400, fields("Content-Type", "application/json"), `"no"`},
		{"broken JSON", 500, fields("Content-Type", "application/json"), `{"detail":"Inter`},
		{"a text in another charset", 500, fields("Content-Type", "text/plain; charset=shift_jis"), "no"},
		{"a coding that we cannot undo", 503, fields("Content-Type", "text/html", "Content-Encoding", "br"), "\x0b\x02\x80no\x03"},
		{"a false coding", 503, fields("Content-Type", "text/plain", "Content-Encoding", "gzip"), "no"},
		{"an image", 404, fields("Content-Type", "image/png"), "\x89PNG"},
		{"bytes", 500, fields("Content-Type", "x/y"), "\x00\x01\x02\xff\xfe"},
		{"an event stream", 429, fields("Content-Type", "text/event-stream"), "data: no\n\n"},
		{"a part of something", 416, fields("Content-Range", "bytes */7"), ""},
		{"more than can be held", 500, fields("Content-Type", "text/plain"), strings.Repeat("no ", 1000)},
		{"less than it says", 500, fields("Content-Type", "text/plain", "Content-Length", "100"), "no"},
		{"a file", 500, fields("Content-Type", "text/csv", "Content-Disposition", "attachment", "Content-Language", "fr", "Content-Location", "/a"), "no,no"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			g := (&safety.Guard{Inspector: script(), MaxBody: 1000}).With(safety.Rule{Reply: "response"})
			tt.header.Set("Retry-After", "7")
			h := g.Wrap(refusing{tt.status, tt.header, tt.answer})

			calm := post(t, h, "text/plain", "open the door")
			assert.Equal(t, tt.answer, text(t, calm), "another message's error stays as it is")
			assert.Empty(t, calm.Header.Get(safety.SupportHeader))

			res := post(t, h, "text/plain", dying)
			assert.Equal(t, tt.status, res.StatusCode)
			assert.Equal(t, "7", res.Header.Get("Retry-After"), "what else the service says stays")
			assert.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
			assert.Equal(t, "available", res.Header.Get(safety.SupportHeader))
			assert.Equal(t, usLine, res.Header.Get(safety.HotlineHeader))
			assert.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			for _, name := range []string{"Content-Encoding", "Content-Disposition", "Content-Location", "Content-Range", "Content-Language"} {
				assert.Empty(t, res.Header.Get(name), name)
			}
			body := text(t, res)
			assert.EqualValues(t, len(body), res.ContentLength)
			var problem struct {
				Title, Message, Detail, Error, Code string
				Status                              int
				Help                                struct{ Severity string }
				Links                               []struct{ Name, URL string } `json:"crisis_resources"`
				Safety                              struct{ Crisis bool }
			}
			require.NoError(t, json.Unmarshal([]byte(body), &problem), body)
			assert.Equal(t, http.StatusText(tt.status), problem.Title)
			assert.Equal(t, problem.Title, problem.Error)
			assert.Equal(t, tt.status, problem.Status)
			assert.Equal(t, "upstream_error", problem.Code)
			assert.True(t, strings.HasPrefix(problem.Message, "This is an automated message. Thank you for telling this."), problem.Message)
			assert.Contains(t, problem.Message, "The service answered with an error")
			assert.Equal(t, problem.Message, problem.Detail)
			assert.Equal(t, "high", problem.Help.Severity)
			assert.True(t, problem.Safety.Crisis)
			assert.NotEmpty(t, problem.Links)
		})
	}
}

func TestWhatIsNotAnErrorOrMayHaveNoBodyIsNotAnsweredAnew(t *testing.T) {
	g := &safety.Guard{Inspector: script()}
	for desc, s := range map[string]refusing{
		"a page":               {200, fields("Content-Type", "text/html"), "<p>yes"},
		"no content":           {204, fields(), ""},
		"a redirection":        {302, fields("Location", "/"), ""},
		"an object":            {500, fields("Content-Type", "application/json"), `{"crisis_resources":[1],"safety":{"crisis":true}}`},
		"an object, uninvited": {404, fields("Content-Type", "text/html"), `{"crisis_resources":[1],"safety":{"crisis":true}}`},
	} {
		assert.Equal(t, s.answer, text(t, post(t, g.Wrap(s), "text/plain", dying)), desc)
	}
	w := httptest.NewRecorder()
	g.Wrap(refusing{503, fields("Content-Length", "12"), ""}).ServeHTTP(w, httptest.NewRequest("HEAD", "/", strings.NewReader(dying)))
	assert.Empty(t, w.Body.String())
	assert.Equal(t, "12", w.Header().Get("Content-Length"))

	skipped := g.With(safety.NotInspected(""))
	assert.Empty(t, text(t, post(t, skipped.Wrap(refusing{503, fields(), ""}), "text/plain", dying)))
}

func TestAnErrorThatWouldDoHarmIsAnsweredAnewWithoutIt(t *testing.T) {
	g := &safety.Guard{Inspector: script()}
	body := text(t, post(t, g.Wrap(refusing{500, fields("Content-Type", "text/html"), "<p>" + poison}), "text/plain", dying))
	assert.Contains(t, body, "upstream_error")
	assert.Contains(t, body, "was held back by an automated check")
	assert.NotContains(t, body, poison)
}

// The person need not wait for the end of an error that does not end.
func TestAnErrorWithoutEndIsAnsweredAtOnce(t *testing.T) {
	read := make(chan struct{})
	s := serve(t, &safety.Guard{Inspector: script()}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "data: one\n\n")
		<-read // deadlocks unless the answer was sent
	})
	res := ask(t, "POST", s.URL, `{"m":"`+dying+`"}`)
	body := make([]byte, res.ContentLength)
	_, err := io.ReadFull(res.Body, body)
	require.NoError(t, err)
	assert.Contains(t, string(body), ourHints)
	close(read)
}

func TestWhoWorriesAboutAnotherIsToldWhatHelpsThen(t *testing.T) {
	bystander := safety.Verdict{Severity: safety.High, Categories: []safety.Category{safety.SuicidalIdeation, safety.ThirdParty}, Language: "es"}
	r := httptest.NewRequest("POST", "/", nil)
	for desc, g := range map[string]*safety.Guard{"nil": nil, "zero": {}} {
		t.Run(desc, func(t *testing.T) {
			h := g.HelpFor(r, bystander)
			assert.Contains(t, h.Text, "Parece que te preocupa alguien", "in the language that they write in")
			assert.Equal(t, bystander.Categories, h.Categories)
			assert.Equal(t, safety.High, h.Severity)

			r := r.Clone(t.Context())
			r.Header.Set("Accept-Language", "en-US")
			h = g.HelpFor(r, bystander)
			assert.Contains(t, h.Text, "you are worried about somebody", "unless their browser asks for another")
			assert.Equal(t, "US", h.Region)
			assert.Equal(t, g.Help(r, safety.High), g.HelpFor(r, safety.Verdict{Severity: safety.High}))
			assert.NotEqual(t, g.Help(r, safety.High).Text, h.Text)
			assert.NotPanics(t, func() { g.HelpFor(nil, bystander) })
		})
	}
	abroad := &safety.Guard{Region: func(*http.Request) string { return "GB" }}
	assert.Equal(t, "GB", abroad.HelpFor(r, bystander).Region)
}

func TestHeadersSayWhereHelpIs(t *testing.T) {
	tests := []struct {
		desc string
		help safety.Help
		want string
	}{
		{"of a region", safety.DefaultBook().Help("en", "GB", safety.Imminent), "116 123"},
		{"of a region, whatever the danger", safety.DefaultBook().Help("en", "US", safety.High, safety.Abuse), usLine},
		{"of none", safety.DefaultBook().Help("en", "", safety.None), "findahelpline.com"},
		{"of one's own", safety.Help{Resources: []safety.Resource{{Name: "chat", URL: "https://a.example"}, {Name: "line", Phone: "555"}}}, "555"},
		{"of nobody", safety.Help{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			header := http.Header{"X-Crisis-Hotline": {"forged"}}
			tt.help.SetHeaders(header)
			assert.Equal(t, "available", header.Get("X-Crisis-Support"))
			assert.Equal(t, tt.want, header.Get("X-Crisis-Hotline"))
		})
	}
}
