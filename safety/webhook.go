package safety

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// SignatureHeader signs what a [Webhook] sends: "t=<Unix seconds>,v1=<hex>",
// where hex is the HMAC-SHA256, under the Secret, of the seconds, a dot and the
// body. A receiver should refuse what is older than a few minutes.
const SignatureHeader = "X-Safety-Signature"

const (
	defaultAttempts       = 5
	defaultPause          = time.Second
	longestPause          = 30 * time.Second
	defaultAttemptTimeout = 10 * time.Second
	maxAnswer             = 64 << 10 // of an answer is read, so that its connection can be used again
)

// Webhook is an [Escalator] that posts the [Event] as JSON to a system that
// tells humans: a pager, an on-call service. An answer of 2xx is taken for an
// acknowledgement, so the receiver must give it only once it has taken charge.
//
// Delivery is at least once: after a failure or a status of 408, 425, 429 or 5xx
// it tries again, with longer and longer pauses, until the attempts or the
// context's time are used up. The header Idempotency-Key holds the event's ID,
// the same in every attempt. The event names the subject and session as the host
// knows them, and holds no text.
//
// It is safe for simultaneous use; fields must not be changed after first use.
type Webhook struct {
	// URL is where to post: https, or http on this machine.
	URL string
	// Secret signs what is sent; see [SignatureHeader]. Empty: not signed.
	Secret []byte
	// Client sends; its own timeout is obeyed. nil means one that gives each
	// attempt 10 seconds. Redirects are never followed.
	Client *http.Client
	// Attempts is how often it is tried, 0 means 5.
	Attempts int
	// Pause is the wait after the first failure, which doubles after each
	// further one up to 30 seconds; 0 means a second.
	Pause time.Duration
}

// Check returns what is wrong with the settings, or nil.
func (h *Webhook) Check() error {
	u, err := url.Parse(h.URL)
	if err != nil {
		return errors.New("safety: webhook: URL cannot be parsed: give an absolute https URL") // its text may hold a token
	}
	if u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return fmt.Errorf("safety: webhook: URL goes to %s://%s: give an absolute https URL, or http on this machine", u.Scheme, u.Host)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Escalate posts the event until it is acknowledged. The error tells the last
// failure, and neither the URL nor the answer.
func (h *Webhook) Escalate(ctx context.Context, e Event) error {
	if err := h.Check(); err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("safety: webhook: %w", err)
	}
	attempts, pause := max(h.Attempts, 0), orDefault(h.Pause, defaultPause)
	if attempts == 0 {
		attempts = defaultAttempts
	}
	for n := 1; ; n++ {
		again, err := h.post(ctx, e.ID, body)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("safety: webhook: attempt %d of %d: %w", n, attempts, err)
		if !again || n == attempts || !sleep(ctx, jittered(pause)) {
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

// post makes one attempt and says whether another could help.
func (h *Webhook) post(ctx context.Context, id string, body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the request cannot be made")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", id)
	if len(h.Secret) > 0 {
		r.Header.Set(SignatureHeader, signature(h.Secret, time.Now(), body))
	}
	res, err := h.client().Do(r)
	if err != nil {
		return true, withoutURL(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
	switch s := res.StatusCode; {
	case s >= 200 && s < 300:
		return false, nil
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return true, fmt.Errorf("status %d", s)
	default:
		return false, fmt.Errorf("status %d", s)
	}
}

// client is the Client, but one that follows no redirect: what is about a
// person goes where the host said and nowhere else.
func (h *Webhook) client() *http.Client {
	c := http.Client{Timeout: defaultAttemptTimeout}
	if h.Client != nil {
		c = *h.Client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// withoutURL drops the URL of an error, which may hold a token.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

func signature(secret []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(seconds + "."))
	m.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

// jittered is a pause between three quarters and five quarters of d, so that
// many who failed together do not come back together.
func jittered(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1))
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Contacts is an [Escalator] that tells one after the other until somebody
// acknowledges. Each gets an even share of the time that is left, so that a
// first contact who does not answer leaves some for the second.
type Contacts []Escalator

// Escalate tells the contacts in order. Its error joins all of theirs.
func (c Contacts) Escalate(ctx context.Context, e Event) error {
	if len(c) == 0 {
		return errors.New("safety: there is no contact to tell")
	}
	var errs []error
	for i, contact := range c {
		err := within(ctx, len(c)-i, func(ctx context.Context) error { return escalateSafely(ctx, contact, e) })
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("safety: contact %d: %w", i+1, err))
	}
	return errors.Join(errs...)
}

// within runs f with the first of so many even shares of the context's time.
func within(ctx context.Context, shares int, f func(context.Context) error) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
		defer cancel()
	}
	return f(ctx)
}
