package projection_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

// The changes of several batches stand in one commit, and some of them cannot be folded.
func TestManyChangesOfOneCommitWithSomeParked(t *testing.T) {
	changes := proptest.Volume(2500, 5000)
	store, w := cupStore(t), newWrongs(t)
	view := cups(t, store, w, projection.Config{Park: true})
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), 0))
	all := make([]filled, changes)
	for i := range all {
		all[i].Key = fmt.Sprint(i % (changes - 100)) // the last hundred come to keys that have been
		switch i % 100 {
		case 7:
			all[i].Wrong = "panics"
		case 8:
			all[i].Wrong = "no number"
		}
	}
	end := fill(t, store, "a", all...)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	check := func() {
		require.NoError(t, view.WaitFor(ctx, end))
		require.Len(t, parkedIn(t, view), 2*(changes-100)/100)
		docs := listed(t, view)
		require.Len(t, docs, (changes-100)*98/100)
		require.Equal(t, 2, docs["0"].N)
		require.Equal(t, 1, docs["100"].N)
	}
	check()
	require.NoError(t, view.Rebuild(ctx, nil))
	check()
}

// checkpointsOf counts the batches that are written until stop.
func checkpointsOf(t *testing.T, store *eventstore.Store) (messages chan *nats.Msg) {
	t.Helper()
	messages = make(chan *nats.Msg, 1000)
	sub, err := store.JetStream().Conn().ChanSubscribe("$KV.*.=checkpoint", messages)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Unsubscribe()) })
	return messages
}

// positions returns the positions, and whether only a part is written, of the checkpoints that were written.
func positions(t *testing.T, messages chan *nats.Msg) (parts int) {
	t.Helper()
	for len(messages) > 0 {
		msg := <-messages
		if len(msg.Data) == 0 {
			continue // it asks whether the server has come to the end of a batch
		}
		var at struct {
			Part *struct{ Through string }
		}
		require.NoError(t, json.Unmarshal(msg.Data, &at))
		if at.Part != nil {
			parts++
		}
	}
	return parts
}

// One commit changes documents of 36 MB together.
func TestABatchIsBoundedByItsBytes(t *testing.T) {
	t.Parallel()
	store := cupStore(t)
	text := strings.Repeat("x", 900_000)
	view, err := projection.Open(t.Context(), store, "cups", 1, nil,
		projection.On(func(c cup, _ filled) cup { return cup{N: c.N + 1, Text: text} }).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), fill(t, store, "a", filled{Key: "a"})))
	messages := checkpointsOf(t, store)
	all := make([]filled, 40)
	for i := range all {
		all[i] = filled{Key: fmt.Sprint(i)}
	}
	end := fill(t, store, "b", all...)
	require.NoError(t, view.WaitFor(soon(t), end))
	require.GreaterOrEqual(t, positions(t, messages), 2)
	for i := range all {
		got, err := view.Get(soon(t), fmt.Sprint(i))
		require.NoError(t, err)
		require.Equal(t, 1, got.N)
	}
}

// One commit has folds that last for several heartbeats together. Finished folds are written meanwhile.
func TestABatchIsBoundedByItsTime(t *testing.T) {
	const heartbeat = 100 * time.Millisecond
	store := cupStore(t)
	view, err := projection.Open(t.Context(), store, "cups", 1, &projection.Config{Heartbeat: heartbeat, StandBy: time.Minute},
		projection.On(func(c cup, _ filled) cup {
			<-time.After(heartbeat * 6 / 10)
			return cup{N: c.N + 1}
		}).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), fill(t, store, "a", filled{Key: "a"})))
	messages := checkpointsOf(t, store)
	end := fill(t, store, "b", filled{Key: "a"}, filled{Key: "b"}, filled{Key: "c"}, filled{Key: "d"}, filled{Key: "e"})
	require.NoError(t, view.WaitFor(soon(t), end))
	require.GreaterOrEqual(t, positions(t, messages), 4)
}

// Run ends within one fold of its context, however many are waiting.
func TestRunEndsBetweenFolds(t *testing.T) {
	store := cupStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	folds := 0
	view, err := projection.Open(t.Context(), store, "cups", 1, nil,
		projection.On(func(c cup, _ filled) cup {
			folds++
			cancel()
			return c
		}).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	for i := range 20 {
		fill(t, store, fmt.Sprint(i), filled{Key: fmt.Sprint(i)})
	}
	require.NoError(t, view.Run(ctx))
	require.Equal(t, 1, folds)
}
