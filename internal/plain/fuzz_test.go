package plain_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/msgpack"
	"github.com/runnel-go/runnel/internal/plain"
)

// Decoding never panics, whatever the bytes are, and the decoded value has the same numbers as the bytes.
func FuzzNumbersFit(f *testing.F) {
	type Base struct{ E uint16 }
	type narrow struct {
		Base
		A int8
		B []int32
		C map[int16]uint32
		D *struct{ N uint8 }
		F float32
	}
	type BaseWide struct{ E int64 }
	type wide struct {
		BaseWide
		A int64
		B []int64
		C map[int64]int64
		D *struct{ N int64 }
		F float64
	}
	shape, err := plain.Msgpack.Of(reflect.TypeFor[narrow]())
	require.NoError(f, err)
	for _, seed := range []any{
		narrow{}, wide{A: 1 << 40}, wide{B: []int64{1 << 31}, C: map[int64]int64{-1 << 15: -1}}, wide{D: &struct{ N int64 }{256}, F: 1.5}, map[string]any{"A": nil, "F": 1<<24 + 1},
	} {
		data, err := msgpack.Marshal(seed)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var small narrow
		if shape.Unmarshal(data, &small) != nil {
			return
		}
		var large wide
		if msgpack.Unmarshal(data, &large) != nil {
			return // such as a number above what an int64 holds
		}
		require.EqualValues(t, large.A, small.A)
		require.Equal(t, large.E, int64(small.E))
		require.Len(t, small.B, len(large.B))
		for i := range large.B {
			require.Equal(t, large.B[i], int64(small.B[i]))
		}
		require.Len(t, small.C, len(large.C))
		for key, value := range large.C {
			require.Equal(t, value, int64(small.C[int16(key)]))
		}
		if large.D != nil {
			require.Equal(t, large.D.N, int64(small.D.N))
		}
	})
}

// A cursor ends where the value does, whatever well-formed bytes it goes through.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{0x92, 0xa1, 'a', 0x81, 0xcd, 1, 0, 0xd3, 0xff, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xdf, 0, 0, 0, 1, 0xd9, 1, 'a', 0xc4, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if msgpack.Check(data) != nil {
			return
		}
		rest := msgpack.Cursor(data)
		for left := 1; left > 0; left-- {
			n, isMap, ok := rest.List()
			switch {
			case ok && isMap:
				left += 2 * n
			case ok:
				left += n
			case left%2 == 0:
				rest.Text()
			default:
				rest.Integer()
			}
		}
		require.Empty(t, rest)
	})
}
