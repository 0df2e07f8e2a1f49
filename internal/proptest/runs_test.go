package proptest_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/proptest"
)

func count(t *testing.T) int {
	t.Helper()
	runs := 0
	rapid.Check(t, func(*rapid.T) { runs++ })
	return runs
}

func TestRunsHoldsForOneTest(t *testing.T) {
	if _, chosen := os.LookupEnv("RAPID_CHECKS"); chosen {
		t.Skip("the environment says how many runs there are")
	}
	before := flag.Lookup("rapid.checks").Value.String()
	t.Run("fewer", func(t *testing.T) {
		proptest.Runs(t, 20)
		wanted := 20
		if testing.Short() {
			wanted /= 5 // as rapid does
		}
		require.Equal(t, wanted, count(t))
	})
	require.Equal(t, before, flag.Lookup("rapid.checks").Value.String())
}

func TestTheEnvironmentWins(t *testing.T) {
	t.Setenv("RAPID_CHECKS", "3")
	before := flag.Lookup("rapid.checks").Value.String()
	proptest.Runs(t, 7)
	require.Equal(t, before, flag.Lookup("rapid.checks").Value.String())
}

func TestVolumeIsForLongRuns(t *testing.T) {
	t.Setenv("RUNNEL_TEST_LONG", "")
	require.False(t, proptest.Long())
	require.Equal(t, 10, proptest.Volume(10, 1000))
	t.Setenv("RUNNEL_TEST_LONG", "1")
	require.True(t, proptest.Long())
	require.Equal(t, 1000, proptest.Volume(10, 1000))
}
