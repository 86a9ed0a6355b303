package gateway_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/gateway"
)

// The README's table of problems is made of the code's. Write it anew with:
// TTA_GATEWAY_WRITE_README=1 go test ./gateway -run Readme
func TestReadmeListsEveryProblem(t *testing.T) {
	const path, begin, end = "../README.md", "<!-- problems:begin -->\n", "<!-- problems:end -->"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	got, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	var want strings.Builder
	want.WriteString("| code | status | what the person reads |\n|---|--:|---|\n")
	for _, p := range gateway.Problems() {
		fmt.Fprintf(&want, "| <a id=\"problem-%s\"></a>`%s` | %d | %s |\n", p.Code, p.Code, p.Status, p.Message)
	}
	if os.Getenv("TTA_GATEWAY_WRITE_README") != "" {
		require.NoError(t, os.WriteFile(path, []byte(before+begin+want.String()+end+after), 0o644))
		return
	}
	assert.Equal(t, want.String(), got, "write it anew")
}

// What a person reads when something fails must be short, calm and true.
func TestRefusalsAreKind(t *testing.T) {
	for _, p := range gateway.Problems() {
		assert.NotEmpty(t, p.Message, p.Code)
		assert.LessOrEqual(t, len(strings.Fields(p.Message)), 30, p.Code)
		assert.NotContains(t, p.Message, "!", p.Code)
		for _, word := range []string{"error", "invalid", "illegal", "failed", "fatal", "abuse", "violation", "blocked", "upstream", "HTTP"} {
			assert.NotContains(t, strings.ToLower(p.Message), strings.ToLower(word), p.Code)
		}
	}
}
