package kv_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/kv"
)

func TestMsgpackDoesNotAllocateWhatBytesClaim(t *testing.T) {
	for name, hostile := range map[string]struct {
		data []byte
		into any
	}{
		"array": {[]byte{0xdd, 0x7f, 0xff, 0xff, 0xff}, new([]int64)},
		"map":   {[]byte{0xdf, 0x7f, 0xff, 0xff, 0xff}, new(map[string]string)},
		"bytes": {[]byte{0xc6, 0x7f, 0xff, 0xff, 0xff}, new([]byte)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.Error(t, kv.Msgpack{}.Unmarshal(hostile.data, hostile.into), name)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10), name)
	}
}

// FuzzMsgpack decodes bytes that any client may write into a bucket. The decoder must not panic, and must not allocate
// the memory that the bytes merely claim to need. A value that it decodes can be encoded and decoded again.
func FuzzMsgpack(f *testing.F) {
	type document struct {
		N    int
		Text string
		List []string
		Map  map[string]any
	}
	seed, err := kv.Msgpack{}.Marshal(document{N: 1, Text: "a", List: []string{"b"}, Map: map[string]any{"c": 1.5}})
	require.NoError(f, err)
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var got document
		if (kv.Msgpack{}).Unmarshal(data, &got) != nil {
			return
		}
		again, err := kv.Msgpack{}.Marshal(got)
		require.NoError(t, err)
		require.NoError(t, kv.Msgpack{}.Unmarshal(again, &document{}))
	})
}
