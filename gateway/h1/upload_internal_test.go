package h1

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
)

// Whose the connection is when the answer has ended, and whether it is of use.
func TestUploadOver(t *testing.T) {
	for name, tc := range map[string]struct {
		up             *upload
		mine, reusable bool
	}{
		"sent":              {&upload{last: true, done: true}, true, true},
		"failed":            {&upload{last: true, done: true, err: errShortBody}, true, false},
		"in its last write": {&upload{last: true}, false, false},
		"not yet sent":      {&upload{}, true, false},
	} {
		mine, reusable := tc.up.over(true)
		assert.Equal(t, tc.mine, mine, name)
		assert.Equal(t, tc.reusable, reusable, name)
	}
}

// A body that fails before its first piece takes the header with it: the
// buffer in which it lay may by then be another request's.
func TestHeaderOfAFailedBodyIsNotSent(t *testing.T) {
	client, service := net.Pipe()
	defer service.Close()
	u := newUpload(newConn(client, &host{t: &Transport{}}), []byte("POST / HTTP/1.1\r\n\r\n"))
	u.body, u.size = io.NopCloser(iotest.ErrReader(errors.New("torn"))), 5
	u.run()
	assert.NoError(t, u.graceOver(), "it did not even try")
	assert.False(t, u.sent.Load())
	var torn *BodyError
	assert.ErrorAs(t, u.failure(), &torn)
}
