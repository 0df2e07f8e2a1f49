package eventstore

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestIDsAreOfVersion7AndSayWhen(t *testing.T) {
	now := time.Now()
	seen := make(map[uuid.UUID]bool)
	for range 1000 {
		id := newID(now)
		require.Equal(t, uuid.Version(7), id.Version())
		require.Equal(t, uuid.RFC4122, id.Variant())
		seconds, nanoseconds := id.Time().UnixTime()
		require.Equal(t, now.UnixMilli(), time.Unix(seconds, nanoseconds).UnixMilli())
		require.False(t, seen[id])
		seen[id] = true
	}
}
