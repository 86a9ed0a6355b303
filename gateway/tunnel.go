package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/gateway/h1"
	"github.com/theinterneti/tta-gateway/health"
)

// tunnel hands the bytes of an uninspected socket on as they come, both ways.
// The handshake is the service's own, extensions and subprotocol included.
func (rt *route) tunnel(w http.ResponseWriter, r *http.Request, x *exchange, slot *socket, through func()) {
	resp, p, err := rt.dialTunnel(r, x)
	through()
	if p != nil {
		rt.state.refuse(w, r, p, err)
		return
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 999 {
		rt.passRefusal(w, r, x, resp)
		return
	}
	service, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		resp.Body.Close()
		rt.state.refuse(w, r, problemProtocol, errUnasked)
		return
	}
	defer service.Close()
	conn, buffered, err := x.w.Hijack()
	if err != nil {
		rt.state.refuse(w, r, problemInternal, err)
		return
	}
	defer conn.Close()
	if !rt.switchProtocols(conn, buffered, w, r, x, resp) {
		return
	}
	t := &tunnel{rt: rt, x: x, r: r, slot: slot, client: conn, service: service, code: closeGoingAway}
	t.asked, _ = buffered.Reader.Peek(buffered.Reader.Buffered())
	if own, ok := service.(*h1.Tunnel); ok {
		t.service, t.answered = own.Detach()
	}
	t.run()
}

// passRefusal hands on what a service says instead of switching protocols, by
// the rules of every answer.
func (rt *route) passRefusal(w http.ResponseWriter, r *http.Request, x *exchange, resp *http.Response) {
	defer resp.Body.Close()
	late := time.AfterFunc(writeTimeout, func() { resp.Body.Close() })
	defer late.Stop()
	(&job{rt: rt, w: w, r: r, x: x}).copyHeader(resp)
	w.WriteHeader(resp.StatusCode)
	if _, err := io.CopyN(w, resp.Body, defaultMaxBody); err != io.EOF {
		x.cause = err
		panic(http.ErrAbortHandler) // what was cut must look cut (RFC 9112 section 8)
	}
}

// dialTunnel asks an instance for the upgrade; another one where the first
// could not be reached.
func (rt *route) dialTunnel(r *http.Request, x *exchange) (*http.Response, *problem, error) {
	header := rt.outHeader(r, x)
	header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	var resp *http.Response
	p, err := rt.overInstances(r, x, func(ep *discovery.Endpoint, ticket health.Ticket) (p *problem, err error) {
		resp, p, err = rt.dialTunnelOne(r, x, ep, ticket, header)
		return p, err
	})
	return resp, p, err
}

func (rt *route) dialTunnelOne(r *http.Request, x *exchange, ep *discovery.Endpoint, ticket health.Ticket, header http.Header) (*http.Response, *problem, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(x))
	stop := context.AfterFunc(x, func() { cancel(context.Canceled) })
	defer stop()
	if d := rt.Timeouts.Header; d > 0 {
		t := time.AfterFunc(d, func() { cancel(errHeaderTimeout) })
		defer t.Stop()
	}
	out := r.WithContext(ctx)
	out.URL, out.Header, out.RequestURI = rt.target(r, x, rt.service.of(ep).base), header, ""
	out.Body, out.ContentLength = http.NoBody, 0
	ep.Enter()
	began := time.Now()
	resp, err := rt.service.carrier.upgrade.RoundTrip(out)
	elapsed := time.Since(began)
	if err == nil {
		ticket.Done(nil)
		ep.Leave(elapsed, true)
		return resp, nil, nil
	}
	p := unanswered(ctx, x, err)
	if blameless(p) {
		ticket.Ignore()
		ep.Leave(-1, true)
	} else {
		ticket.Done(err)
		ep.Leave(elapsed, false)
	}
	return nil, p, err
}

// switchProtocols answers the client's handshake: what the service agrees to is
// its own word, and the rest goes by the rules of every answer.
func (rt *route) switchProtocols(conn net.Conn, buffered *bufio.ReadWriter, w http.ResponseWriter, r *http.Request, x *exchange, resp *http.Response) bool {
	(&job{rt: rt, w: w, r: r, x: x}).copyHeader(resp)
	h := w.Header()
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	head := &http.Response{StatusCode: resp.StatusCode, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	_ = conn.SetDeadline(time.Now().Add(writeTimeout))
	if head.Write(buffered) != nil || buffered.Flush() != nil {
		return false
	}
	return conn.SetDeadline(time.Time{}) == nil
}

// tunnel is a live one.
type tunnel struct {
	rt      *route
	x       *exchange
	r       *http.Request
	slot    *socket
	client  net.Conn
	service io.ReadWriteCloser // the connection itself, where it can be had

	asked, answered []byte // what came with the handshake, from either side

	idle    *time.Timer
	idleFor time.Duration
	once    sync.Once
	code    int // with which it ended, for the count
}

// run copies both ways until one side ends, both are silent for too long, the
// gateway ends it, or the credential with which it came.
func (t *tunnel) run() {
	m := t.rt.state.metrics
	lane := t.x.lane.String()
	m.WebSocketOpened(t.rt.Pattern, lane)
	if t.idleFor = orDefault(t.rt.Timeouts.Socket, t.rt.state.webSocket.Idle); t.idleFor > 0 {
		t.idle = time.AfterFunc(t.idleFor, func() { t.end(closeGoingAway) })
		defer t.idle.Stop()
	}
	t.slot.begin(t.rt.state.gateway, t.sayGoodbye, func() { t.end(closeGoingAway) })
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.x))
	var all sync.WaitGroup
	all.Go(func() { newLease(t.rt, t.r, t.x, t.slot.close).keep(ctx) })
	all.Go(func() {
		t.copy(t.client, t.service, t.answered, "response")
		t.end(closeGoingAway)
	})
	t.copy(t.service, t.client, t.asked, "request")
	t.end(closeGoingAway)
	cancel()
	all.Wait()
	m.WebSocketClosed(t.rt.Pattern, lane, t.code)
}

// end breaks both sides off. The first code counts.
func (t *tunnel) end(code int) {
	t.once.Do(func() {
		t.code = code
		t.client.Close()
		t.service.Close()
	})
}

// sayGoodbye tells the client why, and ends.
func (t *tunnel) sayGoodbye(code int, reason string) {
	_ = t.client.SetWriteDeadline(time.Now().Add(closePatience))
	_, _ = t.client.Write(closeFrame(code, reason))
	t.end(code)
}

// copy copies one way, what came early first.
func (t *tunnel) copy(to io.Writer, from io.Reader, early []byte, direction string) {
	if len(early) > 0 && t.pass(to, early, direction) != nil {
		return
	}
	source := newPuller(from)
	for {
		buf, n, err := source.pull()
		if n > 0 {
			if failed := t.pass(to, (*buf)[:n], direction); failed != nil {
				err = failed
			}
		}
		if buf != nil {
			tunnelBuffers.Put(buf)
		}
		if err != nil {
			return
		}
	}
}

// pass hands a piece on, and counts what nobody looks at.
func (t *tunnel) pass(to io.Writer, p []byte, direction string) error {
	if t.idle != nil {
		t.idle.Reset(t.idleFor)
	}
	if rt := t.rt; rt.uninspected != "" {
		rt.state.metrics.Skipped(rt.Pattern, direction, "websocket", rt.uninspected, int64(len(p)))
	}
	_, err := to.Write(p)
	return err
}

// closeFrame is an unmasked close frame, as a server sends it (RFC 6455
// section 5.5.1). It may land between two fragments, where control frames may
// stand, but not inside a frame: a tunnel cannot know, and the client takes
// what it cannot read for a broken connection, and comes back.
func closeFrame(code int, reason string) []byte {
	frame := []byte{0x88, byte(2 + len(reason)), byte(code >> 8), byte(code)}
	return append(frame, reason...)
}
