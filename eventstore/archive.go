package eventstore

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// An archive, format 1 (docs/archive-format.md describes it for readers in other languages):
//
//	magic, then frames: [length, CRC-32C of the body] as two big-endian uint32, and the body, a msgpack array
//
//	header              the store
//	bucket, messages    for each bucket
//	log                 where the log ends
//	commit, erased or foreign    for each position from 1 to the end
//	trailer             counts, and the SHA-256 of all bytes before this frame
//
// The first element of a body is its kind. A reader refuses a kind or a format that it does not know. A change to a
// kind raises the format, which is the digit of the magic. A new kind does not.
const (
	archiveMagic = "runnel archive 1\n"

	// maxFrame is larger than any message that a server stores (max_payload is at most 64 MiB) with its subject and
	// headers.
	maxFrame = 65 << 20
)

// frameKind says what a frame is.
type frameKind uint64

const (
	kindHeader frameKind = iota
	kindBucket
	kindMessage
	kindLog
	kindCommit
	kindErased
	kindTrailer
	kindForeign
)

// frame is one of the structs below.
type frame interface {
	kind() frameKind
	fields() int // in the array, besides the kind
	appendTo(b []byte) []byte
}

// headerFrame says what was exported.
type headerFrame struct {
	Store    string
	Identity string
	Codec    Codec
	Layout   uint64 // the format of the store
	Erasure  bool
	Time     time.Time
	Buckets  []string
}

// bucketFrame begins a bucket. It has the settings on which the bucket's documents depend.
type bucketFrame struct {
	Name        string
	Description string
	History     int64
	MaxBytes    int64
	MaxSize     int64 // of one message
	Compressed  bool
	Metadata    map[string]string
}

// messageFrame is a document, or the marker of a deletion.
type messageFrame struct {
	Key    string   // as in the subject, after $KV.<bucket>.
	Header []string // names and values in turn, by the names
	Data   []byte
}

// header returns the message's header. It refuses a header that no document has.
func (f messageFrame) header() ([]string, error) {
	if len(f.Header)%2 != 0 {
		return nil, errors.New("a header name without a value")
	}
	for at := 0; at < len(f.Header); at += 2 {
		if !ownHeader(f.Header[at]) {
			return nil, fmt.Errorf("header %.64q is not a document's", f.Header[at])
		}
	}
	return f.Header, nil
}

// logFrame begins the log.
type logFrame struct{ End Position }

// commitFrame is one commit.
type commitFrame struct {
	Position Position
	Stream   string // the subject without the store's name
	Payload  []byte
}

// erasedFrame is a position whose commit was erased.
type erasedFrame struct{ Position Position }

// foreignFrame is a message that another program published.
type foreignFrame struct {
	Position Position
	Subject  string // without the store's name
	Data     []byte
}

// trailerFrame ends the archive.
type trailerFrame struct {
	Commits, Erased, Messages uint64
	Sum                       []byte
}

func (headerFrame) kind() frameKind  { return kindHeader }
func (bucketFrame) kind() frameKind  { return kindBucket }
func (messageFrame) kind() frameKind { return kindMessage }
func (logFrame) kind() frameKind     { return kindLog }
func (commitFrame) kind() frameKind  { return kindCommit }
func (erasedFrame) kind() frameKind  { return kindErased }
func (trailerFrame) kind() frameKind { return kindTrailer }
func (foreignFrame) kind() frameKind { return kindForeign }

func (headerFrame) fields() int  { return 7 }
func (bucketFrame) fields() int  { return 7 }
func (messageFrame) fields() int { return 3 }
func (logFrame) fields() int     { return 1 }
func (commitFrame) fields() int  { return 3 }
func (erasedFrame) fields() int  { return 1 }
func (trailerFrame) fields() int { return 4 }
func (foreignFrame) fields() int { return 3 }

func (f headerFrame) appendTo(b []byte) []byte {
	b = msgpack.AppendString(msgpack.AppendString(msgpack.AppendString(b, f.Store), f.Identity), string(f.Codec))
	b = msgpack.AppendBool(msgpack.AppendUint(b, f.Layout), f.Erasure)
	return msgpack.AppendList(msgpack.AppendInt(b, f.Time.UnixNano()), f.Buckets)
}

func (f bucketFrame) appendTo(b []byte) []byte {
	b = msgpack.AppendString(msgpack.AppendString(b, f.Name), f.Description)
	b = msgpack.AppendInt(msgpack.AppendInt(msgpack.AppendInt(b, f.History), f.MaxBytes), f.MaxSize)
	return msgpack.AppendTexts(msgpack.AppendBool(b, f.Compressed), f.Metadata)
}

func (f messageFrame) appendTo(b []byte) []byte {
	return msgpack.AppendBytes(msgpack.AppendList(msgpack.AppendString(b, f.Key), f.Header), f.Data)
}

func (f logFrame) appendTo(b []byte) []byte { return msgpack.AppendUint(b, uint64(f.End)) }

func (f commitFrame) appendTo(b []byte) []byte {
	return msgpack.AppendBytes(msgpack.AppendString(msgpack.AppendUint(b, uint64(f.Position)), f.Stream), f.Payload)
}

func (f erasedFrame) appendTo(b []byte) []byte { return msgpack.AppendUint(b, uint64(f.Position)) }

func (f foreignFrame) appendTo(b []byte) []byte {
	return msgpack.AppendBytes(msgpack.AppendString(msgpack.AppendUint(b, uint64(f.Position)), f.Subject), f.Data)
}

func (f trailerFrame) appendTo(b []byte) []byte {
	return msgpack.AppendBytes(msgpack.AppendUint(msgpack.AppendUint(msgpack.AppendUint(b, f.Commits), f.Erased), f.Messages), f.Sum)
}

// appendFrame appends a frame as it stands in an archive, after its length and its checksum.
func appendFrame(b []byte, f frame) []byte {
	return f.appendTo(msgpack.AppendUint(msgpack.AppendArray(b, 1+f.fields()), uint64(f.kind())))
}

// decodeFrame returns the frame in a body. It never panics, and allocates in proportion to the body. The frame's data
// points into the body.
func decodeFrame(body []byte) (frame, error) {
	if err := msgpack.Check(body); err != nil {
		return nil, err
	}
	in := reader{msgpack.Reader{Rest: body}}
	n, kind := in.Array(), frameKind(in.Uint())
	if in.Err != nil {
		return nil, in.Err
	}
	f, err := in.frame(kind)
	if err != nil {
		return nil, err
	}
	if in.Err == nil && n != 1+f.fields() {
		return nil, fmt.Errorf("frame of kind %d has %d fields instead of %d", kind, n, 1+f.fields())
	}
	return f, in.Err
}

// frame decodes the fields of a frame. The caller looks at the reader's error.
func (r *reader) frame(kind frameKind) (frame, error) {
	switch kind {
	case kindHeader:
		return headerFrame{
			Store: r.Text(), Identity: r.Text(), Codec: Codec(r.Text()), Layout: r.Uint(),
			Erasure: r.Bool(), Time: time.Unix(0, r.Int()).UTC(), Buckets: r.List(),
		}, nil
	case kindBucket:
		return bucketFrame{
			Name: r.Text(), Description: r.Text(), History: r.Int(), MaxBytes: r.Int(), MaxSize: r.Int(),
			Compressed: r.Bool(), Metadata: r.Texts(),
		}, nil
	case kindMessage:
		return messageFrame{Key: r.Text(), Header: r.List(), Data: r.Bytes()}, nil
	case kindLog:
		return logFrame{End: Position(r.Uint())}, nil
	case kindCommit:
		return commitFrame{Position: Position(r.Uint()), Stream: r.Text(), Payload: r.Bytes()}, nil
	case kindErased:
		return erasedFrame{Position: Position(r.Uint())}, nil
	case kindForeign:
		return foreignFrame{Position: Position(r.Uint()), Subject: r.Text(), Data: r.Bytes()}, nil
	case kindTrailer:
		return trailerFrame{Commits: r.Uint(), Erased: r.Uint(), Messages: r.Uint(), Sum: r.Bytes()}, nil
	default:
		return nil, fmt.Errorf("frame of kind %d, which this release does not know: upgrade it", kind)
	}
}

// archiveWriter writes the frames of one archive.
type archiveWriter struct {
	out   *bufio.Writer // to sum and the archive
	sum   hash.Hash
	body  []byte // of one frame
	bytes int64
}

func newArchiveWriter(w io.Writer) (*archiveWriter, error) {
	a := &archiveWriter{sum: sha256.New()}
	a.out = bufio.NewWriterSize(io.MultiWriter(w, a.sum), 256<<10)
	a.bytes = int64(len(archiveMagic))
	_, err := a.out.WriteString(archiveMagic)
	return a, err
}

func (a *archiveWriter) write(f frame) error {
	a.body = appendFrame(a.body[:0], f)
	if len(a.body) > maxFrame {
		return fmt.Errorf("a frame of %d bytes; an archive takes %d", len(a.body), maxFrame)
	}
	var head [8]byte
	binary.BigEndian.PutUint32(head[:4], uint32(len(a.body)))
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(a.body, castagnoli))
	a.bytes += int64(len(head) + len(a.body))
	if _, err := a.out.Write(head[:]); err != nil {
		return err
	}
	_, err := a.out.Write(a.body)
	return err
}

// finish writes the trailer and fills in its checksum.
func (a *archiveWriter) finish(f trailerFrame) error {
	if err := a.out.Flush(); err != nil {
		return err
	}
	f.Sum = a.sum.Sum(nil)
	if err := a.write(f); err != nil {
		return err
	}
	return a.out.Flush()
}

// archiveReader reads the frames of one archive.
type archiveReader struct {
	in    *bufio.Reader
	sum   hash.Hash // of what was read
	bytes int64
}

func newArchiveReader(r io.Reader) (*archiveReader, error) {
	a := &archiveReader{in: bufio.NewReaderSize(r, 256<<10), sum: sha256.New()}
	var magic [len(archiveMagic)]byte
	if _, err := io.ReadFull(a.in, magic[:]); err != nil || string(magic[:]) != archiveMagic {
		return nil, a.fault(fmt.Errorf("it does not begin with %q", archiveMagic), err)
	}
	a.add(magic[:])
	return a, nil
}

func (a *archiveReader) add(b []byte) {
	a.sum.Write(b)
	a.bytes += int64(len(b))
}

// read returns the next frame. It compares a trailer with all that came before.
func (a *archiveReader) read() (frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(a.in, head[:]); err != nil {
		return nil, a.fault(errors.New("it ends without a trailer"), err)
	}
	length := int64(binary.BigEndian.Uint32(head[:4]))
	if length > maxFrame {
		return nil, a.fault(fmt.Errorf("a frame of %d bytes; there are none above %d", length, maxFrame), nil)
	}
	body, err := a.body(length)
	if err != nil {
		return nil, a.fault(errors.New("it ends inside a frame"), err)
	}
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, a.fault(errors.New("the checksum of a frame does not hold"), nil)
	}
	f, err := decodeFrame(body)
	if err != nil {
		return nil, a.fault(err, nil)
	}
	if trailer, ok := f.(trailerFrame); ok && !bytes.Equal(trailer.Sum, a.sum.Sum(nil)) {
		return nil, a.fault(errors.New("the checksum of the whole does not hold"), nil)
	}
	a.add(head[:])
	a.add(body)
	return f, nil
}

// body reads a body of a length. It allocates for a large length only as far as bytes are there.
func (a *archiveReader) body(length int64) ([]byte, error) {
	if length <= 64<<10 {
		body := make([]byte, length)
		_, err := io.ReadFull(a.in, body)
		return body, err
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, a.in, length); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// fault returns the error of an archive that is damaged or not an archive. If reading failed before the archive's end,
// it returns that error.
func (a *archiveReader) fault(what, err error) error {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("eventstore: read archive at byte %d: %w", a.bytes, err)
	}
	return fmt.Errorf("eventstore: archive at byte %d: %w: %w: take another copy of it", a.bytes, ErrArchive, what)
}
