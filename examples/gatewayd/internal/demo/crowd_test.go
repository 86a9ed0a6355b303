package demo

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

func TestACrowdIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		c.wait() // nobody
		leave, gone := make(chan bool), false
		inside := c.counting(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-leave }))
		for range 2 {
			go inside.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}
		synctest.Wait()
		go func() { c.wait(); gone = true }()
		leave <- true
		synctest.Wait()
		assert.False(t, gone, "one is still inside")
		leave <- true
		synctest.Wait()
		assert.True(t, gone)
	})
}
