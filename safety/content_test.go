package safety_test

import (
	"bytes"
	"mime/multipart"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// shown returns the texts that an inspector sees of a request body.
func shown(t *testing.T, fields []string, contentType, body string) (texts []string, skipped string) {
	t.Helper()
	script := &safetytest.Script{}
	g := &safety.Guard{Inspector: script, Fields: fields}
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	p, err := g.Open(r, 0)
	require.NoError(t, err)
	defer p.Close()
	return script.Shown(), p.Verdict().Skipped
}

func TestWhatAnInspectorIsShown(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100) + `"words"` + strings.Repeat("}", 100)
	tests := []struct {
		desc, contentType, body string
		fields                  []string
		want                    []string
		skipped                 string
	}{
		{"a string", "application/json", `{"message":"one"}`, nil, []string{"one"}, ""},
		{"keys are not said", "application/json", `{"i want to die":1}`, nil, nil, ""},
		{"escapes are undone", "application/json", `{"m":"\u006bill \"me\" \ud83d\ude00\n\/"}`, nil, []string{"kill \"me\" \U0001F600\n/"}, ""},
		{"half a pair", "application/json", `{"m":"\ud83d!"}`, nil, []string{"\uFFFD!"}, ""},
		{"nested, then together", "application/json", `{"a":{"b":[["one"],{"c":"two"}]}}`, nil, []string{"one", "two", "one two"}, ""},
		{"a lone string", "application/json", ` "one" `, nil, []string{"one"}, ""},
		{"a lone string whatever the fields", "application/json", `"one"`, []string{"x"}, []string{"one"}, ""},
		{"twice the same name", "application/json", `{"m":"one","m":"two"}`, []string{"m"}, []string{"one", "two", "one two"}, ""},
		{"no credentials", "application/json", `{"password":"a b","refreshToken":"c d","API-Key":"e f","client_secret":{"x":"g h"},"m":"one"}`, nil, []string{"one"}, ""},
		{"no credentials below a path", "application/json", `{"c":{"token":"a b","m":"one"}}`, []string{"c"}, []string{"one"}, ""},
		{"a credential by its path", "application/json", `{"token":"one"}`, []string{"token"}, []string{"one"}, ""},
		{"a secret is something told", "application/json", `{"secret":"one","secrets":{"secret":["two"]}}`, nil, []string{"one", "two", "one two"}, ""},
		{"no identifiers", "application/json", `{"id":"7f9c24e8-3b12-4f11-9c1d-2a6b8f0e4d55","at":"2026-11-22T20:00:00Z","m":"one"}`, nil, []string{"one"}, ""},
		{"a path", "application/json", `{"content":{"text":"one","id":"x"},"text":"two"}`, []string{"content.text"}, []string{"one"}, ""},
		{"a path in other letters", "application/json", `{"Content":{"TEXT":"one"}}`, []string{"content.text"}, []string{"one"}, ""},
		{"a path spelt with escapes", "application/json", `{"mess\u0061ge":"one"}`, []string{"message"}, []string{"one"}, ""},
		{"any element", "application/json", `{"goals":[{"description":"one","id":"x"},{"description":"two"}]}`, []string{"goals[].description"}, []string{"one", "two", "one two"}, ""},
		{"any member", "application/json", `{"a":{"t":"one"},"b":{"t":"two","u":"x"}}`, []string{"*.t"}, []string{"one", "two", "one two"}, ""},
		{"an array at the top", "application/json", `[{"t":"one"},[{"t":"x"}]]`, []string{"[].t"}, []string{"one"}, ""},
		{"all below a path", "application/json", `{"a":{"b":["one",{"c":"two"}]},"d":"x"}`, []string{"a"}, []string{"one", "two", "one two"}, ""},
		{"no fields at all", "application/json", `{"a":"x"}`, []string{}, nil, ""},
		{"a byte order mark", "application/json", "\ufeff{\"m\":\"one\"}", nil, []string{"one"}, ""},
		{"UTF-16", "application/json", "{\x00\"\x00m\x00\"\x00:\x00\"\x00o\x00k\x00\"\x00}\x00", nil, []string{"ok"}, ""},
		{"UTF-16, the other way, with a mark", "", "\xfe\xff\x00{\x00\"\x00m\x00\"\x00:\x00\"\x00o\x00k\x00\"\x00}", nil, []string{"ok"}, ""},
		{"UTF-32", "application/json", "{\x00\x00\x00\"\x00\x00\x00\"\x00\x00\x00:\x00\x00\x00\"\x00\x00\x00o\x00\x00\x00\"\x00\x00\x00}\x00\x00\x00", nil, []string{"o"}, ""},
		{"Latin-1", "text/plain; charset=iso-8859-1", "adi\xf3s", nil, []string{"adiós"}, ""},
		{"a charset that nobody knows", "text/plain; charset=klingon", "one", nil, []string{"one"}, safety.SkippedCoding},
		{"broken JSON, as a text", "application/json", `{"m":"\u006bill m`, nil, []string{`{"m":"kill m`}, safety.SkippedMalformed},
		{"JSON that Python reads", "application/json", `{"n":NaN,"m":"one"}`, []string{"m"}, []string{`{"n":NaN,"m":"one"}`}, safety.SkippedMalformed},
		{"too deep", "application/json", deep, nil, []string{deep}, safety.SkippedMalformed},
		{"JSON under a false type", "image/png", `{"m":"one"}`, nil, []string{"one"}, ""},
		{"JSON without a type", "", `{"m":"one"}`, nil, []string{"one"}, ""},
		{"a text that begins like JSON", "text/plain", `[He enters] one`, nil, []string{`[He enters] one`}, ""},
		{"a text", "text/plain", "one\ntwo", []string{"m"}, []string{"one\ntwo"}, ""},
		{"a text with a stray NUL", "text/plain", "one two three\x00", nil, []string{"one two three\x00"}, ""},
		{"binary", "application/octet-stream", "\x00\x01\x02\xff\xfe\x80", nil, nil, safety.SkippedBinary},
		{"nothing", "application/json", "", nil, nil, ""},
		{"a form", "application/x-www-form-urlencoded", "message=one+tw%6f&password=x", nil, []string{"one two"}, ""},
		{"a form's field", "application/x-www-form-urlencoded; charset=utf-8", "a=x&message=one", []string{"message"}, []string{"one"}, ""},
		{"none of the fields is there", "application/json", `{"massage":"one","password":"x"}`, []string{"message"}, []string{"one"}, ""},
		{"the field is there and empty", "application/json", `{"message":"","name":"x"}`, []string{"message"}, nil, ""},
		{"none of a form's fields is there", "application/x-www-form-urlencoded", "massage=one", []string{"message"}, []string{"one"}, ""},
		{"JSON that says it is a form", "application/x-www-form-urlencoded", `{"message":"one","n":"x"}`, []string{"message"}, []string{"one"}, ""},
		{"JSON and a form at once", "application/x-www-form-urlencoded", `{"a":"x","message":"one&message=two"}`, []string{"message"}, []string{`two"}`, "one&message=two", `two"} one&message=two`}, ""},
		{"a text that says it is a form", "application/x-www-form-urlencoded", "one two+three", nil, []string{"one two three"}, ""},
		{"such a text where fields are named", "application/x-www-form-urlencoded", "one two", []string{"message"}, []string{"one two", "one two"}, ""},
		{"what follows a bare & in a form", "application/x-www-form-urlencoded", "message=one & two&x=y", []string{"message"}, []string{"one ", " two", "one   two"}, ""},
		{"a text with an equals sign in it", "application/x-www-form-urlencoded", "so one = two&api key=z", nil, []string{"so one = two"}, ""},
		{"nothing between ampersands", "application/x-www-form-urlencoded", "&&a=one&", nil, []string{"one"}, ""},
		{"a form of a credential only", "application/x-www-form-urlencoded", "api+key=z", nil, nil, ""},
		{"JSON that Python reads, said to be a form", "application/x-www-form-urlencoded", `{"message":"on\u0065","x":NaN}`, []string{"message"}, []string{"one", `{"message":"one","x":NaN}`, `one {"message":"one","x":NaN}`}, ""},
		{"a text like JSON, said to be a form", "application/x-www-form-urlencoded", `[sighs] one`, nil, []string{`[sighs] one`}, ""},
		{"two documents", "application/json", "{\"m\":\"one\"}\n{\"n\":\"x\",\"m\":\"two\"}", []string{"m"}, []string{"one", "two", "one two"}, safety.SkippedMalformed},
		{"documents in lines", "application/x-ndjson", "{\"m\":\"one\",\"token\":\"x\"}\n{\"m\":\"two\"}\n", nil, []string{"one", "two", "one two"}, ""},
		{"two documents that say they are a form", "application/x-www-form-urlencoded", `{"m":"one"}{"m":"two"}`, []string{"m"}, []string{"one", "two", "one two"}, ""},
		{"a document and a text", "application/json", `{"m":"one"} and two`, []string{"m"}, []string{"one", `{"m":"one"} and two`, `one {"m":"one"} and two`}, safety.SkippedMalformed},
		{"a broken form", "application/x-www-form-urlencoded", "message=one%zz", nil, []string{"one%zz"}, safety.SkippedMalformed},
		{"multipart without a boundary", "multipart/form-data", "one", nil, []string{"one"}, safety.SkippedMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			got, skipped := shown(t, tt.fields, tt.contentType, tt.body)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.skipped, skipped)
		})
	}
}

func TestMultipartPartsAreJudgedByWhatTheyAre(t *testing.T) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part := func(disposition, contentType, text string) {
		h := textproto.MIMEHeader{"Content-Disposition": {disposition}}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		p, err := w.CreatePart(h)
		require.NoError(t, err)
		_, err = p.Write([]byte(text))
		require.NoError(t, err)
	}
	part(`form-data; name="message"`, "", "one")
	part(`form-data; name="password"`, "", "x y")
	part(`form-data; name="notes"; filename="a.txt"`, "text/plain", "two")
	part(`form-data; name="meta"`, "application/json", `{"m":"three"}`)
	part(`form-data; name="face"; filename="a.png"`, "image/png", "\x89PNG\x00\x01\x02\xff")
	require.NoError(t, w.Close())

	got, skipped := shown(t, nil, w.FormDataContentType(), b.String())
	assert.Equal(t, []string{"one", "two", "three", "one two three"}, got)
	assert.Equal(t, safety.SkippedBinary, skipped)

	got, skipped = shown(t, nil, w.FormDataContentType(), b.String()[:b.Len()-40])
	assert.Contains(t, got, "one")
	assert.Equal(t, safety.SkippedMalformed, skipped)
}

func TestPartsInATransferEncodingAreRead(t *testing.T) {
	tests := []struct{ desc, encoding, text, want, skipped string }{
		{"base64", "base64", "b25l", "one", ""},
		{"base64 in lines", "Base64", "b2\r\n5l\r\n", "one", ""},
		{"false base64", "base64", "one two", "one two", safety.SkippedMalformed},
		{"words that could be base64", "base64", "imsorrygoodbyeno", "imsorrygoodbyeno", safety.SkippedBinary},
		{"quoted-printable", "quoted-printable", "o=6Ee", "one", ""},
		{"none", "8bit", "one", "one", ""},
		{"one that nobody knows", "rot13", "bar", "bar", safety.SkippedCoding},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			for _, more := range []string{"", `; filename=""`, `; filename="a.txt"`} {
				body := "--b\r\nContent-Disposition: form-data; name=\"m\"" + more + "\r\nContent-Transfer-Encoding: " + tt.encoding +
					"\r\n\r\n" + tt.text + "\r\n--b--\r\n"
				got, skipped := shown(t, nil, "multipart/form-data; boundary=b", body)
				assert.Equal(t, []string{tt.want}, got)
				assert.Equal(t, tt.skipped, skipped)
			}
		})
	}
}

// What is left out of a message because of its name is counted as left out.
func TestCredentialsAreCountedAsLeftOut(t *testing.T) {
	tests := []struct {
		desc, contentType, body string
		left                    int64
	}{
		{"none", "application/json", `{"message":"one"}`, 0},
		{"a member", "application/json", `{"message":"one","password":"two"}`, 5},
		{"members below one", "application/json", `{"client_secret":{"a":"two","b":["x"],"n":1},"m":"one"}`, 8},
		{"a form's", "application/x-www-form-urlencoded", "message=one&password=two", 3},
		{"a part's", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ntwo\r\n--b--\r\n", 3},
		{"none where a broken document is judged whole", "application/json", `{"password":"two","x":NaN}`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			for _, fields := range [][]string{nil, {"nowhere"}} {
				var seen safetytest.Observer
				g := &safety.Guard{Inspector: script(), Observe: seen.Observe, Fields: fields}
				post(t, g.Wrap(&service{}), tt.contentType, tt.body)
				looked, left := seen.Bytes(safety.Request)
				assert.Equal(t, tt.left, left)
				assert.Equal(t, int64(len(tt.body)), looked+left, "every byte once")
				for _, o := range seen.All() {
					if o.Direction == safety.Request && !o.Inspected {
						assert.Equal(t, safety.SkippedCredential, o.Skipped)
					}
				}
			}
		})
	}
}

func TestASentenceCutOverFieldsIsFoundAndHarmlessNeighboursAreNot(t *testing.T) {
	g := &safety.Guard{Inspector: script()}
	open := func(contentType, body string) safety.Verdict {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		p, err := g.Open(r, 0)
		require.NoError(t, err)
		defer p.Close()
		return p.Verdict()
	}
	assert.Equal(t, safety.High, open("application/json", `{"a":"i want","id":"2026-11-22","b":"to die"}`).Severity)
	assert.Equal(t, safety.High, open("application/x-www-form-urlencoded", `a=i+want&b=to+die`).Severity)
	v := open("application/json", `{"a":"`+dying+`","b":"x"}`)
	assert.Len(t, v.Findings, 1, "what a piece says is not said again by the whole")
}

func TestPaths(t *testing.T) {
	for _, good := range []string{"message", "content.text", "*", "[]", "goals[].description", "a.*.b", "m[][]", "[].text", "ключ"} {
		assert.NoError(t, safety.CheckPath(good), good)
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "a[0]", "a[", "]", "a*", "*a", "[]a", strings.Repeat("a.", 80) + "a"} {
		assert.Error(t, safety.CheckPath(bad), bad)
	}
	many := make([]string, 65)
	for i := range many {
		many[i] = "a"
	}
	err := safety.Rule{Fields: []string{"a..b", "c*"}, ReplyFields: many, Reply: "["}.Check()
	for _, complaint := range []string{"a..b", "c*", "65 field paths", `"["`} {
		assert.ErrorContains(t, err, complaint)
	}
	assert.ErrorContains(t, (&safety.Guard{MaxBody: -1, Deadline: -1}).Check(), "MaxBody is -1")

	got, _ := shown(t, []string{"message", "a..b"}, "application/json", `{"message":"one","else":"two"}`)
	assert.Contains(t, got, "two", "a bad list is read carefully: every string")
	got, _ = shown(t, many[:64], "application/json", `{"a":"one","else":"two"}`)
	assert.Equal(t, []string{"one"}, got)
}

func TestVeryManyStringsAreJudgedInBulks(t *testing.T) {
	body := "[" + strings.Repeat(`"a",`, 100_000) + `"` + dying + `"]`
	inspected := script()
	for desc, inspector := range map[string]safety.Inspector{"prompt": inspected, "aside": safetytest.Slow{Inspector: script()}} {
		g := &safety.Guard{Inspector: inspector}
		p, err := g.Open(httptest.NewRequest("POST", "/", strings.NewReader(body)), 0)
		require.NoError(t, err)
		assert.Equal(t, safety.High, p.Verdict().Severity, desc)
		p.Close()
	}
	assert.Less(t, len(inspected.Shown()), 1200)

	harm := `{"list":[` + strings.Repeat(`"a b",`, 2000) + `"` + poison + `"]}`
	g := &safety.Guard{Inspector: script()}
	res := post(t, g.Wrap(&service{contentType: "application/json", answer: harm}), "application/json", "{}")
	assert.NotContains(t, text(t, res), poison)
}

func BenchmarkManyTinyStrings(b *testing.B) {
	body := "[" + strings.Repeat(`"a",`, 250_000) + `"a"]`
	g := &safety.Guard{Inspector: noop{}}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		p, err := g.Open(httptest.NewRequest("POST", "/", strings.NewReader(body)), 0)
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}
