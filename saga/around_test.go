package saga_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

func TestAroundWrapsEachAction(t *testing.T) {
	var mu sync.Mutex // guards seen
	var seen []string
	b := openBank(t, eventstoretest.JetStream(t))
	cfg := &saga.Config{Around: func(ctx context.Context, call saga.Call, do func(ctx context.Context) error) error {
		mu.Lock()
		seen = append(seen, call.Key())
		mu.Unlock()
		switch call.Step() {
		case "send":
			return saga.Permanent(errors.New("not allowed"))
		case "skip":
			return nil
		}
		return do(ctx)
	}}
	m := open(t, b, define(t, "payment",
		saga.Step("note", noted("done")).Undo(noted("undone")),
		saga.Step("send", noted("sent")).NoUndo(),
	), cfg)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	in, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, in.State)
	require.Equal(t, "not allowed", in.Error)
	require.Equal(t, []string{"done", "undone"}, in.Data.Notes)
	mu.Lock()
	require.Equal(t, []string{"payment/1/note/do", "payment/1/send/do", "payment/1/note/undo"}, seen)
	mu.Unlock()

	skipping := open(t, b, define(t, "skipping", saga.Step("skip", noted("skipped")).NoUndo().Retry(saga.Retry{Tries: 1})), cfg)
	run(t, skipping)
	_, err = skipping.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	in, err = skipping.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, in.State)
	require.Contains(t, in.Error, "Config.Around did not run it")
}
