package eventstore_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// record is where a message stands in a block file of nats-server (filestore.go, writeMsgRecordLocked):
//
//	length 4 | sequence 8 | time 8 | subject length 2 | subject | header length 4 | header | data | checksum 8
//
// The highest bit of the length says that there is a header. All of this package's messages have one.
type record struct {
	file     string
	offset   int
	length   int
	sequence uint64
	subject  string
	data     int // where the data begins, counted from the record's start
}

// recordHead is the length of what stands before the subject.
const recordHead = 22

// messages is the folder with the block files of a JetStream stream.
func messages(dir, stream string) string {
	return filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs")
}

// records reads all block files of a stream, whose server is stopped.
func records(t testing.TB, dir, stream string) []record {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(messages(dir, stream), "*.blk"))
	require.NoError(t, err)
	var all []record
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for at := 0; at < len(data); {
			length := binary.LittleEndian.Uint32(data[at:])
			require.NotZero(t, length&(1<<31), "the record at %d of %s has a header", at, file)
			r := record{file: file, offset: at, length: int(length &^ (1 << 31)), sequence: binary.LittleEndian.Uint64(data[at+4:])}
			subject := int(binary.LittleEndian.Uint16(data[at+20:]))
			r.subject = string(data[at+recordHead : at+recordHead+subject])
			r.data = recordHead + subject + 4 + int(binary.LittleEndian.Uint32(data[at+recordHead+subject:]))
			all = append(all, r)
			at += r.length
		}
	}
	require.NotEmpty(t, all)
	sort.Slice(all, func(i, j int) bool { return all[i].sequence < all[j].sequence })
	return all
}

// flip turns one bit of a record around.
func (r record) flip(t testing.TB, at int, bit uint) {
	t.Helper()
	data, err := os.ReadFile(r.file)
	require.NoError(t, err)
	data[r.offset+at] ^= 1 << bit
	require.NoError(t, os.WriteFile(r.file, data, 0o600))
}

// part says what a byte of the record is.
func (r record) part(at int) string {
	switch {
	case at < 4:
		return "length"
	case at < 12:
		return "sequence"
	case at < 20:
		return "time"
	case at < recordHead:
		return "subject length"
	case at < recordHead+len(r.subject):
		return "subject"
	case at < recordHead+len(r.subject)+4:
		return "header length"
	case at < r.data:
		return "header"
	case at < r.length-8:
		return "data"
	}
	return "checksum"
}

// dropIndex removes what lets the server skip reading its blocks when it starts, as if it had been killed.
func dropIndex(t testing.TB, dir, stream string) {
	t.Helper()
	require.NoError(t, os.Remove(filepath.Join(messages(dir, stream), "index.db")))
}

// disk keeps what a server has on its disk, to put it back any number of times.
type disk struct {
	server *eventstoretest.Server
	files  string
}

// keep stops the server and copies its files.
func keep(t testing.TB, server *eventstoretest.Server) disk {
	t.Helper()
	server.Stop()
	d := disk{server: server, files: t.TempDir()}
	require.NoError(t, os.CopyFS(d.files, os.DirFS(server.StoreDir())))
	return d
}

// restore stops the server and puts the files back.
func (d disk) restore(t testing.TB) {
	t.Helper()
	d.server.Stop()
	entries, err := os.ReadDir(d.server.StoreDir())
	require.NoError(t, err)
	for _, entry := range entries {
		require.NoError(t, os.RemoveAll(filepath.Join(d.server.StoreDir(), entry.Name())))
	}
	require.NoError(t, os.CopyFS(d.server.StoreDir(), os.DirFS(d.files)))
}
