package reactor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/reactor"
)

// The process dies while the checkpoint stands before the discarded event, because another stream waits.
func TestADiscardedEventIsLeftOutAfterACrashToo(t *testing.T) {
	server := eventstoretest.NewServer(t)
	j := newJournal()
	j.failWith(func(e deposited, r eventstore.Recorded) error {
		switch {
		case r.Stream.ID == "slow":
			return errors.New("not now")
		case e.Amount == 13:
			return reactor.Permanent(errors.New("unlucky"))
		}
		return nil
	})
	store := func() *eventstore.Store {
		store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
		require.NoError(t, err)
		return store
	}
	first, second := store(), store()
	defer second.Close()
	mails, err := reactor.Open(t.Context(), first, "mails", patient(), j.reaction())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- mails.Run(ctx) }()
	deposit(t, first, "slow", 1)
	deposit(t, first, "a", 13, 1)
	eventually(t, func() bool { return isParked(t, mails) }, "parked")
	require.NoError(t, mails.Discard(t.Context(), account("a"), 1))
	eventually(t, func() bool { return len(j.of("a")) == 1 && !isParked(t, mails) }, "the stream goes on")
	require.Len(t, collect(t, mails.Discarded(t.Context())), 1)
	first.JetStream().Conn().Close() // the process dies
	require.Error(t, <-ended)
	if err := errors.Join(mails.Close(), first.Close()); err != nil {
		t.Log("what they say about their connection:", err)
	}

	j.failWith(nil)
	again := newReactor(t, second, quick(), j.reaction())
	react(t, again)
	settled(t, again, deposit(t, second, "a", 1))
	require.NotContains(t, j.of("a"), eventstore.Version(1), "it is left out for good")
	require.Contains(t, j.of("a"), eventstore.Version(3))
}
