package safety_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/theinterneti/tta-gateway/safety"
)

type noop struct{}

func (noop) Prompt() {}
func (noop) Inspect(context.Context, safety.Content) (safety.Verdict, error) {
	return safety.Verdict{Model: "noop"}, nil
}

const chat = `{"session_id":"7f9c24e8-3b12-4f11-9c1d-2a6b8f0e4d55","message":"I walk up to the old lighthouse, knock three times and ask the keeper whether she has seen my brother. \"He was here,\" she says.","character_name":"Mira","world_name":"The Drowned Coast","context":{"turn":41,"mood":"curious"}}`

const story = `{"success":true,"message_id":"msg_1","session_id":"7f9c24e8-3b12-4f11-9c1d-2a6b8f0e4d55","response":"The keeper looks at you for a long while. Then she opens the door and lets you in out of the rain; it smells of oil and salt.","timestamp":"2026-11-22T20:00:00Z","metadata":{"response_type":"narrative"}}`

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

type sink struct {
	header http.Header
	n      int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.n += len(p); return len(p), nil }

func benchmarkPassage(b *testing.B, g *safety.Guard, reply string) {
	r := httptest.NewRequest("POST", "/api/v1/gameplay/message", nil)
	r.Header.Set("Content-Type", "application/json")
	in, out := new(body), &sink{header: make(http.Header)}
	question, answer := []byte(chat), []byte(reply)
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(question)
		r.Body, r.ContentLength = in, int64(len(chat))
		p, err := g.Open(r, 0)
		if err != nil {
			b.Fatal(err)
		}
		if len(answer) > 0 {
			w := p.Writer(out)
			w.Header()["Content-Type"] = r.Header["Content-Type"]
			_, _ = w.Write(answer)
		}
		p.Close()
	}
}

func BenchmarkOpen(b *testing.B) {
	benchmarkPassage(b, &safety.Guard{Inspector: noop{}, Fields: []string{"message"}}, "")
}

func BenchmarkOpenAllFields(b *testing.B) {
	benchmarkPassage(b, &safety.Guard{Inspector: noop{}}, "")
}

func BenchmarkExchange(b *testing.B) {
	benchmarkPassage(b, &safety.Guard{Inspector: noop{}, Fields: []string{"message"}}, story)
}

func BenchmarkExchange64K(b *testing.B) {
	reply := `{"response":"` + strings.Repeat("The keeper looks at you. ", 64<<10/25) + `"}`
	benchmarkPassage(b, &safety.Guard{Inspector: noop{}, Fields: []string{"message"}}, reply)
}

func BenchmarkMessage(b *testing.B) {
	g := &safety.Guard{Inspector: noop{}, Fields: []string{"content.text"}}
	data := []byte(`{"type":"user_message","session_id":"7f9c24e8","content":{"text":"` + strings.Repeat("I go on. ", 20) + `"}}`)
	b.ReportAllocs()
	for b.Loop() {
		g.Message(b.Context(), safety.Message{Data: data, Session: "s"})
	}
}
