package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
)

var secret = []byte("a secret of this test, of 32 bytes and more")

func TestTheServiceStandsBehindThePipeline(t *testing.T) {
	g, err := pipeline(http.HandlerFunc(journal), secret)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := ln.Addr().String()
	require.NoError(t, ln.Close())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	server := &http.Server{Addr: address, Handler: g}
	go func() { ended <- serve(ctx, server, g) }()

	token := authtest.Token(t, secret, auth.Identity{Subject: "u1", Player: "p1"})
	write := func(token string) *http.Response {
		for {
			req, err := http.NewRequest(http.MethodPost, "http://"+address+"/journal", strings.NewReader(`{"message":"today was hard"}`))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/json")
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				resp.Body.Close()
				return resp
			}
			select {
			case err := <-ended:
				t.Fatal(err)
			default: // it is about to listen
			}
		}
	}
	assert.Equal(t, http.StatusUnauthorized, write("").StatusCode)
	assert.Equal(t, http.StatusOK, write(token).StatusCode)

	cancel()
	assert.NoError(t, <-ended, "it ends cleanly")
	http.DefaultClient.CloseIdleConnections()
}

func TestAWeakSecretIsRefused(t *testing.T) {
	assert.ErrorContains(t, run("127.0.0.1:0", ""), "-secret-file")
	weak := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(weak, []byte("your-secret-key\n"), 0o600))
	err := run("127.0.0.1:0", weak)
	assert.Error(t, err)
	assert.NotContains(t, err.Error(), "your-secret-key", "an error never shows a secret")
}
