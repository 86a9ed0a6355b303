package detect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety/detect"
)

func TestSelfTest(t *testing.T) {
	d, err := detect.New(detect.BuiltIn()...)
	require.NoError(t, err)
	require.NoError(t, d.SelfTest())
}
