package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

func newDNS(t *testing.T, resolver discovery.Resolver, urls map[string]string) *discovery.DNS {
	t.Helper()
	d, err := discovery.NewDNS(urls)
	require.NoError(t, err)
	d.Resolver = resolver
	return d
}

// urlsOf lists where instances are, with their weights.
func urlsOf(all []discovery.Instance) map[string]int {
	out := map[string]int{}
	for _, i := range all {
		out[i.URL.String()] = i.Weight
	}
	return out
}

func TestDNSKeepsTheRules(t *testing.T) {
	resolver := &discoverytest.Resolver{}
	resolver.SetAddrs("chat.internal", "10.0.0.1", "10.0.0.2")
	d := newDNS(t, resolver, map[string]string{"chat": "http://chat.internal:8080/base", "story": "http://10.0.0.9"})
	names, err := d.Services(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"chat", "story"}, names)
	_, err = d.Instances(t.Context(), "nobody")
	require.ErrorIs(t, err, discovery.ErrUnknownService)

	all, err := d.Instances(t.Context(), "chat")
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"http://10.0.0.1:8080/base": 1, "http://10.0.0.2:8080/base": 1}, urlsOf(all))
	for _, i := range all {
		require.NoError(t, i.Validate())
		assert.Equal(t, "chat", i.Service)
		assert.Len(t, i.Addrs, 1)
	}
	all, err = d.Instances(t.Context(), "story")
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"http://10.0.0.9:80": 1}, urlsOf(all), "an address needs no resolver")
}

func TestDNSKindsOfRecords(t *testing.T) {
	resolver := &discoverytest.Resolver{SRVs: map[string][]*net.SRV{
		"_http._tcp.chat.internal": {
			{Target: "a.internal.", Port: 8001, Priority: 1, Weight: 10},
			{Target: "b.internal.", Port: 8002, Priority: 1, Weight: 0},
			{Target: "spare.internal.", Port: 8003, Priority: 2, Weight: 10},
		},
		"heavy.internal":  {{Target: "a.", Port: 1, Weight: 60000}, {Target: "b.", Port: 1, Weight: 30000}},
		"absent.internal": {{Target: ".", Port: 0}},
		"evil.internal":   {{Target: "good.internal.", Port: 80}, {Target: "bad/../host.", Port: 80}},
	}}
	resolver.SetAddrs("tls.internal", "10.0.0.2", "10.0.0.1")
	resolver.SetAddrs("v6.internal", "2001:db8::1", "::ffff:10.0.0.1", "10.0.0.1")
	resolver.SetAddrs("empty.internal")
	tests := []struct {
		desc, url string
		want      map[string]int
		wantErr   string
	}{
		{"SRV: best priority, its weights", "srv+http://_http._tcp.chat.internal", map[string]int{"http://a.internal:8001": 10, "http://b.internal:8002": 1}, ""},
		{"SRV: weights are brought down", "srv+https://heavy.internal/base", map[string]int{"https://a:1/base": 1000, "https://b:1/base": 500}, ""},
		{"SRV: not there", "srv+http://absent.internal", nil, "no target"},
		{"SRV: a target that is no name", "srv+http://evil.internal", map[string]int{"http://good.internal:80": 1}, ""},
		{"https is one instance", "https://tls.internal", map[string]int{"https://tls.internal": 1}, ""},
		{"IPv6, and mapped twins", "http://v6.internal", map[string]int{"http://[2001:db8::1]:80": 1, "http://10.0.0.1:80": 1}, ""},
		{"a name without addresses", "http://empty.internal", nil, "no address"},
		{"no such name", "http://gone.internal", nil, "no such host"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			d := newDNS(t, resolver, map[string]string{"chat": tt.url})
			all, err := d.Instances(t.Context(), "chat")
			if tt.wantErr != "" {
				require.ErrorContains(t, err, tt.wantErr)
				assert.Empty(t, all)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, urlsOf(all))
		})
	}
	d := newDNS(t, resolver, map[string]string{"chat": "https://tls.internal"})
	all, err := d.Instances(t.Context(), "chat")
	require.NoError(t, err)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}, all[0].Addrs)
}

func TestDNSCachesAndKeepsTheLastGoodAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resolver := &discoverytest.Resolver{}
		resolver.SetAddrs("chat", "10.0.0.1")
		d := newDNS(t, resolver, map[string]string{"chat": "http://chat"})
		for range 10 {
			all, err := d.Instances(t.Context(), "chat")
			require.NoError(t, err)
			require.Len(t, all, 1)
		}
		assert.Len(t, resolver.Calls(), 1, "an answer is used for a while")

		resolver.SetAddrs("chat", "10.0.0.1", "10.0.0.2")
		time.Sleep(discovery.DefaultDNSRefresh)
		all, err := d.Instances(t.Context(), "chat")
		require.NoError(t, err)
		require.Len(t, all, 2)

		resolver.Fail(errDown)
		time.Sleep(discovery.DefaultDNSRefresh)
		for range 10 {
			all, err = d.Instances(t.Context(), "chat")
			require.ErrorIs(t, err, discovery.ErrStale)
			require.ErrorIs(t, err, errDown)
			require.Len(t, all, 2)
		}
		assert.Len(t, resolver.Calls(), 3, "a failure is not asked again at each request")
		resolver.Fail(nil)
		time.Sleep(discovery.DefaultDNSRefresh / 10)
		all, err = d.Instances(t.Context(), "chat")
		require.NoError(t, err)
		assert.Len(t, all, 2)
	})
}

func TestDNSIsBounded(t *testing.T) {
	resolver := &discoverytest.Resolver{Addrs: map[string][]netip.Addr{}}
	for n := range 200 {
		resolver.Addrs["chat"] = append(resolver.Addrs["chat"], netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}))
	}
	d := newDNS(t, resolver, map[string]string{"chat": "http://chat"})
	first, err := d.Instances(t.Context(), "chat")
	require.NoError(t, err)
	assert.Len(t, first, discovery.DefaultMaxDNSInstances)
}

// hangingResolver answers nobody, until its caller gives up.
type hangingResolver struct {
	discoverytest.Resolver
	mu    sync.Mutex
	asked int
}

func (r *hangingResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	r.mu.Lock()
	r.asked++
	r.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDNSHangingResolverHoldsNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resolver := &hangingResolver{}
		d := newDNS(t, resolver, map[string]string{"chat": "http://chat"})
		begun := time.Now()
		var work sync.WaitGroup
		for range 50 {
			work.Go(func() {
				_, err := d.Instances(t.Context(), "chat")
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := d.Instances(gone, "chat")
		require.ErrorIs(t, err, context.Canceled, "one who leaves does not wait")
		work.Wait()
		assert.Equal(t, discovery.DefaultTimeout, time.Since(begun))
		assert.Equal(t, 1, resolver.asked)
	})
}

func TestNewDNSJoinsAllComplaints(t *testing.T) {
	_, err := discovery.NewDNS(map[string]string{"a": "ftp://x", "b c": "http://x", "c": "srv+http://x:80"})
	for _, piece := range []string{`service "a"`, `scheme "ftp"`, `service "b c"`, `service "c"`, "has a port"} {
		assert.ErrorContains(t, err, piece)
	}
}

func TestAddressRules(t *testing.T) {
	tests := []struct {
		addr string
		ok   bool
	}{
		{"127.0.0.1", true}, {"127.255.255.254", true}, {"::1", true}, {"10.1.2.3", true}, {"172.16.0.1", true},
		{"172.31.255.255", true}, {"192.168.1.1", true}, {"fd12:3456::1", true}, {"::ffff:10.0.0.1", true},

		{"172.32.0.1", false}, {"8.8.8.8", false}, {"2001:db8::1", false}, {"100.64.0.1", false},
		{"0.0.0.0", false}, {"0.1.2.3", false}, {"::", false}, {"255.255.255.255", false}, {"240.0.0.1", false},
		{"169.254.169.254", false}, {"169.254.0.1", false}, {"fe80::1", false}, {"fe80::1%eth0", false}, {"fd00::1%eth0", false},
		{"224.0.0.1", false}, {"239.1.1.1", false}, {"ff02::1", false}, {"fec0::1", false},
		{"::ffff:169.254.169.254", false}, {"::ffff:0:169.254.169.254", false}, {"::169.254.169.254", false},
		{"64:ff9b::a9fe:a9fe", false}, {"64:ff9b:1::a9fe:a9fe", false}, {"2002:a9fe:a9fe::1", false},
		{"fd00:ec2::254", false}, {"fd20:ce::254", false}, {"100.100.100.200", false}, {"192.0.0.192", false}, {"168.63.129.16", false},
	}
	everything := discovery.AddressRules{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	public := map[string]bool{"172.32.0.1": true, "8.8.8.8": true, "2001:db8::1": true, "100.64.0.1": true}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			ip := netip.MustParseAddr(tt.addr)
			err := discovery.AddressRules{}.Check(ip)
			assert.Equal(t, tt.ok, err == nil, "%v", err)
			wide := everything.Check(ip)
			assert.Equal(t, tt.ok || public[tt.addr], wide == nil, "what is never allowed cannot be: %v", wide)
			if err != nil {
				assert.ErrorIs(t, err, discovery.ErrAddress)
			}
			assert.Error(t, discovery.AddressRules{Allow: []netip.Prefix{}}.Check(ip), "an empty list allows nothing")
		})
	}
	assert.ErrorIs(t, discovery.AddressRules{}.Check(netip.Addr{}), discovery.ErrAddress)
	assert.NotEmpty(t, discovery.PrivateNetworks())
}

func TestAddressRulesResolve(t *testing.T) {
	resolver := &discoverytest.Resolver{}
	resolver.SetAddrs("good.internal", "10.0.0.2", "::ffff:10.0.0.1", "10.0.0.1")
	resolver.SetAddrs("half.internal", "10.0.0.1", "169.254.169.254")
	resolver.SetAddrs("empty.internal")
	rules := discovery.AddressRules{}
	got, err := rules.Resolve(t.Context(), resolver, "good.internal")
	require.NoError(t, err)
	assert.Equal(t, "[10.0.0.1 10.0.0.2]", fmt.Sprint(got))
	got, err = rules.Resolve(t.Context(), resolver, "127.0.0.1")
	require.NoError(t, err)
	assert.Equal(t, "[127.0.0.1]", fmt.Sprint(got))
	for _, host := range []string{"half.internal", "empty.internal", "gone.internal", "169.254.169.254"} {
		_, err := rules.Resolve(t.Context(), resolver, host)
		assert.ErrorIs(t, err, discovery.ErrAddress, host)
	}
}

// A name that has come to mean the metadata service is refused when it is
// dialled, whatever it meant when it was registered.
func TestAddressRulesControlADialer(t *testing.T) {
	rules := discovery.AddressRules{}
	require.NoError(t, rules.Control("tcp", "127.0.0.1:80", nil))
	require.ErrorIs(t, rules.Control("tcp", "169.254.169.254:80", nil), discovery.ErrAddress)
	require.ErrorIs(t, rules.Control("unix", "/run/docker.sock", nil), discovery.ErrAddress)
	dialer := &net.Dialer{Control: rules.Control}
	_, err := dialer.DialContext(t.Context(), "tcp", "169.254.169.254:80")
	require.ErrorIs(t, err, discovery.ErrAddress)
}

func FuzzAddressRules(f *testing.F) {
	f.Add([]byte{169, 254, 169, 254})
	f.Add(netip.MustParseAddr("64:ff9b::a9fe:a9fe").AsSlice())
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		err := discovery.AddressRules{}.Check(ip)
		u := ip.Unmap()
		if err == nil {
			require.True(t, u.IsLoopback() || u.IsPrivate())
			require.False(t, u.IsUnspecified() || u.IsMulticast() || u.IsLinkLocalUnicast())
		} else {
			require.True(t, errors.Is(err, discovery.ErrAddress))
		}
	})
}
