package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.txt")
	require.NoError(t, os.WriteFile(file, []byte("@ en crisis suicidal_ideation 2\ni want to die\n@ en benign idiom 0\ni'm dying of laughter\n"), 0o600))
	for _, tc := range []struct {
		desc string
		args []string
		in   string
		want string
	}{
		{"lines", nil, `{"text":"i want to die"}` + "\n", `{"severity":2,`},
		{"explain", []string{"-explain", "i want to die, but not my character"}, "", "si.want-die"},
		{"explain a reply", []string{"-response", "-explain", "You should kill yourself."}, "", "re.encourage"},
		{"eval", []string{"-eval", "-causes", file}, "", "AP 1.0000"},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, run(tc.args, strings.NewReader(tc.in), &out))
			assert.Contains(t, out.String(), tc.want)
		})
	}
	assert.ErrorContains(t, run([]string{"-eval", "/does/not/exist"}, nil, nil), "no such file")
}
