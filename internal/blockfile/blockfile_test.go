package blockfile

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestWhatWasCutOffIsGoneWhenTheServerStarts(t *testing.T) {
	server := eventstoretest.NewServer(t)
	js := server.JetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "docs", Subjects: []string{"docs.>"}, MaxMsgsPerSubject: 1})
	require.NoError(t, err)
	for i := range 6 {
		_, err := js.Publish(t.Context(), fmt.Sprint("docs.", i%3), []byte("data"))
		require.NoError(t, err)
	}
	server.Stop()
	records, err := Records(server.StoreDir(), "docs")
	require.NoError(t, err)
	var subjects []string
	for _, r := range records {
		if !r.Mark {
			subjects = append(subjects, fmt.Sprint(r.Sequence, r.Subject))
		}
	}
	require.Equal(t, []string{"1docs.0", "2docs.1", "3docs.2", "4docs.0", "5docs.1", "6docs.2"}, subjects)

	require.NoError(t, CutBehind(server.StoreDir(), "docs", 4))
	server.Restart()
	stream, err := server.JetStream(t).Stream(t.Context(), "docs")
	require.NoError(t, err)
	require.Equal(t, uint64(4), stream.CachedInfo().State.LastSeq)
	require.Equal(t, uint64(3), stream.CachedInfo().State.Msgs, "what message 5 had replaced is back")

	require.Error(t, CutBehind(server.StoreDir(), "docs", 7))
	_, err = Records(server.StoreDir(), "none")
	require.Error(t, err)
}

// record returns a record as the server writes it. Its checksum is never compared.
func record(sequence uint64, subject string) []byte {
	data := make([]byte, fixed+len(subject)+checksum)
	binary.LittleEndian.PutUint32(data, uint32(len(data)))
	binary.LittleEndian.PutUint64(data[4:], sequence)
	binary.LittleEndian.PutUint16(data[fixed-2:], uint16(len(subject)))
	copy(data[fixed:], subject)
	return data
}

func TestACutTakesTheFilesBehindItAlong(t *testing.T) {
	store := t.TempDir()
	messages := filepath.Join(dir(store, "docs"), "msgs")
	require.NoError(t, os.MkdirAll(messages, 0o700))
	file := func(name string, data ...[]byte) {
		require.NoError(t, os.WriteFile(filepath.Join(messages, name), slices.Concat(data...), 0o600))
	}
	file("2.blk", record(1, "docs.a"), record(2, "docs.b"), record(3, "docs.a"))
	file("10.blk", record(4, "docs.a"))
	file("11.blk", record(5, "docs.a"))
	require.NoError(t, CutBehind(store, "docs", 2))
	records, err := Records(store, "docs")
	require.NoError(t, err)
	require.Len(t, records, 2, "by the numbers of the files, not by their names")
	require.Equal(t, "docs.b", records[1].Subject)
	left, err := filepath.Glob(filepath.Join(messages, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(messages, "2.blk")}, left)

	file("other.blk", record(1, "docs.a")[:20])
	_, err = Records(store, "docs")
	require.ErrorContains(t, err, "other.blk: record at 0: 20 bytes are left")
	file("other.blk", record(1, "docs.a"), record(2, "docs.a")[:31])
	require.ErrorContains(t, CutBehind(store, "docs", 2), "other.blk: record at 36: length 36, subject of 6, 31 bytes are left")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{31, 0, 0, 0x80, 7: 0, 11: 0x40, 20: 1, 22: 's'}, make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := parse(data)
		if err != nil {
			return
		}
		sum := int64(0)
		for _, r := range records {
			require.Equal(t, sum, r.Offset)
			sum += r.Length
		}
		require.Equal(t, int64(len(data)), sum)
	})
}
