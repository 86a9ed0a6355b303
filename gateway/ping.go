package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
)

const (
	// maxPing bounds what can be a ping, so that long messages are not read twice.
	maxPing = 256
	// pingRate and pingBurst are how many pings of a connection are answered, per
	// second and at once: the TTA client sends two a minute.
	pingRate, pingBurst = 1, 10
)

// parsePing recognises the chat protocol's {"type":"ping"}, with or without a
// timestamp. It is strict, because a ping is neither judged nor delivered: what
// has any other member, one of them twice, or words for a timestamp may be
// something that a person said.
func parsePing(data []byte) (timestamp json.RawMessage, ok bool) {
	if len(data) > maxPing {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	typed := false
	for d.More() {
		switch name, _ := d.Token(); {
		case name == "type" && !typed:
			value, _ := d.Token()
			typed = value == "ping"
			if !typed {
				return nil, false
			}
		case name == "timestamp" && timestamp == nil:
			if d.Decode(&timestamp) != nil || !isStamp(timestamp) {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return nil, false
	}
	_, err := d.Token()
	return timestamp, typed && err == io.EOF
}

// isStamp reports a time: a number, null, or text that no word can be made of.
func isStamp(raw json.RawMessage) bool {
	switch c := raw[0]; {
	case c == '"':
		return strings.Trim(string(raw), `0123456789TZ"+-.: `) == ""
	case c == '-' || '0' <= c && c <= '9':
		return true
	}
	return string(raw) == "null"
}

// pong answers a ping, with the client's own timestamp if it sent one.
func pong(stamp json.RawMessage) []byte {
	if stamp == nil {
		return []byte(`{"type":"pong"}`)
	}
	return append(append([]byte(`{"type":"pong","timestamp":`), stamp...), '}')
}
