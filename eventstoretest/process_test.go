//go:build unix

package eventstoretest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestAcknowledgedMessagesSurviveKill9(t *testing.T) {
	p := eventstoretest.NewProcess(t, t.TempDir())
	js := p.JetStream(t)
	events(t, js, 1)
	publish(t, js, "1")
	url := p.URL()

	p.Kill()
	require.Error(t, tryPublish(t, js, "events.a", "lost"))
	p.Restart()

	require.Equal(t, url, p.URL())
	requireStored(t, js, 1)
	publish(t, js, "2")
	requireStored(t, js, 2)
}

func TestAPausedProcessAnswersWhenItContinues(t *testing.T) {
	p := eventstoretest.NewProcess(t, t.TempDir())
	js := p.JetStream(t)
	events(t, js, 1)

	p.Pause()
	require.ErrorIs(t, tryPublish(t, js, "events.a", "late"), context.DeadlineExceeded)
	require.True(t, js.Conn().IsConnected())
	p.Continue()

	publish(t, js, "2")
	requireStored(t, js, 2)
}
