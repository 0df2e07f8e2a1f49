package saga

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/projection"
)

// count counts lines of a log.
type count struct {
	mu   sync.Mutex
	log  bytes.Buffer
	line string
}

func (c *count) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *count) lines() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(c.log.String(), c.line)
}

// A view that nobody could ask for long says that it may be stale. That passes, so a runner that begins then waits.
func TestARunnerThatBeginsInALongOutageWaits(t *testing.T) {
	t.Parallel()
	server := eventstoretest.NewServer(t)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", Events(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	definition, err := Define("wait", Step("a", func(context.Context, Call, struct{}) (struct{}, error) { return struct{}{}, nil }).NoUndo())
	require.NoError(t, err)
	begins := &count{line: "begins to follow the log again"}
	m, err := Open(t.Context(), store, definition, &Config{Logger: slog.New(slog.NewTextHandler(begins, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	built, stop := context.WithCancel(t.Context())
	var runs sync.WaitGroup
	runs.Go(func() { _ = m.Run(built) })
	_, err = m.Start(t.Context(), "1", struct{}{})
	require.NoError(t, err)
	_, err = m.Wait(t.Context(), "1")
	require.NoError(t, err)
	stop()
	runs.Wait()

	// The same view, which is stale at once when the server is away.
	require.NoError(t, m.view.Close())
	ctx, name := control.SagaName(t.Context(), "wait")
	m.view, err = projection.Open(ctx, store, name, viewVersion, &projection.Config{StallAfter: 1, Heartbeat: 1, StandBy: 10 * time.Millisecond},
		follows[sagaevent.Started]("wait"))
	require.NoError(t, err)
	server.Stop()
	r := &runner[struct{}]{m: m, logger: m.logger, agenda: newAgenda[struct{}](), wake: make(chan struct{}, 1)}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.follow(ctx) }()
	require.Eventually(t, func() bool { return begins.lines() > maxBegins || len(ended) > 0 }, time.Minute, 10*time.Millisecond)
	require.Empty(t, ended, "it waits")
	end()
	require.Error(t, <-ended, "its context has ended")
	server.Restart()
}
