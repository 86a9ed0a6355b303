package safety_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/fstest"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// phrases stands in for a detector: safety/detect has a real one.
var phrases = safetytest.Says(map[string]safety.Verdict{
	"i want to die": safetytest.Found(safety.High, safety.SuicidalIdeation),
})

// A chat service behind a guard: the message reaches it, and the reply to it
// carries help in the field that the front end shows.
func ExampleGuard_Wrap() {
	chat := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("the service hears:", r.Header.Get(safety.SeverityHeader))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"response":"The keeper opens the door."}`)
	})
	guard := &safety.Guard{Inspector: phrases}
	handler := guard.With(safety.Rule{Reply: "response"}).Wrap(chat)

	for _, message := range []string{"I knock.", "i want to die"} {
		r := httptest.NewRequest("POST", "/chat", strings.NewReader(`{"message":"`+message+`"}`))
		r.Header.Set("Accept-Language", "en-GB")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		saw, _ := safetytest.Saw(w.Result())
		fmt.Printf("help: %t %q\n", saw.Crisis, saw.Hotline)
	}
	// Output:
	// the service hears: none
	// help: false ""
	// the service hears: high
	// help: true "116 123"
}

// Looking at the severity alone takes what could not be judged for harmless.
func ExampleVerdict_incorrect() {
	guard := &safety.Guard{Inspector: safety.InspectorFunc(func(context.Context, safety.Content) (safety.Verdict, error) {
		return safety.Verdict{}, io.ErrUnexpectedEOF // the classifier is down
	})}
	v, _ := guard.Judge(context.Background(), safety.Content{Text: []byte("i want to die")})
	if v.Severity == safety.None {
		fmt.Println("wrong: all is well")
	}
	if v.Unknown() {
		fmt.Println("right: nobody knows, because:", v.Skipped)
	}
	// Output:
	// wrong: all is well
	// right: nobody knows, because: inspector failed
}

// One message of a WebSocket, and the frame that goes to the person at once.
func ExampleGuard_Message() {
	guard := &safety.Guard{Inspector: phrases, Fields: []string{"content.text"}}
	out := guard.Message(context.Background(), safety.Message{
		Session: "s1", Region: "US",
		Data: []byte(`{"type":"user_message","content":{"text":"i want to die"}}`),
	})
	fmt.Println("deliver as it is:", !out.Replaced)
	fmt.Println("the conversation is now:", out.Level)
	fmt.Println("call:", out.Help.Resources[0].Phone, "or", out.Help.Resources[1].Phone)
	// Output:
	// deliver as it is: true
	// the conversation is now: high
	// call: 911 or 988
}

// A refusal of one's own carries the help that is due, for what had arrived of
// the message was heard.
func ExampleBodyError() {
	guard := &safety.Guard{Inspector: phrases}
	guard.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		var body *safety.BodyError
		if errors.As(err, &body) && body.Help != nil {
			body.Help.SetHeaders(w.Header())
			fmt.Println("the conversation is now:", body.Level)
		}
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader("i want to die, and much more"))
	r.Header.Set("Accept-Language", "en-GB")
	w := httptest.NewRecorder()
	r.Body = http.MaxBytesReader(w, r.Body, 20)
	guard.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("X-Crisis-Hotline"))
	// Output:
	// the conversation is now: high
	// 413 116 123
}

// A policy names only what it does differently.
func ExamplePolicy() {
	guard := &safety.Guard{
		Inspector: phrases,
		Policy: safety.Policy{Request: map[safety.Severity]safety.Action{
			safety.Low:      safety.Record | safety.ShowHelp,                   // a soft check-in
			safety.Moderate: safety.Record | safety.ShowHelp | safety.Escalate, // for the care team's queue
		}},
		Escalator: safety.EscalatorFunc(func(ctx context.Context, e safety.Event) error {
			return nil // nil says: somebody has acknowledged it
		}),
	}
	fmt.Println(guard.Check())
	// Output: <nil>
}

// What is wrong with a route's rule is told when the route is made.
func ExampleRule_Check() {
	rule := safety.Rule{Fields: []string{"content..text"}, Reply: "choices[0].text"}
	fmt.Println(rule.Check())
	// Output:
	// fields: safety: field path "content..text": an empty name: write the names with one dot between them
	// reply: safety: field path "choices[0].text": "choices[0]": only [] may stand in brackets, and only after a name
}

// Help for a page of one's own, without a request and without a guard.
func ExampleBook_Help() {
	help := safety.DefaultBook().Help("es", "ES", safety.Moderate)
	fmt.Println(help)
	// Output:
	// Este es un mensaje automático. Gracias por decir lo difícil que es esto. No tienes que llevarlo a solas. ¿Estás a salvo ahora mismo? Hay personas reales dispuestas a escucharte en los contactos de abajo. Puedes seguir aquí o hacer una pausa, como quieras.
	//
	// - 024, línea de atención a la conducta suicida: llama al 024
	// - Emergencias: llama al 112
}

// A clinic's own book is read strictly: every complaint at once.
func ExampleReadBook() {
	_, err := safety.ReadBook(fstest.MapFS{
		"resources.json": {Data: []byte(`{"version":"1","international":[{"id":"us","name":"Our clinic","phone":"555 0100"}],"regions":{}}`)},
	})
	fmt.Println(err)
	// Output:
	// safety: book: en.json is missing: it stands in for languages that the book does not have
	// safety: book resources.json: international: resource "us": give verified_on as 2026-01-31, or unverified: true
}
