package gatewaytest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// Socket is a WebSocket client of the gateway.
type Socket struct {
	gw   *Gateway
	conn *websocket.Conn
	// Subprotocol is what was agreed on, "" for none.
	Subprotocol string
}

// Refusal is a handshake that was answered with something else than 101.
type Refusal struct{ Response }

// Dial opens a WebSocket, or returns how it was refused. Use "?token=" in path
// to come as browsers do.
func (gw *Gateway) Dial(path string, options ...RequestOption) (*Socket, *Refusal) {
	gw.tb.Helper()
	req, err := http.NewRequest(http.MethodGet, gw.URL(path), nil)
	if err != nil {
		gw.tb.Fatal(err)
	}
	for _, o := range options {
		o(req)
	}
	protocols := req.Header["Sec-Websocket-Protocol"]
	req.Header.Del("Sec-Websocket-Protocol")
	conn, resp, err := websocket.Dial(context.Background(), gw.URL(path), &websocket.DialOptions{
		HTTPClient: gw.client, HTTPHeader: req.Header, Subprotocols: protocols,
	})
	if err != nil {
		if resp == nil {
			gw.tb.Fatalf("gatewaytest: dial %s: %v", path, err)
		}
		body := make([]byte, 1024)
		n, _ := resp.Body.Read(body)
		return nil, &Refusal{Response{Status: resp.StatusCode, Header: resp.Header, Body: string(body[:n])}}
	}
	conn.SetReadLimit(1 << 22)
	gw.tb.Cleanup(func() { _ = conn.CloseNow() })
	return &Socket{gw: gw, conn: conn, Subprotocol: conn.Subprotocol()}, nil
}

// Send writes a text message.
func (s *Socket) Send(text string) error {
	return s.conn.Write(context.Background(), websocket.MessageText, []byte(text))
}

// SendBinary writes a binary message.
func (s *Socket) SendBinary(data []byte) error {
	return s.conn.Write(context.Background(), websocket.MessageBinary, data)
}

// Receive waits for the next message. After the end of the connection it
// returns an error of which [CloseCode] tells the code.
func (s *Socket) Receive() (text string, binary bool, err error) {
	kind, data, err := s.conn.Read(context.Background())
	return string(data), kind == websocket.MessageBinary, err
}

// ReceiveJSON waits for the next message and decodes it. It fails the test if
// there is none within an hour of the test's clock.
func (s *Socket) ReceiveJSON() map[string]any {
	s.gw.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	_, data, err := s.conn.Read(ctx)
	if err != nil {
		s.gw.tb.Fatalf("gatewaytest: no message: %v", err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		s.gw.tb.Fatalf("gatewaytest: message %q: %v", data, err)
	}
	return m
}

// Close ends the connection politely.
func (s *Socket) Close(code int, reason string) error {
	return s.conn.Close(websocket.StatusCode(code), reason)
}

// Break ends the connection without a word, as a lost network does.
func (s *Socket) Break() { _ = s.conn.CloseNow() }

// CloseCode is the close code that a Receive's error tells, -1 if it tells
// none.
func CloseCode(err error) int { return int(websocket.CloseStatus(err)) }
