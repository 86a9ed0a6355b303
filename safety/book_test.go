package safety_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
)

// forbidden are what no text to a person in distress may hold: methods and
// places, blame, argument, diagnosis, promises, threats, numbers that frighten,
// and claims that somebody was told.
var forbidden = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`!`, `¡`, `\bcommit`, `comet(er|iste)`, `successful|failed|attempt|exitoso|fallido|intento de`,
	`\bpills?\b|knife|rope|\bgun|overdose|\bhang|\bjump|\bcut(ting)?\b|bridge|pastilla|cuchillo|soga|pistola|sobredosis|ahorcar|saltar|cortar|puente`,
	`police|policía|\bfamily\b|\bfamilia\b|think of (your|those)|your life matters|tu vida importa|do not wait|no esperes|selfish|egoísta`,
	`disorder|diagnos|depresi|depressed|symptom|síntoma|suicid`,
	`promise|promet|confidential|guarantee|garant|will be fine|todo irá bien`,
	`(was|were|been) (told|notified|alerted|informed)|notified|on (its|their|the) way|hemos avisado|se ha avisado|en camino`,
	`\d+ ?%|per cent|por ciento`,
}, "|"))

var automated = map[string]string{"en": "automated", "es": "automátic"}

func TestTheTextsAreFitForSomebodyInDistress(t *testing.T) {
	book := safety.DefaultBook()
	require.Equal(t, []string{"en", "es"}, book.Languages())
	for _, language := range book.Languages() {
		for severity := safety.None; severity <= safety.Imminent; severity++ {
			for _, categories := range [][]safety.Category{nil, {safety.ThirdParty, safety.SelfHarm}} {
				for _, region := range append(book.Regions(), "") {
					h := book.Help(language, region, severity, categories...)
					assert.Equal(t, language, h.Language)
					assert.NotEmpty(t, h.Version)
					assert.LessOrEqual(t, len(strings.Fields(h.Text)), 70, "60, and the emergency number in words")
					assert.Empty(t, forbidden.FindString(h.Text), h.Text)
					assert.Contains(t, h.Text, automated[language])
					assert.NotContains(t, h.Text, "{")
					assert.False(t, strings.ContainsFunc(h.Text, func(r rune) bool { return unicode.Is(unicode.So, r) }), "no pictures")
					if severity >= safety.Low {
						assert.Regexp(t, `Are you safe right now\?|are you safe right now\?|stás a salvo ahora mismo\?`, h.Text)
					}
					require.NotEmpty(t, h.Resources)
					assert.LessOrEqual(t, len(h.Resources), 6)
					if region != "" && severity >= safety.High {
						assert.True(t, h.Resources[0].Emergency, "first what may be needed now")
					}
				}
			}
		}
	}
}

func TestTheBuiltInFilesKeepToSixtyWordsAndTheRules(t *testing.T) {
	for _, language := range []string{"en", "es"} {
		data, err := os.ReadFile("book/" + language + ".json")
		require.NoError(t, err)
		var file struct{ Messages, Replies map[string]string }
		require.NoError(t, json.Unmarshal(data, &file))
		for _, part := range []map[string]string{file.Messages, file.Replies} {
			for name, text := range part {
				assert.LessOrEqual(t, len(strings.Fields(text)), 60, name)
				assert.Empty(t, forbidden.FindString(text), name)
			}
		}
	}
}

func TestEveryResourceSaysWhenItWasVerifiedOrThatItWasNot(t *testing.T) {
	book := safety.DefaultBook()
	for _, region := range append(book.Regions(), "") {
		for _, r := range book.Resources(region) {
			if r.Unverified {
				assert.Empty(t, r.VerifiedOn, r.ID)
				continue
			}
			_, err := time.Parse(time.DateOnly, r.VerifiedOn)
			assert.NoError(t, err, r.ID)
		}
	}
	for _, region := range []string{"US", "CA", "GB", "IE", "FR", "ES", "DE", "CH", "AT", "BE", "NL", "IT", "PT", "BR", "MX", "AU", "NZ", "IN", "ZA", "JP", "KR"} {
		assert.Contains(t, book.Regions(), region)
	}
}

func TestWhereAPersonIsDecidesWhomTheyCall(t *testing.T) {
	g := &safety.Guard{}
	tests := []struct {
		desc, accept, region, wantRegion, wantLanguage, wantText string
	}{
		{"nothing known", "", "", "", "en", "your local emergency number (112 works"},
		{"a language alone is no place", "es", "", "", "es", "número de emergencias de tu zona"},
		{"the browser's region", "es-MX,es;q=0.9,en;q=0.8", "", "MX", "es", "911"},
		{"the most wanted region", "en;q=0.5, de-AT;q=0.9, en-GB;q=0.8", "", "AT", "en", "112"},
		{"a region by number is no place to call", "es-419", "", "", "es", "emergencias de tu zona"},
		{"a script is no region", "en-Latn-GB", "", "GB", "en", "999"},
		{"the host knows better", "en-US", "GB", "GB", "en", "999"},
		{"a region that the book has not", "en-US", "ZZ", "", "en", "your local emergency number"},
		{"a language that the book has not", "fr-FR", "", "FR", "en", "112"},
		{"not wanted", "es;q=0, en", "", "", "en", ""},
		{"nonsense", ";;q=x,,-,q=1", "", "", "en", ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Accept-Language", tt.accept)
			g := &safety.Guard{Region: func(*http.Request) string { return tt.region }}
			h := g.Help(r, safety.Imminent)
			assert.Equal(t, tt.wantRegion, h.Region)
			assert.Equal(t, tt.wantLanguage, h.Language)
			assert.Contains(t, h.Text, tt.wantText)
		})
	}
	assert.Equal(t, "findahelpline", g.Help(nil, safety.High).Resources[0].ID)
}

func TestTheDangerDecidesWhatElseIsNamed(t *testing.T) {
	ids := func(severity safety.Severity, categories ...safety.Category) (ids []string) {
		for _, r := range safety.DefaultBook().Help("en", "US", severity, categories...).Resources {
			ids = append(ids, r.ID)
		}
		return ids
	}
	assert.Equal(t, []string{"us-988", "us-crisis-text-line", "us-trevor", "emergency"}, ids(safety.Moderate))
	assert.Equal(t, "us-domestic-violence", ids(safety.Moderate, safety.Abuse)[0])
	assert.Equal(t, []string{"emergency", "us-988", "us-samhsa", "us-poison"}, ids(safety.Imminent, safety.SubstanceCrisis)[:4])
	assert.Contains(t, ids(safety.Low, safety.EatingDisorder), "us-anad")
}

func TestABookOfOnesOwnIsReadStrictly(t *testing.T) {
	files := func(change func(map[string]string)) fs.FS {
		all := map[string]string{}
		for _, name := range []string{"en.json", "es.json", "resources.json"} {
			data, err := os.ReadFile("book/" + name)
			require.NoError(t, err)
			all[name] = string(data)
		}
		change(all)
		m := fstest.MapFS{}
		for name, data := range all {
			m[name] = &fstest.MapFile{Data: []byte(data)}
		}
		return m
	}
	replace := func(file, old, new string) func(map[string]string) {
		return func(all map[string]string) {
			require.Contains(t, all[file], old)
			all[file] = strings.Replace(all[file], old, new, 1)
		}
	}
	tests := []struct {
		desc   string
		change func(map[string]string)
		want   []string
	}{
		{"as it is", func(map[string]string) {}, nil},
		{"without English", func(all map[string]string) { delete(all, "en.json") }, []string{"en.json is missing"}},
		{"a text is missing", replace("es.json", `"imminent"`, `"imminente"`), []string{"messages.imminent is missing", "messages.imminente is unknown"}},
		{"too long", replace("en.json", "This is an automated note.", strings.Repeat("word ", 61)), []string{"at most 60"}},
		{"another placeholder", replace("en.json", "{emergency}", "{number}"), []string{"placeholder other than {emergency}"}},
		{"an unknown member", replace("resources.json", `"availability"`, `"avialability"`), []string{"avialability"}},
		{"named otherwise", replace("es.json", `"language": "es"`, `"language": "fr"`), []string{`want "es"`}},
		{"no JSON", replace("es.json", "{", ""), []string{"book es.json"}},
		{"more than JSON", func(all map[string]string) { all["es.json"] += "{}" }, []string{"something follows"}},
		{"a bad date", replace("resources.json", `"verified_on": "2026-11-22"`, `"verified_on": "yesterday"`), []string{"verified_on"}},
		{"no way to reach it", replace("resources.json", `"url": "https://findahelpline.com",`, ``), []string{"give phone, sms or url"}},
		{"no https", replace("resources.json", "https://988lifeline.org", "http://988lifeline.org"), []string{"want https"}},
		{"no resources", func(all map[string]string) { delete(all, "resources.json") }, []string{"international is empty"}},
		{"all at once", func(all map[string]string) { delete(all, "en.json"); delete(all, "resources.json") }, []string{"en.json is missing", "international is empty"}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			book, err := safety.ReadBook(files(tt.change))
			if tt.want == nil {
				require.NoError(t, err)
				assert.Equal(t, safety.DefaultBook().Help("es", "US", safety.High), book.Help("es", "US", safety.High))
				return
			}
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			assert.Nil(t, book)
		})
	}
}

func TestTheFrameIsOneOfTheChatProtocol(t *testing.T) {
	h := safety.DefaultBook().Help("en", "US", safety.High, safety.SuicidalIdeation)
	now := time.Date(2026, 11, 22, 21, 0, 0, 5000, time.FixedZone("", 3600))
	var f struct {
		ID, Role, Timestamp string
		Session             *string `json:"session_id"`
		Content             struct {
			Text     string
			Elements []struct {
				Type, ID, Label, Method, Info string
				Emergency                     bool
			}
		}
		Metadata struct {
			Safety struct {
				Crisis bool
				Types  []string
				Level  string
			}
		}
		Links []struct{ Name, URL string } `json:"crisis_resources"`
	}
	d := json.NewDecoder(strings.NewReader(string(h.Frame("s1", now))))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&f))
	assert.Regexp(t, `^msg_[0-9a-f]{12}$`, f.ID)
	assert.Equal(t, "system", f.Role)
	assert.Equal(t, "s1", *f.Session)
	assert.Equal(t, "2026-11-22T20:00:00.000005Z", f.Timestamp)
	assert.Equal(t, h.Text, f.Content.Text)
	require.GreaterOrEqual(t, len(f.Content.Elements), 3)
	assert.Equal(t, "phone", f.Content.Elements[0].Method)
	assert.Equal(t, "911", f.Content.Elements[0].Info)
	assert.True(t, f.Content.Elements[0].Emergency)
	assert.Equal(t, "resource", f.Content.Elements[0].Type)
	assert.True(t, f.Metadata.Safety.Crisis)
	assert.Equal(t, []string{"suicidal_ideation"}, f.Metadata.Safety.Types)
	assert.Equal(t, "high", f.Metadata.Safety.Level)
	require.Len(t, f.Links, len(h.Resources))
	assert.Equal(t, "tel:911", f.Links[0].URL)
	assert.Equal(t, "https://988lifeline.org", f.Links[1].URL)

	require.NoError(t, json.Unmarshal(safety.Help{Severity: 99}.Frame("", now), &f), "whatever is put in")
	assert.Nil(t, f.Session)
	assert.NotEqual(t, string(h.Frame("", now)), string(h.Frame("", now)), "each has its own id")
}

func TestMembersAreWhatAProblemDocumentCarries(t *testing.T) {
	data, err := json.Marshal((*safety.Guard)(nil).Help(nil, safety.None).Members())
	require.NoError(t, err)
	assert.Contains(t, string(data), `"crisis_resources":[{"name":"Find a Helpline","url":"https://findahelpline.com"}]`)
	assert.Contains(t, string(data), `"help":{`)
	data, err = json.Marshal(safety.Help{}.Members())
	require.NoError(t, err)
	assert.NotContains(t, string(data), "null")
}

func TestTheHelpPageNeedsNothingToWork(t *testing.T) {
	get := func(g *safety.Guard, method, target, accept, language string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("Accept", accept)
		r.Header.Set("Accept-Language", language)
		w := httptest.NewRecorder()
		safety.HelpPage(g).ServeHTTP(w, r)
		return w
	}
	w := get(nil, "GET", "/help", "text/html,*/*", "es-ES")
	assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Contains(t, w.Body.String(), `<html lang="es">`)
	assert.Contains(t, w.Body.String(), `href="tel:024"`)
	assert.NotContains(t, w.Body.String(), "<script")
	assert.NotContains(t, w.Body.String(), "ZgotmplZ", "no link was refused by the template")
	for _, outside := range []string{"<link", "<img", "@import", "src="} {
		assert.NotContains(t, w.Body.String(), outside, "nothing from elsewhere")
	}

	w = get(&safety.Guard{}, "GET", "/help?region=us", "application/json", "en-GB")
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	assert.Contains(t, w.Body.String(), "https://988lifeline.org")
	assert.Equal(t, "988", w.Header().Get(safety.HotlineHeader))

	w = get(nil, "GET", `/help?region="><script>`, "", "en-US")
	assert.NotContains(t, w.Body.String(), "<script")
	assert.Contains(t, w.Body.String(), "HOME to 741741")
	assert.Contains(t, w.Body.String(), `href="sms:741741"`)

	assert.Equal(t, 405, get(nil, "POST", "/help", "", "").Code)
}
