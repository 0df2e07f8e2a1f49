package reactor_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// A reactor's checkpoint goes along, so what it has not handled yet is handled elsewhere, and nothing before.
func TestAReactorGoesOnElsewhere(t *testing.T) {
	store := open(t)
	mails := newReactor(t, store, quick(), newJournal().reaction())
	stop := react(t, mails)
	for range 3 {
		deposit(t, store, "a", 1)
	}
	settled(t, mails, 3)
	stop()
	for range 2 {
		deposit(t, store, "a", 1)
	}
	var archive bytes.Buffer
	_, err := store.Export(t.Context(), &archive, &eventstore.ExportConfig{Buckets: []string{mails.Bucket()}})
	require.NoError(t, err)

	js := eventstoretest.JetStream(t)
	_, err = eventstore.Import(t.Context(), js, &archive, nil)
	require.NoError(t, err)
	restored, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer restored.Close()
	there := newJournal()
	other := newReactor(t, restored, quick(), there.reaction())
	stop = react(t, other)
	defer stop()
	settled(t, other, 5)
	require.Equal(t, []eventstore.Version{4, 5}, there.of("a"))
}
