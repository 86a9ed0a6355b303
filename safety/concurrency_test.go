package safety_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/safetytest"
)

// Many people speak at once over two routes of one guard, by HTTP and by chat.
// Each sees their own reply, and help exactly where they called for it.
func TestManySpeakAtOnce(t *testing.T) {
	var log safetytest.Log
	budget := safety.NewBudget(1 << 20)
	guard := &safety.Guard{
		Inspector: script(), Auditor: &log, Escalator: &log, Budget: budget,
		Subject: func(r *http.Request) string { return r.Header.Get("X-Who") },
		Observe: func(safety.Observation) {},
	}
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"response":"you said","echo":%s}`, body)
	}
	one := serve(t, guard.With(safety.Rule{Reply: "response"}), echo)
	two := serve(t, guard.With(safety.Rule{Reply: "response", Fields: []string{"message"}}), echo)

	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			who := fmt.Sprint("person-", i)
			for turn := range 8 {
				words := fmt.Sprintf("%s turn %d %s", who, turn, strings.Repeat("go on ", i*turn*20))
				if crisis := (i+turn)%3 == 0; crisis {
					words += dying
				}
				url := one.URL
				if turn%2 == 0 {
					url = two.URL
				}
				r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(`{"message":"`+words+`"}`))
				if !assert.NoError(t, err) {
					return
				}
				r.Header.Set("X-Who", who)
				res, err := http.DefaultClient.Do(r)
				if !assert.NoError(t, err) {
					return
				}
				saw, err := safetytest.Saw(res)
				assert.NoError(t, err)
				assert.Contains(t, saw.Text, words)
				assert.Equal(t, (i+turn)%3 == 0, saw.Crisis)
				out := guard.Message(t.Context(), safety.Message{Subject: who, Data: []byte(words)})
				assert.Equal(t, words, string(out.Data))
			}
		})
	}
	all.Wait()
	require.NoError(t, guard.Flush(t.Context()))
	assert.Zero(t, budget.Used())
	assert.Len(t, log.Escalated(), 24, "once for each of them")
}
