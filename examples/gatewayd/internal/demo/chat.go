package demo

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	chatWriteTimeout = 10 * time.Second
	chatEndTimeout   = time.Second // for the close handshake, when an instance stops
)

// chat speaks the TTA chat protocol on one socket until either side ends it. A caller whom it does not
// know is let in and closed with 1008, so that a browser sees the code and stops trying.
func (i *Instance) chat(w http.ResponseWriter, r *http.Request) {
	who, err := i.chatter(r)
	// The token, not the Origin, says who may talk here; judging origins is the gateway's part.
	c, acceptErr := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if acceptErr != nil {
		return
	}
	defer c.CloseNow() //nolint:errcheck // the polite end comes before it
	if err != nil {
		_ = c.Close(websocket.StatusPolicyViolation, "")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	here := &socket{conn: c, cut: cancel}
	if !i.chats.enter(here) {
		_ = c.Close(websocket.StatusTryAgainLater, "too many sockets")
		return
	}
	defer i.chats.leave(here)
	c.SetReadLimit(i.world.options.MaxBody)
	here.converse(ctx, newTalk(i.world, who, r))
}

// chatter reads the token, from the query first, else from the Authorization header.
func (i *Instance) chatter(r *http.Request) (caller, error) {
	token := r.URL.Query().Get("token")
	if token == "" {
		token, _, _ = bearer(r)
	}
	who, _, err := i.world.tokens.read(token)
	return who, err
}

// socket is one open chat.
type socket struct {
	conn *websocket.Conn
	cut  context.CancelFunc // ends the conversation without ceremony
}

// converse greets, and then answers message by message.
func (s *socket) converse(ctx context.Context, t *talk) {
	answers := []frame{t.welcome()}
	for {
		if !s.say(ctx, answers) {
			return
		}
		kind, raw, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		if kind != websocket.MessageText {
			_ = s.conn.Close(websocket.StatusUnsupportedData, "text frames only")
			return
		}
		answers = t.hear(raw, time.Now())
	}
}

func (s *socket) say(ctx context.Context, frames []frame) bool {
	for _, f := range frames {
		encoded, err := json.Marshal(f)
		if err != nil {
			return false
		}
		if err := s.write(ctx, encoded); err != nil {
			return false
		}
	}
	return true
}

func (s *socket) write(ctx context.Context, encoded []byte) error {
	ctx, cancel := context.WithTimeout(ctx, chatWriteTimeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, encoded)
}

// chats are the open sockets of an instance.
type chats struct {
	most int

	mu      sync.Mutex // guards the fields below
	ended   bool
	sockets map[*socket]bool
	running sync.WaitGroup // added to under mu and only while not ended
}

func (c *chats) enter(s *socket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || len(c.sockets) >= c.most {
		return false
	}
	if c.sockets == nil {
		c.sockets = map[*socket]bool{}
	}
	c.sockets[s] = true
	c.running.Add(1)
	return true
}

func (c *chats) leave(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sockets, s)
	c.running.Done()
}

func (c *chats) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sockets)
}

// begin lets sockets in again after endAll.
func (c *chats) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = false
}

// endAll sends every socket 1001, lets none in any more, and waits for all to end.
func (c *chats) endAll() {
	var closing sync.WaitGroup
	for _, s := range c.last() {
		closing.Go(func() { _ = s.conn.Close(websocket.StatusGoingAway, "the instance is stopping") })
		defer time.AfterFunc(chatEndTimeout, s.cut).Stop()
	}
	closing.Wait()
	c.running.Wait()
}

// last marks the end and returns who is still here.
func (c *chats) last() (here []*socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for s := range c.sockets {
		here = append(here, s)
	}
	return here
}
