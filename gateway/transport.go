package gateway

import (
	"net"
	"net/http"
	"time"
)

// NewTransport returns the transport that a gateway uses unless it is given
// another: [http.Transport] with what a gateway needs changed. It takes no
// proxy from the environment, decodes nothing, keeps enough idle connections,
// and bounds the head of an answer.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  nil, // an environment variable must not redirect people's words
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        30 * time.Second, // shorter than what services keep theirs for
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true, // what the service encodes goes on as it is
		MaxResponseHeaderBytes: 256 << 10,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
}
