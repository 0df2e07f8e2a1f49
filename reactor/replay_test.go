package reactor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/reactor"
)

// patient makes a reactor in which an event that fails stays open, and no other waits for it.
func patient() *reactor.Config {
	cfg := quick()
	cfg.Retries, cfg.Backoff, cfg.MaxBackoff = 1000, time.Hour, time.Hour
	return cfg
}

// beats waits until the instance that runs has shown life for some heartbeats, or until something else has happened.
func beats(t *testing.T, mails *reactor.Reactor, heartbeats int, or func() bool) {
	t.Helper()
	before, err := mails.Status(t.Context())
	require.NoError(t, err)
	eventually(t, func() bool {
		now, err := mails.Status(t.Context())
		return err == nil && now.Written.Sub(before.Written) > time.Duration(heartbeats)*quick().Heartbeat || or()
	}, "it shows life")
}

// isParked reports whether stream a is parked.
func isParked(t *testing.T, mails *reactor.Reactor) bool {
	t.Helper()
	_, err := mails.ShowParked(t.Context(), account("a"))
	if !errors.Is(err, reactor.ErrNotParked) {
		require.NoError(t, err)
	}
	return err == nil
}

// The reactor stops in good order while an event before the parked one is open. The next one reads the log on from that
// event, and its window is full there when the replay is to begin.
func TestAReplayAtTheBeginningOfARunLosesNothing(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(_ deposited, r eventstore.Recorded) error {
		switch r.Stream.ID {
		case "slow":
			return errors.New("not now")
		case "a":
			return reactor.Permanent(errors.New("no"))
		}
		return nil
	})
	mails := newReactor(t, store, patient(), j.reaction())
	stop := react(t, mails)
	deposit(t, store, "slow", 1) // the checkpoint stays before it
	deposit(t, store, "a", 1, 2)
	deposit(t, store, "b", 1)
	eventually(t, func() bool { return len(j.of("b")) == 1 && isParked(t, mails) }, "a is parked, b is handled")
	stop()
	require.NoError(t, mails.ReplayParked(t.Context(), account("a")))

	cfg := patient()
	cfg.Window = 1
	goOn := make(chan struct{})
	again := newReactor(t, store, cfg, reactor.On(func(ctx context.Context, _ deposited, r eventstore.Recorded) error {
		if r.Stream.ID == "slow" {
			select {
			case <-goOn:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.handled[r.Stream.ID] = append(j.handled[r.Stream.ID], r.Version())
		return nil
	}))
	react(t, again)
	beats(t, again, 5, func() bool { return !isParked(t, again) })
	close(goOn)
	settled(t, again, deposit(t, store, "c", 1))
	nothingParked(t, again)
	require.Len(t, j.of("slow"), 1)
	require.Len(t, j.of("b"), 1)
	require.Equal(t, upTo(2), j.of("a"), "the event for which the stream was parked, and the one after it")
}
