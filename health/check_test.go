package health_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/health"
)

// answers is a service without a network: every request gets the same answer.
type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func status(code int) answers {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{"Location": {"/elsewhere"}}, Body: http.NoBody, Request: r}, nil
	}
}

func TestHTTPCheckJudgesByStatus(t *testing.T) {
	cases := []struct {
		desc   string
		status int
		well   []int
		err    string
	}{
		{"200", 200, nil, ""},
		{"any 2xx", 207, nil, ""},
		{"a redirect is not followed and not well", 302, nil, "health: GET http://story/health: status 302"},
		{"a redirect may be called well", 302, []int{200, 302}, ""},
		{"404", 404, nil, "health: GET http://story/health: status 404"},
		{"503", 503, nil, "health: GET http://story/health: status 503"},
		{"a 2xx that was not named", 204, []int{200}, "health: GET http://story/health: status 204"},
	}
	for _, c := range cases {
		t.Run(c.desc, func(t *testing.T) {
			check := health.HTTPCheck(&http.Client{Transport: status(c.status)}, "http://user:secret@story/health?key=secret", c.well...)
			err := check(t.Context())
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.err)
		})
	}
}

func TestHTTPCheckNeverShowsSecretsOfItsURL(t *testing.T) {
	for _, raw := range []string{
		"http://user:secret@127.0.0.1:1/health?key=secret#secret",
		"ftp://user:secret@host/?secret",
		"http://user:secret@host:port/",
		"/secret-free-but-relative",
		"",
	} {
		err := health.HTTPCheck(nil, raw)(t.Context())
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "secret@")
		assert.NotContains(t, err.Error(), "key=secret")
		assert.NotContains(t, err.Error(), ":secret")
	}
}

func TestHTTPCheckReadsABoundedPartOfTheBody(t *testing.T) {
	body := &endless{}
	client := &http.Client{Transport: answers(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: body}, nil
	})}
	require.NoError(t, health.HTTPCheck(client, "http://story/health")(t.Context()))
	assert.LessOrEqual(t, body.read, 64<<10)
	assert.True(t, body.closed)
}

type endless struct {
	read   int
	closed bool
}

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
func (e *endless) Close() error               { e.closed = true; return nil }

func TestHTTPCheckTakesABrokenBodyForAFailure(t *testing.T) {
	client := &http.Client{Transport: answers(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader("{"), broken{}))}, nil
	})}
	require.ErrorIs(t, health.HTTPCheck(client, "http://story/health")(t.Context()), io.ErrUnexpectedEOF)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestHTTPCheckLeavesTheGivenClientAlone(t *testing.T) {
	given := &http.Client{Transport: status(200)}
	require.NoError(t, health.HTTPCheck(given, "http://story/health")(t.Context()))
	assert.Nil(t, given.CheckRedirect)
}

func TestHTTPCheckWithItsOwnClient(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/health", http.StatusFound)
			return
		}
		fmt.Fprint(w, r.UserAgent())
	}))
	defer service.Close()
	require.NoError(t, health.HTTPCheck(nil, service.URL+"/health")(t.Context()))
	require.ErrorContains(t, health.HTTPCheck(nil, service.URL+"/away")(t.Context()), "status 302")
}

func TestHTTPCheckEndsWithItsContext(t *testing.T) {
	stop := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer service.Close()
	defer close(stop)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, health.HTTPCheck(nil, service.URL)(ctx), context.DeadlineExceeded)
}
