package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

func TestAReactorIsGivenWhatOldEventsStandFor(t *testing.T) {
	js := eventstoretest.JetStream(t)
	older, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{received{}, unread{}}, nil)
	require.NoError(t, err)
	defer older.Close()
	newer, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Upcasters: []eventstore.Upcaster{
		eventstore.UpcastMany(func(e received) (all []eventstore.Event) {
			for _, amount := range e.Amounts {
				all = append(all, deposited{Amount: amount})
			}
			return all
		}, deposited{}),
	}})
	require.NoError(t, err)
	defer newer.Close()
	var amounts []int64 // the reactions of one stream never overlap
	failed := false
	reactor := newReactor(t, newer, quick(), projection.React(func(_ context.Context, e deposited, _ eventstore.Recorded) error {
		if e.Amount == 2 && !failed {
			failed = true
			return errors.New("not at once")
		}
		amounts = append(amounts, e.Amount)
		return nil
	}))
	stop := react(t, reactor)
	c, err := older.Append(t.Context(), account("1"), eventstore.Head{}, received{[]int64{1, 2, 3}}, unread{})
	require.NoError(t, err)
	settled(t, reactor, c.Position)
	stop()
	require.Equal(t, []int64{1, 2, 3}, amounts, "a retry goes on where it failed")
}

// misread has the name of deposits, and data that does not fit.
type misread struct{ Amount string }

func (misread) EventType() string { return "account.deposited" }

func TestAnUndecodableEventParksItsStream(t *testing.T) {
	js := eventstoretest.JetStream(t)
	other, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{misread{}}, nil)
	require.NoError(t, err)
	defer other.Close()
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	j := newJournal()
	reactor := newReactor(t, store, quick(), j.reaction())
	react(t, reactor)
	_, err = other.Append(t.Context(), account("bad"), eventstore.Head{}, misread{"a lot"})
	require.NoError(t, err)
	settled(t, reactor, deposit(t, store, "good", 1))
	parked := parkedList(t, reactor)
	require.Len(t, parked, 1)
	require.Equal(t, account("bad"), parked[0].Stream)
	require.Contains(t, parked[0].Error, "undecodable event")
	require.Equal(t, 1, parked[0].Attempts)
	require.Equal(t, upTo(1), j.of("good"))
	require.NoError(t, reactor.Discard(t.Context(), account("bad"), 1))
	settled(t, reactor, deposit(t, store, "bad", 1))
	eventually(t, func() bool { return len(j.of("bad")) == 1 }, "it goes on")
}

func TestErasedStreamsAreNotSeen(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	defer store.Close()
	j := newJournal()
	j.failWith(func(e deposited, _ eventstore.Recorded) error {
		if e.Amount == 13 {
			return projection.Permanent(errors.New("no"))
		}
		return nil
	})
	reactor := newReactor(t, store, quick(), j.reaction())
	stop := react(t, reactor)
	settled(t, reactor, deposit(t, store, "parked", 13))
	settled(t, reactor, deposit(t, store, "last", 1))
	stop() // the checkpoint stands at what is erased now
	require.NoError(t, store.Erase(t.Context(), account("last"), "asked for"))
	require.NoError(t, store.Erase(t.Context(), account("parked"), "asked for"))
	deposit(t, store, "unseen", 1)
	require.NoError(t, store.Erase(t.Context(), account("unseen"), "asked for"))
	require.NoError(t, reactor.ReplayParked(t.Context(), account("parked")))
	react(t, reactor)
	settled(t, reactor, deposit(t, store, "b", 1))
	eventually(t, func() bool { return len(parkedList(t, reactor)) == 0 }, "an erased stream has nothing that could wait")
	require.Empty(t, j.of("unseen"))
	require.Equal(t, upTo(1), j.of("b"))
}

func TestATransactionIsHandledWholeOrWaits(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(e deposited, _ eventstore.Recorded) error {
		if e.Amount == 13 {
			return errors.New("not now")
		}
		return nil
	})
	cfg := quick()
	cfg.Retries, cfg.Backoff, cfg.MaxBackoff = 1000, time.Hour, time.Hour
	reactor := newReactor(t, store, cfg, j.reaction())
	stop := react(t, reactor)
	before := deposit(t, store, "a", 1)
	_, err := store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{Amount: 1}}},
		eventstore.Write{Stream: account("c"), Events: []eventstore.Event{deposited{Amount: 13}}},
		eventstore.Write{Stream: account("d"), Events: []eventstore.Event{deposited{Amount: 1}}})
	require.NoError(t, err)
	eventually(t, func() bool { return len(j.of("d")) == 1 }, "others go on")
	stop()
	status, err := reactor.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, status.Position, "no checkpoint stands inside a transaction")
	j.failWith(nil)
	react(t, reactor)
	settled(t, reactor, before+3)
	require.Equal(t, upTo(1), j.of("c"))
}

func TestAReactorReadsNoFurtherThanItsWindow(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(_ deposited, r eventstore.Recorded) error {
		if r.Stream.ID == "bad" {
			return errors.New("not now")
		}
		return nil
	})
	cfg := quick()
	cfg.Window, cfg.Retries, cfg.Backoff, cfg.MaxBackoff = 10, 1000, time.Hour, time.Hour
	reactor := newReactor(t, store, cfg, j.reaction())
	stop := react(t, reactor)
	for range 10 {
		deposit(t, store, "bad", 1)
	}
	last := deposit(t, store, "good", 1)
	eventually(t, func() bool {
		status, err := reactor.Status(t.Context())
		require.NoError(t, err)
		return status.UnderWay == 10
	}, "the window is full")
	require.Empty(t, j.of("good"))
	stop()
	j.failWith(nil)
	react(t, reactor)
	settled(t, reactor, last)
	require.Equal(t, upTo(10), j.of("bad"))
}

func TestMoreStreamsAreParkedAtOnceThanABatchHolds(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(deposited, eventstore.Recorded) error { return projection.Permanent(errors.New("no")) })
	cfg := quick()
	cfg.Interval, cfg.Heartbeat, cfg.From = time.Second, time.Second, 1
	const streams = 1200
	for i := range streams {
		_, err := store.Append(t.Context(), account(fmt.Sprint(i)), eventstore.Head{}, deposited{})
		require.NoError(t, err)
	}
	reactor := newReactor(t, store, cfg, j.reaction())
	react(t, reactor)
	require.Equal(t, streams, settled(t, reactor, streams).Parked)
	require.Len(t, parkedList(t, reactor), streams)
}

func TestStreamsWithAnyIDAreParked(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(deposited, eventstore.Recorded) error {
		return projection.Permanent(errors.New("no: " + strings.Repeat("x", 5000)))
	})
	reactor := newReactor(t, store, quick(), j.reaction())
	react(t, reactor)
	ids := []string{"a", "a.1", ".", "a..b", "é >*", strings.Repeat("x", 256), strings.Repeat("é", 128), strings.Repeat("y", 243)}
	var last eventstore.Position
	for _, id := range ids {
		last = deposit(t, store, id, 1)
	}
	require.Equal(t, len(ids), settled(t, reactor, last).Parked)
	for _, id := range ids {
		parked, err := reactor.ShowParked(t.Context(), account(id))
		require.NoError(t, err)
		require.Equal(t, account(id), parked.Stream)
		require.Less(t, len(parked.Error), 2100)
		require.NoError(t, reactor.Discard(t.Context(), account(id), 1))
	}
	eventually(t, func() bool { return len(parkedList(t, reactor)) == 0 }, "all go on")
	require.Len(t, collect(t, reactor.Discarded(t.Context())), len(ids))
}

func TestAReactionsAppendsSayWhatLedToThem(t *testing.T) {
	store := open(t)
	reactor := newReactor(t, store, quick(), projection.React(func(ctx context.Context, _ deposited, r eventstore.Recorded) error {
		_, err := store.Append(ctx, eventstore.StreamID{Category: "other", ID: r.Stream.ID}, eventstore.Head{}, withdrawn{1})
		return err
	}))
	react(t, reactor)
	ctx := eventstore.WithMetadata(t.Context(), eventstore.Metadata{Correlation: "order 7", Actor: "anna"})
	c, err := store.Append(ctx, account("a"), eventstore.Head{}, deposited{})
	require.NoError(t, err)
	settled(t, reactor, c.Position)
	led, err := store.At(t.Context(), c.Position+1)
	require.NoError(t, err)
	require.Equal(t, eventstore.Metadata{Correlation: "order 7", Causation: c.ID.String() + "/0"}, led.Metadata)
}
