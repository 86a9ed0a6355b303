package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Check asks one thing whether it is well; nil means that it is. It must return soon after its context has ended, and may be called
// again and again, though never twice at once by one [Monitor]. The text of its error is shown to those who may see detail (see
// [Monitor.Detail]), so it should name no secret.
type Check func(context.Context) error

const (
	maxHealthBody   = 64 << 10 // what a probe reads of an answer at most
	maxHealthHeader = 64 << 10
)

// HTTPCheck is a check that GETs rawURL. Any 2xx is well, or exactly the statuses in well if some are given. Redirects are not
// followed: a login page elsewhere says nothing about this service. At most 64 KiB of the body are read; one that breaks off within
// them is a failure.
//
// A nil client, or one without a Transport, gets a transport of the check's own that keeps no connection, so that a probe always finds
// out whether a new one can be had, and that uses no proxy. A client that is given is not changed; its Timeout, if any, applies beside
// the context's deadline.
// If rawURL is not an absolute http or https URL, the check always fails and says so.
func HTTPCheck(client *http.Client, rawURL string, well ...int) Check {
	target, err := parseTarget(rawURL)
	if err != nil {
		return func(context.Context) error { return err }
	}
	c := &httpCheck{client: prober(client), url: target, well: slices.Clone(well)}
	return c.ask
}

type httpCheck struct {
	client *http.Client
	url    *url.URL
	well   []int
}

func (c *httpCheck) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.String(), nil)
	if err != nil {
		return fmt.Errorf("health: GET %s: %w", shown(c.url), bare(err))
	}
	req.Header.Set("User-Agent", "tta-gateway-health")
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("health: GET %s: %w", shown(c.url), bare(err))
	}
	defer resp.Body.Close()
	return c.judge(resp)
}

func (c *httpCheck) judge(resp *http.Response) error {
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxHealthBody)); err != nil {
		return fmt.Errorf("health: GET %s: body: %w", shown(c.url), err)
	}
	if !c.isWell(resp.StatusCode) {
		return fmt.Errorf("health: GET %s: status %d", shown(c.url), resp.StatusCode)
	}
	return nil
}

func (c *httpCheck) isWell(status int) bool {
	if len(c.well) > 0 {
		return slices.Contains(c.well, status)
	}
	return status >= 200 && status <= 299
}

func parseTarget(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("health: cannot probe: the URL does not parse: %w", bare(err))
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("health: cannot probe %q: give an absolute http or https URL", shown(u))
	}
	return u, nil
}

// shown is a URL without what may be secret in it: user, query, fragment.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// bare takes the URL off an error of net/http, which repeats it whole.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// prober is a copy of the given client, or one of our own, that follows no redirect.
func prober(given *http.Client) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	}
	if c.Transport == nil {
		c.Transport = probeTransport()
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func probeTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHealthHeader,
	}
}
