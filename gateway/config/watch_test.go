package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/auth/authtest"
	"github.com/theinterneti/tta-gateway/gateway/config"
)

const oneRoute = "version: 1\nroutes:\n  - {pattern: /one/, service: s, allow: anyone}\n"

func TestChangedFilesAreTakenOver(t *testing.T) {
	f := newFiles(map[string]string{"jwt": strong, "routes.yaml": oneRoute, "token": "0123456789abcdef"})
	synctest.Test(t, func(t *testing.T) {
		var out log
		c, err := config.Load(config.Source{Environ: []string{
			"TTA_GATEWAY_JWT_SECRET_KEY_FILE=jwt", "TTA_GATEWAY_ROUTES_FILE=routes.yaml", "TTA_GATEWAY_METRICS_TOKEN_FILE=token",
		}, ReadFile: f.read})
		require.NoError(t, err)
		parts, g := build(t, c, config.Host{Log: &out})
		hup := make(chan struct{})
		go func() { _ = parts.Watch(t.Context(), g, hup) }()
		route := func(path string) string { return g.Explain(httpGet(path)).Route }
		assert.Equal(t, "/one/", route("/one/x"))

		t.Log("routes change, and a poll later they are in force")
		f.set("routes.yaml", strings.Replace(oneRoute, "/one/", "/two/", 1))
		time.Sleep(4 * time.Second)
		assert.Equal(t, "/two/", route("/two/x"))
		assert.Empty(t, route("/one/x"))
		assert.Contains(t, out.text(), "changed settings are in force")

		t.Log("bad ones are refused with everything that is wrong, and the old ones stay")
		f.set("routes.yaml", "version: 1\nroutes:\n  - {pattern: /three/, service: s, lane: fast}\n  - {patern: x}\n")
		time.Sleep(4 * time.Second)
		assert.Equal(t, "/two/", route("/two/x"))
		assert.Contains(t, out.text(), "changed settings are refused")
		assert.Contains(t, out.text(), "routes.yaml:3: lane")
		assert.Contains(t, out.text(), "routes.yaml:4: a route")
		assert.Equal(t, 1, strings.Count(out.text(), "are refused"), "once, not at every poll")

		t.Log("nor does half of a change come in: the new secret waits for routes that can be read")
		f.set("jwt", stronger)
		time.Sleep(4 * time.Second)
		admin := authtest.Login("admin")
		assert.Equal(t, 200, get(g, "/metrics/prometheus", bearer(t, strong, "ada", admin)).Code)
		assert.Equal(t, 401, get(g, "/metrics/prometheus", bearer(t, stronger, "ada", admin)).Code)

		t.Log("SIGHUP asks at once")
		f.set("routes.yaml", oneRoute)
		hup <- struct{}{}
		synctest.Wait()
		assert.Equal(t, "/one/", route("/one/x"))
		assert.Equal(t, 200, get(g, "/metrics/prometheus", bearer(t, stronger, "ada", admin)).Code, "and all of it comes in")

		t.Log("a file that disappears for a moment is refused, too")
		f.mu.Lock()
		delete(f.all, "jwt")
		f.mu.Unlock()
		time.Sleep(4 * time.Second)
		assert.Equal(t, "/one/", route("/one/x"))
		assert.Contains(t, out.text(), "TTA_GATEWAY_JWT_SECRET_KEY_FILE")

		f.set("token", "fedcba9876543210")
		f.set("jwt", strong)
		time.Sleep(4 * time.Second)
		assert.Equal(t, 200, get(g, "/metrics/prometheus", "Authorization: Bearer fedcba9876543210").Code)
		assert.Equal(t, 401, get(g, "/metrics/prometheus", "Authorization: Bearer 0123456789abcdef").Code)
		assert.NotContains(t, out.text(), strong)
		assert.NotContains(t, out.text(), stronger)
	})
}

func httpGet(path string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, path, nil)
	r.Host, r.RequestURI = "gateway.test", path
	return r
}

func TestSecretsRotate(t *testing.T) {
	f := newFiles(map[string]string{"jwt": strong})
	u := newUpstream(t)
	c, err := config.Load(config.Source{Environ: []string{
		"TTA_GATEWAY_JWT_SECRET_KEY_FILE=jwt", `TTA_GATEWAY_SERVICES={"player-experience":"` + u.URL + `"}`,
	}, ReadFile: f.read})
	require.NoError(t, err)
	parts, g := build(t, c, config.Host{})
	code := func(key string) int { return get(g, "/api/v1/worlds", bearer(t, key, "p-1")).Code }
	assert.Equal(t, []int{200, 401}, []int{code(strong), code(stronger)})

	f.set("jwt", stronger+"\n"+strong+"\n")
	require.NoError(t, parts.Reload(t.Context(), g))
	assert.Equal(t, []int{200, 200}, []int{code(strong), code(stronger)}, "both while tokens of the old one are about")

	f.set("jwt", stronger)
	require.NoError(t, parts.Reload(t.Context(), g))
	assert.Equal(t, []int{401, 200}, []int{code(strong), code(stronger)}, "what was verified before is verified anew")

	f.set("jwt", "")
	require.Error(t, parts.Reload(t.Context(), g))
	assert.Equal(t, []int{401, 200}, []int{code(strong), code(stronger)})
}

func TestTLSPairIsReplaced(t *testing.T) {
	first, firstKey := pair(t, "first.example")
	second, secondKey := pair(t, "second.example")
	f := newFiles(map[string]string{"cert": first, "key": firstKey})
	c, err := config.Load(config.Source{Environ: []string{
		secret, "TTA_GATEWAY_PORT=0", "TTA_GATEWAY_TLS_CERT_FILE=cert", "TTA_GATEWAY_TLS_KEY_FILE=key",
	}, ReadFile: f.read})
	require.NoError(t, err)
	url, parts, g := serve(t, c, config.Host{})
	name := func() string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "http://"), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	assert.Equal(t, "first.example", name())

	f.set("cert", second)
	require.Error(t, parts.Reload(t.Context(), g), "the key of another certificate")
	assert.Equal(t, "first.example", name())

	f.set("key", secondKey)
	require.NoError(t, parts.Reload(t.Context(), g))
	assert.Equal(t, "second.example", name())
}

func TestTLSPairsThatAreNone(t *testing.T) {
	cert, _ := pair(t, "a.example")
	_, other := pair(t, "b.example")
	f := newFiles(map[string]string{"cert": cert, "key": other})
	_, err := config.Load(config.Source{Environ: []string{secret, "TTA_GATEWAY_TLS_CERT_FILE=cert", "TTA_GATEWAY_TLS_KEY_FILE=key"}, ReadFile: f.read})
	assert.ErrorContains(t, err, "no pair")
	_, err = config.Load(config.Source{Environ: []string{secret, "TTA_GATEWAY_TLS_CERT_FILE=cert", "TTA_GATEWAY_TLS_KEY_FILE=nowhere"}, ReadFile: f.read})
	assert.ErrorContains(t, err, "nowhere")
}

// pair makes a certificate of its own, and its key, as PEM.
func pair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	der2, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der2}))
}

func TestAConfigOfAProgramReloadsItsFiles(t *testing.T) {
	f := newFiles(map[string]string{"routes.yaml": oneRoute})
	c := config.Default()
	c.JWTSecretKey, c.RoutesFile, c.ReadFile = strong, "routes.yaml", f.read
	parts, g := build(t, c, config.Host{})
	f.set("routes.yaml", strings.Replace(oneRoute, "/one/", "/two/", 1))
	require.NoError(t, parts.Reload(t.Context(), g))
	assert.Equal(t, "/two/", g.Explain(httpGet("/two/x")).Route)
}
