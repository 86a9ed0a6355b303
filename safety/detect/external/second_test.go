package external_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect/external"
)

func says(s safety.Severity, score float64) safety.Verdict {
	v := safety.Verdict{Severity: s, Score: score}
	if s > safety.None {
		v.Categories = []safety.Category{safety.SuicidalIdeation}
		v.Findings = []safety.Finding{{Rule: "r", Category: safety.SuicidalIdeation, Severity: s}}
	}
	return v
}

func fixed(v safety.Verdict) safety.Inspector {
	return safety.InspectorFunc(func(context.Context, safety.Content) (safety.Verdict, error) { return v, nil })
}

func TestASecondOpinion(t *testing.T) {
	for _, tc := range []struct {
		desc         string
		local, other safety.Verdict
		mayLower     bool
		want         safety.Severity
		asked        int64
	}{
		{"raises", says(safety.Low, .3), says(safety.High, .9), false, safety.High, 1},
		{"does not lower by itself", says(safety.Moderate, .6), says(safety.None, .1), false, safety.Moderate, 1},
		{"lowers what is moderate where it may", says(safety.Moderate, .6), says(safety.None, .1), true, safety.None, 1},
		{"never lowers what is high", says(safety.High, .8), says(safety.None, .1), true, safety.High, 1},
		{"is not asked when the local verdict is sure", says(safety.Imminent, .97), says(safety.None, .1), true, safety.Imminent, 0},
		{"is not asked about a text that hints at nothing", says(safety.None, .01), says(safety.High, .9), false, safety.None, 0},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			s := &external.Second{First: fixed(tc.local), MayLower: tc.mayLower, Classifier: external.ClassifierFunc(
				func(context.Context, safety.Content) (safety.Verdict, error) { return tc.other, nil })}
			got, err := s.Inspect(t.Context(), safety.Content{Text: []byte("five!")})
			require.NoError(t, err)
			assert.Equal(t, tc.want, got.Severity)
			assert.Equal(t, tc.asked, s.Counts().Asked)
			assert.Equal(t, 5*tc.asked, s.Counts().Bytes)
		})
	}
}

func TestItsFailureLeavesTheLocalVerdict(t *testing.T) {
	for desc, fail := range map[string]external.ClassifierFunc{
		"error": func(context.Context, safety.Content) (safety.Verdict, error) {
			return safety.Verdict{}, errors.New("down")
		},
		"panic": func(context.Context, safety.Content) (safety.Verdict, error) { panic("wrong") },
	} {
		t.Run(desc, func(t *testing.T) {
			var heard error
			s := &external.Second{First: fixed(says(safety.Moderate, .6)), Classifier: fail, MayLower: true, OnError: func(err error) { heard = err }}
			got, err := s.Inspect(t.Context(), safety.Content{Text: []byte("x")})
			require.NoError(t, err)
			assert.Equal(t, safety.Moderate, got.Severity)
			assert.Error(t, heard)
			assert.EqualValues(t, 1, s.Counts().Failed)
		})
	}
}

func TestASlowServiceCostsItsTimeoutAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &external.Second{First: fixed(says(safety.Low, .3)), Timeout: 300 * time.Millisecond, Classifier: external.ClassifierFunc(
			func(ctx context.Context, _ safety.Content) (safety.Verdict, error) {
				<-ctx.Done()
				return safety.Verdict{}, ctx.Err()
			})}
		start := time.Now()
		got, err := s.Inspect(t.Context(), safety.Content{Text: []byte("x")})
		require.NoError(t, err)
		assert.Equal(t, safety.Low, got.Severity)
		assert.Equal(t, 300*time.Millisecond, time.Since(start))
	})
}

func TestNobodyWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := &external.Second{First: fixed(says(safety.Low, .3)), Concurrency: 1, Timeout: time.Hour, Classifier: external.ClassifierFunc(
			func(context.Context, safety.Content) (safety.Verdict, error) {
				<-hold
				return says(safety.High, .9), nil
			})}
		first := make(chan safety.Verdict)
		go func() {
			v, _ := s.Inspect(context.Background(), safety.Content{Text: []byte("x")})
			first <- v
		}()
		synctest.Wait()
		second, err := s.Inspect(t.Context(), safety.Content{Text: []byte("x")})
		require.NoError(t, err)
		assert.Equal(t, safety.Low, second.Severity)
		assert.EqualValues(t, 1, s.Counts().Skipped)
		close(hold)
		assert.Equal(t, safety.High, (<-first).Severity)
	})
}

func TestAnOpenBreakerAndALongTextAreNotSent(t *testing.T) {
	refuse := errors.New("open")
	s := &external.Second{First: fixed(says(safety.Low, .3)), Allow: func() (func(error), error) { return nil, refuse },
		Classifier: external.ClassifierFunc(func(context.Context, safety.Content) (safety.Verdict, error) {
			t.Error("asked")
			return safety.Verdict{}, nil
		})}
	_, err := s.Inspect(t.Context(), safety.Content{Text: []byte("x")})
	require.NoError(t, err)
	_, err = s.Inspect(t.Context(), safety.Content{Text: make([]byte, external.DefaultMaxBytes+1)})
	require.NoError(t, err)
	assert.EqualValues(t, 2, s.Counts().Skipped)
	assert.Zero(t, s.Counts().Asked)
}

func TestModerations(t *testing.T) {
	for _, tc := range []struct {
		desc, answer string
		status       int
		direction    safety.Direction
		want         safety.Severity
		category     safety.Category
		fails        bool
	}{
		{"intent", `{"model":"m","results":[{"category_scores":{"self-harm/intent":0.9,"violence":0.2}}]}`, 200, safety.Request, safety.High, safety.SuicidalIdeation, false},
		{"instructions in a reply", `{"model":"m","results":[{"category_scores":{"self-harm/instructions":0.8}}]}`, 200, safety.Response, safety.High, safety.Methods, false},
		{"below the threshold", `{"results":[{"category_scores":{"self-harm":0.3}}]}`, 200, safety.Request, safety.None, "", false},
		{"not a probability", `{"results":[{"category_scores":{"self-harm":7}}]}`, 200, safety.Request, safety.None, "", false},
		{"down", `oops`, 503, safety.Request, safety.None, "", true},
		{"malformed", `{"results":`, 200, safety.Request, safety.None, "", true},
		{"empty", `{}`, 200, safety.Request, safety.None, "", true},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.answer)
			}))
			defer server.Close()
			m := &external.Moderations{URL: server.URL, Key: "secret", Client: server.Client()}
			v, err := m.Classify(t.Context(), safety.Content{Text: []byte("hello"), Direction: tc.direction})
			assert.Equal(t, tc.fails, err != nil, "%v", err)
			assert.Equal(t, tc.want, v.Severity)
			if tc.category != "" {
				assert.Equal(t, []safety.Category{tc.category}, v.Categories)
			}
		})
	}
}

func ExampleSecond() {
	in := &external.Second{
		First: fixed(says(safety.Low, 0.4)),
		Classifier: external.ClassifierFunc(func(context.Context, safety.Content) (safety.Verdict, error) {
			return says(safety.High, 0.9), nil
		}),
	}
	v, _ := in.Inspect(context.Background(), safety.Content{Text: []byte("…")})
	fmt.Println(v.Severity, in.Counts().Asked)
	// Output: high 1
}

// A service that may lower what is high would talk people out of danger. The
// Second does not let it, whatever it is told.
func ExampleSecond_incorrect() {
	in := &external.Second{
		First:    fixed(says(safety.High, 0.8)),
		MayLower: true,
		Classifier: external.ClassifierFunc(func(context.Context, safety.Content) (safety.Verdict, error) {
			return says(safety.None, 0), nil
		}),
	}
	v, _ := in.Inspect(context.Background(), safety.Content{Text: []byte("…")})
	fmt.Println(v.Severity)
	// Output: high
}
