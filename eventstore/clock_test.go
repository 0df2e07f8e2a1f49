package eventstore

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestClocksThatDifferAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := &conn{store: "bank", cfg: Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
		require.Zero(t, c.clock.skew(), "nothing is known")
		hear := func(after, ahead time.Duration) time.Duration {
			asked := time.Now()
			<-time.After(after)
			c.hearTime(t.Context(), asked, asked.Add(after/2-ahead))
			return c.clock.skew()
		}
		require.Zero(t, hear(0, 0))
		require.Zero(t, hear(0, 5*time.Second))
		require.Zero(t, hear(2*time.Second, 6*time.Second), "the answer may have been under way for a second")
		require.Empty(t, log.String())
		require.Equal(t, time.Hour, hear(time.Second, time.Hour))
		require.Contains(t, log.String(), "ahead=1h0m0s")
		require.Equal(t, -time.Hour, hear(time.Second, -time.Hour))
		<-time.After(24 * time.Hour)
		require.Equal(t, -time.Hour, c.clock.skew())
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("level=WARN")), "it is said once")
		require.Zero(t, hear(0, 0))
		require.Contains(t, log.String(), "agree again")
	})
}

func TestAStoreKnowsTheServersTime(t *testing.T) {
	store, err := Open(t.Context(), eventstoretest.JetStream(t), "bank", nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	require.WithinDuration(t, time.Now(), store.conn.clock.heard.Load().server, time.Minute)
}
