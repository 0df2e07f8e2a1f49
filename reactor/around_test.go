package reactor_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

func TestAroundWrapsEachReaction(t *testing.T) {
	var mu sync.Mutex // guards seen
	var seen []eventstore.Version
	store, j, cfg := open(t), newJournal(), quick()
	cfg.Around = func(ctx context.Context, recorded eventstore.Recorded, do func(ctx context.Context) error) error {
		mu.Lock()
		seen = append(seen, recorded.Version())
		mu.Unlock()
		switch recorded.Stream.ID {
		case "refused":
			return errors.New("not allowed")
		case "skipped":
			return nil
		}
		return do(ctx)
	}
	mails := newReactor(t, store, cfg, j.reaction())
	react(t, mails)
	deposit(t, store, "refused", 1)
	deposit(t, store, "skipped", 1)
	require.Equal(t, 2, settled(t, mails, deposit(t, store, "good", 1, 2)).Parked)
	require.Equal(t, upTo(2), j.of("good"))
	require.Empty(t, j.of("refused"))
	for id, why := range map[string]string{"refused": "not allowed", "skipped": "Config.Around did not run it"} {
		parked, err := mails.ShowParked(t.Context(), account(id))
		require.NoError(t, err)
		require.Contains(t, parked.Error, why)
	}
	mu.Lock()
	defer mu.Unlock()
	require.Contains(t, seen, eventstore.Version(2))
}
