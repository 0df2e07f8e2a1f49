package eventstore

import (
	"bytes"
	"encoding/hex"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

func emptyRegistry() *registry {
	r, err := newRegistry(Msgpack, nil, nil)
	if err != nil {
		panic(err)
	}
	return r
}

func commits() *rapid.Generator[*Commit] {
	return rapid.Custom(func(t *rapid.T) *Commit {
		c := &Commit{
			ID:    uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			Time:  time.Unix(0, rapid.Int64().Draw(t, "time")).UTC(),
			First: Version(rapid.Uint64Range(1, math.MaxUint64).Draw(t, "first")),
			Key:   rapid.String().Draw(t, "key"),
		}
		c.Correlation, c.Causation, c.Actor = rapid.String().Draw(t, "correlation"), rapid.String().Draw(t, "causation"), rapid.String().Draw(t, "actor")
		c.TraceParent, c.TraceState = rapid.String().Draw(t, "parent"), rapid.String().Draw(t, "state")
		if hash := rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "hash"); len(hash) > 0 {
			c.KeyHash = hash
		}
		if user := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "user"); len(user) > 0 {
			c.User = user
		}
		at := Position(math.MaxUint64)
		for range rapid.IntRange(0, maxLinks).Draw(t, "links") {
			at = Position(rapid.Uint64Range(uint64(at)/2, uint64(at)-1).Draw(t, "link"))
			c.links = append(c.links, at)
		}
		if rapid.Bool().Draw(t, "transaction") {
			count := rapid.IntRange(2, 1000).Draw(t, "count")
			c.Transaction = &Transaction{ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "tx")), Count: count, Index: rapid.IntRange(0, count-1).Draw(t, "index")}
		}
		for range rapid.IntRange(1, 4).Draw(t, "events") {
			name, data := rapid.StringN(1, 50, -1).Draw(t, "name"), rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "data")
			with(c, name, bytes.Repeat(data, rapid.IntRange(1, 5).Draw(t, "times"))...)
		}
		return c
	})
}

// with adds an event of a type that no registry knows to a commit that is not encoded yet, and returns the commit.
func with(c *Commit, name string, data ...byte) *Commit {
	from := len(c.body)
	c.body = append(c.body, data...)
	c.events = append(c.events, event{kind: &eventType{name: name}, from: uint32(from), to: uint32(len(c.body))})
	return c
}

// thresholds draws above how many bytes a commit is compressed: never, always where it helps, or from the middle on.
func thresholds() *rapid.Generator[int] { return rapid.SampledFrom([]int{0, 1, 500}) }

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, above := commits().Draw(t, "commit"), thresholds().Draw(t, "threshold")
		data, err := want.encode(above)
		require.NoError(t, err)
		got, err := decodeEnvelope(data, emptyRegistry())
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := got.encode(above)
		require.NoError(t, err)
		require.Equal(t, data, again, "the same commit is always the same bytes")
	})
}

func TestAnyFlippedBitOfAnEnvelopeIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := commits().Draw(t, "commit").encode(thresholds().Draw(t, "threshold"))
		require.NoError(t, err)
		bit := rapid.IntRange(0, 8*len(data)-1).Draw(t, "bit")
		data[bit/8] ^= 1 << (bit % 8)
		_, err = decodeEnvelope(data, emptyRegistry())
		require.Error(t, err)
	})
}

var update = flag.Bool("update", false, "write the golden files")

// golden returns the commits of the golden files, by their names.
func golden() map[string]*Commit {
	full := &Commit{
		ID: uuid.MustParse("01938d6e-7a10-7000-8000-0000000000a1"), Time: time.Unix(1_700_000_000, 123_456_789).UTC(), First: 7,
		Metadata: Metadata{
			Correlation: "order 9", Causation: "request 4", Actor: "anna",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "vendor=1",
			User: map[string]string{"via": "web", "lang": "cs"},
		},
		Key: "k-1", KeyHash: []byte{1, 2, 3},
		Transaction: &Transaction{ID: uuid.MustParse("01938d6e-7a10-7000-8000-0000000000b2"), Index: 1, Count: 2},
		links:       []Position{1000, 990, 3},
	}
	with(full, "account.deposited", 0x81, 0xa6, 'A', 'm', 'o', 'u', 'n', 't', 0x05)
	with(full, "account.closed", 0x80)
	small := with(&Commit{ID: full.ID, Time: time.Unix(1_700_000_000, 0).UTC(), First: 1}, "account.opened", 0x80)
	return map[string]*Commit{"full": full, "small": small}
}

// goldenFile returns a golden file's payload, which -update makes anew.
func goldenFile(t testing.TB, name string, data []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", "envelope-"+name+".hex")
	if *update && data != nil {
		require.NoError(t, os.WriteFile(file, []byte(hex.EncodeToString(data)+"\n"), 0o600))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	payload, err := hex.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return payload
}

// TestTheWireFormatStays compares with a file that other releases, and readers in other languages, were tested against.
// A change of it is a new format.
func TestTheWireFormatStays(t *testing.T) {
	for name, c := range golden() {
		data, err := c.encode(0)
		require.NoError(t, err)
		require.Equal(t, goldenFile(t, "v1-"+name, data), data, name)
		got, err := decodeEnvelope(data, emptyRegistry())
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
}

// envelopeOf wraps a body with a right checksum, to reach what is behind it.
func envelopeOf(format uint64, body []byte) []byte {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	_ = enc.EncodeArrayLen(3)
	_ = enc.EncodeUint(format)
	_ = enc.EncodeUint32(crc32.Checksum(body, castagnoli))
	_ = enc.EncodeBytes(body)
	return buf.Bytes()
}

func TestEnvelopesThatNoWriterWritesAreRefused(t *testing.T) {
	body := func(edit func(*Commit)) []byte {
		c := with(&Commit{First: 1}, "a", 0x80)
		edit(c)
		data, err := c.encode(0)
		require.NoError(t, err)
		return data
	}
	for name, test := range map[string]struct {
		data []byte
		text string
	}{
		"a newer format":         {envelopeOf(3, nil), "format 3, this release reads 1 and 2: upgrade it"},
		"a shorter format 2":     {envelopeOf(2, nil), "3 elements instead of 4"},
		"a bomb":                 {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, "claimed"},
		"a bomb in the body":     {envelopeOf(1, []byte{0xdd, 0xff, 0xff, 0xff, 0xff}), "claimed"},
		"an empty body":          {envelopeOf(1, nil), "ends early"},
		"another shape":          {envelopeOf(1, []byte{0x91, 0x01}), "1 fields instead of 13"},
		"no array":               {[]byte{0x01}, "array"},
		"two elements":           {[]byte{0x92, 0x01, 0x01}, "2 elements instead of 3"},
		"version 0":              {body(func(c *Commit) { c.First = 0 }), "version 0"},
		"no events":              {body(func(c *Commit) { c.events = nil }), "without events"},
		"too many links":         {body(func(c *Commit) { c.links = make([]Position, 17) }), "17 links"},
		"links that rise":        {body(func(c *Commit) { c.links = []Position{1, 2} }), "links do not fall"},
		"links that stay":        {body(func(c *Commit) { c.links = []Position{2, 2} }), "links do not fall"},
		"a transaction of one":   {body(func(c *Commit) { c.Transaction = &Transaction{Count: 1} }), "transaction of 1"},
		"beyond its transaction": {body(func(c *Commit) { c.Transaction = &Transaction{Count: 2, Index: 2} }), "commit 2 of"},
		"nothing":                {nil, "ends early"},
		"text":                   {[]byte("hello"), "bytes after"},
	} {
		_, err := decodeEnvelope(test.data, emptyRegistry())
		require.ErrorContains(t, err, test.text, name)
	}
}

func FuzzEnvelope(f *testing.F) {
	const raw, plain, compressed = 0, 1, 2
	for _, name := range []string{"v1-full", "v1-small", "v2-document"} {
		data := goldenFile(f, name, nil)
		f.Add(data, uint8(raw), uint32(0))
		f.Add(data[9:], uint8(plain), uint32(0))
	}
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, uint8(raw), uint32(0))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, uint8(plain), uint32(0))
	f.Add(bytes.Repeat([]byte{0x91}, 100), uint8(plain), uint32(0))
	for _, b := range bombs(f) {
		f.Add(b.stored, uint8(compressed), uint32(min(b.size, math.MaxUint32)))
	}
	known := emptyRegistry()
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, size uint32) {
		if len(data) > 4096 {
			data = data[:4096]
		}
		most := uint64(1 << 20)
		switch kind % 3 {
		case plain:
			data = envelopeOf(1, data)
		case compressed:
			size %= 2 << 20 // larger ones are for TestBombsAreRefused: the fuzzer has no time for them
			data, most = compressedEnvelopeOf(uint64(size), data), most+uint64(size)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := decodeEnvelope(data, known)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, most)
		if err != nil {
			return
		}
		for _, above := range []int{0, 1} {
			again, err := c.encode(above)
			require.NoError(t, err)
			back, err := decodeEnvelope(again, known)
			require.NoError(t, err)
			require.Equal(t, c, back)
		}
	})
}

func decodeEnvelope(payload []byte, known *registry) (*Commit, error) {
	return new(room).decode(payload, known)
}
