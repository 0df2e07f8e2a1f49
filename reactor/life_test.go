package reactor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/ondisk/ondisktest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/reactor"
)

// slow makes each sync of a disk take a time, until the test ends.
func slow(t *testing.T, disk *ondisktest.Server, sync time.Duration) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			reached, release := disk.Hold()
			select {
			case <-reached:
				<-time.After(sync)
			case <-stop:
			}
			release()
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-ended })
}

func TestASlowDiskDoesNotLookDead(t *testing.T) {
	proptest.AboutTime(t)
	server := eventstoretest.NewServer(t)
	disk := ondisktest.New(server)
	open := func(provider nats.InProcessConnProvider) *eventstore.Store {
		store, err := eventstore.Open(t.Context(), server.JetStream(t, nats.InProcessServer(provider)), "bank", events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store
	}
	past := open(server) // it does not wait for the disk
	cfg := quick()
	cfg.Heartbeat = 100 * time.Millisecond
	j := newJournal()
	mails := newReactor(t, open(disk), cfg, j.reaction())
	other := newReactor(t, open(disk), cfg, j.reaction())
	slow(t, disk, 3*cfg.Heartbeat) // longer than the lease
	react(t, mails)
	react(t, other)
	runner := settled(t, mails, deposit(t, past, "a", 1)).Runner
	for n := range 5 {
		status := settled(t, mails, deposit(t, past, fmt.Sprint(n), 1))
		require.Equal(t, runner, status.Runner, "nobody takes over")
	}
	for n := range 5 {
		require.Equal(t, upTo(1), j.of(fmt.Sprint(n)))
	}
}

// A reaction takes ten times as long as others wait for a sign of life.
func TestASlowReactionDoesNotLookDead(t *testing.T) {
	s := eventstoretest.NewServer(t)
	store := storeOn(t, s)
	cfg := quick()
	cfg.Heartbeat = 50 * time.Millisecond
	j := newJournal()
	var mu sync.Mutex
	calls := 0
	j.failWith(func(deposited, eventstore.Recorded) error {
		mu.Lock()
		defer mu.Unlock()
		calls++
		<-time.After(20 * cfg.Heartbeat)
		return nil
	})
	mails := newReactor(t, store, cfg, j.reaction())
	react(t, mails)
	react(t, newReactor(t, storeOn(t, s), cfg, j.reaction()))
	react(t, newReactor(t, storeOn(t, s), cfg, j.reaction()))
	settled(t, mails, deposit(t, store, "a", 1))
	require.Equal(t, 1, calls)
}

// A reaction takes longer than the lease to come to its end.
func TestAnInstanceThatStopsInGoodOrderLeavesNothingToRepeat(t *testing.T) {
	store, j := open(t), newJournal()
	begun, end := make(chan struct{}, 2), make(chan struct{})
	holds := reactor.On(func(_ context.Context, _ deposited, r eventstore.Recorded) error {
		begun <- struct{}{}
		<-end
		j.mu.Lock()
		defer j.mu.Unlock()
		j.handled[r.Stream.ID] = append(j.handled[r.Stream.ID], r.Version())
		return nil
	})
	first, second := newReactor(t, store, quick(), holds), newReactor(t, store, quick(), holds)
	stop := react(t, first)
	at := deposit(t, store, "a", 1)
	<-begun
	react(t, second)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	beats(t, first, 10, func() bool { return len(begun) > 0 })
	close(end)
	<-stopped
	settled(t, second, at)
	require.Equal(t, upTo(1), j.of("a"))
}
