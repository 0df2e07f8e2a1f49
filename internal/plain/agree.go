package plain

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// Calls reports whether encoding or decoding calls methods of the user, which may do anything.
func (s *Shape) Calls() bool { return s.own }

// Agrees reports whether two encodings of values in msgpack agree in the fields that both have. A field that
// only one of them has does not count, unless the type leaves it out if it is zero. So a value that was stored
// by one release agrees with the same value of a release with a further field. If that field is left out when it is
// zero, it must be zero, because nothing tells whether the other release knew it. Both must be well-formed.
func (s *Shape) Agrees(stored, given []byte) bool {
	if msgpack.Check(stored) != nil || msgpack.Check(given) != nil {
		return false
	}
	return agree(stored, given, s.root)
}

// agree compares two encodings of the type of a node. It compares parts that the node does not describe byte by
// byte.
func agree(stored, given []byte, n *node) bool {
	for n != nil && n.t.Kind() == reflect.Pointer && !n.decodesItself() {
		n = n.elem
	}
	if bytes.Equal(stored, given) {
		return true
	}
	if n == nil || n.decodesItself() {
		return false
	}
	left, right := msgpack.Cursor(stored), msgpack.Cursor(given)
	size, isMap, isList := left.List()
	size2, isMap2, isList2 := right.List()
	switch {
	case !isList || !isList2 || isMap != isMap2:
		return false
	case isMap && n.t.Kind() == reflect.Struct:
		return fieldsAgree(pairs(&left, size), pairs(&right, size2), n)
	case isMap:
		return keysAgree(pairs(&left, size), pairs(&right, size2), n)
	}
	return size == size2 && elementsAgree(left, right, size, n)
}

// pairs returns the values of a map by the encodings of their keys.
func pairs(c *msgpack.Cursor, size int) map[string][]byte {
	all := make(map[string][]byte, size)
	for range size {
		key := next(c)
		all[string(key)] = next(c)
	}
	return all
}

// next passes over a value, and returns its encoding.
func next(c *msgpack.Cursor) []byte {
	before := *c
	c.Skip()
	return before[:len(before)-len(*c)]
}

// fieldsAgree compares the fields of two encodings of a struct. If only stored has a field of the type, given
// left it out because it is zero. If only given has it, either stored left it out, or an older release did not know it.
func fieldsAgree(stored, given map[string][]byte, n *node) bool {
	for key, before := range stored {
		name := msgpack.Cursor(key)
		field, _ := n.stored(name.Text(), false)
		now, has := given[key]
		if !has && field != nil || has && !agree(before, now, field) {
			return false
		}
	}
	for key := range given {
		name := msgpack.Cursor(key)
		if _, has := stored[key]; !has && n.leavesOut(name.Text()) {
			return false
		}
	}
	return true
}

// leavesOut reports whether a struct is sometimes stored without a field: if the field is zero, or if it stands in an
// embedded pointer that is nil. Msgpack leaves out the latter only from structs that leave out fields which are zero.
func (n *node) leavesOut(name []byte) bool {
	empty := slices.ContainsFunc(n.list, func(f listed) bool { return f.empty })
	return slices.ContainsFunc(n.list, func(f listed) bool {
		return f.stored == string(name) && (f.empty || f.pointed && empty)
	})
}

// keysAgree compares maps, which must have the same keys.
func keysAgree(stored, given map[string][]byte, n *node) bool {
	if len(stored) != len(given) {
		return false
	}
	for key, before := range stored {
		if now, has := given[key]; !has || !agree(before, now, n.elem) {
			return false
		}
	}
	return true
}

func elementsAgree(stored, given msgpack.Cursor, size int, n *node) bool {
	for range size {
		if !agree(next(&stored), next(&given), n.elem) {
			return false
		}
	}
	return true
}
