package safety_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

func coded(t *testing.T, coding, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		require.NoError(t, err)
		w = z
	default:
		return []byte(text)
	}
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestCodedBodiesAreJudgedBothWaysAndUntouchedOnesStayCoded(t *testing.T) {
	for _, coding := range []string{"gzip", "deflate", "zstd"} {
		t.Run(coding, func(t *testing.T) {
			g := (&safety.Guard{Inspector: script()}).With(safety.Rule{Reply: "response"})
			question := coded(t, coding, `{"message":"`+dying+`"}`)
			answer := coded(t, coding, `{"response":"Yes."}`)
			var got []byte
			h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, _ = io.ReadAll(r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", coding)
				w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
				w.Header().Set("Etag", `"1"`)
				_, _ = w.Write(answer)
			}))
			do := func(body []byte) *http.Response {
				r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
				r.Header.Set("Content-Encoding", coding)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				return w.Result()
			}

			res := do(coded(t, coding, `{"message":"go on"}`))
			assert.Equal(t, string(answer), text(t, res), "byte for byte")
			assert.Equal(t, coding, res.Header.Get("Content-Encoding"))
			assert.Equal(t, `"1"`, res.Header.Get("Etag"))
			assert.Equal(t, "monitored", res.Header.Get("X-Therapeutic-Safety"))

			res = do(question)
			assert.Equal(t, question, got, "the service gets the bytes as they came")
			assert.Empty(t, res.Header.Get("Content-Encoding"))
			assert.Empty(t, res.Header.Get("Etag"))
			body := text(t, res)
			assert.Equal(t, fmt.Sprint(len(body)), res.Header.Get("Content-Length"))
			assert.Contains(t, body, ourHints)
		})
	}
}

func TestWhatCannotBeLookedAtPassesAndIsCounted(t *testing.T) {
	bomb := coded(t, "gzip", strings.Repeat("a", 8<<20))
	tests := []struct {
		desc, coding, contentType string
		answer                    []byte
		want                      string
	}{
		{"an unknown coding", "br", "text/plain", []byte("Yes."), safety.SkippedCoding},
		{"three codings", "gzip, gzip, gzip", "text/plain", []byte("Yes."), safety.SkippedCoding},
		{"a false coding", "gzip", "text/plain", []byte("Yes."), safety.SkippedCoding},
		{"a bomb", "gzip", "text/plain", bomb, safety.SkippedTooLarge},
		{"a small bomb", "gzip", "text/plain", coded(t, "gzip", strings.Repeat("a", 900<<10)), safety.SkippedTooLarge},
		{"too large", "", "text/plain", bytes.Repeat([]byte("story "), 400<<10), safety.SkippedTooLarge},
		{"an image", "", "image/png", []byte("\x89PNG\r\n"), safety.SkippedBinary},
		{"binary without a type", "", "x/y", bytes.Repeat([]byte{0, 1, 2}, 100), safety.SkippedBinary},
		{"an event stream", "", "text/event-stream; charset=utf-8", []byte("data: 1\n\n"), safety.SkippedStream},
		{"broken JSON", "", "application/json", []byte(`{"response":`), safety.SkippedMalformed},
		{"an unknown charset", "", "text/plain; charset=shift_jis", []byte("Yes."), safety.SkippedCoding},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			var seen safetytest.Observer
			g := &safety.Guard{Inspector: script(), Observe: seen.Observe}
			h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.Header().Set("X-Therapeutic-Safety", "validated")
				if tt.coding != "" {
					w.Header().Set("Content-Encoding", tt.coding)
				}
				_, _ = w.Write(tt.answer)
			}))
			res := post(t, h, "application/json", `{"message":"go on"}`)
			assert.True(t, text(t, res) == string(tt.answer), "byte for byte")
			assert.Empty(t, res.Header.Get("X-Therapeutic-Safety"), "nobody may claim what did not happen")
			var bytes int64
			reasons := map[string]bool{}
			for _, o := range seen.All() {
				if o.Direction == safety.Response {
					bytes += o.Bytes
					reasons[o.Skipped] = true
				}
			}
			assert.Equal(t, int64(len(tt.answer)), bytes, "every byte is counted once")
			assert.True(t, reasons[tt.want], "%v", reasons)
		})
	}
}

func TestHarmInTheFirstPartOfALongReplyReplacesAllOfIt(t *testing.T) {
	g := &safety.Guard{Inspector: script(), MaxBody: 1000}
	s := &service{contentType: "text/plain", answer: poison + strings.Repeat(" and more", 1000)}
	assert.True(t, strings.HasPrefix(text(t, post(t, g.Wrap(s), "text/plain", "go on")), "This reply was held back"))
}

func TestALongMessageIsDeliveredWholeAndItsFirstPartJudged(t *testing.T) {
	var seen safetytest.Observer
	g := &safety.Guard{Inspector: script(), MaxBody: 1000, Observe: seen.Observe}
	s := &service{contentType: "application/json", answer: "{}"}
	long := `{"message":"` + dying + strings.Repeat(" and more", 1000) + `"}`
	res := post(t, g.Wrap(s), "application/json", long)
	assert.True(t, s.got == long)
	assert.Equal(t, "high", s.header.Get(safety.SeverityHeader))
	assert.Contains(t, text(t, res), "crisis_resources")
	looked, skipped := seen.Bytes(safety.Request)
	assert.Equal(t, int64(1001), looked)
	assert.Equal(t, int64(len(long)-1001), skipped)
}

func TestABudgetIsKeptAndGivenBack(t *testing.T) {
	budget := safety.NewBudget(100 << 10)
	var seen safetytest.Observer
	g := &safety.Guard{Inspector: script(), Budget: budget, Observe: seen.Observe}
	big := strings.Repeat("story ", 60<<10)
	var used int64
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		used = budget.Used()
		got, _ := io.ReadAll(r.Body)
		assert.Equal(t, len(big), len(got))
		_, _ = io.WriteString(w, big)
	}))
	assert.True(t, text(t, post(t, h, "text/plain", big)) == big)
	assert.Positive(t, used)
	assert.LessOrEqual(t, used, int64(100<<10))
	assert.Zero(t, budget.Used())
	var reasons []string
	for _, o := range seen.All() {
		reasons = append(reasons, o.Skipped)
	}
	assert.Contains(t, reasons, safety.SkippedBudget)
}

func TestTheOutcomeDoesNotDependOnHowAReplyIsCut(t *testing.T) {
	replies := []struct{ contentType, answer string }{
		{"application/json", `{"response":"The door opens.","n":[1,2,{"x":"y"}]}`},
		{"application/json", `{"response":"` + poison + `"}`},
		{"text/plain", strings.Repeat("The door opens. ", 200)},
		{"text/event-stream", "data: 1\n\ndata: 2\n\n"},
	}
	for _, reply := range replies {
		g := (&safety.Guard{Inspector: script(), MaxBody: 2000}).With(safety.Rule{Reply: "response"})
		for _, message := range []string{`{"m":"go on"}`, `{"m":"` + dying + `"}`} {
			whole := text(t, post(t, g.Wrap(&service{contentType: reply.contentType, answer: reply.answer}), "application/json", message))
			for seed := range uint64(40) {
				h := g.Wrap(pieces{reply.contentType, reply.answer, rand.New(rand.NewPCG(seed, 1))})
				require.Equal(t, whole, text(t, post(t, h, "application/json", message)), "seed %d", seed)
			}
		}
	}
}

// pieces answers in random pieces, by every way of writing.
type pieces struct {
	contentType, answer string
	random              *rand.Rand
}

func (p pieces) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", p.contentType)
	for rest := p.answer; rest != ""; {
		n := 1 + p.random.IntN(min(len(rest), 1+p.random.IntN(700)))
		switch p.random.IntN(3) {
		case 0:
			_, _ = w.Write([]byte(rest[:n]))
		case 1:
			_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader(rest[:n]))
		default:
			_, _ = io.WriteString(w, rest[:n])
			w.(http.Flusher).Flush()
		}
		rest = rest[n:]
	}
}

func serve(t *testing.T, g *safety.Guard, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(g.Wrap(h))
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return s
}

func ask(t *testing.T, method, url, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestEventsAreSentWhenTheyHappen(t *testing.T) {
	read := make(chan struct{})
	s := serve(t, &safety.Guard{Inspector: script()}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: one\n\n")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-read // deadlocks unless the first event was sent
		_, _ = io.WriteString(w, "data: two\n\n")
	})
	res := ask(t, "POST", s.URL, `{"m":"`+dying+`"}`)
	assert.Equal(t, "available", res.Header.Get(safety.SupportHeader))
	lines := bufio.NewReader(res.Body)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "data: one\n", first)
	close(read)
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	assert.Equal(t, "\ndata: two\n\n", string(rest))
}

func TestAWebSocketPassesTheWriter(t *testing.T) {
	s := serve(t, &safety.Guard{Inspector: script()}, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer c.CloseNow()
		kind, data, err := c.Read(r.Context())
		if assert.NoError(t, err) {
			assert.NoError(t, c.Write(r.Context(), kind, data))
		}
		_ = c.Close(websocket.StatusNormalClosure, "")
	})
	c, _, err := websocket.Dial(t.Context(), s.URL, nil)
	require.NoError(t, err)
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte("hello")))
	_, data, err := c.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "hello", string(data))
	_, _, err = c.Read(t.Context())
	assert.Equal(t, websocket.StatusNormalClosure, websocket.CloseStatus(err))
}

func TestDeadlinesAndHijackReachTheConnection(t *testing.T) {
	s := serve(t, &safety.Guard{Inspector: script()}, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)))
		conn, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
			_ = conn.Close()
		}
	})
	assert.Equal(t, "ok", text(t, ask(t, "POST", s.URL, `{"m":"`+dying+`"}`)))

	w := httptest.NewRecorder()
	p, err := (&safety.Guard{}).Open(httptest.NewRequest("GET", "/", nil), 0)
	require.NoError(t, err)
	_, _, err = p.Writer(w).(http.Hijacker).Hijack()
	assert.ErrorIs(t, err, http.ErrNotSupported)
}

func TestHeadTrailersAndInformationalAnswers(t *testing.T) {
	g := (&safety.Guard{Inspector: script()}).With(safety.Rule{Reply: "response"})
	s := serve(t, g, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", "19")
			return
		}
		w.Header().Set("Trailer", "X-Sum, X-Other")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"response":"Yes."}`)
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "7")
	})
	res := ask(t, "POST", s.URL, `{"m":"go on"}`)
	assert.Equal(t, http.StatusAccepted, res.StatusCode)
	assert.Empty(t, res.Header.Get("X-Sum"), "a trailer is no header")
	assert.Equal(t, `{"response":"Yes."}`, text(t, res))
	assert.Equal(t, "42", res.Trailer.Get("X-Sum"))
	assert.Equal(t, "7", res.Trailer.Get("X-Late"))

	res = ask(t, "HEAD", s.URL, "")
	assert.Equal(t, int64(19), res.ContentLength)
	assert.Empty(t, text(t, res))
}

func TestAPanicLeavesNoReplyThatLooksWhole(t *testing.T) {
	wrap := (&safety.Guard{Inspector: script()}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"response":"half of i`)
		panic(http.ErrAbortHandler)
	}))
	w := httptest.NewRecorder()
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		wrap.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader("go on")))
	})
	assert.Empty(t, w.Body.String())
	assert.False(t, w.Flushed)
	assert.Empty(t, w.Header().Get("Content-Encoding"), "whoever answers now begins anew")
	assert.Empty(t, w.Header().Get("Content-Length"))
}

func TestAServiceThatBreaksOffIsNotMadeWhole(t *testing.T) {
	g := (&safety.Guard{Inspector: script()}).With(safety.Rule{Reply: "response"})
	s := serve(t, g, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"response":"Yes."}`)
	})
	res := ask(t, "POST", s.URL, `{"m":"`+dying+`"}`)
	_, err := io.ReadAll(res.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestAReaderThatOutlivesItsRequestSeesNothing(t *testing.T) {
	g := &safety.Guard{Inspector: script()}
	r := httptest.NewRequest("POST", "/", strings.NewReader("go on"))
	p, err := g.Open(r, 0)
	require.NoError(t, err)
	held, whole := p.Body()
	assert.Equal(t, "go on", string(held))
	assert.True(t, whole)
	p.Close()
	p.Close()
	_, err = r.Body.Read(make([]byte, 5))
	assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	assert.NoError(t, r.Body.Close())
}

func TestABodyCanBeSentOnceMore(t *testing.T) {
	g := &safety.Guard{Inspector: script()}
	r := httptest.NewRequest("POST", "/", strings.NewReader("go on"))
	p, err := g.Open(r, 0)
	require.NoError(t, err)
	for range 2 {
		body, n := p.Replay()
		assert.Equal(t, int64(5), n)
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		assert.Equal(t, "go on", string(got))
		require.NoError(t, body.Close())
	}
	late, _ := p.Replay()
	held, _ := p.Body()
	p.Close()
	_, err = late.Read(make([]byte, 5))
	assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	for range 100 {
		other, err := g.Open(httptest.NewRequest("POST", "/", strings.NewReader("words of another")), 0)
		require.NoError(t, err)
		other.Close()
	}
	assert.Equal(t, "go on", string(held), "what was given away is never used again")

	p, err = g.Open(httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat(".", 2<<20))), 0)
	require.NoError(t, err)
	defer p.Close()
	body, _ := p.Replay()
	assert.Nil(t, body)
	assert.False(t, p.Whole())
	p, err = g.Open(httptest.NewRequest("GET", "/", nil), 0)
	require.NoError(t, err)
	defer p.Close()
	body, n := p.Replay()
	assert.Equal(t, http.NoBody, body)
	assert.Zero(t, n)
}

func TestOpenReadsNoMoreThanItIsGiven(t *testing.T) {
	g := &safety.Guard{Inspector: script()}
	body := strings.NewReader(dying + strings.Repeat(".", 1<<20))
	r := httptest.NewRequest("POST", "/", body)
	p, err := g.Open(r, 16<<10)
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, safety.High, p.Verdict().Severity)
	assert.Equal(t, safety.SkippedTooLarge, p.Verdict().Skipped)
	assert.GreaterOrEqual(t, body.Len(), 1<<20-16<<10)
}

func TestAWriterThatCannotFlushSaysSo(t *testing.T) {
	p, err := (&safety.Guard{}).Open(httptest.NewRequest("GET", "/", nil), 0)
	require.NoError(t, err)
	defer p.Close()
	err = http.NewResponseController(p.Writer(&sink{header: http.Header{}})).Flush()
	assert.True(t, errors.Is(err, http.ErrNotSupported))
}
