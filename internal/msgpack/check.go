package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxDepth is the depth to which arrays and maps may nest. It bounds the decoder's recursion.
const MaxDepth = 64

// ErrMalformed is matched by every error of [Check].
var ErrMalformed = errors.New("malformed msgpack")

// Check reports whether data is exactly one complete value, nested at most MaxDepth deep. It does not allocate.
func Check(data []byte) error {
	_, err := Scan(data)
	return err
}

// Scan is Check that also returns which classes of integers data holds, and whether a list in it is empty.
func Scan(data []byte) (Numbers, error) {
	end, numbers, err := walk(data, 0, 1, 0)
	if err == nil && end != len(data) {
		return 0, fmt.Errorf("%w: %d bytes after the value", ErrMalformed, len(data)-end)
	}
	return numbers, err
}

// walk walks over n values from a byte of data on, at a depth. It returns their end, and the classes of
// integers among them.
func walk(data []byte, at int, n uint64, depth int) (int, Numbers, error) {
	var seen Numbers
	for ; n > 0; n-- {
		if at < len(data) {
			first := firsts[data[at]]
			if size := int(first.size); size > 0 && size <= len(data)-at {
				seen |= first.numbers
				at += size
				continue
			}
		}
		skip, children, err := header(data[at:])
		if err != nil {
			return 0, 0, fmt.Errorf("%w at byte %d", err, at)
		}
		if children == 0 {
			seen |= numbersOf(data[at])
		}
		at += skip
		if children == 0 {
			continue
		}
		if children > uint64(len(data)-at) {
			return 0, 0, fmt.Errorf("%w at byte %d: %d elements claimed, %d bytes left", ErrMalformed, at, children, len(data)-at)
		}
		if depth == MaxDepth {
			return 0, 0, fmt.Errorf("%w at byte %d: nested deeper than %d", ErrMalformed, at, MaxDepth)
		}
		var below Numbers
		if at, below, err = walk(data, at, children, depth+1); err != nil {
			return 0, 0, err
		}
		seen |= below
	}
	return at, seen, nil
}

// first is the meaning of the first byte of a value.
type first struct {
	size    uint8 // number of bytes of the value, if the first byte alone determines it
	numbers Numbers
}

// firsts has the meaning of each first byte. For most values the first byte determines the size, and a table is
// three times as fast as comparisons of the byte with ranges.
var firsts = firstBytes()

func firstBytes() (firsts [256]first) {
	for c := range firsts {
		firsts[c].numbers = numbersOf(byte(c))
		size := &firsts[c].size
		switch {
		case c <= 0x7f, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3: // integers of one byte, nil, false, true
			*size = 1
		case 0xa0 <= c && c <= 0xbf: // strings of up to 31 bytes
			*size = 1 + uint8(c&0x1f)
		case c == 0xca, c == 0xcb: // floats of 4 and 8 bytes
			*size = 1 + 4<<(c-0xca)
		case 0xcc <= c && c <= 0xcf: // unsigned integers of 1 to 8 bytes
			*size = 1 + 1<<(c-0xcc)
		case 0xd0 <= c && c <= 0xd3: // signed integers likewise
			*size = 1 + 1<<(c-0xd0)
		case 0xd4 <= c && c <= 0xd8: // extensions of 1 to 16 bytes, which have a type byte too
			*size = 2 + 1<<(c-0xd4)
		}
	}
	return firsts
}

// header reads a value's first bytes. It returns the number of bytes without the children, and the number of
// children.
func header(b []byte) (skip int, children uint64, err error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("%w: ends early", ErrMalformed)
	}
	switch c := b[0]; {
	case firsts[c].size > 0:
		return sized(b, 0, int(firsts[c].size))
	case 0x80 <= c && c <= 0x8f: // a map of up to 15 pairs
		return 1, 2 * uint64(c&0x0f), nil
	case 0x90 <= c && c <= 0x9f: // an array of up to 15
		return 1, uint64(c & 0x0f), nil
	case 0xc4 <= c && c <= 0xc6: // bytes with a length of 1, 2 or 4 bytes
		return sized(b, 1<<(c-0xc4), 1)
	case 0xc7 <= c && c <= 0xc9: // extensions likewise
		return sized(b, 1<<(c-0xc7), 2)
	case 0xd9 <= c && c <= 0xdb: // strings likewise
		return sized(b, 1<<(c-0xd9), 1)
	case c == 0xdc, c == 0xdd: // arrays with a length of 2 or 4 bytes
		n, err := length(b, 2<<(c-0xdc))
		return 1 + 2<<(c-0xdc), n, err
	case c == 0xde, c == 0xdf: // maps likewise
		n, err := length(b, 2<<(c-0xde))
		return 1 + 2<<(c-0xde), 2 * n, err
	default: // 0xc1 is never used
		return 0, 0, fmt.Errorf("%w: byte 0xc1", ErrMalformed)
	}
}

// sized is a value of fixed bytes and a number of further bytes. The number stands in width bytes after the
// first byte; it is 0 if width is 0.
func sized(b []byte, width, fixed int) (skip int, children uint64, err error) {
	body := uint64(0)
	if width > 0 {
		if body, err = length(b, width); err != nil {
			return 0, 0, err
		}
	}
	need := uint64(fixed) + uint64(width) + body
	if need > uint64(len(b)) {
		return 0, 0, fmt.Errorf("%w: %d bytes claimed, %d left", ErrMalformed, need, len(b))
	}
	return int(need), 0, nil
}

func length(b []byte, width int) (uint64, error) {
	if len(b) < 1+width {
		return 0, fmt.Errorf("%w: ends early", ErrMalformed)
	}
	switch width {
	case 1:
		return uint64(b[1]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b[1:])), nil
	default:
		return uint64(binary.BigEndian.Uint32(b[1:])), nil
	}
}
