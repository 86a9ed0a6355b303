package demo

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// handler answers one route: a value to be sent as JSON, or a [*refusal].
type handler func(i *Instance, r *http.Request, who caller) (any, error)

// reply is an answer that is not a plain 200 with a JSON body.
type reply struct {
	status int
	header http.Header
	body   any
}

func created(body any) reply { return reply{status: http.StatusCreated, body: body} }
func noContent() reply       { return reply{status: http.StatusNoContent} }

// refusal is an error in one of the service's own shapes.
type refusal struct {
	status int
	header http.Header
	body   map[string]any
}

func (f *refusal) Error() string { return "demo: " + http.StatusText(f.status) }

// refuse is the shape of nearly every error: message is a string or an object.
func refuse(status int, message any) *refusal {
	return &refusal{status: status, body: map[string]any{
		"error": "HTTP Exception", "message": message, "status_code": status,
	}}
}

func unauthorized(title, message string) *refusal {
	return &refusal{
		status: http.StatusUnauthorized,
		header: http.Header{"Www-Authenticate": {"Bearer"}},
		body:   map[string]any{"error": title, "message": message},
	}
}

func notLive(message string) *refusal {
	f := refuse(http.StatusUnauthorized, message)
	f.header = http.Header{"Www-Authenticate": {"Bearer"}}
	return f
}

func internal() *refusal {
	return &refusal{status: http.StatusInternalServerError, body: map[string]any{
		"error": "Internal Server Error", "message": "An unexpected error occurred", "detail": "DemoFault",
	}}
}

// problem is one field that does not fit.
type problem struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

func missing(field string) problem {
	return problem{Loc: []string{"body", field}, Msg: "Field required", Type: "missing"}
}

func unfit(field, msg string) problem {
	return problem{Loc: []string{"body", field}, Msg: msg, Type: "value_error"}
}

func invalid(problems ...problem) *refusal {
	return &refusal{status: http.StatusUnprocessableEntity, body: map[string]any{
		"error": "Validation Error", "message": "Request validation failed", "details": problems, "detail": problems,
	}}
}

// read decodes a JSON object from the body, which is already bounded.
func read(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "Request body too large")
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "There was an error reading the body")
	}
	if !saysJSON(r) || json.Unmarshal(body, into) != nil {
		return invalid(problem{Loc: []string{"body"}, Msg: "JSON of the expected shape", Type: "json_invalid"})
	}
	return nil
}

// saysJSON holds for a JSON media type and for none at all. What calls itself a form is not read as
// JSON: who inspects the request on its way here could not know that it would be.
func saysJSON(r *http.Request) bool {
	declared := r.Header.Get("Content-Type")
	if declared == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(declared)
	return err == nil && (kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"))
}

// write sends what a handler gave.
func write(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		refused := internal()
		errors.As(err, &refused)
		answer = reply{refused.status, refused.header, refused.body}
	}
	r, ok := answer.(reply)
	if !ok {
		r = reply{status: http.StatusOK, body: answer}
	}
	for name, values := range r.header {
		w.Header()[name] = values
	}
	if r.body == nil {
		w.WriteHeader(r.status)
		return
	}
	writeJSON(w, r.status, r.body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(encoded, '\n'))
}
