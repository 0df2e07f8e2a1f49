package lru_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/lru"
)

func TestTheValuesUsedLastAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 4).Draw(t, "size")
		cache := lru.New[int, int](size)
		values, order := map[int]int{}, []int{} // the model: order has the key used last in front
		use := func(key int) {
			order = slices.DeleteFunc(order, func(k int) bool { return k == key })
			order = append([]int{key}, order...)
			if len(order) > size {
				delete(values, order[size])
				order = order[:size]
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				key, value := rapid.IntRange(0, 6).Draw(t, "key"), rapid.Int().Draw(t, "value")
				cache.Put(key, value)
				values[key] = value
				use(key)
			},
			"get": func(t *rapid.T) {
				key := rapid.IntRange(0, 6).Draw(t, "key")
				value, ok := cache.Get(key)
				want, wantOK := values[key]
				require.Equal(t, wantOK, ok)
				require.Equal(t, want, value)
				if ok {
					use(key)
				}
			},
			"": func(t *rapid.T) { require.Equal(t, len(values), cache.Len()) },
		})
	})
}
