package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth"
	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/gateway"
	"github.com/theinterneti/tta-gateway/gateway/gatewaytest"
	"github.com/theinterneti/tta-gateway/metrics"
	"github.com/theinterneti/tta-gateway/ratelimit"
	"github.com/theinterneti/tta-gateway/safety"
)

// keepAlive speaks now and then, so that a socket is not idle.
func keepAlive(t *testing.T, s *gatewaytest.Socket) {
	for s.Send(`{"type":"ping"}`) == nil {
		select {
		case <-time.After(time.Minute):
		case <-t.Context().Done():
			return
		}
	}
}

// told reads until the end: how often help came, and how it ended.
func told(s *gatewaytest.Socket) (help int, code int, reason string) {
	for {
		text, _, err := s.Receive()
		if err != nil {
			return help, gatewaytest.CloseCode(err), err.Error()
		}
		if len(text) > 200 {
			help++
		}
	}
}

func TestASocketEndsWithItsToken(t *testing.T) {
	tunnel := gateway.Route{Pattern: "/ws/tunnel", Service: "story", Upgrade: true, Inspect: safety.NotInspected("a test")}
	for _, path := range []string{"/ws/chat", "/ws/tunnel"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw, _ := newChat(t, gateway.WithRoutes(tunnel))
				began := time.Now()
				s := dial(t, gw, path, gw.As("ann", authtest.ExpiresIn(10*time.Minute)))
				go keepAlive(t, s)
				_, code, reason := told(s)
				assert.Equal(t, 1008, code)
				assert.Contains(t, reason, "token expired")
				assert.InDelta(t, 10*time.Minute, time.Since(began), float64(30*time.Second))
				time.Sleep(10 * time.Second)
				synctest.Wait()
				assert.Len(t, gw.Log.Requests(), 1)
			})
		})
	}
}

func TestHelpComesBeforeATokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := chatRoute
		rt.Pattern = "/ws/raising"
		rt.Inspect.Policy = &safety.Policy{Request: map[safety.Severity]safety.Action{safety.Moderate: safety.Record | safety.ShowHelp | safety.Raise}}
		gw, _ := newChat(t, gateway.WithRoutes(rt))
		s := dial(t, gw, "/ws/raising", gw.As("ann", authtest.ExpiresIn(10*time.Minute)))
		require.NoError(t, s.Send("nothing matters"))
		assert.NotEmpty(t, s.ReceiveJSON()["crisis_resources"])
		go keepAlive(t, s)
		help, code, _ := told(s)
		assert.Equal(t, 1008, code)
		assert.Equal(t, 1, help, "and again before she is left alone")
	})
}

func TestWhoIsInCrisisIsNotCutByAClock(t *testing.T) {
	tunnel := gateway.Route{Pattern: "/ws/tunnel", Service: "story", Upgrade: true, Inspect: safety.NotInspected("a test")}
	synctest.Test(t, func(t *testing.T) {
		gw, c := newChat(t, gateway.WithRoutes(tunnel))
		began := time.Now()
		s := dial(t, gw, "/ws/chat", gw.As("ann", authtest.ExpiresIn(10*time.Minute)))
		beside := dial(t, gw, "/ws/tunnel", gw.As("ann", authtest.ExpiresIn(10*time.Minute)))
		require.NoError(t, s.Send("i want to die"))
		assert.NotEmpty(t, s.ReceiveJSON()["crisis_resources"])
		var e ends
		e.await("beside", beside)
		go keepAlive(t, beside)
		time.AfterFunc(25*time.Minute, func() { _ = s.Send("still here") })
		go keepAlive(t, s)
		help, code, _ := told(s)
		assert.Equal(t, 1008, code)
		assert.Equal(t, 1, help)
		assert.Contains(t, c.heard(), "still here")
		assert.GreaterOrEqual(t, time.Since(began), safety.DefaultHold, "not before the level has fallen")
		assert.Less(t, time.Since(began), safety.DefaultHold+2*time.Minute)
		e.all.Wait()
		assert.GreaterOrEqual(t, e.at["beside"].Sub(began), safety.DefaultHold)
	})
}

func TestARevokedTokenEndsItsSockets(t *testing.T) {
	for _, first := range []string{"hello", "i want to die"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				revocations := &auth.MemoryRevocations{}
				jwt := &auth.JWT{Keys: auth.HMAC(gatewaytest.Secret), Revocations: revocations}
				gw, _ := newChat(t, gateway.WithAuthenticator(jwt))
				token := gw.Token("ann", authtest.ExpiresIn(10*time.Hour))
				s := dial(t, gw, "/ws/chat?token="+token)
				bob := dial(t, gw, "/ws/chat", gw.As("bob", authtest.ExpiresIn(10*time.Hour)))
				var e ends
				e.await("bob", bob)
				require.NoError(t, s.Send(first))
				_, _, err := s.Receive()
				require.NoError(t, err)
				go keepAlive(t, s)
				go keepAlive(t, bob)
				time.Sleep(10 * time.Minute)
				require.NoError(t, jwt.Revoke(t.Context(), token))
				revokedAt := time.Now()
				help, code, reason := told(s)
				assert.Equal(t, 1008, code)
				assert.Contains(t, reason, "signed out")
				assert.Equal(t, first == "i want to die", help == 1, "she is not left without")
				assert.LessOrEqual(t, time.Since(revokedAt), 3*time.Minute)
				time.Sleep(time.Hour)
				assert.Empty(t, e.at, "others stay")
				bob.Break()
				e.all.Wait()
			})
		})
	}
}

func TestWhatIsAskedAgain(t *testing.T) {
	type answer struct {
		id  auth.Identity
		err error
	}
	ann := auth.Identity{Subject: "ann", Roles: []string{"player"}}
	late := ann
	late.Expires = time.Date(2000, 1, 1, 5, 0, 0, 0, time.UTC) // five hours after bubbles begin
	tests := []struct {
		desc  string
		again answer
		opts  gateway.WebSocket
		ends  bool
	}{
		{"the same", answer{id: ann}, gateway.WebSocket{}, false},
		{"somebody else", answer{id: auth.Identity{Subject: "bob", Roles: []string{"player"}}}, gateway.WebSocket{}, true},
		{"nobody", answer{}, gateway.WebSocket{}, true},
		{"a bad credential", answer{err: auth.ErrInvalidToken}, gateway.WebSocket{}, true},
		{"without the role", answer{id: auth.Identity{Subject: "ann"}}, gateway.WebSocket{}, true},
		{"cannot be asked", answer{err: auth.ErrUnavailable}, gateway.WebSocket{}, false},
		{"longer", answer{id: late}, gateway.WebSocket{}, false},
		{"not asked", answer{err: auth.ErrInvalidToken}, gateway.WebSocket{Recheck: -1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Pointer[answer]
				now.Store(&answer{id: ann})
				rt := chatRoute
				rt.Pattern, rt.Allow = "/ws/role", auth.Role("player")
				gw, _ := newChat(t, gateway.WithWebSocket(tt.opts), gateway.WithRoutes(rt),
					gateway.WithAuthenticator(auth.AuthenticatorFunc(func(r *http.Request) (auth.Identity, error) {
						if r.Context().Err() != nil {
							return auth.Identity{}, context.Cause(r.Context())
						}
						a := now.Load()
						return a.id, a.err
					})))
				s := dial(t, gw, "/ws/role")
				var e ends
				e.await("s", s)
				go keepAlive(t, s)
				time.Sleep(time.Hour)
				require.Empty(t, e.at)
				now.Store(&tt.again)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				assert.Equal(t, tt.ends, len(e.at) == 1)
				s.Break()
				e.all.Wait()
			})
		})
	}
}

func TestExpiryHoldsWhereNobodyCanBeAsked(t *testing.T) {
	for desc, again := range map[string]error{"unavailable": auth.ErrUnavailable, "of its own": errors.New("no"), "says yes for ever": nil} {
		t.Run(desc, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id := auth.Identity{Subject: "ann", Expires: time.Now().Add(time.Hour)}
				gw, _ := newChat(t, gateway.WithAuthenticator(auth.AuthenticatorFunc(func(*http.Request) (auth.Identity, error) {
					if time.Now().Before(id.Expires) {
						return id, nil
					}
					return id, again
				})))
				began := time.Now()
				s := dial(t, gw, "/ws/chat")
				go keepAlive(t, s)
				_, code, _ := told(s)
				assert.Equal(t, 1008, code)
				assert.GreaterOrEqual(t, time.Since(began), time.Hour)
				assert.LessOrEqual(t, time.Since(began), time.Hour+auth.MaxLeeway+15*time.Second)
			})
		})
	}
}

func TestWhoMayComeUnknownMayStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := gateway.Route{Pattern: "/ws", Service: "story", Upgrade: true, Chat: true, Allow: auth.Anyone, Lane: ratelimit.Therapeutic}
		gw := gatewaytest.New(t, gatewaytest.Services{"story": &chat{}}, gateway.WithGuard(crisis()), gateway.WithRoutes(rt))
		s := dial(t, gw, "/ws")
		var e ends
		e.await("s", s)
		go keepAlive(t, s)
		time.Sleep(10 * time.Hour)
		assert.Empty(t, e.at)
		s.Break()
		e.all.Wait()
	})
}

func TestSocketsAreCountedInTheirLaneAndByTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := metrics.New(prometheus.NewRegistry())
		require.NoError(t, err)
		gw, _ := newChat(t, gateway.WithMetrics(m))
		live := func(lane string) string {
			synctest.Wait()
			for line := range strings.SplitSeq(exposition(gw), "\n") {
				if strings.HasPrefix(line, "gateway_websockets_open{") && strings.Contains(line, `lane="`+lane+`"`) {
					return line[strings.LastIndexByte(line, ' ')+1:]
				}
			}
			return ""
		}
		s := dial(t, gw, "/ws/chat", gw.As("ann", authtest.ExpiresIn(10*time.Minute)))
		assert.Equal(t, "1", live("therapeutic"))
		require.NoError(t, s.Send("i want to die"))
		_ = s.ReceiveJSON()
		assert.Equal(t, "0", live("therapeutic"))
		assert.Equal(t, "1", live("crisis"))
		go keepAlive(t, s)
		_, code, _ := told(s)
		require.Equal(t, 1008, code)
		time.Sleep(5 * time.Second)
		assert.Equal(t, "0", live("crisis"))
		text := exposition(gw)
		assert.Regexp(t, `closed_total\{code="1008",[^}]*lane="crisis"[^}]*\} 1`, text)
		assert.Regexp(t, `auth_events_total\{.*"live".*"token_expired".*\} 1`, text)
	})
}

func TestASlidingSessionKeepsItsSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw, _ := newChat(t, gateway.WithAuthenticator(auth.AuthenticatorFunc(func(*http.Request) (auth.Identity, error) {
			return auth.Identity{Subject: "ann", Expires: time.Now().Add(30 * time.Minute)}, nil
		})))
		s := dial(t, gw, "/ws/chat")
		var e ends
		e.await("s", s)
		go keepAlive(t, s)
		time.Sleep(5 * time.Hour)
		assert.Empty(t, e.at)
		s.Break()
		e.all.Wait()
	})
}

func TestACredentialThatIsGoodOnceIsShownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		gw, _ := newChat(t, gateway.WithWebSocket(gateway.WebSocket{Recheck: -1}),
			gateway.WithAuthenticator(auth.AuthenticatorFunc(func(*http.Request) (auth.Identity, error) {
				if asked.Add(1) > 1 {
					return auth.Identity{}, auth.ErrInvalidToken
				}
				return auth.Identity{Subject: "ann", Expires: time.Now().Add(time.Hour)}, nil
			})))
		began := time.Now()
		s := dial(t, gw, "/ws/chat")
		go keepAlive(t, s)
		_, code, reason := told(s)
		assert.Equal(t, 1008, code)
		assert.Contains(t, reason, "token expired")
		assert.InDelta(t, time.Hour, time.Since(began), float64(15*time.Second))
		assert.EqualValues(t, 1, asked.Load())
	})
}
