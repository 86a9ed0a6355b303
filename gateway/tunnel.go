package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/health"
)

// tunnel hands the bytes of an uninspected socket on as they come, both ways.
// The handshake is the service's own, extensions and subprotocol included.
func (rt *route) tunnel(w http.ResponseWriter, r *http.Request, x *exchange, slot *socket) {
	resp, p, err := rt.dialTunnel(r, x)
	if p != nil {
		rt.fail(w, r, p, err)
		return
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		passRefusal(w, resp)
		return
	}
	service, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		resp.Body.Close()
		rt.fail(w, r, problemProtocol, errUnasked)
		return
	}
	defer service.Close()
	conn, buffered, err := x.w.Hijack()
	if err != nil {
		rt.fail(w, r, problemInternal, err)
		return
	}
	defer conn.Close()
	if !switchProtocols(conn, buffered, w.Header(), resp) {
		return
	}
	rt.splice(x, slot, conn, buffered.Reader, service)
}

// passRefusal hands on what a service says instead of switching protocols.
func passRefusal(w http.ResponseWriter, resp *http.Response) {
	h := w.Header()
	for name, values := range resp.Header {
		if !hopByHop[name] {
			h[name] = values
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(resp.Body, defaultMaxBody))
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
	p := problemConnect
	switch {
	case errors.Is(context.Cause(ctx), errHeaderTimeout):
		p = problemTimeout
	case x.Err() != nil:
		p = problemGone
		ticket.Ignore()
		ep.Leave(-1, true)
		return nil, p, err
	}
	ticket.Done(err)
	ep.Leave(elapsed, false)
	return nil, p, err
}

// switchProtocols answers the client's handshake with the service's own words.
func switchProtocols(conn net.Conn, buffered *bufio.ReadWriter, h http.Header, resp *http.Response) bool {
	for name, values := range resp.Header {
		h[name] = values
	}
	head := &http.Response{StatusCode: resp.StatusCode, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	_ = conn.SetDeadline(time.Now().Add(writeTimeout))
	if head.Write(buffered) != nil || buffered.Flush() != nil {
		return false
	}
	return conn.SetDeadline(time.Time{}) == nil
}

// splice copies both ways until one side ends or both are silent for too long.
func (rt *route) splice(x *exchange, slot *socket, client net.Conn, early *bufio.Reader, service io.ReadWriteCloser) {
	m := rt.state.metrics
	lane := x.lane.String()
	m.WebSocketOpened(rt.Pattern, lane)
	var once sync.Once
	code := closeGoingAway
	end := func(reason int) {
		once.Do(func() {
			code = reason
			client.Close()
			service.Close()
		})
	}
	idleFor := orDefault(rt.Timeouts.Socket, rt.state.webSocket.Idle)
	var idle *time.Timer
	if idleFor > 0 {
		idle = time.AfterFunc(idleFor, func() { end(closeGoingAway) })
		defer idle.Stop()
	}
	slot.onEnd(func(code int, reason string) {
		_ = client.SetWriteDeadline(time.Now().Add(closePatience))
		_, _ = client.Write(closeFrame(code, reason))
		end(code)
	})
	var other sync.WaitGroup
	other.Go(func() {
		rt.copyBytes(client, service, "response", idle, idleFor)
		end(closeGoingAway)
	})
	rt.copyBytes(service, io.MultiReader(buffered(early), client), "request", idle, idleFor)
	end(closeGoingAway)
	other.Wait()
	m.WebSocketClosed(rt.Pattern, lane, code)
}

// buffered is what the server had read of the client already.
func buffered(r *bufio.Reader) io.Reader { return io.LimitReader(r, int64(r.Buffered())) }

// copyBytes copies one way and counts what nobody looks at.
func (rt *route) copyBytes(to io.Writer, from io.Reader, direction string, idle *time.Timer, idleFor time.Duration) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			if idle != nil {
				idle.Reset(idleFor)
			}
			if rt.uninspected != "" {
				rt.state.metrics.Skipped(rt.Pattern, direction, "websocket", rt.uninspected, int64(n))
			}
			if _, err := to.Write((*buf)[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// closeFrame is an unmasked close frame, as a server sends it (RFC 6455
// section 5.5.1). It may land between two fragments, where control frames may
// stand, but not inside a frame: a tunnel cannot know, and the client takes
// what it cannot read for a broken connection, and comes back.
func closeFrame(code int, reason string) []byte {
	frame := []byte{0x88, byte(2 + len(reason)), byte(code >> 8), byte(code)}
	return append(frame, reason...)
}
