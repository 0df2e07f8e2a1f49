package eventstore

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

// compressedEnvelopeOf wraps what is stored with a right checksum and a size that may be a lie.
func compressedEnvelopeOf(size uint64, stored []byte) []byte {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	_ = enc.EncodeArrayLen(4)
	_ = enc.EncodeUint(formatCompressed)
	_ = enc.EncodeUint32(crc32.Checksum(stored, castagnoli))
	_ = enc.EncodeUint(size)
	_ = enc.EncodeBytes(stored)
	return buf.Bytes()
}

// document is a commit whose event has size bytes of text that repeats as documents do.
func document(size int) *Commit {
	var text bytes.Buffer
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(&text, `{"line":%d,"item":"item %d","quantity":%d,"price":"%d.%02d EUR"},`, i, i*7919%1000, i%9+1, i*31%500, i*17%100)
	}
	c := &Commit{
		ID: uuid.MustParse("01938d6e-7a10-7000-8000-0000000000c3"), Time: time.Unix(1_700_000_000, 5).UTC(), First: 3,
		links: []Position{17},
	}
	return with(c, "invoice.sent", text.Bytes()[:size]...)
}

// TestTheCompressedWireFormatStays decodes a file that other releases were tested against. A compressor may get better,
// so only what comes out must stay.
func TestTheCompressedWireFormatStays(t *testing.T) {
	c := document(2000)
	data, err := c.encode(1)
	require.NoError(t, err)
	got, err := decodeEnvelope(goldenFile(t, "v2-document", data), emptyRegistry())
	require.NoError(t, err)
	require.Equal(t, c, got)
}

func TestACommitIsCompressedAboveItsThresholdAndWhereThatIsSmaller(t *testing.T) {
	format := func(c *Commit, above int) (format byte, size int) {
		data, err := c.encode(above)
		require.NoError(t, err)
		return data[1], len(data)
	}
	c := document(2000)
	_, plain := format(c, 0)
	const head = 10 // of an envelope of format 1 whose body has up to 65,535 bytes
	for above, want := range map[int]byte{
		0: formatPlain, 1: formatCompressed, plain - head - 1: formatCompressed, plain - head: formatPlain, 1 << 20: formatPlain,
	} {
		got, _ := format(c, above)
		require.Equalf(t, want, got, "a body of %d bytes above %d", plain-head, above)
	}
	_, compressed := format(c, 1)
	require.Less(t, compressed, plain/2)

	noise := rand.NewChaCha8([32]byte{1})
	random := make([]byte, 2000)
	_, _ = noise.Read(random)
	got, _ := format(with(&Commit{First: 1}, "noise", random...), 1)
	require.EqualValues(t, formatPlain, got, "noise does not get smaller")

	require.True(t, compressible(maxBody, 1))
	require.False(t, compressible(maxBody+1, 1), "no reader would expand it")
	require.False(t, compressible(1000, -1))
}

func TestCommitsAreCompressedByManyAtOnce(t *testing.T) {
	known := emptyRegistry()
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 10 {
				want := document(600 + 97*(g+i))
				data, err := want.encode(1)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := decodeEnvelope(data, known); err != nil || !reflect.DeepEqual(want, got) {
					t.Errorf("a document of %d bytes comes back changed: %v", len(want.data(want.events[0])), err)
				}
			}
		})
	}
	all.Wait()
}

// TestTheLimitIsTheServersOrTheFileStores: the file store takes no record above 32 MiB, and then says that it is full.
func TestTheLimitIsTheServersOrTheFileStores(t *testing.T) {
	require.EqualValues(t, 1<<20-256, commitLimit(1<<20))
	require.EqualValues(t, 32<<20-1024-256, commitLimit(64<<20))
}

type bomb struct {
	stored []byte
	size   uint64 // that it claims
}

// bombs are bodies that expand to more than they claim, or claim what nobody expands.
func bombs(t testing.TB) map[string]bomb {
	t.Helper()
	zeros := func(n int) []byte {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		require.NoError(t, err)
		return enc.EncodeAll(make([]byte, n), nil)
	}
	var unsized bytes.Buffer // a frame that does not say what size its content has
	enc, err := zstd.NewWriter(&unsized, zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	_, err = enc.Write(make([]byte, 4<<20))
	require.NoError(t, err)
	require.NoError(t, enc.Close())
	small := zeros(100)
	return map[string]bomb{
		"expands beyond what it claims":        {zeros(4 << 20), 1000},
		"does so without a size in its frame":  {unsized.Bytes(), 1000},
		"does so in a second frame":            {append(zeros(1000), zeros(4<<20)...), 1000},
		"claims more than is expanded":         {bytes.Repeat(zeros(4<<20), 17), 17 * 4 << 20},
		"claims more than a number holds":      {small, 1 << 63},
		"claims what its bytes cannot hold":    {small, maxBody},
		"claims a little more than is in it":   {small, 101},
		"claims a little less":                 {small, 99},
		"claims nothing":                       {small, 0},
		"is no frame":                          {[]byte("text"), 1000},
		"is empty":                             {nil, 1000},
		"is cut":                               {small[:len(small)-1], 100},
		"wants a window larger than the bound": {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00}, 1000},
		"wants a dictionary":                   {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 0x01, 0x01, 0x09, 0x00, 0x00, 0x00}, 1000},
	}
}

func TestBombsAreRefused(t *testing.T) {
	known := emptyRegistry()
	for name, b := range bombs(t) {
		_, err := decompress(b.stored, b.size)
		require.Errorf(t, err, name)
		data := compressedEnvelopeOf(b.size, b.stored)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = decodeEnvelope(data, known)
		runtime.ReadMemStats(&after)
		require.Errorf(t, err, name)
		require.Lessf(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "a bomb that %s: %v", name, err)
		t.Logf("%s, in %d bytes: allocates %d: %v", name, len(data), after.TotalAlloc-before.TotalAlloc, err)

		decoder := &decoder{store: "bank", registry: known}
		_, err = decoder.commitOf("bank.account.1", 7, data)
		require.ErrorIsf(t, err, ErrCorrupt, name)
	}
}

func BenchmarkEnvelope(b *testing.B) {
	known := emptyRegistry()
	for _, size := range []int{50, 1000, 16 << 10, 256 << 10} {
		for _, above := range []int{0, 512} {
			name := fmt.Sprintf("bytes=%d/above=%d", size, above)
			c := document(size)
			data, err := c.encode(above)
			require.NoError(b, err)
			b.Run("encode/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.ReportMetric(float64(len(data)), "stored-bytes")
				for b.Loop() {
					if _, err := c.encode(above); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("decode/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := decodeEnvelope(data, known); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
