package h1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

// TestChaos lets uploads of every kind, early answers, aborted ones and
// cancelled requests share a few connections. Whatever is answered is
// answered to the right request, POSTs arrive at most once, and in the end
// every connection is accounted for.
func TestChaos(t *testing.T) {
	var received sync.Map
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Path
		if n, twice := received.LoadOrStore(id, r.Method); twice && r.Method == "POST" {
			t.Errorf("%s came twice, first as %v", id, n)
		}
		switch rand.IntN(6) {
		case 0:
			both := http.NewResponseController(w) // answers early, reads after that
			both.EnableFullDuplex()
			io.WriteString(w, id)
			both.Flush()
			io.Copy(io.Discard, r.Body)
		case 1:
			w.Header().Set("Connection", "close")
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			io.CopyN(io.Discard, r.Body, 1000)
		default:
			io.Copy(io.Discard, r.Body)
		}
		io.WriteString(w, id+strings.Repeat("x", rand.IntN(2)*rand.IntN(50_000)))
	}))
	service.Config.ErrorLog = log.New(io.Discard, "", 0)
	service.Start()
	defer service.Close()
	tr := transport(t)
	tr.MaxPerHost = 6
	var all sync.WaitGroup
	for client := range 10 {
		all.Go(func() {
			for i := range 60 {
				chaoticRequest(t, tr, service.URL, fmt.Sprintf("/%d-%d-", client, i))
			}
		})
	}
	all.Wait()
	assert.Eventually(t, func() bool { s := tr.Stats(); return s.Open == s.Idle }, patience, time.Millisecond)
	t.Logf("%+v", tr.Stats())
}

func chaoticRequest(t *testing.T, tr *h1.Transport, url, id string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := request(t, "POST", url+id, strings.Repeat("y", rand.IntN(3000)))
	size := rand.IntN(100_000)
	switch body := io.Reader(strings.NewReader(strings.Repeat("z", size))); rand.IntN(5) {
	case 0:
		req = request(t, "GET", url+id, "")
	case 1:
		req.Body, req.ContentLength, req.GetBody = io.NopCloser(struct{ io.Reader }{body}), int64(size), nil
	case 2:
		req.Body, req.ContentLength, req.GetBody = io.NopCloser(struct{ io.Reader }{body}), -1, nil
	case 3:
		req.Body, req.ContentLength, req.GetBody = io.NopCloser(io.MultiReader(body, failing{errors.New("torn")})), -1, nil
	}
	if rand.IntN(6) == 0 {
		time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, cancel)
	}
	res, err := tr.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return
	}
	defer res.Body.Close()
	if rand.IntN(6) == 0 {
		return // unread
	}
	if got, err := io.ReadAll(res.Body); err == nil && res.StatusCode == http.StatusOK {
		assert.True(t, strings.HasPrefix(string(got), id), "%.20s for %s", got, id)
	}
}
