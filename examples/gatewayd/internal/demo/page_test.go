package demo_test

import (
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/examples/gatewayd/internal/demo"
)

func TestThePageIsWhole(t *testing.T) {
	page := demo.ChatPage(demo.Account{Username: `mira"><script>`, Password: "Lantern-1", Role: "player"})
	a := ask(t, page, "GET", "/demo/", "", "")
	require.Equal(t, http.StatusOK, a.status)
	assert.Contains(t, a.header.Get("Content-Type"), "text/html")
	assert.Contains(t, a.raw, `data-password="Lantern-1"`)
	assert.NotContains(t, a.raw, `mira"><script>`)
	for _, file := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(a.raw, -1) {
		assert.Equal(t, http.StatusOK, ask(t, page, "GET", "/demo/"+file[1], "", "").status, file[1])
	}
	for _, path := range []string{"/demo/", "/demo/chat.js", "/demo/chat.css"} {
		assert.NotRegexp(t, `(?i)https?://[a-z]`, ask(t, page, "GET", path, "", "").raw, "nothing is fetched from elsewhere")
	}
	assert.NotRegexp(t, `(?i)<script>|<style|\son[a-z]+=|\sstyle=`, a.raw, "nothing inline, so that a strict policy may stand")
	for _, path := range []string{"/demo/page.html", "/demo/doc.go", "/demo/x/y"} {
		assert.Equal(t, http.StatusNotFound, ask(t, page, "GET", path, "", "").status, path)
	}
}

func TestEveryFieldOfThePageHasALabel(t *testing.T) {
	html := ask(t, demo.ChatPage(), "GET", "/demo/", "", "").raw
	for _, field := range regexp.MustCompile(`<(?:input|select|textarea) id="([a-z]+)"`).FindAllStringSubmatch(html, -1) {
		assert.Contains(t, html, `<label for="`+field[1]+`">`, field[1])
	}
	for _, want := range []string{`lang="en"`, `role="log"`, `aria-live="polite"`, `role="status"`, `name="viewport"`, "automatic storyteller"} {
		assert.Contains(t, html, want)
	}
}

func TestTheCommandsNameEverything(t *testing.T) {
	w := newWorld()
	servers := running(t, w, "story-a")
	all := strings.Join(demo.Commands("http://127.0.0.1:8000", "http://127.0.0.1:8001", w.Accounts(), servers...), "\n")
	for _, a := range w.Accounts() {
		assert.Contains(t, all, a.Password)
	}
	for _, want := range []string{"http://127.0.0.1:8000/demo/", "ws://127.0.0.1:8000/ws/chat?token=$TOKEN", "http://127.0.0.1:8001/demo/story-a/stop"} {
		assert.Contains(t, all, want)
	}
	assert.NotContains(t, strings.Join(demo.Commands("http://127.0.0.1:8000", "", nil), "\n"), "/stop")
}

// The printed lines are run as they are, except those that need programs beyond curl.
func TestTheCommandsWork(t *testing.T) {
	for _, program := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %s is not on the PATH, so the printed commands were not tried", program)
		}
	}
	w := newWorld()
	s := running(t, w, "story-a")[0]
	var script []string
	for _, line := range demo.Commands(s.URL(), "", w.Accounts()) {
		if !strings.Contains(line, "websocat") && !strings.HasPrefix(line, "node ") {
			script = append(script, line, "echo")
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-euc", strings.Join(script, "\n")).CombinedOutput()
	require.NoError(t, err, string(out))
	for _, want := range []string{`"scene":"lighthouse"`, `"total_messages":2`, "event: done", "401 Unauthorized", "403 Forbidden", "Permission required"} {
		assert.Contains(t, string(out), want)
	}
	assert.Equal(t, 2, strings.Count(string(out), "403 Forbidden"))
}
