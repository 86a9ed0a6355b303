package gateway

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// writer is the one response writer of the gateway: it sees status and size,
// whoever writes them. Everything optional (Flush, deadlines, full duplex) is
// reached through Unwrap; Hijack stands here because a hijacked connection is
// otherwise never seen to have answered.
type writer struct {
	http.ResponseWriter
	status   int
	bytes    int64
	hijacked bool
	first    time.Time // when the head went out
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the final status. 1xx are not final, save 101, after which
// nothing else comes.
func (w *writer) WriteHeader(code int) {
	if w.status == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
		w.status, w.first = code, time.Now()
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status, w.first = http.StatusOK, time.Now()
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher for code that asks for it by type.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError sends what is buffered; it commits an implicit 200.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.status, w.first = http.StatusOK, time.Now()
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack hands the connection over. What the log calls the status is then 101.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.hijacked = true
		if w.status == 0 {
			w.status, w.first = http.StatusSwitchingProtocols, time.Now()
		}
	}
	return conn, rw, err
}

// started reports whether the head of the answer is out, so that nothing else
// can be answered any more.
func (w *writer) started() bool { return w.status != 0 }
