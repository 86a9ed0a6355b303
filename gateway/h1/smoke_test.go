package h1_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/theinterneti/tta-gateway/gateway/h1"
)

func TestSmoke(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Len", r.Header.Get("Transfer-Encoding"))
		w.Write([]byte(r.Method + " " + string(b)))
		if r.URL.Path == "/big" {
			w.Write(make([]byte, 300000))
		}
	}))
	defer srv.Close()
	tr := &h1.Transport{}
	for i := 0; i < 3; i++ {
		for _, m := range []string{"GET", "POST"} {
			for _, p := range []string{"/", "/big"} {
				var body io.Reader
				if m == "POST" {
					body = strings.NewReader("hello")
					if p == "/big" {
						body = io.MultiReader(body)
					}
				}
				req, _ := http.NewRequest(m, srv.URL+p, body)
				res, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				t.Log(res.Status, len(b), string(b[:min(len(b), 12)]), err, res.ContentLength)
			}
		}
	}
	t.Logf("%+v", tr.Stats())
}
