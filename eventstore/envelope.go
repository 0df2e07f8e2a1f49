package eventstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// The payload of a message (docs/wire-format.md describes it for readers in other languages):
//
//	[1, crc, body]           crc is the CRC-32C of body, which is a byte string and itself msgpack, below
//	[2, crc, size, stored]   crc is the CRC-32C of stored, which is a zstd frame of body, which has size bytes
//	[id, time, first, links, correlation, causation, actor, key, key hash, trace, user, transaction, events]
//
// Absent fields are nil. A reader refuses a format that it does not know. Any change makes another format.
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
	data             bytes.Buffer // the events, one after the other
	events           *msgpack.Encoder
	body, compressed []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{events: msgpack.NewEncoder()} }}

// encode returns the payload of c, whose Position is not known yet. A body of more than compressAbove bytes is
// compressed, if that makes it smaller. If compressAbove is 0, no body is compressed. From then on, c's events point
// into the encoded body.
func (c *Commit) encode(compressAbove int) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return s.encode(c, compressAbove)
}

func (s *scratch) encode(c *Commit, compressAbove int) ([]byte, error) {
	s.packBody(c)
	if compressible(len(s.body), compressAbove) {
		var err error
		if s.compressed, err = compress(s.compressed[:0], s.body); err != nil {
			return nil, err
		}
		if len(s.compressed)+sizeBytes < len(s.body) {
			c.body = bytes.Clone(s.body)
			return seal(formatCompressed, s.compressed, len(s.body)), nil
		}
	}
	payload := seal(formatPlain, s.body, 0)
	c.body = payload[len(payload)-len(s.body):]
	return payload, nil
}

// elements is how many elements the envelope of a format has, or 0 if the format is not known.
func elements(format uint64) int {
	switch format {
	case formatPlain:
		return 3
	case formatCompressed:
		return 4
	}
	return 0
}

// headBytes is the most that an envelope adds to what it stores.
const headBytes = 1 + 1 + 5 + sizeBytes + 5

// seal returns the envelope of a body of size bytes that is stored as stored.
func seal(format uint64, stored []byte, size int) []byte {
	b := make([]byte, 0, headBytes+len(stored))
	b = msgpack.AppendUint(msgpack.AppendArray(b, elements(format)), format)
	b = msgpack.AppendUint32(b, crc32.Checksum(stored, castagnoli))
	if format == formatCompressed {
		b = msgpack.AppendUint(b, uint64(size))
	}
	return msgpack.AppendBytes(b, stored)
}

// packBody writes the body of c, and notes where in it the data of its events stands. From then on c.body is that body,
// or a copy of it.
func (s *scratch) packBody(c *Commit) {
	b := msgpack.AppendArray(s.body[:0], bodyFields)
	b = msgpack.AppendBytes(b, c.ID[:])
	b = msgpack.AppendInt(b, c.Time.UnixNano())
	b = msgpack.AppendUint(b, uint64(c.First))
	b = packLinks(b, c.links)
	b = msgpack.AppendText(b, c.Correlation)
	b = msgpack.AppendText(b, c.Causation)
	b = msgpack.AppendText(b, c.Actor)
	b = msgpack.AppendText(b, c.Key)
	b = msgpack.AppendBytes(b, c.KeyHash)
	if c.TraceParent == "" && c.TraceState == "" {
		b = append(b, msgpack.Nil)
	} else {
		b = msgpack.AppendString(msgpack.AppendString(msgpack.AppendArray(b, 2), c.TraceParent), c.TraceState)
	}
	b = msgpack.AppendTexts(b, c.User)
	if tx := c.Transaction; tx == nil {
		b = append(b, msgpack.Nil)
	} else {
		b = msgpack.AppendBytes(msgpack.AppendArray(b, 3), tx.ID[:])
		b = msgpack.AppendInt(msgpack.AppendInt(b, int64(tx.Index)), int64(tx.Count))
	}
	b = msgpack.AppendArray(b, len(c.events))
	for i := range c.events {
		e := &c.events[i]
		size := e.to - e.from
		b = msgpack.AppendBytes(msgpack.AppendString(msgpack.AppendArray(b, 2), e.kind.name), c.data(*e))
		e.from, e.to = uint32(len(b))-size, uint32(len(b))
	}
	s.body = b
}

// packLinks writes the newest link as it is, and each further link as its distance from the one before.
func packLinks(b []byte, links []Position) []byte {
	b = msgpack.AppendArray(b, len(links))
	for i, link := range links {
		if i > 0 {
			link = links[i-1] - link
		}
		b = msgpack.AppendUint(b, uint64(link))
	}
	return b
}

// room is memory for one commit as most commits are: with one event and up to all links. So decoding allocates it at
// once, or as a part of the rooms for several commits.
type room struct {
	commit Commit
	event  [1]event
	links  [maxLinks]Position
}

// roomFor returns room for n events.
func (m *room) roomFor(n int) []event {
	if n == len(m.event) {
		return m.event[:]
	}
	return make([]event, n)
}

// decode returns the commit in a payload, without Stream, Position and store. It never panics. It allocates in
// proportion to the payload or, if the payload is compressed, to the size that it claims, which is bounded. The data of
// the commit points into the payload, or into the decompressed body. The room must not be used again.
func (m *room) decode(payload []byte, known *registry) (*Commit, error) {
	if err := msgpack.Check(payload); err != nil {
		return nil, err
	}
	in := reader{msgpack.Reader{Rest: payload}}
	body, err := in.body()
	if err != nil {
		return nil, err
	}
	if err := msgpack.Check(body); err != nil {
		return nil, err
	}
	return m.decodeBody(body, known)
}

// body reads an envelope and returns the body in it, if its checksum holds.
func (r *reader) body() ([]byte, error) {
	n, format := r.Array(), r.Uint()
	switch want := elements(format); {
	case r.Err != nil:
		return nil, r.Err
	case want == 0:
		return nil, fmt.Errorf("envelope of format %d, this release reads %d and %d: upgrade it", format, formatPlain, formatCompressed)
	case n != want:
		return nil, fmt.Errorf("envelope has %d elements instead of %d", n, want)
	}
	sum, size := r.Uint(), uint64(0)
	if format == formatCompressed {
		size = r.Uint()
	}
	stored := r.Bytes()
	if r.Err != nil {
		return nil, r.Err
	}
	if actual := crc32.Checksum(stored, castagnoli); uint64(actual) != sum {
		return nil, fmt.Errorf("checksum is %08x, the body's is %08x", sum, actual)
	}
	if format == formatPlain {
		return stored, nil
	}
	return decompress(stored, size)
}

func (m *room) decodeBody(body []byte, known *registry) (*Commit, error) {
	in, c := reader{msgpack.Reader{Rest: body}}, &m.commit
	if n := in.Array(); in.Err == nil && n != bodyFields {
		return nil, fmt.Errorf("body has %d fields instead of %d", n, bodyFields)
	}
	c.ID = in.uuid()
	c.Time = time.Unix(0, in.Int()).UTC()
	c.First = Version(in.Uint())
	c.links = in.links(m)
	c.Correlation, c.Causation, c.Actor = in.Text(), in.Text(), in.Text()
	c.Key, c.KeyHash = in.Text(), in.Bytes()
	if in.Present() {
		if n := in.Array(); in.Err == nil && n != 2 {
			return nil, fmt.Errorf("trace context has %d fields instead of 2", n)
		}
		c.TraceParent, c.TraceState = in.Text(), in.Text()
	}
	c.User = in.Texts()
	if in.Present() {
		if n := in.Array(); in.Err == nil && n != 3 {
			return nil, fmt.Errorf("transaction has %d fields instead of 3", n)
		}
		c.Transaction = &Transaction{ID: in.uuid(), Index: int(in.Uint()), Count: int(in.Uint())}
	}
	c.body = body
	c.events = in.events(body, known, m)
	if in.Err != nil {
		return nil, in.Err
	}
	return c, c.check()
}

// check refuses a commit that no writer writes, however well its checksum fits.
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
