package config

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/discovery"
	"github.com/theinterneti/tta-gateway/discovery/discoverytest"
)

func instance(service, host string) discovery.Instance {
	return discovery.Instance{Service: service, URL: &url.URL{Scheme: "http", Host: host}}
}

func TestAServiceThatNobodyServesIsServedByItsOtherName(t *testing.T) {
	memory := &discovery.Memory{}
	r := withAliases(memory, aliases)
	hosts := func(service string) (out []string) {
		all, _ := r.Instances(t.Context(), service)
		for _, i := range all {
			assert.Equal(t, service, i.Service)
			out = append(out, i.URL.Host)
		}
		return out
	}
	_, err := r.Instances(t.Context(), gameplayLoop)
	assert.ErrorIs(t, err, discovery.ErrUnknownService)

	require.NoError(t, memory.Register(t.Context(), instance("player-experience-interface", "a:1"), 0))
	for _, name := range []string{playerExperience, "player-experience-interface", authentication, gameplayLoop} {
		assert.Equal(t, []string{"a:1"}, hosts(name), name)
	}
	assert.Empty(t, hosts("agent-orchestration"))

	require.NoError(t, memory.Register(t.Context(), instance(gameplayLoop, "b:1"), 0))
	assert.Equal(t, []string{"b:1"}, hosts(gameplayLoop), "whoever has the name has it alone")
	assert.Equal(t, []string{"a:1"}, hosts(authentication))
}

func TestAliasesAreToldOfChanges(t *testing.T) {
	memory := &discovery.Memory{}
	require.NoError(t, memory.Register(t.Context(), instance(playerExperience, "a:1"), 0))
	w, ok := withAliases(memory, aliases).(discovery.Watcher)
	require.True(t, ok)
	ctx, cancel := context.WithCancel(t.Context())
	seen := map[string]string{}
	err := w.Watch(ctx, func(service string, all []discovery.Instance) {
		for _, i := range all {
			assert.Equal(t, service, i.Service)
			seen[service] = i.URL.Host
		}
		if len(seen) == 4 {
			cancel()
		}
	})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, map[string]string{playerExperience: "a:1", "player-experience-interface": "a:1", authentication: "a:1", gameplayLoop: "a:1"}, seen)
}

func TestAliasesOfWhatDoesNotWatch(t *testing.T) {
	fake := discovery.RegistryFunc(func(context.Context, string) ([]discovery.Instance, error) { return nil, errors.New("down") })
	r := withAliases(fake, aliases)
	_, watches := r.(discovery.Watcher)
	assert.False(t, watches)
	_, err := r.Instances(t.Context(), gameplayLoop)
	assert.ErrorContains(t, err, "down", "not knowing is no reason to ask for another")
}

func TestAliasedRegistryKeepsTheRules(t *testing.T) {
	suite := discoverytest.Suite{New: func(t *testing.T, all ...discovery.Instance) discovery.Registry {
		static, err := discovery.NewStaticInstances(all...)
		require.NoError(t, err)
		return withAliases(static, aliases)
	}}
	discoverytest.TestRegistry(t, suite)
}
