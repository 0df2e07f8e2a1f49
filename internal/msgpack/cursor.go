package msgpack

import "strconv"

// Cursor goes through values that [Check] has accepted, one after the other.
type Cursor []byte

// Skip passes over a value.
func (c *Cursor) Skip() {
	end, _, err := walk(*c, 0, 1, 0)
	if err != nil {
		end = len(*c) // unreachable in well-formed data
	}
	*c = (*c)[end:]
}

// List goes into an array or a map, and returns how many elements or pairs follow. Before other values it does not
// move.
func (c *Cursor) List() (n int, isMap, ok bool) {
	first := byte(0xc0)
	if len(*c) > 0 {
		first = (*c)[0]
	}
	isMap = 0x80 <= first && first <= 0x8f || first == 0xde || first == 0xdf
	if isArray := 0x90 <= first && first <= 0x9f || first == 0xdc || first == 0xdd; !isMap && !isArray {
		return 0, false, false
	}
	skip, children, err := header(*c)
	if err != nil {
		return 0, false, false // unreachable likewise
	}
	*c = (*c)[skip:]
	if isMap {
		children /= 2
	}
	return int(children), isMap, true
}

// Text passes over a value, and returns its text if it is a string, or its bytes.
func (c *Cursor) Text() []byte {
	before := *c
	c.Skip()
	value := before[:len(before)-len(*c)]
	if len(value) == 0 {
		return nil
	}
	switch first := value[0]; {
	case 0xa0 <= first && first <= 0xbf:
		return value[1:]
	case 0xc4 <= first && first <= 0xc6:
		return value[1+1<<(first-0xc4):]
	case 0xd9 <= first && first <= 0xdb:
		return value[1+1<<(first-0xd9):]
	}
	return nil
}

// Integer is an integer as it is written. Unsigned is set if the integer is above what an int64 holds, and Signed if
// not.
type Integer struct {
	Signed   int64
	Unsigned uint64
}

func (i Integer) String() string {
	if i.Unsigned > 0 {
		return strconv.FormatUint(i.Unsigned, 10)
	}
	return strconv.FormatInt(i.Signed, 10)
}

// Integer passes over a value, and returns it if it is an integer.
func (c *Cursor) Integer() (i Integer, ok bool) {
	before := *c
	c.Skip()
	value := before[:len(before)-len(*c)]
	if len(value) == 0 {
		return i, false
	}
	first, bits := value[0], uint64(0)
	for _, b := range value[1:min(len(value), 9)] {
		bits = bits<<8 | uint64(b)
	}
	switch {
	case first <= 0x7f, first >= 0xe0:
		i.Signed = int64(int8(first))
	case 0xcc <= first && first <= 0xcf && bits>>63 == 1:
		i.Unsigned = bits
	case 0xcc <= first && first <= 0xcf:
		i.Signed = int64(bits)
	case 0xd0 <= first && first <= 0xd3:
		unused := 64 - 8<<(first-0xd0)
		i.Signed = int64(bits<<unused) >> unused
	default:
		return i, false
	}
	return i, true
}
