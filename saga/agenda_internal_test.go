package saga

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// News of a saga that cannot be run here do not make it one that can. So its status says why it is left alone until a
// runner has looked at it again.
func TestASagaThatIsLeftAloneStaysSoUntilItIsLookedAt(t *testing.T) {
	now := time.Now()
	at := func(status Status) instance[int] { return instance[int]{id: "1", status: status} }
	a := newAgenda[int]()
	require.True(t, a.set(at(Status{Version: 3, State: StateRunning}), now))
	a.take("1")
	require.False(t, a.leave("1", "unknown", now))
	_, _, due := a.first()
	require.False(t, due, "never by itself")

	require.True(t, a.set(at(Status{Version: 4, State: StateRunning}), now))
	require.Equal(t, "unknown", a.left("1"))
	_, _, due = a.first()
	require.True(t, due)

	a.take("1")
	a.fits("1")
	require.Empty(t, a.left("1"))
	require.False(t, a.leave("2", "unknown", now), "not told of this one")
	require.True(t, a.leave("1", "unknown", now), "told before")
}

// A saga that waits for a deadline is looked at as soon as another release has changed it, not at the deadline.
func TestASagaThatIsLeftAloneIsLookedAtOnceItHasChanged(t *testing.T) {
	now := time.Now()
	waiting := Status{Version: 3, State: StateWaiting, Steps: []StepStatus{{Name: "answer", Deadline: now.Add(time.Hour)}}}
	a := newAgenda[int]()
	a.set(instance[int]{id: "1", status: waiting}, now)
	a.take("1")
	a.leave("1", "unknown", now)
	a.look("1", now)
	in, due, found := a.first()
	require.True(t, found)
	require.Equal(t, now, due)
	require.Zero(t, in.status, "so that it is loaded")
	require.Equal(t, "unknown", a.left("1"))
}
