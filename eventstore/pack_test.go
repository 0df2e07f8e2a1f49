package eventstore

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// TestWhatIsPackedIsWhatTheLibraryWrites compares with the library that events are encoded with, and that wrote the
// first logs.
func TestWhatIsPackedIsWhatTheLibraryWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var buf bytes.Buffer
		enc := msgpack.NewEncoder(&buf)
		enc.UseCompactInts(true)
		enc.SetSortMapKeys(true)
		var packed []byte
		same := func(what string, b []byte, err error) {
			require.NoError(t, err)
			require.Equal(t, buf.Bytes(), b, what)
			packed = append(packed, b...)
			buf.Reset()
		}
		n := rapid.Int64().Draw(t, "n") >> rapid.IntRange(0, 63).Draw(t, "smaller")
		long := rapid.SampledFrom([]int{0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536}).Draw(t, "long")
		data := bytes.Repeat([]byte{'x'}, long)
		texts := rapid.MapOfN(rapid.String(), rapid.String(), 1, 20).Draw(t, "texts")
		same("int", packInt(nil, n), enc.EncodeInt(n))
		same("uint", packUint(nil, uint64(n)), enc.EncodeUint(uint64(n)))
		same("uint32", packUint32(nil, uint32(n)), enc.EncodeUint32(uint32(n)))
		same("array", packArray(nil, long), enc.EncodeArrayLen(long))
		same("map", packMap(nil, long), enc.EncodeMapLen(long))
		same("string", packString(nil, string(data)), enc.EncodeString(string(data)))
		same("bytes", packBytes(nil, data), enc.EncodeBytes(data))
		same("no bytes", packBytes(nil, nil), enc.EncodeBytes(nil))
		same("texts", packTexts(nil, texts), enc.Encode(texts))

		in := reader{rest: packed}
		require.Equal(t, n, in.int())
		require.Equal(t, uint64(n), in.uint())
		require.Equal(t, uint64(uint32(n)), in.uint())
		require.Equal(t, long, in.arrayLen())
		require.Equal(t, long, in.mapLen())
		require.Equal(t, string(data), in.text())
		require.Equal(t, data, in.bytes())
		require.False(t, in.present())
		require.Equal(t, texts, in.texts())
		require.NoError(t, in.err)
		require.Empty(t, in.rest)
	})
}

func TestAReaderKeepsTheFirstErrorAndGivesNothingAfter(t *testing.T) {
	in := reader{rest: []byte{0xc3, 0x01, 0x02}}
	require.Empty(t, in.text())
	require.ErrorContains(t, in.err, "text or bytes should stand where a value begins with 0xc3")
	first := in.err
	require.Zero(t, in.int())
	require.Nil(t, in.bytes())
	require.Zero(t, in.arrayLen())
	require.Nil(t, in.texts())
	require.Equal(t, first, in.err)
}
