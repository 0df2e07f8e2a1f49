package eventstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/internal/wellformed"
)

// The payload of a message (docs/wire-format.md has it for readers in other languages):
//
//	[1, crc, body]           crc is the CRC-32C of body, which is a byte string and itself msgpack, below
//	[2, crc, size, stored]   crc is the CRC-32C of stored, which is a zstd frame of body, which has size bytes
//	[id, time, first, links, correlation, causation, actor, key, key hash, trace, user, transaction, events]
//
// Absent fields are nil. A reader refuses a format it does not know: a change of any kind is another format.
const (
	formatPlain      = 1
	formatCompressed = 2
	bodyFields       = 13

	// maxLinks is how many earlier commits a commit links. 16 links of streams written far apart are 80 bytes, and load
	// 17 commits in two round trips.
	maxLinks = 16
)

// castagnoli is CRC-32C, which processors compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// scratch is what encoding one commit needs, kept between commits.
type scratch struct {
	body, data bytes.Buffer
	compressed []byte
	enc        *msgpack.Encoder
}

var scratches = sync.Pool{New: func() any {
	s := new(scratch)
	s.enc = msgpack.NewEncoder(&s.body)
	s.enc.UseCompactInts(true)
	return s
}}

// encode gives the payload of c, whose Position is not known yet. A body of more than compressAbove bytes is compressed
// where that makes it smaller; 0 is never.
func (c *Commit) encode(compressAbove int) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.body.Reset()
	if err := c.encodeBody(s.enc); err != nil {
		return nil, err
	}
	body := s.body.Bytes()
	s.data.Reset()
	s.enc.Reset(&s.data)
	defer s.enc.Reset(&s.body)
	if compressible(len(body), compressAbove) {
		var err error
		if s.compressed, err = compress(s.compressed[:0], body); err != nil {
			return nil, err
		}
		if len(s.compressed)+sizeBytes < len(body) {
			err = errors.Join(encodeHead(s.enc, formatCompressed, s.compressed),
				s.enc.EncodeUint(uint64(len(body))), s.enc.EncodeBytes(s.compressed))
			return bytes.Clone(s.data.Bytes()), err
		}
	}
	err := errors.Join(encodeHead(s.enc, formatPlain, body), s.enc.EncodeBytes(body))
	return bytes.Clone(s.data.Bytes()), err
}

// elements is how many elements the envelope of a format has, 0 where the format is not known.
func elements(format uint64) int {
	switch format {
	case formatPlain:
		return 3
	case formatCompressed:
		return 4
	}
	return 0
}

// encodeHead writes what every format begins with.
func encodeHead(enc *msgpack.Encoder, format uint64, stored []byte) error {
	return errors.Join(
		enc.EncodeArrayLen(elements(format)),
		enc.EncodeUint(format),
		enc.EncodeUint32(crc32.Checksum(stored, castagnoli)),
	)
}

// encodeBody writes to a buffer, so the errors it collects can only be the encoder's own.
func (c *Commit) encodeBody(enc *msgpack.Encoder) error {
	err := errors.Join(
		enc.EncodeArrayLen(bodyFields),
		enc.EncodeBytes(c.ID[:]),
		enc.EncodeInt(c.Time.UnixNano()),
		enc.EncodeUint(uint64(c.First)),
		encodeLinks(enc, c.links),
		encodeText(enc, c.Correlation),
		encodeText(enc, c.Causation),
		encodeText(enc, c.Actor),
		encodeText(enc, c.Key),
		enc.EncodeBytes(c.KeyHash),
	)
	if c.TraceParent == "" && c.TraceState == "" {
		err = errors.Join(err, enc.EncodeNil())
	} else {
		err = errors.Join(err, enc.EncodeArrayLen(2), enc.EncodeString(c.TraceParent), enc.EncodeString(c.TraceState))
	}
	if len(c.User) == 0 {
		err = errors.Join(err, enc.EncodeNil())
	} else {
		enc.SetSortMapKeys(true)
		err = errors.Join(err, enc.Encode(c.User))
	}
	if tx := c.Transaction; tx == nil {
		err = errors.Join(err, enc.EncodeNil())
	} else {
		err = errors.Join(err, enc.EncodeArrayLen(3), enc.EncodeBytes(tx.ID[:]),
			enc.EncodeInt(int64(tx.Index)), enc.EncodeInt(int64(tx.Count)))
	}
	err = errors.Join(err, enc.EncodeArrayLen(len(c.events)))
	for _, e := range c.events {
		err = errors.Join(err, enc.EncodeArrayLen(2), enc.EncodeString(e.name), enc.EncodeBytes(e.data))
	}
	return err
}

// encodeLinks writes the newest link as it is and each further one as its distance from the one before.
func encodeLinks(enc *msgpack.Encoder, links []Position) error {
	err := enc.EncodeArrayLen(len(links))
	for i, link := range links {
		if i > 0 {
			link = links[i-1] - link
		}
		err = errors.Join(err, enc.EncodeUint(uint64(link)))
	}
	return err
}

func encodeText(enc *msgpack.Encoder, text string) error {
	if text == "" {
		return enc.EncodeNil()
	}
	return enc.EncodeString(text)
}

// decodeEnvelope gives the commit in a payload, without Stream, Position and store. It never panics and allocates in
// proportion to the payload or, where that is compressed, to the size it claims, which is bounded. The commit's data
// points into the payload, or into what it was decompressed to.
func decodeEnvelope(payload []byte, r *registry) (*Commit, error) {
	if err := wellformed.Msgpack(payload); err != nil {
		return nil, err
	}
	in := readers.Get().(*reader)
	defer readers.Put(in)
	in.reset(payload)
	body, err := in.body()
	if err != nil {
		return nil, err
	}
	if err := wellformed.Msgpack(body); err != nil {
		return nil, err
	}
	in.reset(body)
	return decodeBody(in, r)
}

// body reads an envelope and gives the body in it, whose checksum holds.
func (r *reader) body() ([]byte, error) {
	n, format := r.arrayLen(), r.uint()
	switch want := elements(format); {
	case r.err != nil:
		return nil, r.err
	case want == 0:
		return nil, fmt.Errorf("envelope of format %d, this release reads %d and %d: upgrade it", format, formatPlain, formatCompressed)
	case n != want:
		return nil, fmt.Errorf("envelope has %d elements instead of %d", n, want)
	}
	sum, size := r.uint(), uint64(0)
	if format == formatCompressed {
		size = r.uint()
	}
	stored := r.bytes()
	if r.err != nil {
		return nil, r.err
	}
	if actual := crc32.Checksum(stored, castagnoli); uint64(actual) != sum {
		return nil, fmt.Errorf("checksum is %08x, the body's is %08x", sum, actual)
	}
	if format == formatPlain {
		return stored, nil
	}
	return decompress(stored, size)
}

func decodeBody(in *reader, r *registry) (*Commit, error) {
	if n := in.arrayLen(); in.err == nil && n != bodyFields {
		return nil, fmt.Errorf("body has %d fields instead of %d", n, bodyFields)
	}
	c := new(Commit)
	c.ID = in.uuid()
	c.Time = time.Unix(0, in.int()).UTC()
	c.First = Version(in.uint())
	c.links = in.links()
	c.Correlation, c.Causation, c.Actor = in.text(), in.text(), in.text()
	c.Key, c.KeyHash = in.text(), in.bytes()
	if in.present() {
		if n := in.arrayLen(); in.err == nil && n != 2 {
			return nil, fmt.Errorf("trace context has %d fields instead of 2", n)
		}
		c.TraceParent, c.TraceState = in.text(), in.text()
	}
	c.User = in.texts()
	if in.present() {
		if n := in.arrayLen(); in.err == nil && n != 3 {
			return nil, fmt.Errorf("transaction has %d fields instead of 3", n)
		}
		c.Transaction = &Transaction{ID: in.uuid(), Index: int(in.uint()), Count: int(in.uint())}
	}
	c.events = in.events(r)
	if in.err != nil {
		return nil, in.err
	}
	return c, c.check()
}

// check refuses what no writer writes, however well its checksum fits.
func (c *Commit) check() error {
	switch tx := c.Transaction; {
	case c.First == 0:
		return errors.New("commit begins at version 0")
	case len(c.events) == 0:
		return errors.New("commit without events")
	case tx != nil && (tx.Count < 2 || tx.Index < 0 || tx.Index >= tx.Count):
		return fmt.Errorf("commit %d of a transaction of %d", tx.Index, tx.Count)
	}
	return nil
}

// reader decodes one field after the other and keeps the first error, after which all fields are zero.
type reader struct {
	src  bytes.Reader
	data []byte
	dec  *msgpack.Decoder
	err  error
}

// readers are kept, because a decoder and its buffer are most of what decoding an envelope would allocate.
var readers = sync.Pool{New: func() any { return &reader{dec: msgpack.NewDecoder(nil)} }}

func (r *reader) reset(data []byte) {
	r.data, r.err = data, nil
	r.src.Reset(data)
	r.dec.Reset(&r.src)
}

func keep[T any](r *reader, decode func() (T, error)) T {
	var zero T
	if r.err != nil {
		return zero
	}
	value, err := decode()
	if err != nil {
		r.err = err
		return zero
	}
	return value
}

func (r *reader) arrayLen() int { return keep(r, r.dec.DecodeArrayLen) }
func (r *reader) uint() uint64  { return keep(r, r.dec.DecodeUint64) }
func (r *reader) int() int64    { return keep(r, r.dec.DecodeInt64) }
func (r *reader) text() string  { return string(r.bytes()) }

// present skips a nil and reports false, or leaves the value to be read and reports true.
func (r *reader) present() bool {
	code := keep(r, r.dec.PeekCode)
	if r.err == nil && code == 0xc0 {
		r.err = r.dec.DecodeNil()
		return false
	}
	return r.err == nil
}

// bytes gives a string's or byte string's bytes where they stand, and nil for nil.
func (r *reader) bytes() []byte {
	n := keep(r, r.dec.DecodeBytesLen)
	if r.err != nil || n < 0 {
		return nil
	}
	at := len(r.data) - r.src.Len()
	if n > r.src.Len() {
		r.err = wellformed.ErrMalformed
		return nil
	}
	if _, err := r.src.Seek(int64(n), 1); err != nil {
		r.err = err
		return nil
	}
	return r.data[at : at+n : at+n]
}

func (r *reader) uuid() uuid.UUID {
	b := r.bytes()
	if r.err == nil && len(b) != 16 {
		r.err = fmt.Errorf("id of %d bytes instead of 16", len(b))
	}
	if r.err != nil {
		return uuid.UUID{}
	}
	return uuid.UUID(b)
}

func (r *reader) links() []Position {
	n := r.arrayLen()
	if r.err == nil && (n < 0 || n > maxLinks) {
		r.err = fmt.Errorf("%d links, at most %d are written", n, maxLinks)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	links := make([]Position, n)
	for i := range links {
		links[i] = Position(r.uint())
		if i > 0 {
			if links[i] == 0 || links[i] >= links[i-1] {
				if r.err == nil {
					r.err = errors.New("links do not fall")
				}
				return nil
			}
			links[i] = links[i-1] - links[i]
		}
	}
	return links
}

func (r *reader) texts() map[string]string {
	if !r.present() {
		return nil
	}
	n := keep(r, r.dec.DecodeMapLen)
	if r.err != nil || n < 0 {
		return nil
	}
	texts := make(map[string]string, n)
	for range n {
		key := r.text()
		texts[key] = r.text()
	}
	return texts
}

func (r *reader) events(known *registry) []event {
	n := r.arrayLen()
	if r.err != nil || n <= 0 {
		return nil
	}
	events := make([]event, n)
	for i := range events {
		if fields := r.arrayLen(); r.err == nil && fields != 2 {
			r.err = fmt.Errorf("event has %d fields instead of 2", fields)
		}
		name := r.bytes()
		// Known names are shared with the registry instead of being copied for each event.
		if t, ok := known.byName[string(name)]; ok {
			events[i].name = known.names[t]
		} else {
			events[i].name = string(name)
		}
		events[i].data = r.bytes()
	}
	return events
}
