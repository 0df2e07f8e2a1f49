package defaults_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/defaults"
)

func TestZeroIsTheDefaultAndANegativeNumberIsRefused(t *testing.T) {
	number, wait := 0, 3*time.Second
	require.NoError(t, defaults.Set("Number", &number, 7))
	require.Equal(t, 7, number)
	require.NoError(t, defaults.Set("Wait", &wait, time.Minute))
	require.Equal(t, 3*time.Second, wait, "what is set stays")
	wait = -time.Second
	require.EqualError(t, defaults.Set("Wait", &wait, time.Minute), "Wait is -1s: set a positive value, or 0 for the default of 1m0s")
	require.Equal(t, -time.Second, wait, "a wrong value is not replaced")
}
