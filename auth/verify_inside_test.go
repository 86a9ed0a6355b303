package auth

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzMembers compares the count of members with what a JSON decoder counts.
func FuzzMembers(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":[":",{"d":2}]},"a":"\\\":\""}`)
	f.Add(`{}`)
	f.Add(`{"":"{"}`)
	f.Fuzz(func(t *testing.T, object string) {
		var m map[string]json.RawMessage
		if json.Unmarshal([]byte(object), &m) != nil || m == nil {
			return
		}
		require.Equal(t, decoded(t, object), members([]byte(object)))
	})
}

func decoded(t *testing.T, object string) (n int) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader([]byte(object)))
	_, err := dec.Token()
	require.NoError(t, err)
	for ; dec.More(); n++ {
		_, err := dec.Token()
		require.NoError(t, err)
		var value json.RawMessage
		require.NoError(t, dec.Decode(&value))
	}
	return n
}
