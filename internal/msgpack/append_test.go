package msgpack

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	library "github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// TestWhatIsPackedIsWhatTheLibraryWrites compares with the library that events are encoded with, and that wrote the
// first logs.
func TestWhatIsPackedIsWhatTheLibraryWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var buf bytes.Buffer
		enc := library.NewEncoder(&buf)
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
		same("int", AppendInt(nil, n), enc.EncodeInt(n))
		same("uint", AppendUint(nil, uint64(n)), enc.EncodeUint(uint64(n)))
		same("uint32", AppendUint32(nil, uint32(n)), enc.EncodeUint32(uint32(n)))
		same("array", AppendArray(nil, long), enc.EncodeArrayLen(long))
		same("map", AppendMap(nil, long), enc.EncodeMapLen(long))
		same("string", AppendString(nil, string(data)), enc.EncodeString(string(data)))
		same("bytes", AppendBytes(nil, data), enc.EncodeBytes(data))
		same("no bytes", AppendBytes(nil, nil), enc.EncodeBytes(nil))
		same("list", AppendList(nil, []string{"a", ""}), errors.Join(enc.EncodeArrayLen(2), enc.EncodeString("a"), enc.EncodeString("")))
		same("bool", AppendBool(AppendBool(nil, true), false), errors.Join(enc.EncodeBool(true), enc.EncodeBool(false)))
		same("texts", AppendTexts(nil, texts), enc.Encode(texts))

		in := Reader{Rest: packed}
		require.Equal(t, n, in.Int())
		require.Equal(t, uint64(n), in.Uint())
		require.Equal(t, uint64(uint32(n)), in.Uint())
		require.Equal(t, long, in.Array())
		require.Equal(t, long, in.Map())
		require.Equal(t, string(data), in.Text())
		require.Equal(t, data, in.Bytes())
		require.False(t, in.Present())
		require.Equal(t, []string{"a", ""}, in.List())
		require.True(t, in.Bool())
		require.False(t, in.Bool())
		require.Equal(t, texts, in.Texts())
		require.NoError(t, in.Err)
		require.Empty(t, in.Rest)
	})
}

func TestAReaderKeepsTheFirstErrorAndGivesNothingAfter(t *testing.T) {
	in := Reader{Rest: []byte{0xc3, 0x01, 0x02}}
	require.Empty(t, in.Text())
	require.ErrorContains(t, in.Err, "text or bytes should stand where a value begins with 0xc3")
	first := in.Err
	require.Zero(t, in.Int())
	require.Nil(t, in.Bytes())
	require.Zero(t, in.Array())
	require.Nil(t, in.Texts())
	require.Equal(t, first, in.Err)
}
