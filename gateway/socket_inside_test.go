package gateway

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzParsePing: whatever is taken for a ping is spelled as one, so that nobody
// is ever silenced by it.
func FuzzParsePing(f *testing.F) {
	for _, seed := range []string{
		`{"type":"ping"}`, `{"type":"ping","timestamp":1732312345678}`, ` { "timestamp" : "2026-01-31T10:00:00Z" , "type" : "ping" } `,
		`{"type":"ping","timestamp":null}`, `{"type":"ping","Type":"ping"}`, `{"type":"ping","timestamp":"i want to die"}`,
		`{"type":"ping"}{}`, `{"type":"ping","timestamp":{"a":1}}`, `{"type":"ping",}`, `{"\u0074ype":"ping"}`, `{"type":["ping"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stamp, ok := parsePing(data)
		if !ok {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatalf("%q is not JSON: %v", data, err)
		}
		if !json.Valid(pong(stamp)) {
			t.Fatalf("%q is answered by %q", data, pong(stamp))
		}
		if strings.ContainsAny(string(stamp), "abcdfghijklmopqrstvwxyz") && string(stamp) != "null" {
			t.Fatalf("%q has words in its stamp", data)
		}
		if bytes.ContainsRune(data, '\\') {
			return // spelled another way
		}
		var whole bytes.Buffer
		if err := json.Compact(&whole, data); err != nil {
			t.Fatal(err)
		}
		switch whole.String() {
		case `{"type":"ping"}`, `{"type":"ping","timestamp":` + string(stamp) + `}`, `{"timestamp":` + string(stamp) + `,"type":"ping"}`:
		default:
			t.Fatalf("%q was taken for a ping", data)
		}
	})
}
