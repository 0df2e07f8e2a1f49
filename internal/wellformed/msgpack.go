// Package wellformed checks encoded bytes before a decoder sees them.
//
// The msgpack library allocates what a payload claims to hold before it looks whether the bytes are there (its issue 401):
// five bytes can claim an array of four thousand million elements. [Msgpack] walks the bytes once, without allocating,
// and compares every claim with what is left. After it, a decoder allocates at most in proportion to the payload.
package wellformed

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxDepth is how deep arrays and maps may nest. It bounds the decoder's recursion.
const MaxDepth = 64

// ErrMalformed is matched by every error of this package.
var ErrMalformed = errors.New("malformed msgpack")

// Msgpack reports whether data is exactly one complete msgpack value, nested at most MaxDepth deep.
func Msgpack(data []byte) error {
	// open[d] is how many values are still to come at depth d.
	var open [MaxDepth + 1]uint64
	depth := 0
	open[0] = 1
	at := 0
	for {
		for open[depth] == 0 {
			if depth == 0 {
				if at != len(data) {
					return fmt.Errorf("%w: %d bytes after the value", ErrMalformed, len(data)-at)
				}
				return nil
			}
			depth--
		}
		open[depth]--
		skip, children, err := header(data[at:])
		if err != nil {
			return fmt.Errorf("%w at byte %d", err, at)
		}
		at += skip
		if children == 0 {
			continue
		}
		if children > uint64(len(data)-at) {
			return fmt.Errorf("%w at byte %d: %d elements claimed, %d bytes left", ErrMalformed, at, children, len(data)-at)
		}
		if depth == MaxDepth {
			return fmt.Errorf("%w at byte %d: nested deeper than %d", ErrMalformed, at, MaxDepth)
		}
		depth++
		open[depth] = children
	}
}

// header reads one value's first bytes: how many bytes it takes up without its children, and how many children follow.
func header(b []byte) (skip int, children uint64, err error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("%w: ends early", ErrMalformed)
	}
	switch c := b[0]; {
	case c <= 0x7f || c >= 0xe0: // integers of one byte
		return 1, 0, nil
	case c <= 0x8f: // a map of up to 15 pairs
		return 1, 2 * uint64(c&0x0f), nil
	case c <= 0x9f: // an array of up to 15
		return 1, uint64(c & 0x0f), nil
	case c <= 0xbf: // a string of up to 31 bytes
		return sized(b, 0, 1, uint64(c&0x1f))
	default:
		return wide(b)
	}
}

// wide reads the values whose first byte is 0xc0 to 0xdf.
func wide(b []byte) (skip int, children uint64, err error) {
	switch c := b[0]; c {
	case 0xc0, 0xc2, 0xc3: // nil, false, true
		return 1, 0, nil
	case 0xc4, 0xc5, 0xc6: // bytes with a length of 1, 2 or 4 bytes
		return sized(b, 1<<(c-0xc4), 1, 0)
	case 0xc7, 0xc8, 0xc9: // extensions, which have a type byte too
		return sized(b, 1<<(c-0xc7), 2, 0)
	case 0xca: // float32
		return sized(b, 0, 1, 4)
	case 0xcb: // float64
		return sized(b, 0, 1, 8)
	case 0xcc, 0xcd, 0xce, 0xcf: // unsigned integers
		return sized(b, 0, 1, 1<<(c-0xcc))
	case 0xd0, 0xd1, 0xd2, 0xd3: // signed integers
		return sized(b, 0, 1, 1<<(c-0xd0))
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // extensions of 1, 2, 4, 8 or 16 bytes
		return sized(b, 0, 2, 1<<(c-0xd4))
	case 0xd9, 0xda, 0xdb: // strings with a length of 1, 2 or 4 bytes
		return sized(b, 1<<(c-0xd9), 1, 0)
	case 0xdc, 0xdd: // arrays with a length of 2 or 4 bytes
		n, err := length(b, 2<<(c-0xdc))
		return 1 + 2<<(c-0xdc), n, err
	case 0xde, 0xdf: // maps likewise
		n, err := length(b, 2<<(c-0xde))
		return 1 + 2<<(c-0xde), 2 * n, err
	default: // 0xc1 is never used
		return 0, 0, fmt.Errorf("%w: byte 0xc1", ErrMalformed)
	}
}

// sized is a value of fixed bytes and a body, whose length is given or stands in width bytes after the first.
func sized(b []byte, width, fixed int, body uint64) (skip int, children uint64, err error) {
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
