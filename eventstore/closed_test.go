package eventstore_test

import (
	"io"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// A connection that its owner has closed does not come back, and the error of every read says that by one sentinel.
func TestReadsOnAClosedConnectionAreUnavailable(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer func() { _ = store.Close() }()
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	js.Conn().Close()
	for what, read := range map[string]func() error{
		"the log": func() error { return errorOf(store.Log(t.Context())) },
		"live":    func() error { return errorOf(store.Log(t.Context(), eventstore.Live())) },
		"live after some": func() error {
			return errorOf(store.Log(t.Context(), eventstore.Live(), eventstore.After(c.Position)))
		},
		"events":        func() error { return errorOf(store.All(t.Context(), eventstore.Live())) },
		"a stream":      func() error { return errorOf(store.Stream(t.Context(), c.Stream)) },
		"the end":       func() error { _, err := store.End(t.Context()); return err },
		"a position":    func() error { _, err := store.At(t.Context(), c.Position); return err },
		"the streams":   func() error { return errorOf(store.Streams(t.Context(), "account")) },
		"a check":       func() error { _, err := store.Verify(t.Context(), nil); return err },
		"an export":     func() error { _, err := store.Export(t.Context(), io.Discard, nil); return err },
		"health":        func() error { return health(t.Context(), store) },
		"an append":     func() error { _, err := store.Append(t.Context(), c.Stream, c.Head(), deposited{1}); return err },
		"an acceptance": func() error { return store.AcceptForeign(t.Context(), 1, "test") },
	} {
		require.ErrorIs(t, read(), eventstore.ErrUnavailable, what)
	}
}

func errorOf[T any](items iter.Seq2[T, error]) error {
	for _, err := range items {
		if err != nil {
			return err
		}
	}
	return nil
}
