package eventstore

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/wellformed"
)

// reader reads one msgpack value after the other, from bytes that were found well formed. It keeps the first error,
// after which all values are nil. It copies nothing: the bytes that it returns stand in the bytes that it reads.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// take returns the next n bytes, or nil if there are fewer.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail(fmt.Errorf("%w: ends early", wellformed.ErrMalformed))
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

// code returns the byte that a value begins with.
func (r *reader) code() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return packedNil
}

// number returns a number of 1, 2, 4 or 8 bytes.
func (r *reader) number(width int) (n uint64) {
	for _, b := range r.take(width) {
		n = n<<8 | uint64(b)
	}
	return n
}

// other sets the error for a value of another kind than the one that was wanted.
func (r *reader) other(code byte, want string) {
	r.fail(fmt.Errorf("%s should stand where a value begins with %#x", want, code))
}

// present skips a nil and reports false, or leaves the value to be read and reports true.
func (r *reader) present() bool {
	if len(r.rest) > 0 && r.rest[0] != packedNil {
		return true
	}
	r.code()
	return false
}

// arrayLen returns the length of an array whose elements follow, or 0 for nil.
func (r *reader) arrayLen() int {
	switch c := r.code(); {
	case c&0xf0 == 0x90:
		return int(c & 0x0f)
	case c == 0xdc, c == 0xdd:
		return int(r.number(2 << (c - 0xdc)))
	case c != packedNil:
		r.other(c, "an array")
	}
	return 0
}

// mapLen returns the number of pairs of a map that follow, or 0 for nil.
func (r *reader) mapLen() int {
	switch c := r.code(); {
	case c&0xf0 == 0x80:
		return int(c & 0x0f)
	case c == 0xde, c == 0xdf:
		return int(r.number(2 << (c - 0xde)))
	case c != packedNil:
		r.other(c, "a map")
	}
	return 0
}

// uint returns a number that other writers may have written as a signed one.
func (r *reader) uint() uint64 { return uint64(r.int()) }

func (r *reader) int() int64 {
	switch c := r.code(); {
	case c <= 0x7f, c >= 0xe0:
		return int64(int8(c))
	case 0xcc <= c && c <= 0xcf:
		return int64(r.number(1 << (c - 0xcc)))
	case 0xd0 <= c && c <= 0xd3:
		width := 1 << (c - 0xd0)
		unused := 64 - 8*width
		return int64(r.number(width)<<unused) >> unused
	case c != packedNil:
		r.other(c, "a number")
	}
	return 0
}

func (r *reader) bool() bool {
	c := r.code()
	if c != 0xc2 && c != 0xc3 && r.err == nil {
		r.other(c, "true or false")
	}
	return c == 0xc3
}

// bytes returns the bytes of a string or byte string where they stand, and nil for nil.
func (r *reader) bytes() []byte {
	switch c := r.code(); {
	case c&0xe0 == 0xa0:
		return r.take(int(c & 0x1f))
	case 0xc4 <= c && c <= 0xc6:
		return r.take(int(r.number(1 << (c - 0xc4))))
	case 0xd9 <= c && c <= 0xdb:
		return r.take(int(r.number(1 << (c - 0xd9))))
	case c != packedNil:
		r.other(c, "text or bytes")
	}
	return nil
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) texts() map[string]string {
	if !r.present() {
		return nil
	}
	n := r.mapLen()
	if r.err != nil {
		return nil
	}
	texts := make(map[string]string, n)
	for range n {
		key := r.text()
		texts[key] = r.text()
	}
	return texts
}

func (r *reader) uuid() uuid.UUID {
	b := r.bytes()
	if len(b) != len(uuid.UUID{}) {
		r.fail(fmt.Errorf("id of %d bytes instead of 16", len(b)))
		return uuid.UUID{}
	}
	return uuid.UUID(b)
}

// links reads links into the room of a commit.
func (r *reader) links(m *room) []Position {
	n := r.arrayLen()
	if n > maxLinks {
		r.fail(fmt.Errorf("%d links, at most %d are written", n, maxLinks))
	}
	if r.err != nil || n == 0 {
		return nil
	}
	links := m.links[:n]
	for i := range links {
		links[i] = Position(r.uint())
		if i == 0 {
			continue
		}
		if links[i] == 0 || links[i] >= links[i-1] {
			r.fail(errors.New("links do not fall"))
			return nil
		}
		links[i] = links[i-1] - links[i]
	}
	return links
}

// events reads the events, whose data stands in body.
func (r *reader) events(body []byte, known *registry, m *room) []event {
	n := r.arrayLen()
	if r.err != nil || n == 0 {
		return nil
	}
	events := m.roomFor(n)
	for i := range events {
		if fields := r.arrayLen(); fields != 2 {
			r.fail(fmt.Errorf("event has %d fields instead of 2", fields))
		}
		if name := r.bytes(); i > 0 && string(name) == events[i-1].kind.name {
			events[i].kind = events[i-1].kind
		} else {
			events[i].kind = known.named(name)
		}
		data := r.bytes()
		to := len(body) - len(r.rest)
		events[i].from, events[i].to = uint32(to-len(data)), uint32(to)
	}
	return events
}
