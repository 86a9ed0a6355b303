package gateway_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
)

const postHead = "POST / HTTP/1.1\r\nHost: gateway.test\r\n"

// TestAnswersBeforeTheBody: a service need not wait for a body in order to
// refuse it, and its caller hears at once; the connection, on which the rest of
// the body may still come, then ends.
func TestAnswersBeforeTheBody(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // or net/http would wait for the body
		w.Header().Set("Connection", "close")
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	bodies := map[string]string{
		"none of it yet":   "Content-Length: 500000\r\n\r\n",
		"a part of it":     "Content-Length: 500000\r\n\r\n" + strings.Repeat("x", 100_000),
		"chunks":           "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
		"another request":  "Content-Length: 5000\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
		"after the answer": "Content-Length: 60\r\n\r\n",
	}
	onBoth(t, func(t *testing.T, carrier gateway.Option) {
		for name, body := range bodies {
			t.Run(name, func(t *testing.T) {
				service := httptest.NewServer(refuse)
				t.Cleanup(service.Close)
				addr := listen(t, service.URL, carrier, open("s"))
				conn, r := talk(t, addr, postHead+body)
				resp, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
				assert.True(t, resp.Close, "what is left of the body must not become the next request")
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "too much\n", string(text))
				_, _ = io.WriteString(conn, "GET /smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
				_, err = http.ReadResponse(r, nil)
				assert.Error(t, err, "nothing else is answered")
			})
		}
	})
}

// TestRefusalsDoNotWaitForTheBody: nor does the gateway.
func TestRefusalsDoNotWaitForTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s"}))
		began := time.Now()
		assert.Equal(t, http.StatusUnauthorized, raw(t, gw, postHead+"Content-Length: 100\r\n\r\n"))
		assert.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

// TestConversation: both sides talk in turns in one HTTP/1.1 exchange.
func TestConversation(t *testing.T) {
	onBoth(t, func(t *testing.T, carrier gateway.Option) {
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			_ = control.EnableFullDuplex()
			lines := bufio.NewReader(r.Body)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				fmt.Fprint(w, "you said ", line)
				_ = control.Flush()
			}
		}))
		t.Cleanup(service.Close)
		addr := listen(t, service.URL, carrier, open("s"))
		conn, r := talk(t, addr, postHead+"Transfer-Encoding: chunked\r\n\r\n")
		var answers *bufio.Reader
		for _, word := range []string{"one", "two", "three"} {
			_, err := fmt.Fprintf(conn, "%x\r\n%s\n\r\n", len(word)+1, word)
			require.NoError(t, err)
			if answers == nil {
				resp, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				answers = bufio.NewReader(resp.Body)
			}
			line, err := answers.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "you said "+word+"\n", line)
		}
		_, err := io.WriteString(conn, "0\r\n\r\n")
		require.NoError(t, err)
		_, err = answers.ReadString('\n')
		assert.ErrorIs(t, err, io.EOF)
	})
}

// TestWhoLeavesEndsTheWork, at once, also while his body is still being sent.
func TestWhoLeavesEndsTheWork(t *testing.T) {
	requests := map[string]string{
		"after the request":  "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
		"within the body":    postHead + "Content-Length: 1000\r\n\r\nsome",
		"within the chunks":  postHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
		"before the body":    postHead + "Content-Length: 1000\r\n\r\n",
		"after a small body": postHead + "Content-Length: 4\r\n\r\nsome",
	}
	onBoth(t, func(t *testing.T, carrier gateway.Option) {
		for name, request := range requests {
			t.Run(name, func(t *testing.T) {
				here, gone := make(chan struct{}), make(chan struct{})
				service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					defer close(gone)
					close(here)
					_, _ = io.Copy(io.Discard, r.Body)
					<-r.Context().Done()
				}))
				t.Cleanup(service.Close)
				addr := listen(t, service.URL, carrier, open("s"), gateway.WithService("s", gateway.Service{Retries: -1}))
				conn, _ := talk(t, addr, request)
				<-here
				require.NoError(t, conn.Close())
				<-gone
			})
		}
	})
}

// trickle sends n bytes, one each pause, and reports when it was answered or
// cut.
func trickle(t *testing.T, gw *gatewaytest.Gateway, pause time.Duration, size, n int) (status int, after time.Duration) {
	t.Helper()
	began := time.Now()
	conn, err := gw.Network.DialContext(t.Context(), "tcp", gatewaytest.Host+":80")
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n", postHead, n*size)
	require.NoError(t, err)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for range n {
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
			if _, err := io.WriteString(conn, strings.Repeat("x", size)); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	after = time.Since(began)
	close(stop)
	<-stopped
	time.Sleep(2 * time.Second) // net/http lingers after a body that it did not read
	if err != nil {
		return 0, after
	}
	_ = resp.Body.Close()
	return resp.StatusCode, after
}

func TestSlowBodies(t *testing.T) {
	tests := []struct {
		desc    string
		pause   time.Duration
		size, n int
		status  int
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"at one byte in five seconds it is too slow after the grace", 5 * time.Second, 1, 1000, 408, 10 * time.Second, 12 * time.Second},
		{"below the rate in larger pieces", 4 * time.Second, 480, 1000, 408, 15 * time.Second, 30 * time.Second},
		{"above the rate it may take long", 2 * time.Second, 600, 300, 200, 600 * time.Second, 601 * time.Second},
		{"that does not come at all", time.Hour, 10, 1, 408, 10 * time.Second, 12 * time.Second},
	}
	for _, inspected := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprint(tt.desc, inspected), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					options := []gateway.Option{open("s")}
					if inspected {
						options = append(options, gateway.WithGuard(crisis()))
					}
					gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, options...)
					status, after := trickle(t, gw, tt.pause, tt.size, tt.n)
					assert.Equal(t, tt.status, status)
					assert.GreaterOrEqual(t, after, tt.atLeast)
					assert.LessOrEqual(t, after, tt.atMost)
					if tt.status == 408 {
						synctest.Wait()
						assert.EqualValues(t, 408, gw.Log.Requests()[0]["status"])
					}
				})
			})
		}
	}
}

func TestBodyRateIsTheRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")}, gateway.WithRoutes(
			gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, Timeouts: gateway.Timeouts{BodyRate: -1, Idle: 20 * time.Second}}))
		status, _ := trickle(t, gw, 15*time.Second, 1, 20)
		assert.Equal(t, 200, status, "any rate, as long as it moves")
		status, after := trickle(t, gw, 30*time.Second, 1, 20)
		assert.Equal(t, 408, status)
		assert.InDelta(t, 20, after.Seconds(), 1)
	})
}

// TestSlowReaders: who does not take what he asked for is cut, and the service
// is free again.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		gw := gatewaytest.New(t, gatewaytest.Services{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(free)
			for range 1000 {
				if _, err := w.Write(make([]byte, 10_000)); err != nil {
					return
				}
			}
		})}, open("s"))
		conn, err := gw.Network.DialContext(t.Context(), "tcp", gatewaytest.Host+":80")
		require.NoError(t, err)
		defer conn.Close()
		began := time.Now()
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
		require.NoError(t, err)
		<-free
		assert.InDelta(t, 67, time.Since(began).Seconds(), 3)
	})
}

func TestTimeoutsAreToldApart(t *testing.T) {
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, standard := range map[string]bool{"h1": false, "net/http": true} {
		tests := []struct {
			desc     string
			timeouts gateway.Timeouts
			retries  int
			after    time.Duration
			reached  int
		}{
			{"per try", gateway.Timeouts{Header: 2 * time.Second}, -1, 2 * time.Second, 1},
			{"per try, another instance after it", gateway.Timeouts{Header: 2 * time.Second, Overall: time.Minute}, 1, 4 * time.Second, 2},
			{"overall", gateway.Timeouts{Header: 5 * time.Second, Overall: 3 * time.Second}, -1, 3 * time.Second, 1},
			{"overall, over two tries", gateway.Timeouts{Header: 5 * time.Second, Overall: 7 * time.Second}, 1, 7 * time.Second, 2},
			{"no bound on a try, but overall", gateway.Timeouts{Header: -1, Overall: 3 * time.Second}, -1, 3 * time.Second, 1},
		}
		for _, tt := range tests {
			t.Run(name+" "+tt.desc, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					gw := gatewaytest.New(t, gatewaytest.Services{"s": hang},
						gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, Timeouts: tt.timeouts}),
						gateway.WithService("s", gateway.Service{Retries: tt.retries}))
					gw.Transport.Standard = standard
					second := gw.Add("s", hang)
					began := time.Now()
					resp := gw.Get("/")
					assert.Equal(t, 504, resp.Status)
					assert.Equal(t, "tta-gateway; error=http_response_timeout", resp.Header.Get("Proxy-Status"))
					assert.InDelta(t, tt.after.Seconds(), time.Since(began).Seconds(), 0.5)
					assert.Equal(t, tt.reached, gw.Instance("s", 0).Requests()+second.Requests())
				})
			})
		}
	}
}

// TestASlowUploadIsNotALateAnswer: the clock for the answer runs once the
// request has been sent.
func TestASlowUploadIsNotALateAnswer(t *testing.T) {
	for name, standard := range map[string]bool{"h1": false, "net/http": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw := gatewaytest.New(t, gatewaytest.Services{"s": answering("x")},
					gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, Timeouts: gateway.Timeouts{Header: 5 * time.Second}}))
				gw.Transport.Standard = standard
				status, _ := trickle(t, gw, 2*time.Second, 1000, 30)
				assert.Equal(t, 200, status)
			})
		})
	}
}

// --- HTTP/2 and gRPC ---

// h2Client speaks HTTP/2 without TLS.
func h2Client(t *testing.T) *http.Client {
	transport := &http.Transport{Protocols: &http.Protocols{}, DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// h2Service serves HTTP/2 without TLS, and returns its URL.
func h2Service(t *testing.T, h http.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: h, Protocols: &http.Protocols{}}
	server.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return "http://" + ln.Addr().String()
}

// frame is a message as gRPC puts it into a body: a flag, a length, the bytes.
func frame(text string) []byte {
	out := make([]byte, 5, 5+len(text))
	binary.BigEndian.PutUint32(out[1:], uint32(len(text)))
	return append(out, text...)
}

func readFrame(r io.Reader) (string, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(r, body)
	return string(body), err
}

// echoService answers each message with the same in capitals, and ends with a
// status in the trailers; "fail" ends it with another, "deny" at once with
// nothing but trailers.
func echoService(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/grpc")
	if r.URL.Path == "/deny" {
		w.Header().Set("Grpc-Status", "7")
		return
	}
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	_ = control.Flush()
	status := "0"
	for {
		text, err := readFrame(r.Body)
		if err != nil {
			break
		}
		if text == "fail" {
			status = "13"
			break
		}
		_, _ = w.Write(frame(strings.ToUpper(text)))
		_ = control.Flush()
	}
	w.Header().Set("Grpc-Status", status)
	w.Header().Set("Grpc-Message", r.Header.Get("Te")+" "+r.Proto)
	w.Header().Set(http.TrailerPrefix+"Grpc-Details", "late")
}

func TestGRPC(t *testing.T) {
	url := h2Service(t, http.HandlerFunc(echoService))
	addr := listen(t, url, gateway.WithServer(gateway.Server{H2C: true}), gateway.WithService("s", gateway.Service{Protocol: gateway.HTTP2}),
		gateway.WithRoutes(gateway.Route{Pattern: "/", Service: "s", Allow: auth.Anyone, MaxBody: -1, Timeouts: gateway.Timeouts{Idle: -1, BodyRate: -1}}))
	client := h2Client(t)
	call := func(path string, body io.Reader) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+path, body)
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		resp, err := client.Do(req)
		require.NoError(t, err)
		require.Equal(t, 2, resp.ProtoMajor)
		return resp
	}
	t.Run("unary", func(t *testing.T) {
		resp := call("/unary", strings.NewReader(string(frame("hello"))))
		text, err := readFrame(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "HELLO", text)
		_, err = readFrame(resp.Body)
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, "0", resp.Trailer.Get("Grpc-Status"))
		assert.Equal(t, "trailers HTTP/2.0", resp.Trailer.Get("Grpc-Message"))
		assert.Equal(t, "late", resp.Trailer.Get("Grpc-Details"), "announced or not")
	})
	t.Run("streams both ways", func(t *testing.T) {
		in, out := io.Pipe()
		resp := call("/stream", in)
		for i := range 5 {
			word := fmt.Sprint("word", i)
			_, err := out.Write(frame(word))
			require.NoError(t, err)
			text, err := readFrame(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, strings.ToUpper(word), text, "each message at once")
		}
		_, err := out.Write(frame("fail"))
		require.NoError(t, err)
		_, err = readFrame(resp.Body)
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, "13", resp.Trailer.Get("Grpc-Status"))
		_ = out.Close()
	})
	t.Run("nothing but trailers", func(t *testing.T) {
		resp := call("/deny", strings.NewReader(string(frame("x"))))
		_, _ = io.Copy(io.Discard, resp.Body)
		assert.Equal(t, "7", resp.Header.Get("Grpc-Status"))
	})
	t.Run("who hangs up ends the call", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/stream", in)
		resp, err := client.Do(req)
		require.NoError(t, err)
		cancel()
		_ = out.CloseWithError(context.Canceled) // http.Transport looks at the context after that only
		_, err = readFrame(resp.Body)
		require.Error(t, err)
	})
}

// TestProtocols: whatever comes in, whatever goes out.
func TestProtocols(t *testing.T) {
	tell := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s %s %s", r.Proto, body, r.Header.Get("Via"))
		w.Header().Set("X-Sum", r.Trailer.Get("X-In"))
	})
	overTLS := httptest.NewUnstartedServer(tell)
	overTLS.EnableHTTP2 = true
	overTLS.StartTLS()
	t.Cleanup(overTLS.Close)
	plain := httptest.NewServer(tell)
	t.Cleanup(plain.Close)
	roots := &gateway.Transport{TLS: overTLS.Client().Transport.(*http.Transport).TLSClientConfig}
	t.Cleanup(roots.CloseIdleConnections)
	tests := []struct {
		desc, url string
		protocol  gateway.Protocol
		want      string
	}{
		{"HTTP/1.1", plain.URL, gateway.ProtocolAuto, "HTTP/1.1"},
		{"HTTP/1.1 said", plain.URL, gateway.HTTP1, "HTTP/1.1"},
		{"HTTP/2 without TLS", h2Service(t, tell), gateway.HTTP2, "HTTP/2.0"},
		{"what TLS agrees on", overTLS.URL, gateway.ProtocolAuto, "HTTP/2.0"},
		{"HTTP/1.1 over TLS", overTLS.URL, gateway.HTTP1, "HTTP/1.1"},
		{"HTTP/2 over TLS", overTLS.URL, gateway.HTTP2, "HTTP/2.0"},
	}
	for _, tt := range tests {
		addr := listen(t, tt.url, gateway.WithServer(gateway.Server{H2C: true}), gateway.WithTransport(roots), open("s"),
			gateway.WithService("s", gateway.Service{Protocol: tt.protocol}))
		for in, client := range map[string]*http.Client{"1.1": {Transport: &http.Transport{DisableKeepAlives: true}}, "2.0": h2Client(t)} {
			t.Run(in+" to "+tt.desc, func(t *testing.T) {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr, io.MultiReader(strings.NewReader("body")))
				req.Trailer = http.Header{"X-In": {"sum"}, "X-User-Id": {"root"}}
				resp, err := client.Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, tt.want+" body "+in+" tta-gateway", string(body))
				assert.Equal(t, "sum", resp.Trailer.Get("X-Sum"), "trailers end to end")
			})
		}
	}
}
