package demo

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

const longestDelay = 30 * time.Second

// fault is what a request asks the demo to do wrong with it. The zero fault is none.
type fault struct {
	delay    time.Duration
	status   int
	hangUp   bool
	truncate bool
}

// faultOf reads the fault from X-Demo-* headers or demo_* query parameters.
func faultOf(r *http.Request, instance string) (f fault, err error) {
	if on := asked(r, "X-Demo-On", "demo_on"); on != "" && on != instance {
		return fault{}, nil
	}
	if delay := asked(r, "X-Demo-Delay", "demo_delay"); delay != "" {
		f.delay, err = time.ParseDuration(delay)
		if err != nil || f.delay < 0 || f.delay > longestDelay {
			return fault{}, invalid(problem{Loc: []string{"header", "X-Demo-Delay"}, Msg: "A duration of at most 30s, such as 2s", Type: "value_error"})
		}
	}
	return f, f.failure(asked(r, "X-Demo-Fail", "demo_fail"))
}

func (f *fault) failure(kind string) error {
	switch kind {
	case "":
	case "hangup":
		f.hangUp = true
	case "truncate":
		f.truncate = true
	default:
		status, err := strconv.Atoi(kind)
		if err != nil || status < 400 || status > 599 {
			return invalid(problem{Loc: []string{"header", "X-Demo-Fail"}, Msg: "A status from 400 to 599, hangup or truncate", Type: "value_error"})
		}
		f.status = status
	}
	return nil
}

func asked(r *http.Request, header, parameter string) string {
	if v := r.Header.Get(header); v != "" {
		return v
	}
	return r.URL.Query().Get(parameter)
}

// wait waits as long as was asked for, and says whether the client is still there.
func (f fault) wait(r *http.Request) bool {
	timer := time.NewTimer(f.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
	return r.Context().Err() == nil
}

// half takes a whole answer, to send only half of it.
type half struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (h *half) WriteHeader(status int)      { h.status = status }
func (h *half) Write(p []byte) (int, error) { return h.body.Write(p) }
func (h *half) Flush()                      {} // nothing goes out before the end

// hangUp sends the honest length and half the bytes, and then breaks the connection.
func (h *half) hangUp() {
	w := h.ResponseWriter
	w.Header().Set("Content-Length", strconv.Itoa(h.body.Len()))
	if h.status != 0 {
		w.WriteHeader(h.status)
	}
	_, _ = w.Write(h.body.Bytes()[:h.body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
