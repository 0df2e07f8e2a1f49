package eventstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// allFrames has each kind of frame, with all fields.
func allFrames() []frame {
	return []frame{
		headerFrame{
			Store: "bank", Identity: "01938d6e-7a10-7000-8000-0000000000a1", Codec: Msgpack, Layout: 1, Erasure: true,
			Time: time.Unix(1_700_000_000, 123_456_789).UTC(), Buckets: []string{"bank-balances"},
		},
		bucketFrame{
			Name: "bank-balances", Description: "balances", History: 1, MaxBytes: -1, MaxSize: -1, Compressed: true,
			Metadata: map[string]string{"runnel-kv-codec": "json", "by": "us"},
		},
		messageFrame{Key: "42", Data: []byte(`{"amount":5}`)},
		messageFrame{Key: "43", Header: []string{"KV-Operation", "DEL"}},
		logFrame{End: 300},
		commitFrame{Position: 1, Stream: "account.anna=40x=2Eorg", Payload: []byte{0x93, 1, 2, 3}},
		erasedFrame{Position: 2},
		trailerFrame{Commits: 1, Erased: 1, Messages: 2},
	}
}

func archiveOf(t testing.TB, frames []frame) []byte {
	t.Helper()
	var archive bytes.Buffer
	w, err := newArchiveWriter(&archive)
	require.NoError(t, err)
	for _, f := range frames {
		if trailer, ok := f.(trailerFrame); ok {
			require.NoError(t, w.finish(trailer))
			continue
		}
		require.NoError(t, w.write(f))
	}
	require.NoError(t, w.out.Flush())
	require.Equal(t, int64(archive.Len()), w.bytes)
	return archive.Bytes()
}

// readFrames reads an archive to its end or to the first error.
func readFrames(archive []byte) (frames []frame, err error) {
	r, err := newArchiveReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	for {
		f, err := r.read()
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
		if f.kind() == kindTrailer {
			return frames, nil
		}
	}
}

// TestTheArchiveFormatStays compares with a file that other releases, and readers in other languages, were tested
// against. A change of it is a new format.
func TestTheArchiveFormatStays(t *testing.T) {
	archive := archiveOf(t, allFrames())
	file := filepath.Join("testdata", "archive-v1.hex")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(hex.EncodeToString(archive)+"\n"), 0o600))
	}
	golden, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(golden)), hex.EncodeToString(archive))
	frames, err := readFrames(archive)
	require.NoError(t, err)
	want := allFrames()
	trailer := frames[len(frames)-1].(trailerFrame)
	require.Len(t, trailer.Sum, 32)
	want[len(want)-1] = trailerFrame{Commits: 1, Erased: 1, Messages: 2, Sum: trailer.Sum}
	require.Equal(t, want, frames)
}

func TestALengthIsBelievedOnlyAsFarAsBytesAreThere(t *testing.T) {
	claim := func(length uint32) []byte {
		archive := archiveOf(t, allFrames()[:1])
		archive = binary.BigEndian.AppendUint32(archive, length)
		return append(archive, 1, 2, 3, 4, 5)
	}
	for _, length := range []uint32{1, 9, 1 << 20, maxFrame, maxFrame + 1, 1<<32 - 1} {
		archive := claim(length)
		allocated := testing.AllocsPerRun(1, func() {
			_, err := readFrames(archive)
			require.ErrorIs(t, err, ErrArchive)
		})
		require.Less(t, allocated, 200.0)
	}
	_, err := readFrames(claim(maxFrame + 1))
	require.ErrorContains(t, err, "there are none above")
}

func TestFramesInAnotherOrderAreRefused(t *testing.T) {
	archive := archiveOf(t, allFrames())
	frames, err := readFrames(archive)
	require.NoError(t, err)
	trailer := frames[len(frames)-1]
	for i := 1; i < len(frames)-2; i++ { // each frame holds by itself, and so does the trailer, but not together
		swapped := append([]frame(nil), frames...)
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		bad := archiveOf(t, swapped[:len(swapped)-1])
		_, err := readFrames(append(bad, rawFrame(t, trailer)...))
		require.ErrorIs(t, err, ErrArchive)
		require.ErrorContains(t, err, "the checksum of the whole does not hold")
	}
}

func rawFrame(t testing.TB, f frame) []byte {
	t.Helper()
	return archiveOf(t, []frame{f})[len(archiveMagic):]
}

func TestAnErrorOfTheReaderIsNotBlamedOnTheArchive(t *testing.T) {
	unplugged := errors.New("unplugged")
	_, err := newArchiveReader(io.MultiReader(strings.NewReader("runnel"), iotest.ErrReader(unplugged)))
	require.ErrorIs(t, err, unplugged)
	require.NotErrorIs(t, err, ErrArchive)
}

// Whatever stands in a body: it is a frame that is written as the same fields again, or an error.
func FuzzFrame(f *testing.F) {
	for _, one := range allFrames() {
		f.Add(rawFrame(f, one)[8:])
	}
	f.Add([]byte{0x92, 0x03, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		one, err := decodeFrame(body)
		if err != nil {
			return
		}
		two, err := decodeFrame(appendFrame(nil, one))
		require.NoError(t, err)
		require.Equal(t, one, two)
	})
}

// Whatever stands in a file: reading it ends, in order or with ErrArchive.
func FuzzArchive(f *testing.F) {
	whole := archiveOf(f, allFrames())
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte(archiveMagic))
	f.Fuzz(func(t *testing.T, archive []byte) {
		// Most of what a fuzzer makes fails the checksums, so they are put right.
		frames, err := readFrames(mended(archive))
		if err != nil {
			require.ErrorIs(t, err, ErrArchive)
			return
		}
		require.NotEmpty(t, frames)
	})
}

// mended puts the checksums of the frames right.
func mended(archive []byte) []byte {
	archive = bytes.Clone(archive)
	for at := len(archiveMagic); at+8 <= len(archive); {
		length := int(binary.BigEndian.Uint32(archive[at:]))
		if length > len(archive)-at-8 {
			break
		}
		binary.BigEndian.PutUint32(archive[at+4:], crc32.Checksum(archive[at+8:at+8+length], castagnoli))
		at += 8 + length
	}
	return archive
}
