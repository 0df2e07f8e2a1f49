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
		use := func(key int) (dropped int, ok bool) {
			order = slices.DeleteFunc(order, func(k int) bool { return k == key })
			order = append([]int{key}, order...)
			if len(order) <= size {
				return 0, false
			}
			dropped, order = order[size], order[:size]
			return dropped, true
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				key, value := rapid.IntRange(0, 6).Draw(t, "key"), rapid.Int().Draw(t, "value")
				values[key] = value
				wantKey, wantOK := use(key)
				if rapid.Bool().Draw(t, "unheard") {
					cache.Put(key, value)
				} else {
					droppedKey, dropped, ok := cache.Push(key, value)
					require.Equal(t, wantOK, ok)
					require.Equal(t, wantKey, droppedKey)
					if ok {
						require.Equal(t, values[wantKey], dropped)
					}
				}
				if wantOK {
					delete(values, wantKey)
				}
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
			"": func(t *rapid.T) {
				require.Equal(t, len(order), cache.Len())
				kept := []int{}
				for key, value := range cache.All() {
					require.Equal(t, values[key], value)
					kept = append(kept, key)
				}
				require.Equal(t, order, kept)
				for key := range cache.All() { // as far as is asked for
					require.Equal(t, order[0], key)
					break
				}
			},
		})
	})
}
