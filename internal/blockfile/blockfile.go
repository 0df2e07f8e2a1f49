// Package blockfile reads the files in which nats-server keeps the messages of a JetStream stream, and cuts
// them as a power cut does. It is for tests. The server must be stopped, and must neither encrypt nor compress.
//
// A block file is a run of records, in the order of their sequences; numbers are little endian:
//
//	length      4 bytes   of the whole record; the highest bit says that there is a header
//	sequence    8 bytes   the highest bit marks an erased message, the next one a tombstone
//	time        8 bytes   nanoseconds since 1970
//	subject     2 bytes of length, and with a header 4 bytes of its length after the subject
//	payload     header and data
//	checksum    8 bytes
//
// The source is writeMsgRecordLocked in server/filestore.go.
package blockfile

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	fixed    = 22 // bytes before the subject
	checksum = 8
	header   = 1 << 31 // in the length
	mark     = 3 << 62 // in the sequence
)

// Record is one record of a block file.
type Record struct {
	Sequence uint64
	Mark     bool // the message of the sequence was removed
	Subject  string
	File     string
	Offset   int64 // in the file
	Length   int64
}

// dir is the folder of a stream in the default account.
func dir(store, stream string) string {
	return filepath.Join(store, "jetstream", "$G", "streams", stream)
}

// Records returns the records of a stream's block files in their order. Store is the store directory of the server.
func Records(store, stream string) ([]Record, error) {
	names, err := filepath.Glob(filepath.Join(dir(store, stream), "msgs", "*.blk"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("blockfile: stream %s has no block files in %s", stream, store)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	var all []Record
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		records, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("blockfile: %s: %w", name, err)
		}
		for i := range records {
			records[i].File = name
		}
		all = append(all, records...)
	}
	return all, nil
}

// number is the N of a block file N.blk, or 0.
func number(name string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".blk"))
	if err != nil {
		return 0
	}
	return n
}

func parse(data []byte) ([]Record, error) {
	var records []Record
	for at := 0; at < len(data); {
		rest := data[at:]
		if len(rest) < fixed+checksum {
			return nil, fmt.Errorf("record at %d: %d bytes are left", at, len(rest))
		}
		length := int(binary.LittleEndian.Uint32(rest) &^ header)
		subject := int(binary.LittleEndian.Uint16(rest[fixed-2:]))
		if length > len(rest) || length < fixed+subject+checksum {
			return nil, fmt.Errorf("record at %d: length %d, subject of %d, %d bytes are left", at, length, subject, len(rest))
		}
		sequence := binary.LittleEndian.Uint64(rest[4:])
		records = append(records, Record{
			Sequence: sequence &^ mark, Mark: sequence&mark != 0, Subject: string(rest[fixed : fixed+subject]),
			Offset: int64(at), Length: int64(length),
		})
		at += length
	}
	return records, nil
}

// CutBehind leaves the disk as a power cut would that comes after the message of a sequence has reached it. The
// block file ends there. Later files, the server's index and its staged batches are gone.
func CutBehind(store, stream string, sequence uint64) error {
	records, err := Records(store, stream)
	if err != nil {
		return err
	}
	last := slices.IndexFunc(records, func(r Record) bool { return r.Sequence == sequence && !r.Mark })
	if last < 0 {
		return fmt.Errorf("blockfile: stream %s has no message %d in its block files", stream, sequence)
	}
	end := records[last]
	errs := []error{
		os.Truncate(end.File, end.Offset+end.Length),
		os.RemoveAll(filepath.Join(dir(store, stream), "batches")),
		os.RemoveAll(filepath.Join(dir(store, stream), "msgs", "index.db")),
	}
	for _, r := range records[last:] {
		if r.File != end.File {
			errs = append(errs, os.RemoveAll(r.File))
		}
	}
	return errors.Join(errs...)
}
