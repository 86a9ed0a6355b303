package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheCacheIsBounded(t *testing.T) {
	now := time.Now()
	for _, size := range []int{1, 2, 31, 32, 33, 1000} {
		c := newCache(size)
		for i := range 3000 {
			c.put(c.key(fmt.Sprint(i)), &verified{until: now.Add(time.Minute)}, now)
		}
		assert.LessOrEqual(t, c.len(), c.room*len(c.shards), size)
		assert.LessOrEqual(t, c.room*len(c.shards), size+len(c.shards), size)
	}
}

func TestTheCacheMakesRoomOfWhatIsOver(t *testing.T) {
	now := time.Now()
	c := newCache(1)
	old, fresh := c.key("old"), c.key("fresh")
	c.put(old, &verified{generation: 1, until: now.Add(time.Minute)}, now)
	require.NotNil(t, c.get(old, 1, now))
	assert.Nil(t, c.get(old, 2, now), "of another generation")
	assert.Zero(t, c.len(), "and forgotten with that")

	c.put(old, &verified{generation: 1, until: now.Add(time.Minute)}, now)
	c.put(fresh, &verified{generation: 2, until: now.Add(time.Hour)}, now)
	assert.Equal(t, 1, c.len())
	assert.NotNil(t, c.get(fresh, 2, now))
	assert.Nil(t, c.get(fresh, 2, now.Add(time.Hour)), "over at the end, not after it")
}

func TestCachesDoNotShareTheirKeys(t *testing.T) {
	assert.NotEqual(t, newCache(1).key("token"), newCache(1).key("token"), "keys cannot be computed outside")
}
