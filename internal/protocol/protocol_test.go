package protocol_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/protocol"
)

type (
	slot  = protocol.Slot[string]
	fence = protocol.Fence[string]
)

func TestOfTwoBuildsTheLastToTakeThePlaceFlips(t *testing.T) {
	s := slot{Serving: "old"}.Take("a").Take("b")
	after, ok := s.Flip("a")
	require.False(t, ok)
	require.Equal(t, s, after)
	after, ok = s.Flip("b")
	require.True(t, ok)
	require.Equal(t, slot{Serving: "b"}, after)
}

func TestAnAbortedBuildDoesNotFlip(t *testing.T) {
	s := slot{Serving: "old"}.Take("a").Abort()
	require.Equal(t, slot{Serving: "old"}, s)
	_, ok := s.Flip("a")
	require.False(t, ok)
	_, ok = s.Flip("")
	require.False(t, ok)
}

func TestAPauseOutlivesABuild(t *testing.T) {
	s, ok := slot{Serving: "old"}.Pause(true).Take("a").Flip("a")
	require.True(t, ok)
	require.Equal(t, slot{Serving: "a", Paused: true}, s)
	require.Equal(t, slot{Serving: "a"}, s.Abort().Pause(false))
}

func TestAFenceIsLifted(t *testing.T) {
	require.Equal(t, fence{Retired: "b"}, fence{}.Retire("a").Retire("b"))
	require.Equal(t, fence{}, fence{}.Retire("a").Lift())
}

func TestWhatARunnerDoes(t *testing.T) {
	for _, c := range []struct {
		name    string
		fence   fence
		record  slot
		patient bool
		open    protocol.Action
		claimed protocol.Action
	}{
		{"nothing is in its way", fence{}, slot{Serving: "old"}, false, protocol.Claim, protocol.Fold},
		{"a build folds", fence{}, slot{Serving: "old", Building: "a"}, false, protocol.Claim, protocol.Fold},
		{"the view is paused", fence{}, slot{Serving: "old", Paused: true}, false, protocol.Wait, protocol.Wait},
		{"the view is paused and a build dead", fence{"a"}, slot{Serving: "old", Building: "a", Paused: true}, false, protocol.Wait, protocol.Wait},
		{"another generation serves", fence{"a"}, slot{Serving: "a"}, false, protocol.Move, protocol.Move},
		{"another generation serves, paused", fence{"a"}, slot{Serving: "a", Paused: true}, false, protocol.Move, protocol.Move},
		{"nothing serves", fence{}, slot{}, false, protocol.Move, protocol.Move},
		{"a build is about to flip", fence{"a"}, slot{Serving: "old", Building: "a"}, true, protocol.Wait, protocol.Fold},
		{"a build does not flip", fence{"a"}, slot{Serving: "old", Building: "a"}, false, protocol.Abort, protocol.Fold},
		{"another build than the fence's does not flip", fence{"b"}, slot{Serving: "old", Building: "a"}, false, protocol.Abort, protocol.Fold},
		{"the build has come to nothing", fence{"a"}, slot{Serving: "old"}, false, protocol.Resume, protocol.Fold},
		{"the build has come to nothing, patiently", fence{"a"}, slot{Serving: "old"}, true, protocol.Resume, protocol.Fold},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.open, protocol.Open("old", c.fence, c.record, c.patient))
			require.Equal(t, c.claimed, protocol.Claimed("old", c.record))
		})
	}
}
