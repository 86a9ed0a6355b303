package h1

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Phase says how far an exchange had come when it ended.
type Phase uint8

// The phases of an exchange, in their order.
const (
	PhaseRequest Phase = iota // the request was looked at; nothing has left the process
	PhaseWait                 // waiting for a connection, because MaxPerHost were in use
	PhaseDial                 // connecting
	PhaseWrite                // the request was being written
	PhaseHeader               // the answer's header was awaited or read
	PhaseBody                 // the answer's body was read
)

var phases = [...]string{"checking the request", "waiting for a connection", "connecting",
	"writing the request", "reading the answer's header", "reading the answer's body"}

// String names the phase as error texts do: "connecting", "writing the request".
func (p Phase) String() string {
	if int(p) < len(phases) {
		return phases[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// ErrStale is among the causes of an [Error] when a connection that had been
// used before died after the request had been written and before a single
// byte of an answer came. Most often the service had closed it while it was
// idle and never saw the request; whether it did cannot be known.
// [Transport.RoundTrip] has then not repeated the request, because its method
// is not idempotent or its body cannot be read again.
var ErrStale = errors.New("h1: kept-alive connection was dead; whether the request was received is unknown")

// ErrNoAnswer is the cause when a connection was closed in good order before
// the first byte of an answer.
var ErrNoAnswer = errors.New("h1: connection closed without an answer")

// Error is every error of [Transport.RoundTrip], and of reading a body except
// io.EOF and io.ErrUnexpectedEOF. Err holds what happened: a [*RequestError],
// [*DialError], [*TimeoutError], [*ProtocolError], [*BodyError], the cause of
// the request's context, or what the connection said. The other fields hold
// the circumstances, which decide what may be done next.
type Error struct {
	Phase    Phase  // how far the exchange had come
	Addr     string // host and port of the service; empty when the request was refused unlooked at
	Sent     bool   // a byte of the request had been handed to the kernel: the service may act on it
	Answered bool   // a byte of an answer had been read
	Reused   bool   // the connection had carried another exchange before
	Err      error
}

// Error gives phase, address and cause; it never repeats bytes of a message.
func (e *Error) Error() string {
	cause := strings.TrimPrefix(e.Err.Error(), "h1: ")
	if e.Addr == "" {
		return "h1: " + e.Phase.String() + ": " + cause
	}
	return "h1: " + e.Phase.String() + " (" + e.Addr + "): " + cause
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout tells whether a timeout was the cause; it makes Error a net.Error.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary is always false; it makes Error a net.Error.
func (e *Error) Temporary() bool { return false }

// NothingSent tells whether err, from [Transport.RoundTrip], is certain proof
// that not one byte of the request left the process, so that the service
// cannot have acted on it. The request's body may have been read even so:
// whoever repeats the request must have it still. It is false for nil and for
// errors of other packages.
func NothingSent(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.Sent
}

// RequestError is a request that cannot be sent as it is: https, CONNECT, a
// header value with a line break, and the like. Asking again is pointless.
type RequestError struct{ Reason string }

func (e *RequestError) Error() string { return "h1: " + e.Reason }

func refuse(format string, args ...any) error {
	return &RequestError{Reason: fmt.Sprintf(format, args...)}
}

// DialError is a connection that could not be made. Nothing was sent.
type DialError struct {
	Addr string
	Err  error
}

func (e *DialError) Error() string { return "h1: " + strings.TrimPrefix(e.Err.Error(), "h1: ") }

// Unwrap returns Err, a [*TimeoutError] when DialTimeout ran out.
func (e *DialError) Unwrap() error { return e.Err }

// TimeoutError is one of the Transport's own limits that ran out: DialTimeout,
// WriteTimeout, ResponseHeaderTimeout or ResponseBodyTimeout. The end of the
// request's context is not a TimeoutError: then the context's cause is there.
// errors.Is(err, os.ErrDeadlineExceeded) holds.
type TimeoutError struct {
	Phase Phase
	After time.Duration // the limit
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("h1: timeout of %v %s", e.After, e.Phase)
}

// Unwrap returns os.ErrDeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return os.ErrDeadlineExceeded }

// Timeout is always true.
func (e *TimeoutError) Timeout() bool { return true }

// ProtocolError is an answer that is not HTTP/1.1 as RFC 9110 and RFC 9112
// have it, or that passes a bound. The connection it came on is closed.
// Reason never repeats what the service sent.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "h1: malformed answer: " + e.Reason }

func malformed(reason string) error { return &ProtocolError{Reason: reason} }

// BodyError is a request body that could not be read, or was shorter than its
// ContentLength. In a proxy that is the client's fault, not the service's;
// Err is what the body's Read returned, for instance a *http.MaxBytesError.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "h1: reading the request's body: " + e.Err.Error() }

// Unwrap returns Err.
func (e *BodyError) Unwrap() error { return e.Err }
