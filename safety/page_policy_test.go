package safety_test

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/safety"
)

// A gateway forbids pages everything; the help page allows itself its style.
func TestTheHelpPageLooksAsItShouldUnderAStrictPolicy(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	r := httptest.NewRequest("GET", "/help", nil)
	r.Header.Set("Accept", "text/html")
	safety.HelpPage(nil).ServeHTTP(w, r)
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "style-src 'unsafe-inline'")
	assert.NotContains(t, w.Header().Get("Content-Security-Policy"), "script-src")
	assert.Contains(t, w.Body.String(), ">United Kingdom</a>", "places have names")
}
