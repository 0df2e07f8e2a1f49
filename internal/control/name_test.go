package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/token"
)

func TestNamesOfStores(t *testing.T) {
	for _, name := range []string{"acme", "acme-eu", "A1", strings.Repeat("x", 64)} {
		require.NoError(t, control.CheckStore(name))
	}
	for _, name := range []string{"", "a.b", "acme_eu", "_", "KV_acme", strings.Repeat("x", 65)} {
		require.ErrorIs(t, control.CheckStore(name), token.ErrInvalid, "%q", name)
	}
}

// names returns all names of up to so many words that also stand in the names of buckets.
func names(words int) []string {
	one := []string{"a", "v1", "control", "snapshots", "0badcafe"}
	all, last := one, one
	for range words - 1 {
		var longer []string
		for _, name := range last {
			for _, word := range one {
				longer = append(longer, name+"-"+word, name+"_"+word)
			}
		}
		all, last = append(slices.Clip(all), longer...), longer
	}
	return all
}

func TestTwoThingsNeverShareABucket(t *testing.T) {
	owners := make(map[string]string)
	own := func(bucket, store, what string) {
		owner := store + "'s " + what
		if other, taken := owners[bucket]; taken {
			require.Fail(t, "both have the bucket "+bucket, "%s and %s", other, owner)
		}
		owners[bucket] = owner
		require.True(t, strings.HasPrefix(bucket, store+"_"))
	}
	for _, store := range names(2) {
		if control.CheckStore(store) != nil {
			continue
		}
		own(control.Bucket(store), store, "control bucket")
		for _, name := range names(3) {
			own(control.SnapshotBucket(store, name), store, "snapshots of "+name)
			for fold := range 2 {
				bucket := control.ViewBucket(store, name, fold, "0badcafe")
				own(bucket, store, fmt.Sprintf("view %s, version %d", name, fold))
				require.True(t, strings.HasPrefix(bucket, control.ViewPrefix(store, name)))
			}
		}
	}
}
