package aggregate

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
)

// Entries are copied, and the copies go on by themselves. None sees what another has remembered since.
func TestCopiesOfAnEntryRememberTheirOwnKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window = 5
		entries, want := make([]entry[struct{}], 4), make([][]string, 4)
		for i := range 60 {
			from, to := rapid.IntRange(0, 3).Draw(t, "from"), rapid.IntRange(0, 3).Draw(t, "to")
			key := fmt.Sprint(i)
			next := entries[from]
			next.remember(&eventstore.Commit{Key: key}, nil, window)
			entries[to], want[to] = next, append(slices.Clone(want[from]), key)
			for n, e := range entries {
				var got []string
				for _, k := range e.keys {
					got = append(got, k.Key)
				}
				require.Equal(t, want[n][max(0, len(want[n])-window):], got)
			}
		}
	})
}
