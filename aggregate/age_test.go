package aggregate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

// A release with a longer KeyAge takes over the snapshots of one with a shorter KeyAge, which has forgotten keys.
func TestALongerKeyAgeFindsWhatAShorterOneForgot(t *testing.T) {
	const short, long = time.Nanosecond, time.Hour
	for name, test := range map[string]struct {
		config  snapshot.Config
		age     time.Duration
		came    aggregate.Counters
		repeats bool
	}{
		"log":                 {snapshot.Config{Every: 1 << 30, FoldVersion: 2}, long, aggregate.Counters{Replayed: 1}, true},
		"snapshot":            {snapshot.Config{Every: 1}, long, aggregate.Counters{Replayed: 1}, true},
		"of the same KeyAge":  {snapshot.Config{Every: 1}, short, aggregate.Counters{Restored: 1}, false},
		"a little longer age": {snapshot.Config{Every: 1}, 2 * short, aggregate.Counters{Restored: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			old := start(t, js, balance{}, snapshot.Config{Every: 1}, aggregate.Config{KeyWindow: 2, KeyAge: short})
			first, err := old.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
			require.NoError(t, err)
			old.deposit(t, "1", 5)
			old.stop(t)

			newer := start(t, js, balance{}, test.config, aggregate.Config{KeyWindow: 2, KeyAge: test.age})
			again, err := newer.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
			require.NoError(t, err)
			require.Equal(t, test.repeats, again.Repeated)
			require.Equal(t, test.repeats, again.Position == first.Position)
			require.Equal(t, test.came, from(newer.accounts))
		})
	}
}

// A release with a shorter KeyAge drops keys of a snapshot of one with a longer KeyAge. Its own snapshot says so.
func TestAShorterKeyAgeInBetweenIsNoticed(t *testing.T) {
	js := eventstoretest.JetStream(t)
	long := aggregate.Config{KeyWindow: 2, KeyAge: time.Hour}
	old := start(t, js, balance{}, snapshot.Config{Every: 1}, long)
	_, err := old.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	old.deposit(t, "1", 5)
	old.stop(t)

	between := start(t, js, balance{}, snapshot.Config{Every: 1}, aggregate.Config{KeyWindow: 2, KeyAge: time.Nanosecond})
	between.deposit(t, "1", 1)
	require.Equal(t, aggregate.Counters{Restored: 1}, from(between.accounts))
	between.stop(t)

	newer := start(t, js, balance{}, snapshot.Config{Every: 1}, long)
	again, err := newer.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	require.True(t, again.Repeated)

	// Its snapshot has forgotten nothing, and is used.
	newer.deposit(t, "1", 1)
	newer.stop(t)
	last := start(t, js, balance{}, snapshot.Config{Every: 1}, long)
	again, err = last.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	require.True(t, again.Repeated)
	require.Equal(t, aggregate.Counters{Restored: 1}, from(last.accounts))
}
