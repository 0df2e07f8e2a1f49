package msgpack

// Numbers is a set of classes of integers, by the form in which they are written, and of empty lists. Numbers
// from 0 to 127 are in no class.
type Numbers uint16

const (
	negative Numbers = 1 << iota // of one byte, or signed of 8 bits
	signed16
	signed32
	signed64
	unsigned8
	unsigned16
	unsigned32
	unsigned64
	// EmptyLists is the class of arrays without an element.
	EmptyLists
)

// AllNumbers is the set of all classes.
const AllNumbers Numbers = 0x1ff

// SignedOf returns the classes whose integers all fit into a signed type of that many bits.
func SignedOf(bits int) Numbers {
	switch {
	case bits >= 64:
		return AllNumbers &^ unsigned64
	case bits >= 32:
		return EmptyLists | negative | signed16 | signed32 | unsigned8 | unsigned16
	case bits >= 16:
		return EmptyLists | negative | signed16 | unsigned8
	}
	return EmptyLists | negative
}

// UnsignedOf returns the classes whose integers all fit into an unsigned type of that many bits.
func UnsignedOf(bits int) Numbers {
	switch {
	case bits >= 64:
		return EmptyLists | unsigned8 | unsigned16 | unsigned32 | unsigned64
	case bits >= 32:
		return EmptyLists | unsigned8 | unsigned16 | unsigned32
	case bits >= 16:
		return EmptyLists | unsigned8 | unsigned16
	}
	return EmptyLists | unsigned8
}

// numbersOf returns the class of the integers that begin with a byte.
func numbersOf(c byte) Numbers {
	switch {
	case c == 0x90:
		return EmptyLists
	case c >= 0xe0, c == 0xd0:
		return negative
	case 0xd1 <= c && c <= 0xd3:
		return signed16 << (c - 0xd1)
	case 0xcc <= c && c <= 0xcf:
		return EmptyLists | unsigned8<<(c-0xcc)
	}
	return 0
}
