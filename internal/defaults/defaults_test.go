package defaults_test

import (
	"cmp"
	"math"
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

func TestMultiplesOfTheLongestDurationDoNotOverflow(t *testing.T) {
	wait, count := time.Duration(math.MaxInt64), int64(math.MaxInt64)
	require.NoError(t, defaults.Set("Wait", &wait, time.Minute))
	require.Greater(t, 10*wait, wait)
	require.True(t, time.Now().Add(10*wait).After(time.Now()))
	require.NoError(t, defaults.Set("Count", &count, 1))
	require.EqualValues(t, math.MaxInt64, count, "only durations are cut")
}

func TestAValueOutOfBoundsIsRefused(t *testing.T) {
	for value, problem := range map[time.Duration]string{
		0: "", time.Second: "", time.Hour: "", -time.Second: "Wait is -1s: set a positive value, or 0 for the default of 1m0s",
		time.Second - 1: "Wait is 999.999999ms: set 1s to 1h0m0s, or 0 for the default of 1m0s",
		time.Hour + 1:   "Wait is 1h0m0.000000001s: set 1s to 1h0m0s, or 0 for the default of 1m0s",
	} {
		wait := value
		err := defaults.SetWithin("Wait", &wait, time.Second, time.Minute, time.Hour)
		if problem == "" {
			require.NoError(t, err)
			require.Equal(t, cmp.Or(value, time.Minute), wait)
		} else {
			require.EqualError(t, err, problem)
		}
	}
}
