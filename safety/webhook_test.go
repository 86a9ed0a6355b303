package safety_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
)

// pager answers posts with one status after the other; 0 is a lost connection.
type pager struct {
	statuses []int
	got      []*http.Request
	bodies   []string
	at       []time.Time
}

func (p *pager) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	p.got, p.bodies, p.at = append(p.got, r), append(p.bodies, string(body)), append(p.at, time.Now())
	status := p.statuses[min(len(p.got), len(p.statuses))-1]
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: io.NopCloser(strings.NewReader("secret answer"))}, nil
}

func TestAWebhookTriesUntilSomebodyTakesCharge(t *testing.T) {
	tests := []struct {
		desc     string
		statuses []int
		posts    int
		wantErr  string
	}{
		{"at once", []int{202}, 1, ""},
		{"after trouble", []int{0, 503, 429, 200}, 4, ""},
		{"never", []int{500}, 5, "attempt 5 of 5: status 500"},
		{"lost", []int{0}, 5, "connection refused"},
		{"refused", []int{401}, 1, "attempt 1 of 5: status 401"},
		{"sent elsewhere", []int{302}, 1, "status 302"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pager{statuses: tt.statuses}
				h := &safety.Webhook{URL: "https://pager.example/hook?token=tok", Secret: []byte("s"), Client: &http.Client{Transport: p}}
				err := h.Escalate(t.Context(), safety.Event{ID: "e1", Subject: "ada", Severity: safety.High})
				require.Len(t, p.got, tt.posts)
				for i, r := range p.got {
					assert.Equal(t, "e1", r.Header.Get("Idempotency-Key"))
					assert.Equal(t, p.bodies[0], p.bodies[i])
					if i > 1 {
						assert.Greater(t, p.at[i].Sub(p.at[i-1]), time.Second)
					}
				}
				var e safety.Event
				require.NoError(t, json.Unmarshal([]byte(p.bodies[0]), &e))
				assert.Equal(t, "ada", e.Subject)
				m := hmac.New(sha256.New, []byte("s"))
				fmt.Fprintf(m, "%d.%s", p.at[0].Unix(), p.bodies[0])
				assert.Equal(t, fmt.Sprintf("t=%d,v1=%s", p.at[0].Unix(), hex.EncodeToString(m.Sum(nil))), p.got[0].Header.Get(safety.SignatureHeader))
				if tt.wantErr == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, tt.wantErr)
				assert.NotContains(t, err.Error(), "tok=")
				assert.NotContains(t, err.Error(), "token")
				assert.NotContains(t, err.Error(), "secret answer")
			})
		})
	}
}

func TestAWebhookStopsWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pager{statuses: []int{500}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := (&safety.Webhook{URL: "https://pager.example", Attempts: 100, Client: &http.Client{Transport: p}}).Escalate(ctx, safety.Event{})
		assert.Error(t, err)
		assert.LessOrEqual(t, time.Since(began), 3*time.Second)
	})
}

func TestAWebhookGoesToASafePlaceOnly(t *testing.T) {
	for _, good := range []string{"https://pager.example/x", "http://localhost:9000", "http://127.0.0.1/x", "http://[::1]:80/"} {
		assert.NoError(t, (&safety.Webhook{URL: good}).Check(), good)
	}
	for _, bad := range []string{"", "/x", "http://pager.example", "ftp://localhost", "https://", "ht tp://x?token=tok", "http://localhost.example"} {
		err := (&safety.Webhook{URL: bad}).Escalate(t.Context(), safety.Event{})
		assert.ErrorContains(t, err, "https", bad)
		assert.NotContains(t, err.Error(), "tok=")
	}
}

func TestAWebhookOverARealConnection(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	h := &safety.Webhook{URL: s.URL, Client: &http.Client{Transport: transport}}
	assert.NoError(t, h.Escalate(t.Context(), safety.Event{ID: "e1"}))
}

func TestASecondContactIsToldWhenTheFirstDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		contact := func(name string, err error) safety.Escalator {
			return safety.EscalatorFunc(func(ctx context.Context, _ safety.Event) error {
				told = append(told, name)
				if err == nil {
					return nil
				}
				<-ctx.Done()
				return err
			})
		}
		silent := errors.New("no answer")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.NoError(t, safety.Contacts{contact("a", silent), contact("b", nil), contact("c", nil)}.Escalate(ctx, safety.Event{}))
		assert.Equal(t, []string{"a", "b"}, told)
		assert.Equal(t, 20*time.Second, time.Since(began))

		err := safety.Contacts{contact("a", silent), contact("b", silent)}.Escalate(ctx, safety.Event{})
		assert.ErrorContains(t, err, "contact 2: no answer")
		assert.Error(t, safety.Contacts{}.Escalate(ctx, safety.Event{}))
	})
}
