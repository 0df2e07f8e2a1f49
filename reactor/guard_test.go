package reactor_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/reactor"
)

// hostile is an error whose methods harm their callers.
type hostile struct{ harm func() }

func (e hostile) Error() string {
	e.harm()
	return "unreachable"
}

func (e hostile) Is(error) bool {
	e.harm()
	return false
}

func TestCodeOfTheUserHarmsItsStreamAlone(t *testing.T) {
	panics := func() { panic("unlucky") }
	for name, c := range map[string]struct {
		harm func() error
		says string
	}{
		"a panic":                                  {func() error { panic("unlucky") }, "panicked: unlucky"},
		"a goroutine that ends":                    {func() error { runtime.Goexit(); return nil }, "ended its goroutine"},
		"an error that panics":                     {func() error { return hostile{panics} }, "panicked: unlucky"},
		"an error that ends the goroutine":         {func() error { return hostile{runtime.Goexit} }, "ended its goroutine"},
		"an error of a breaker that was made here": {func() error { return &reactor.OpenError{Breaker: "mine"} }, "mine fails"},
		"a wrapped error that panics":              {func() error { return errors.Join(errors.New("x"), hostile{panics}) }, "panicked: unlucky"},
	} {
		t.Run(name, func(t *testing.T) {
			store, j := open(t), newJournal()
			mails := newReactor(t, store, quick(), j.reaction(), reactor.On(func(context.Context, withdrawn, eventstore.Recorded) error {
				return c.harm()
			}))
			react(t, mails)
			_, err := store.Append(t.Context(), account("bad"), eventstore.Head{}, withdrawn{1})
			require.NoError(t, err)
			require.Equal(t, 1, settled(t, mails, deposit(t, store, "good", 1)).Parked)
			parked, err := mails.ShowParked(t.Context(), account("bad"))
			require.NoError(t, err)
			require.Contains(t, parked.Error, c.says)
			require.Equal(t, 4, parked.Attempts)
			require.Equal(t, upTo(1), j.of("good"))
		})
	}
}

func TestAReactionThatNeverReturnsParksItsStream(t *testing.T) {
	store, j := open(t), newJournal()
	cfg := quick()
	cfg.Timeout, cfg.Workers = 20*time.Millisecond, 1
	var begun int
	goOn, ended := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	mails := newReactor(t, store, cfg, j.reaction(), reactor.On(func(context.Context, withdrawn, eventstore.Recorded) error {
		begun++
		defer close(ended)
		<-goOn
		return nil
	}))
	stop := react(t, mails)
	t.Cleanup(release)
	_, err := store.Append(t.Context(), account("bad"), eventstore.Head{}, withdrawn{1})
	require.NoError(t, err)
	require.Equal(t, 1, settled(t, mails, deposit(t, store, "good", 1)).Parked)
	parked, err := mails.ShowParked(t.Context(), account("bad"))
	require.NoError(t, err)
	require.Contains(t, parked.Error, "has not returned for 40ms")
	require.Equal(t, 1, parked.Attempts)
	stop() // it waits for no reaction that was left behind
	release()
	<-ended
	require.Equal(t, 1, begun, "it is not called again beside itself")
}

// careless is text with a mistake in its decoding.
type careless struct{ harm string }

func (c careless) MarshalText() ([]byte, error) { return []byte(c.harm), nil }

func (c *careless) UnmarshalText(text []byte) error {
	switch string(text) {
	case "panic":
		panic("unlucky")
	case "goexit":
		runtime.Goexit()
	}
	return nil
}

type broken struct{ Text careless }

func (broken) EventType() string { return "account.broken" }

func TestADecoderThatFailsToReturnParksItsStream(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", []eventstore.Event{broken{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	var handled sync.Map
	mails := newReactor(t, store, quick(), reactor.On(func(_ context.Context, _ broken, r eventstore.Recorded) error {
		handled.Store(r.Stream.ID, true)
		return nil
	}))
	react(t, mails)
	var last eventstore.Position
	for _, harm := range []string{"panic", "goexit", "none"} {
		c, err := store.Append(t.Context(), account(harm), eventstore.Head{}, broken{careless{harm}})
		require.NoError(t, err)
		last = c.Position
	}
	require.Equal(t, 2, settled(t, mails, last).Parked)
	for _, parked := range parkedList(t, mails) {
		require.Equal(t, 1, parked.Attempts, "it decodes no better the next time")
	}
	_, ok := handled.Load("none")
	require.True(t, ok)
}
