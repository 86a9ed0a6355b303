// Package h1 is an HTTP/1.1 client for services behind a proxy: an
// http.RoundTripper that costs a little more than half of what http.Transport does, and is
// as correct.
//
//	     caller's goroutine                              service
//	RoundTrip ── check, write header ─┐
//	    │        (and a small body)   │
//	    │   ┌── pool ──┐   take   ┌───┴───┐  one write
//	    │   │ hot      │ ───────► │ conn  │ ───────────────►
//	    │   │ …        │          └───┬───┘
//	    │   │ cold     │              │  ◄─────────────── one read
//	    ▼   └────▲─────┘              ▼
//	Response ────┼──── Body ── to its exact end
//	             └────────────────────┘
//
// The shortest program:
//
//	tr := &h1.Transport{}
//	res, err := tr.RoundTrip(req) // req.URL: http://…
//
// # What it does
//
// No goroutine belongs to a connection. The goroutine that calls
// [Transport.RoundTrip] writes the request, in one write if the body is small
// and in memory, waits, and reads the answer. Only a body that may take time
// to read is sent by a goroutine of its own, so that an answer that comes
// before the body has gone up is heard at once, and both directions can
// stream. An answer's header becomes one string from which all its keys and
// values are slices.
//
// Connections are pooled per host, last in, first out, and looked at before
// every use: one that the service has closed meanwhile, or on which it has
// said something unasked, is dropped before anything is written on it. A
// connection goes back only when it stands exactly between two messages, with
// nothing unread. What then still goes wrong is told apart by [Error], and
// [NothingSent] says when a request may be repeated without a thought. By
// itself the Transport repeats only what RFC 9110 (9.2.2) allows; a POST is
// never sent twice, whatever its header says.
//
// Answers are parsed strictly (RFC 9112): what two recipients might read in
// two ways is refused. Header, trailer section, number of fields, of 1xx
// answers and of bytes that are not data are bounded. 1xx answers go to
// net/http/httptrace's Got1xxResponse and Got100Continue; of the other hooks
// GetConn, GotConn, GotFirstResponseByte, Wait100Continue and WroteRequest are
// called, WroteHeaders unless header and body come from the sender, and those
// of the net.Dialer.
//
// The end of the request's context, or one of the [Timeouts], ends an exchange
// at once and closes its connection, so that the service knows too.
//
// # What it does not
//
// No TLS and no HTTP/2: http.Transport is there for them. No proxies and no
// environment, no cookies, no redirects, no CONNECT, no compression; no
// User-Agent and no Accept-Encoding are added. Response.TLS is nil. A
// Request.Cancel channel is not looked at. A body sent with an Upgrade must be
// small and in memory for the 101 to be accepted.
//
// One thing no HTTP/1.1 client can do: bytes that a broken service sends after
// a connection was looked at, but before it has read the next request, cannot
// be told from that request's answer.
//
// # Differences from http.Transport
//
// The test suite runs the same cases on both and names what http.Transport
// does otherwise. In short: http.Transport adds User-Agent; escapes some raw
// paths anew; cuts an odd Host; takes Connection away from answers with close
// in it, so that the fields listed there pass for end-to-end; sends a body
// after it was refused with a final answer to Expect; waits for a body's Read
// after its request was cancelled; learns only by and by that an idle
// connection is dead; repeats a POST that has an Idempotency-Key, but no PUT
// and no DELETE; and accepts answers with both Content-Length and
// Transfer-Encoding, bare line feeds and folded lines.
//
// The other way round: a body whose size is not known is always sent chunked,
// for GET too; a body longer than its ContentLength is an error only if it is
// in memory, else it is cut there.
package h1
