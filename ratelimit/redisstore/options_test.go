package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/ratelimit/redisstore"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		url      string
		db       int
		password string
		want     func(*testing.T, *redis.UniversalOptions)
	}{
		{"redis://localhost", 0, "", func(t *testing.T, o *redis.UniversalOptions) {
			assert.Equal(t, []string{"localhost:6379"}, o.Addrs)
			assert.Nil(t, o.TLSConfig)
		}},
		{"redis://ada:p%40ss@h:1/3", 0, "", func(t *testing.T, o *redis.UniversalOptions) {
			assert.Equal(t, []string{"h:1"}, o.Addrs)
			assert.Equal(t, "ada", o.Username)
			assert.Equal(t, "p@ss", o.Password)
			assert.Equal(t, 3, o.DB)
		}},
		{"redis://:old@h/3", 5, "from a file", func(t *testing.T, o *redis.UniversalOptions) {
			assert.Equal(t, "from a file", o.Password)
			assert.Equal(t, 5, o.DB)
		}},
		{"rediss://h:1", 0, "", func(t *testing.T, o *redis.UniversalOptions) { assert.NotNil(t, o.TLSConfig) }},
		{"unix:///run/redis.sock?db=2", 0, "", func(t *testing.T, o *redis.UniversalOptions) {
			assert.Equal(t, []string{"/run/redis.sock"}, o.Addrs)
			assert.Equal(t, 2, o.DB)
		}},
		{"redis://a:1?addr=b:2&addr=c", 0, "", func(t *testing.T, o *redis.UniversalOptions) {
			assert.Equal(t, []string{"a:1", "b:2", "c:6379"}, o.Addrs)
			assert.IsType(t, &redis.ClusterClient{}, closing(t, redis.NewUniversalClient(o)))
		}},
		{"redis://s?master_name=tta&addr=s2&addr=s3:1", 1, "", func(t *testing.T, o *redis.UniversalOptions) {
			assert.Equal(t, []string{"s:26379", "s2:26379", "s3:1"}, o.Addrs)
			assert.Equal(t, "tta", o.MasterName)
			assert.Equal(t, 1, o.DB)
		}},
		{"redis://h?read_timeout=3s&max_retries=2&pool_size=7", 0, "", func(t *testing.T, o *redis.UniversalOptions) {
			assert.Equal(t, 3*time.Second, o.ReadTimeout)
			assert.Equal(t, 2, o.MaxRetries)
			assert.Equal(t, 7, o.PoolSize)
		}},
		{"redis://h", 0, "", func(t *testing.T, o *redis.UniversalOptions) {
			assert.True(t, o.ContextTimeoutEnabled)
			assert.Equal(t, -1, o.MaxRetries)
			assert.Equal(t, 1, o.DialerRetries)
			for _, d := range []time.Duration{o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout} {
				assert.Positive(t, d)
				assert.LessOrEqual(t, d, 200*time.Millisecond)
			}
		}},
	} {
		t.Run(c.url, func(t *testing.T) {
			o, err := redisstore.Options(c.url, c.db, c.password)
			require.NoError(t, err)
			c.want(t, o)
		})
	}
}

// No complaint shows a piece of the URL, whatever is wrong with it: a
// password that was not escaped turns up in the strangest parts.
func TestOptionsComplainsWithoutTheURL(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://:sesame@h", "redis://:ses#ame@h", "redis://:ses/ame@h:1", "redis://u:sesame@h:port",
		"redis://:sesame@h/x", "redis://:sesame@h/1/2", "redis://:sesame@h?sesame=1", "redis://:ses%ame@h", "redis://:sesame@h?db=sesame",
		"redis://:sesame@h?read_timeout=sesame", "redis://\x00",
	} {
		o, err := redisstore.Options(url, 0, "")
		require.ErrorIs(t, err, redisstore.ErrURL, url)
		assert.Nil(t, o)
		for _, piece := range []string{"sesame", "ses", "ame@"} {
			assert.NotContains(t, strings.ReplaceAll(err.Error(), "user:password", ""), piece, url)
		}
	}
	_, err := redisstore.Options("redis://a?addr=b", 3, "")
	assert.ErrorContains(t, err, "a Cluster has only database 0")
	_, err = redisstore.Options("redis://a", -3, "")
	assert.ErrorContains(t, err, "it must be 0 or more")
}

func FuzzOptions(f *testing.F) {
	for _, url := range []string{"redis://u:p@h:1/2?addr=x&pool_size=3", "unix:///s?db=1", "rediss://[::1]:1", "redis://s?master_name=m"} {
		f.Add(url, 0)
	}
	f.Fuzz(func(t *testing.T, url string, db int) {
		o, err := redisstore.Options(url, db, "")
		if (o == nil) == (err == nil) {
			t.Fatalf("%q: %v and %v", url, o, err)
		}
		if err == nil && (!o.ContextTimeoutEnabled || len(o.Addrs) == 0 || o.Addrs[0] == "") {
			t.Fatalf("%q: %+v", url, o)
		}
	})
}
