package eventstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// The leader that described the log may be another than the one that is asked for the commit right after.
func TestALeaderThatIsNotAsFarAsTheOneBeforeOnlyLags(t *testing.T) {
	store, err := Open(t.Context(), eventstoretest.JetStream(t), "bank", []Event{named{}}, nil)
	require.NoError(t, err)
	defer store.Close()
	stream := StreamID{Category: "account", ID: "1"}
	c, err := store.Append(t.Context(), stream, Head{}, named{})
	require.NoError(t, err)
	info := jsapi.Info{Last: 2, Messages: 2, Replicas: 3, Created: store.conn.opened.created}
	seen := mark{Store: store.conn.opened.identity, Position: 2, Commit: c.ID.String()}

	lags, err := store.trust.compareMark(t.Context(), seen, info)
	require.ErrorIs(t, err, ErrLogRewound)
	require.ErrorContains(t, err, "it ends before that")
	require.True(t, lags)

	info.Replicas = 1
	lags, err = store.trust.compareMark(t.Context(), seen, info)
	require.ErrorIs(t, err, ErrLogRewound)
	require.False(t, lags, "one replica has nobody to lag behind")

	seen.Position = 1
	_, err = store.trust.compareMark(t.Context(), seen, info)
	require.NoError(t, err)
}
