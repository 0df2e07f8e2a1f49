package msgpack_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	library "github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/msgpack"
)

func TestHostilePayloadsAreRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"five bytes that claim 4,294,967,295 elements": {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a map that claims as many pairs":              {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a string of 2 GiB":                            {0xdb, 0x7f, 0xff, 0xff, 0xff},
		"bytes of 4 GiB":                               {0xc6, 0xff, 0xff, 0xff, 0xff},
		"an extension of 4 GiB":                        {0xc9, 0xff, 0xff, 0xff, 0xff, 0x01},
		"nothing":                                      {},
		"half a length":                                {0xdd, 0x00},
		"an array without its last element":            {0x92, 0x01},
		"a map without its last value":                 {0x81, 0x01},
		"bytes after the value":                        {0x01, 0x01},
		"the unused byte":                              {0xc1},
		"a million open arrays":                        bytes.Repeat([]byte{0x91}, 1_000_000),
		"one level too many":                           append(bytes.Repeat([]byte{0x91}, msgpack.MaxDepth+1), 0xc0),
	} {
		require.ErrorIs(t, msgpack.Check(data), msgpack.ErrMalformed, name)
	}
	require.NoError(t, msgpack.Check(append(bytes.Repeat([]byte{0x91}, msgpack.MaxDepth), 0xc0)))
}

// TestEachValueIsAsLongAsItsFirstByteSays compares the sizes with the specification of msgpack.
func TestEachValueIsAsLongAsItsFirstByteSays(t *testing.T) {
	sizes := map[byte]int{
		0xc0: 1, 0xc2: 1, 0xc3: 1, 0xca: 5, 0xcb: 9, 0xcc: 2, 0xcd: 3, 0xce: 5, 0xcf: 9, 0xd0: 2, 0xd1: 3, 0xd2: 5, 0xd3: 9,
		0xd4: 3, 0xd5: 4, 0xd6: 6, 0xd7: 10, 0xd8: 18,
	}
	for i := range 128 {
		sizes[byte(i)] = 1
	}
	for i := range 32 {
		sizes[byte(0xe0+i)], sizes[byte(0xa0+i)] = 1, 1+i
	}
	for first, size := range sizes {
		data := make([]byte, size+1)
		data[0] = first
		require.NoErrorf(t, msgpack.Check(data[:size]), "%#x of %d bytes", first, size)
		require.ErrorIsf(t, msgpack.Check(data[:size-1]), msgpack.ErrMalformed, "%#x, one byte less", first)
		require.ErrorIsf(t, msgpack.Check(data), msgpack.ErrMalformed, "%#x, one byte more", first)
	}
}

// value draws what the encoder has encodings for, of every width.
func value(t *rapid.T, depth int) any {
	kinds := 7
	if depth > 0 {
		kinds = 9
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.Int64().Draw(t, "int")
	case 1:
		return rapid.Uint64().Draw(t, "uint")
	case 2:
		return rapid.Float64().Draw(t, "float")
	case 3:
		return rapid.Bool().Draw(t, "bool")
	case 4:
		return strings.Repeat("x", rapid.SampledFrom([]int{0, 1, 31, 32, 255, 256, 65535, 65536}).Draw(t, "length"))
	case 5:
		return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
	case 6:
		return nil
	case 7:
		list := make([]any, rapid.SampledFrom([]int{0, 1, 15, 16}).Draw(t, "elements"))
		for i := range list {
			list[i] = value(t, depth-1)
		}
		return list
	default:
		m := make(map[string]any)
		for range rapid.IntRange(0, 3).Draw(t, "pairs") {
			m[rapid.String().Draw(t, "key")] = value(t, depth-1)
		}
		return m
	}
}

func TestWhatTheLibraryEncodesIsWellFormedAndNoPrefixOfItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := library.Marshal(value(t, 3))
		require.NoError(t, err)
		require.NoError(t, msgpack.Check(data))
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		require.ErrorIs(t, msgpack.Check(data[:cut]), msgpack.ErrMalformed)
	})
}

func TestTheCheckDoesNotAllocate(t *testing.T) {
	data, err := library.Marshal(map[string]any{"a": []int{1, 2, 3}, "b": "text"})
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = msgpack.Check(data) }))
}

// FuzzMsgpack decodes all data that passes the check into the types that hostile lengths hit hardest.
func FuzzMsgpack(f *testing.F) {
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xdf, 0x00, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{0xc6, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x93, 0x01, 0xa1, 'x', 0xc0})
	f.Add([]byte{0x82, 0xa1, 'a', 0x01, 0xa1, 'b', 0x92, 0xc2, 0xc3})
	f.Add(bytes.Repeat([]byte{0x91}, 200))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			data = data[:4096]
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if msgpack.Check(data) == nil {
			var ints []int64
			var strs map[string]string
			var wide []struct{ A, B, C, D int64 }
			_ = msgpack.Unmarshal(data, &ints)
			_ = msgpack.Unmarshal(data, &strs)
			_ = msgpack.Unmarshal(data, &wide)
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "allocated for %d bytes", len(data))
	})
}

func TestUnmarshalRefusesAClaimBeforeItAllocates(t *testing.T) {
	var list []int
	require.NoError(t, msgpack.Unmarshal([]byte{0x92, 1, 2}, &list))
	require.Equal(t, []int{1, 2}, list)
	require.ErrorIs(t, msgpack.Unmarshal([]byte{0xdc, 0x03, 0xe8}, &list), msgpack.ErrMalformed, "1,000 elements")
}
