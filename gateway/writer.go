package gateway

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"time"
)

// writer is the one response writer of the gateway: it sees status and size,
// whoever writes them, and gives up on callers who do not take what they asked
// for. Everything optional is reached through Unwrap; Hijack stands here because
// a hijacked connection is otherwise never seen to have answered.
type writer struct {
	http.ResponseWriter
	status   int
	bytes    int64
	hijacked bool
	first    time.Time // when the head went out

	body   *clientBody   // that may still be coming, nil without
	duplex bool          // the body is read while the answer is written
	h2     bool          // deadlines are those of a stream, and end it
	stall  time.Duration // how long one write may stand still; 0 = no bound
	until  time.Time     // the write deadline that is set
	bare   bool          // the server's writer knows no deadlines
	giveUp *time.Timer   // HTTP/2: ends a write that stands still
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the final status. 1xx are not final, save 101, after which
// nothing else comes.
func (w *writer) WriteHeader(code int) {
	if w.status == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
		w.status, w.first = code, time.Now()
		if w.body != nil && w.body.begins(w.duplex) {
			w.Header()["Connection"] = connectionClose
		}
	}
	w.guard(time.Now())
	w.ResponseWriter.WriteHeader(code)
	w.unguard()
}

func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.guard(time.Now())
	n, err := w.ResponseWriter.Write(p)
	w.unguard()
	w.bytes += int64(n)
	return n, err
}

// guard sets a deadline for what is written next, in steps: moving it costs.
// On HTTP/2 a deadline would end a stream that is merely silent, so that there
// a timer runs while something is being written.
func (w *writer) guard(now time.Time) {
	if w.stall <= 0 || w.bare {
		return
	}
	if w.h2 {
		w.guardStream()
		return
	}
	if w.until.Sub(now) >= w.stall {
		return
	}
	w.until = now.Add(w.stall + w.stall/8)
	err := http.NewResponseController(w.ResponseWriter).SetWriteDeadline(w.until)
	w.bare = errors.Is(err, http.ErrNotSupported)
}

func (w *writer) guardStream() {
	if w.giveUp != nil {
		w.giveUp.Reset(w.stall)
		return
	}
	control := http.NewResponseController(w.ResponseWriter)
	w.giveUp = time.AfterFunc(w.stall, func() { _ = control.SetWriteDeadline(time.Unix(1, 0)) })
}

func (w *writer) unguard() {
	if w.giveUp != nil {
		w.giveUp.Stop()
	}
}

// EnableFullDuplex lets the body be read while the answer is written, on
// HTTP/1 too ([http.ResponseController.EnableFullDuplex]).
func (w *writer) EnableFullDuplex() error {
	if w.duplex {
		return nil
	}
	err := http.NewResponseController(w.ResponseWriter).EnableFullDuplex()
	w.duplex = err == nil
	return err
}

// finish grants the server what the last of the answer takes, which it sends
// after the handler.
func (w *writer) finish() {
	if !w.h2 && !w.hijacked {
		w.guard(time.Now())
	}
}

// Flush implements http.Flusher for code that asks for it by type.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError sends what is buffered; it commits an implicit 200.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.guard(time.Now())
	defer w.unguard()
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
