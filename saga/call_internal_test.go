package saga

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

func TestEachNumberOfACallHasAKeyOfItsOwn(t *testing.T) {
	call := Call{saga: eventstore.StreamID{Category: "payment", ID: "1"}, step: "reserve"}
	seen := make(map[string]bool)
	for _, n := range []int{0, 1, -1, 2, -2, math.MaxInt, math.MinInt} {
		key := call.Nth(n).Key()
		require.False(t, seen[key], "number %d", n)
		seen[key] = true
	}
	require.Equal(t, call.Key(), call.Nth(0).Key())
}
