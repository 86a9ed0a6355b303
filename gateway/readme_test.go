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

// The README's table of problems is made of the code's.
func TestReadmeListsEveryProblem(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "<!-- problems:begin -->\n")
	require.True(t, ok)
	got, _, ok := strings.Cut(rest, "<!-- problems:end -->")
	require.True(t, ok)
	var want strings.Builder
	want.WriteString("| code | status | what the person reads |\n|---|--:|---|\n")
	for _, p := range gateway.Problems() {
		fmt.Fprintf(&want, "| <a id=\"problem-%s\"></a>`%s` | %d | %s |\n", p.Code, p.Code, p.Status, p.Message)
	}
	assert.Equal(t, want.String(), got, "put this between the markers:\n%s", want.String())
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
