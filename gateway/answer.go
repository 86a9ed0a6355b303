package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
)

// informed relays 1xx answers while the final one is awaited. The transport
// calls got on a goroutine of its own.
type informed struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	n    int
	done bool
}

const max1xx = 16

var errTooMany1xx = errors.New("gateway: the instance sent too many interim answers")

func (i *informed) got(code int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.n++; i.n > max1xx {
		return errTooMany1xx
	}
	if i.done || code == http.StatusContinue { // the server says 100 itself, when the body is asked for
		return nil
	}
	h := i.w.Header()
	var added []string
	for name, values := range header {
		if h[name] == nil && !hopByHop[name] && !corsField(name) {
			h[name] = values
			added = append(added, name)
		}
	}
	i.w.WriteHeader(code)
	for _, name := range added {
		delete(h, name)
	}
	return nil
}

func (i *informed) close() {
	i.mu.Lock()
	i.done = true
	i.mu.Unlock()
}

// answer copies an instance's answer to the caller.
func (a *attempt) answer(resp *http.Response) {
	j := a.j
	defer a.end()
	defer resp.Body.Close() // over HTTP/2 it waits until nobody reads the request's body any more
	defer j.x.body.cut()
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		j.rt.state.refuse(j.w, j.r, problemProtocol, errUnasked)
		return
	case resp.StatusCode < 200 || resp.StatusCode > 999:
		j.rt.state.refuse(j.w, j.r, problemProtocol, errStatusCode)
		return
	}
	j.copyHeader(resp)
	announced := announceTrailers(j.w.Header(), resp.Trailer)
	if announced != nil && j.r.ProtoMajor == 1 {
		delete(j.w.Header(), "Content-Length") // only chunks have trailers (RFC 9112 section 7.1.2)
	}
	j.w.WriteHeader(resp.StatusCode)
	if err := a.copyBody(resp); err != nil {
		j.brokeOff(resp, err)
		return
	}
	if len(resp.Trailer) > 0 {
		copyTrailers(j.w, resp.Trailer, announced)
	}
}

// copyHeader takes over what the service says, save the fields of this hop and
// those that the gateway speaks for.
func (j *job) copyHeader(resp *http.Response) {
	s := j.rt.state
	h := j.w.Header()
	listed := connectionListed(resp.Header)
	for name, values := range resp.Header {
		switch {
		case hopByHop[name], s.headers.owns(name), name == "X-Request-Id", s.cors != nil && corsField(name):
			continue
		case name == "Vary" && h["Vary"] != nil:
			h["Vary"] = append(h["Vary"][:len(h["Vary"]):len(h["Vary"])], values...)
			continue
		case claimsSafety(name): // only what the gateway itself has done is claimed
			continue
		}
		h[name] = values
	}
	for _, name := range listed {
		if !s.headers.owns(name) {
			delete(h, name)
		}
	}
	if h["Cache-Control"] == nil && j.x.identity.Known() {
		h["Cache-Control"] = noStore
	}
}

// claimsSafety are response fields by which services say that somebody
// listened. Whether that is so, is the gateway's to say.
func claimsSafety(name string) bool {
	return name == "X-Therapeutic-Safety" || strings.HasPrefix(name, "X-Crisis-") || strings.HasPrefix(name, "X-Safety-")
}

// brokeOff ends an answer whose body did not come whole. What has gone out must
// look cut (RFC 9112 section 8). Where a guard still held all of it, nothing
// has, and the caller is told what happened, and where to find help.
func (j *job) brokeOff(resp *http.Response, err error) {
	if j.x.w.started() || j.x.Err() != nil {
		j.x.cause = err
		panic(http.ErrAbortHandler)
	}
	h := j.x.w.Header()
	for name := range resp.Header {
		if !j.rt.state.headers.owns(name) && name != "X-Request-Id" && name != "Vary" {
			delete(h, name)
		}
	}
	delete(h, "Trailer")
	j.rt.state.refuse(j.w, j.r, brokenProblem(err), err)
}

// trailerField reports whether a field may stand in a trailer: nothing that
// frames, routes, authenticates or changes how the message is read (RFC 9110
// section 6.5.1).
func trailerField(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Host", "Authorization",
		"Cookie", "Set-Cookie", "Location", "Cache-Control", "Expect", "Max-Forwards", "Age", "Expires", "Vary",
		"Date", "Retry-After", "Www-Authenticate", "Proxy-Status":
		return false
	}
	return !hopByHop[name] && !claimsSafety(name) && !corsField(name)
}

// announceTrailers names what comes after the body, as far as it is known.
func announceTrailers(h http.Header, trailer http.Header) map[string]bool {
	var names []string
	var announced map[string]bool
	for name := range trailer {
		if trailerField(name) {
			names = append(names, name)
			if announced == nil {
				announced = map[string]bool{}
			}
			announced[name] = true
		}
	}
	if names != nil {
		h["Trailer"] = names
	}
	return announced
}

// copyTrailers sends the fields after the body; those that were not announced
// need net/http's prefix.
func copyTrailers(w http.ResponseWriter, trailer http.Header, announced map[string]bool) {
	_ = http.NewResponseController(w).Flush() // forces chunking, without which there are none
	h := w.Header()
	for name, values := range trailer {
		switch {
		case !trailerField(name):
		case announced[name]:
			h[name] = values
		default:
			h[http.TrailerPrefix+name] = values
		}
	}
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copyBody passes the body on as it comes. What is a stream, and what comes in
// pieces, is flushed at once; what stands still for too long is given up.
func (a *attempt) copyBody(resp *http.Response) error {
	if resp.Body == nil || resp.Body == http.NoBody {
		return nil
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	left := resp.ContentLength // negative: nobody knows
	if left < 0 {
		_ = http.NewResponseController(a.j.w).Flush() // the head of a stream is news too
	}
	for {
		n, err := a.read(resp.Body, *buf)
		left -= int64(n)
		if n > 0 {
			if err := a.pass((*buf)[:n], left < 0 || n < len(*buf) && left > 0); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			a.broke(err)
			return err
		}
	}
}

// pass hands on one piece, at once if it is one of a stream or if the next one
// has not come yet.
func (a *attempt) pass(p []byte, now bool) error {
	_, err := a.j.w.Write(p)
	if now && err == nil {
		err = http.NewResponseController(a.j.w).Flush()
	}
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// read takes the next piece, and no longer than it may.
func (a *attempt) read(body io.Reader, p []byte) (int, error) {
	if a.timer == nil {
		return body.Read(p)
	}
	if idle := a.j.rt.Timeouts.Idle; idle > 0 {
		a.timer.Reset(idle)
	}
	n, err := body.Read(p)
	a.timer.Stop()
	return n, err
}
