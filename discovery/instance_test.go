package discovery_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
)

func TestNewInstance(t *testing.T) {
	tests := []struct {
		desc, service, url string
		want               []string // pieces of the complaints; none = accepted
	}{
		{"plain", "chat", "http://chat:8080", nil},
		{"address", "chat", "http://10.0.0.1", nil},
		{"IPv6", "chat", "https://[::1]:8443/base", nil},
		{"a container's name", "player-experience", "http://player_experience:8080", nil},
		{"final dot", "chat", "http://chat.internal.:8080", nil},
		{"no url", "chat", "", []string{`scheme ""`, "no host"}},
		{"only a host", "chat", "chat:8080", []string{`scheme "chat"`, "no host"}},
		{"another scheme", "chat", "redis://chat:6379", []string{`scheme "redis"`}},
		{"file", "chat", "file:///etc/passwd", []string{`scheme "file"`, "no host"}},
		{"user", "chat", "http://me:secret@chat", []string{"user information"}},
		{"query", "chat", "http://chat/?a=b", []string{"a query"}},
		{"bare query", "chat", "http://chat/?", []string{"a query"}},
		{"fragment", "chat", "http://chat/#a", []string{"a fragment"}},
		{"everything wrong at once", "", "ftp://u@/?a#b", []string{"service is empty", `scheme "ftp"`, "no host", "user information", "a query", "a fragment"}},
		{"port out of range", "chat", "http://chat:65536", []string{`port "65536"`}},
		{"port zero", "chat", "http://chat:0", []string{`port "0"`}},
		{"port left out", "chat", "http://chat:", []string{`port ""`}},
		{"decimal address", "chat", "http://2130706433", []string{"usual notation"}},
		{"short address", "chat", "http://127.1", []string{"usual notation"}},
		{"hexadecimal address", "chat", "http://0x7f.1", []string{"usual notation"}},
		{"hexadecimal end", "chat", "http://169.254.169.0xfe", []string{"usual notation"}},
		{"octal address", "chat", "http://0177.0.0.1", []string{"usual notation"}},
		{"address with a zone", "chat", "http://[fe80::1%25eth0]", []string{"usual notation"}},
		{"label begins with a dash", "chat", "http://-chat", []string{"usual notation"}},
		{"empty label", "chat", "http://a..b", []string{"usual notation"}},
		{"dot segments", "chat", "http://chat/a/../b", []string{"dot segments"}},
		{"encoded dot segments", "chat", "http://chat/a/%2e%2e/b", []string{"dot segments"}},
		{"encoded NUL", "chat", "http://chat/%00", []string{"control characters"}},
		{"backslash", "chat", `http://chat/a\b`, []string{"backslashes"}},
		{"not UTF-8", "chat", "http://chat/%ff", []string{"control characters"}},
		{"too long", "chat", "http://chat/" + strings.Repeat("a", 3000), []string{"at most 2048"}},
		{"no service", "", "http://chat", []string{"service is empty"}},
		{"service with a slash", "a/b", "http://chat", []string{`service "a/b"`}},
		{"service is dots", "..", "http://chat", []string{`service ".."`}},
		{"service too long", strings.Repeat("a", 200), "http://chat", []string{"200 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			i, err := discovery.NewInstance(tt.service, tt.url)
			if len(tt.want) == 0 {
				require.NoError(t, err)
				assert.Equal(t, tt.url, i.URL.String())
				assert.Equal(t, 1, i.Weight)
				assert.Equal(t, discovery.InstanceID(tt.service, i.URL), i.ID)
				return
			}
			require.ErrorIs(t, err, discovery.ErrInvalid)
			for _, piece := range tt.want {
				assert.ErrorContains(t, err, piece)
			}
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestParseURLDoesNotRepeatPasswords(t *testing.T) {
	_, err := discovery.ParseURL("http://me:secret@chat:80:80/%zz")
	require.ErrorIs(t, err, discovery.ErrInvalid)
	assert.NotContains(t, err.Error(), "secret")
}

func TestInstanceValidateJoinsAllComplaints(t *testing.T) {
	i := discovery.Instance{
		ID: "a b", Weight: -1, Tags: []string{"", "ok", strings.Repeat("x", 100)},
		Metadata: map[string]string{"": "x", "y": "a\nb", "big": strings.Repeat("z", 5000)},
	}
	err := i.Validate()
	for _, piece := range []string{"service is empty", "url is missing", `tag ""`, `tag "xxx`, `member ""`, `member "y"`, "at most 4096", `id "a b"`, "weight -1"} {
		assert.ErrorContains(t, err, piece)
	}
	i = discovery.Instance{Tags: make([]string, 40), Metadata: map[string]string{}}
	assert.ErrorContains(t, i.Validate(), "40 tags")
}

func TestInstanceIDIsTheSameForTheSamePlace(t *testing.T) {
	id := func(service, raw string) string {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		return discovery.InstanceID(service, u)
	}
	same := id("chat", "http://chat.internal:80/")
	assert.Equal(t, same, id("chat", "http://chat.internal"))
	assert.Equal(t, same, id("chat", "HTTP://Chat.Internal:80"))
	assert.Equal(t, "chat-", same[:5])
	for _, other := range []string{"https://chat.internal:80", "http://chat.internal:81", "http://chat.internal/x", "http://chat"} {
		assert.NotEqual(t, same, id("chat", other))
	}
	assert.NotEqual(t, same, id("story", "http://chat.internal"))
	assert.Len(t, id(strings.Repeat("s", 128), "http://a"), discovery.MaxNameLength)
}

func TestInstanceCloneSharesNothing(t *testing.T) {
	i := discovery.Instance{
		ID: "a", Service: "chat", URL: &url.URL{Scheme: "http", Host: "chat"}, Weight: 2, Tags: []string{"x"},
		Metadata: map[string]string{"k": "v"}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
	}
	c := i.Clone()
	assert.True(t, i.Equal(c))
	c.URL.Host, c.Tags[0], c.Metadata["k"], c.Addrs[0] = "evil", "y", "w", netip.Addr{}
	assert.Equal(t, "chat/a http://chat", i.String())
	assert.Equal(t, []string{"x"}, i.Tags)
	assert.Equal(t, map[string]string{"k": "v"}, i.Metadata)
	assert.True(t, i.Addrs[0].IsValid())
	assert.False(t, i.Equal(c))
	assert.False(t, i.Equal(discovery.Instance{}))
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"http://chat:8080/base", "https://[::1]", "http://0x7f.1", "http://a:b@c?d#e", "//x", "http:opaque", "http://a%2fb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := discovery.ParseURL(raw)
		if err != nil {
			require.ErrorIs(t, err, discovery.ErrInvalid)
			require.Nil(t, u)
			return
		}
		again, err := discovery.ParseURL(u.String())
		require.NoError(t, err, "accepted %q but not its own text %q", raw, u)
		require.Equal(t, u.String(), again.String())
		require.Nil(t, u.User)
		require.NotEmpty(t, u.Hostname())
		_, err = discovery.NewInstance("chat", raw)
		require.NoError(t, err)
	})
}
