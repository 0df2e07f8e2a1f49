package reactor_test

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
	"github.com/runnel-go/runnel/reactor"
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
	mails := newReactor(t, newer, quick(), reactor.On(func(_ context.Context, e deposited, _ eventstore.Recorded) error {
		if e.Amount == 2 && !failed {
			failed = true
			return errors.New("not at once")
		}
		amounts = append(amounts, e.Amount)
		return nil
	}))
	stop := react(t, mails)
	c, err := older.Append(t.Context(), account("1"), eventstore.Head{}, received{[]int64{1, 2, 3}}, unread{})
	require.NoError(t, err)
	settled(t, mails, c.Position)
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
	mails := newReactor(t, store, quick(), j.reaction())
	react(t, mails)
	_, err = other.Append(t.Context(), account("bad"), eventstore.Head{}, misread{"a lot"})
	require.NoError(t, err)
	settled(t, mails, deposit(t, store, "good", 1))
	parked := parkedList(t, mails)
	require.Len(t, parked, 1)
	require.Equal(t, account("bad"), parked[0].Stream)
	require.Contains(t, parked[0].Error, "undecodable event")
	require.Equal(t, 1, parked[0].Attempts)
	require.Equal(t, upTo(1), j.of("good"))
	require.NoError(t, mails.Discard(t.Context(), account("bad"), 1))
	settled(t, mails, deposit(t, store, "bad", 1))
	eventually(t, func() bool { return len(j.of("bad")) == 1 }, "it goes on")
}

func TestErasedStreamsAreNotSeen(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	defer store.Close()
	j := newJournal()
	j.failWith(func(e deposited, _ eventstore.Recorded) error {
		if e.Amount == 13 {
			return reactor.Permanent(errors.New("no"))
		}
		return nil
	})
	mails := newReactor(t, store, quick(), j.reaction())
	stop := react(t, mails)
	settled(t, mails, deposit(t, store, "parked", 13))
	settled(t, mails, deposit(t, store, "last", 1))
	stop() // the checkpoint stands at what is erased now
	require.NoError(t, store.Erase(t.Context(), account("last"), "asked for"))
	require.NoError(t, store.Erase(t.Context(), account("parked"), "asked for"))
	deposit(t, store, "unseen", 1)
	require.NoError(t, store.Erase(t.Context(), account("unseen"), "asked for"))
	require.NoError(t, mails.ReplayParked(t.Context(), account("parked")))
	react(t, mails)
	settled(t, mails, deposit(t, store, "b", 1))
	eventually(t, func() bool { return len(parkedList(t, mails)) == 0 }, "an erased stream has nothing that could wait")
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
	mails := newReactor(t, store, cfg, j.reaction())
	stop := react(t, mails)
	before := deposit(t, store, "a", 1)
	_, err := store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{Amount: 1}}},
		eventstore.Write{Stream: account("c"), Events: []eventstore.Event{deposited{Amount: 13}}},
		eventstore.Write{Stream: account("d"), Events: []eventstore.Event{deposited{Amount: 1}}})
	require.NoError(t, err)
	eventually(t, func() bool { return len(j.of("d")) == 1 }, "others go on")
	stop()
	status, err := mails.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, status.Position, "no checkpoint stands inside a transaction")
	j.failWith(nil)
	react(t, mails)
	settled(t, mails, before+3)
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
	mails := newReactor(t, store, cfg, j.reaction())
	stop := react(t, mails)
	for range 10 {
		deposit(t, store, "bad", 1)
	}
	last := deposit(t, store, "good", 1)
	eventually(t, func() bool {
		status, err := mails.Status(t.Context())
		require.NoError(t, err)
		return status.UnderWay == 10
	}, "the window is full")
	require.Empty(t, j.of("good"))
	stop()
	j.failWith(nil)
	react(t, mails)
	settled(t, mails, last)
	require.Equal(t, upTo(10), j.of("bad"))
}

func TestMoreStreamsAreParkedAtOnceThanABatchHolds(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(deposited, eventstore.Recorded) error { return reactor.Permanent(errors.New("no")) })
	cfg := quick()
	cfg.Interval, cfg.Heartbeat, cfg.From = time.Second, time.Second, 1
	const streams = 1200
	for i := range streams {
		_, err := store.Append(t.Context(), account(fmt.Sprint(i)), eventstore.Head{}, deposited{})
		require.NoError(t, err)
	}
	mails := newReactor(t, store, cfg, j.reaction())
	react(t, mails)
	require.Equal(t, streams, settled(t, mails, streams).Parked)
	require.Len(t, parkedList(t, mails), streams)
}

func TestStreamsWithAnyIDAreParked(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(deposited, eventstore.Recorded) error {
		return reactor.Permanent(errors.New("no: " + strings.Repeat("x", 5000)))
	})
	mails := newReactor(t, store, quick(), j.reaction())
	react(t, mails)
	ids := []string{"a", "a.1", ".", "a..b", "é >*", strings.Repeat("x", 256), strings.Repeat("é", 128), strings.Repeat("y", 243)}
	var last eventstore.Position
	for _, id := range ids {
		last = deposit(t, store, id, 1)
	}
	require.Equal(t, len(ids), settled(t, mails, last).Parked)
	for _, id := range ids {
		parked, err := mails.ShowParked(t.Context(), account(id))
		require.NoError(t, err)
		require.Equal(t, account(id), parked.Stream)
		require.Less(t, len(parked.Error), 2100)
		require.NoError(t, mails.Discard(t.Context(), account(id), 1))
	}
	eventually(t, func() bool { return len(parkedList(t, mails)) == 0 }, "all go on")
	require.Len(t, collect(t, mails.Discarded(t.Context())), len(ids))
}

func TestAReactionsAppendsSayWhatLedToThem(t *testing.T) {
	store := open(t)
	mails := newReactor(t, store, quick(), reactor.On(func(ctx context.Context, _ deposited, r eventstore.Recorded) error {
		_, err := store.Append(ctx, eventstore.StreamID{Category: "other", ID: r.Stream.ID}, eventstore.Head{}, withdrawn{1})
		return err
	}))
	react(t, mails)
	ctx := eventstore.WithMetadata(t.Context(), eventstore.Metadata{Correlation: "order 7", Actor: "anna"})
	c, err := store.Append(ctx, account("a"), eventstore.Head{}, deposited{})
	require.NoError(t, err)
	settled(t, mails, c.Position)
	led, err := store.At(t.Context(), c.Position+1)
	require.NoError(t, err)
	require.Equal(t, eventstore.Metadata{Correlation: "order 7", Causation: c.ID.String() + "/0"}, led.Metadata)
}

// A reactor that is to begin inside a transaction begins with the transaction.
func TestAReactorBeginsWithWholeTransactions(t *testing.T) {
	store, j := open(t), newJournal()
	deposit(t, store, "a", 1)
	var writes []eventstore.Write
	for _, id := range []string{"b", "c", "d"} {
		writes = append(writes, eventstore.Write{Stream: account(id), Events: []eventstore.Event{deposited{Amount: 1}}})
	}
	commits, err := store.AppendAll(t.Context(), writes...)
	require.NoError(t, err)
	cfg := quick()
	cfg.From = commits[2].Position
	mails := newReactor(t, store, cfg, j.reaction())
	react(t, mails)
	settled(t, mails, commits[2].Position)
	require.Empty(t, j.of("a"))
	for _, id := range []string{"b", "c", "d"} {
		require.Len(t, j.of(id), 1, id)
	}
}
