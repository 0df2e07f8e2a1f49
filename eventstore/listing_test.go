package eventstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/jsapi"
)

func TestAListAsksForEachPageOnce(t *testing.T) {
	pages := 0
	l := &listing{page: func(_ context.Context, offset int) (jsapi.Info, error) {
		pages++
		page := jsapi.Info{Subjects: map[string]uint64{}, Total: 21}
		for i := offset; i < min(offset+5, page.Total); i++ {
			page.Subjects[fmt.Sprintf("%03d", i)] = 1
		}
		return page, nil
	}}
	listed := 0
	for _, err := range l.subjects(t.Context()) {
		require.NoError(t, err)
		listed++
	}
	require.Equal(t, 21, listed)
	require.Equal(t, 5, pages, "of five each, of which all but the first repeat one")
}

// Pages as the server cuts them, small, with streams that come and go between two of them.
func TestAListMissesNothingThatStaysAndRepeatsNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.Custom(func(r *rapid.T) string { return fmt.Sprintf("%03d", rapid.IntRange(0, 200).Draw(r, "name")) })
		set := map[string]uint64{}
		for _, n := range rapid.SliceOfN(name, 0, 60).Draw(r, "names") {
			set[n] = 1
		}
		stay := slices.Collect(maps.Keys(set))
		size := rapid.IntRange(2, 10).Draw(r, "size of a page")
		last := name.Draw(r, "behind")
		l := &listing{last: last, page: func(_ context.Context, offset int) (jsapi.Info, error) {
			for range rapid.IntRange(0, 5).Draw(r, "changes") {
				n := name.Draw(r, "changed")
				if _, ok := set[n]; ok {
					delete(set, n)
					stay = slices.DeleteFunc(stay, func(s string) bool { return s == n })
				} else {
					set[n] = 1
				}
			}
			sorted := slices.Sorted(maps.Keys(set))
			page := jsapi.Info{Subjects: map[string]uint64{}, Total: len(sorted)}
			for _, n := range sorted[min(offset, len(sorted)):min(offset+size, len(sorted))] {
				page.Subjects[n] = 1
			}
			return page, nil
		}}
		var got []string
		for subject, err := range l.subjects(context.Background()) {
			require.NoError(r, err)
			got = append(got, subject.name)
		}
		require.True(r, slices.IsSorted(got))
		require.Len(r, slices.Compact(slices.Clone(got)), len(got))
		for _, n := range stay {
			if n > last {
				require.Contains(r, got, n)
			}
		}
	})
}
