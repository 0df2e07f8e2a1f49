package snapshots

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/msgpack"
)

func sampleDocument() *document {
	commit := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	return &document{
		Store: "store", FoldVersion: 1, Fingerprint: []byte{1, 2}, Stream: "account/1", Version: 9, Position: 12,
		Commit: commit[:], Commits: 5, Window: 3, Age: 6,
		Keys:  []Key{{Key: "a", Hash: []byte{1}, Commit: 3, Version: 4, Position: 8}, {Key: "b", Commit: 5, Version: 9, Position: 12, Time: 7}},
		Left:  Left{First: Key{Key: "z", Hash: []byte{}, Commit: 1, Version: 1, Position: 2}, Last: 3, Until: 4, Forgot: 1},
		State: []byte{0xc0},
	}
}

func TestADocumentIsDecodedAsItWasEncoded(t *testing.T) {
	d := sampleDocument()
	data, err := d.encode()
	require.NoError(t, err)
	decoded, err := decodeDocument(data)
	require.NoError(t, err)
	require.Equal(t, d, decoded)
}

func TestDamageIsFoundInEveryByte(t *testing.T) {
	data, err := sampleDocument().encode()
	require.NoError(t, err)
	for i := range data {
		for bit := range 8 {
			damaged := append([]byte(nil), data...)
			damaged[i] ^= 1 << bit
			_, err := decodeDocument(damaged)
			require.Error(t, err, "byte %d bit %d", i, bit)
		}
		_, err := decodeDocument(data[:i])
		require.Error(t, err, "cut to %d bytes", i)
	}
}

func TestWhatIsNeverSavedIsRefused(t *testing.T) {
	for name, change := range map[string]func(d *document){
		"no version":               func(d *document) { d.Version = 0 },
		"no position":              func(d *document) { d.Position = 0 },
		"no commits":               func(d *document) { d.Commits = 0 },
		"half an id":               func(d *document) { d.Commit = d.Commit[:8] },
		"an empty key":             func(d *document) { d.Keys[0].Key = "" },
		"keys that fall":           func(d *document) { d.Keys[1].Commit = 3 },
		"a key of what comes":      func(d *document) { d.Keys[1].Commit = 6 },
		"a key beyond the window":  func(d *document) { d.Keys[0].Commit = 2 },
		"a window that wraps over": func(d *document) { d.Window = ^uint64(0) - 1 },
	} {
		d := sampleDocument()
		change(d)
		data, err := d.encode()
		require.NoError(t, err)
		_, err = decodeDocument(data)
		require.Error(t, err, name)
	}
}

func FuzzDecodeDocument(f *testing.F) {
	data, err := sampleDocument().encode()
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte{0x93, 1, 0, 0xc4, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDocument(data)
		if err != nil {
			// A document with a right checksum must be as harmless.
			var inner document
			_ = msgpack.Unmarshal(data, &inner)
			return
		}
		again, err := d.encode()
		require.NoError(t, err)
		decoded, err := decodeDocument(again)
		require.NoError(t, err)
		require.Equal(t, d, decoded)
	})
}
