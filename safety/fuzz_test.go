package safety_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
)

// FuzzWrap sends whatever body through a guard, both ways, under whatever type
// and coding: it arrives byte for byte, and nothing panics.
func FuzzWrap(f *testing.F) {
	f.Add("application/json", "", []byte(`{"message":"one","response":"two"}`))
	f.Add("application/x-www-form-urlencoded", "", []byte("message=one&x=%zz"))
	f.Add("multipart/form-data; boundary=b", "", []byte("--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\none\r\n--b--\r\n"))
	f.Add("text/plain; charset=iso-8859-1", "gzip", []byte("\x1f\x8b\x08"))
	f.Add("", "zstd", []byte("\x28\xb5\x2f\xfd"))
	f.Add("application/json", "deflate, gzip", []byte("\xff\xfe{\x00}\x00"))
	f.Fuzz(func(t *testing.T, contentType, coding string, body []byte) {
		g := (&safety.Guard{Inspector: noop{}, MaxBody: 200}).With(safety.Rule{Fields: []string{"message", "a[].b"}, Reply: "response"})
		h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, got))
			w.Header()["Content-Type"], w.Header()["Content-Encoding"] = []string{contentType}, []string{coding}
			_, _ = w.Write(got)
		}))
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header["Content-Type"], r.Header["Content-Encoding"] = []string{contentType}, []string{coding}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.True(t, bytes.Equal(body, w.Body.Bytes()))
	})
}
