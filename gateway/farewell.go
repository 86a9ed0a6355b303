package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

const (
	// closePatience is how long a peer may take to answer our close.
	closePatience = 2 * time.Second
	// farewellPatience is how long one may take whom we do not know, or for whom
	// there is no time left.
	farewellPatience = 250 * time.Millisecond
)

// peer is a WebSocket and the connection beneath it, by which it can be ended
// whatever the WebSocket is waiting for.
type peer struct {
	*websocket.Conn
	wire io.Closer
}

// leave ends the connection politely with a code, and within patience.
func (p *peer) leave(code int, reason string, patience time.Duration) {
	t := time.AfterFunc(patience, p.cut)
	defer t.Stop()
	_ = p.Close(websocket.StatusCode(code), reason)
}

// cut ends the connection at once.
func (p *peer) cut() { _ = p.wire.Close() }

// accept takes the handshake of a client. Its Origin has been checked.
func accept(x *exchange, r *http.Request, subprotocols []string) (*peer, error) {
	w := &grip{writer: &x.w}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: subprotocols})
	if err != nil {
		return nil, err
	}
	return &peer{conn, w.conn}, nil
}

// grip keeps hold of a connection that is handed over.
type grip struct {
	*writer
	conn net.Conn
}

func (g *grip) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := g.writer.Hijack()
	g.conn = conn
	return conn, rw, err
}

// refuseByClose tells a browser why it may not come in: it cannot read the
// answer to a failed handshake, but it can read a close code. The help that
// belongs to the refusal goes first. It reports whether that was done: not for
// an address over its quota, nor where too many are being told already, for it
// costs more than the plain answer. The record has the problem's own status.
func (s *state) refuseByClose(_ http.ResponseWriter, r *http.Request, x *exchange, p *problem) bool {
	if p == problemAddress || !validHandshake(r) || x.w.hijacked {
		return false
	}
	select {
	case s.gateway.sockets.farewells <- struct{}{}:
		defer func() { <-s.gateway.sockets.farewells }()
	default:
		return false
	}
	client, err := accept(x, r, offered(r))
	if err != nil {
		return false
	}
	x.w.status = p.status
	defer client.CloseNow()
	if x.therapeutic() && p != problemOrigin {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(x), farewellPatience)
		defer cancel()
		_ = client.Write(ctx, websocket.MessageText, s.helpFor(r, x).Frame("", time.Now()))
	}
	client.leave(p.close, p.code, farewellPatience)
	return true
}
