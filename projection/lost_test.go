package projection_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

// loseTheEnd deposits, lets a view fold and readers read that, and loses the deposits of "lost". It returns a store
// that was opened after an operator accepted the loss.
func loseTheEnd(t *testing.T, js jetstream.JetStream, readers func(store *eventstore.Store) []*projection.View[balance]) *eventstore.Store {
	t.Helper()
	store := openAt(t, js)
	deposit(t, store, "kept", 1)
	var backup bytes.Buffer
	_, err := store.Export(t.Context(), &backup, nil)
	require.NoError(t, err)
	view := sums(t, store, 1, nil)
	stop := run(t, view)
	for range 5 {
		deposit(t, store, "kept", 10)
	}
	end := deposit(t, store, "lost", 1)
	require.NoError(t, view.WaitFor(t.Context(), end))
	for _, reader := range readers(openAt(t, js)) {
		require.NoError(t, reader.WaitFor(t.Context(), end))
		_, err := reader.Get(t.Context(), "lost")
		require.NoError(t, err)
	}
	stop()
	require.NoError(t, store.Close())

	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	_, err = eventstore.Import(t.Context(), js, &backup, nil)
	require.NoError(t, err)
	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	var lost *eventstore.LogRewoundError
	require.ErrorAs(t, err, &lost)
	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, lost))
	return openAt(t, js)
}

// requireKept makes sure that a view shows what the log has kept, although readers have seen more.
func requireKept(t *testing.T, view *projection.View[balance], want balance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := view.Get(ctx, "lost")
	require.ErrorIs(t, err, projection.ErrNotFound)
	got, err := view.Get(ctx, "kept")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, map[string]balance{"kept": want}, listed(t, view))
}

// requireKeptOrEnded makes sure that a reader shows what the log has kept, or ends because its store has seen what is
// lost. A store learns where the log ends half a second after it was used.
func requireKeptOrEnded(t *testing.T, view *projection.View[balance], want balance) {
	t.Helper()
	eventually(t, func() bool {
		_, err := view.Get(t.Context(), "lost")
		if errors.Is(err, projection.ErrLogRewound) {
			return true
		}
		got, failed := view.Get(t.Context(), "kept")
		return errors.Is(err, projection.ErrNotFound) && failed == nil && got == want
	}, "the reader follows, or its store has ended")
}

// A log has lost what readers have seen, and the loss was accepted. Readers of a store that was opened after that read
// what is built then, and do not wait until the log is as long again.
func TestReadersGoOnAfterAnAcceptedLoss(t *testing.T) {
	everywhere(t, proptest.Long(), func(t *testing.T, js jetstream.JetStream) {
		var before *projection.View[balance]
		store := loseTheEnd(t, js, func(store *eventstore.Store) []*projection.View[balance] {
			before = sums(t, store, 1, nil)
			return []*projection.View[balance]{before}
		})
		view := sums(t, store, 1, nil)
		require.ErrorIs(t, view.Run(t.Context()), projection.ErrLogRewound)
		_, err := view.Get(t.Context(), "lost")
		require.NoError(t, err, "of before the loss")
		require.NoError(t, view.Rebuild(t.Context(), nil))
		requireKept(t, view, balance{1, 1})
		end := deposit(t, store, "kept", 1)
		for range 8 {
			end = deposit(t, store, "kept", 1)
		}
		requireKeptOrEnded(t, before, balance{1, 1}) // the log is longer than it was, and nobody folds it

		run(t, view)
		require.NoError(t, view.WaitFor(t.Context(), end))
		requireKept(t, view, balance{10, 10})
	})
}

// The same with a raised fold version, which is how a loss is accepted for a view.
func TestReadersMoveToARaisedFoldVersionAfterAnAcceptedLoss(t *testing.T) {
	everywhere(t, proptest.Long(), func(t *testing.T, js jetstream.JetStream) {
		var before *projection.View[balance]
		store := loseTheEnd(t, js, func(store *eventstore.Store) []*projection.View[balance] {
			before = sums(t, store, 2, nil)
			_, err := before.Get(t.Context(), "kept") // of the first fold version
			require.NoError(t, err)
			return nil
		})
		view := sums(t, store, 2, nil)
		_, err := view.Get(t.Context(), "lost")
		require.NoError(t, err, "of before the loss")
		run(t, view)
		eventually(t, func() bool { return strings.Contains(view.Bucket(), "_v2_") }, "readers move")
		requireKept(t, view, balance{2, 1})
		requireKeptOrEnded(t, before, balance{2, 1})
		end := deposit(t, store, "kept", 1)
		require.NoError(t, view.WaitFor(t.Context(), end))
		requireKept(t, view, balance{4, 2})
		requireKeptOrEnded(t, before, balance{4, 2})
	})
}
