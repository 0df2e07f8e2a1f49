package plain

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// numbers returns the classes of integers that fit into every number of a type.
func (n *node) numbers(seen map[*node]bool) msgpack.Numbers {
	fits := msgpack.AllNumbers
	if seen[n] || n.decodesItself() {
		return fits
	}
	seen[n] = true
	switch n.t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		fits = msgpack.SignedOf(n.t.Bits())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		fits = msgpack.UnsignedOf(n.t.Bits())
	case reflect.Float32:
		fits = msgpack.SignedOf(16) | msgpack.UnsignedOf(16)
	case reflect.Float64:
		fits = msgpack.SignedOf(32) | msgpack.UnsignedOf(32)
	case reflect.Struct:
		fits &^= msgpack.EmptyLists // the library takes an empty list for the zero value
	case reflect.Slice, reflect.Array:
		if n.elem.t.Kind() == reflect.Uint8 {
			return fits // stored as bytes
		}
	}
	for below := range n.parts {
		fits &= below.numbers(seen)
	}
	return fits
}

// decodesItself reports whether only the type itself knows the meaning of its data.
func (n *node) decodesItself() bool { return n.opaque || n.half || n.transparent || n.time }

// narrows reports whether data may not fit into a type although all its numbers do.
func (f Format) narrows(n *node) bool {
	switch n.t.Kind() {
	case reflect.Array:
		return !n.decodesItself()
	case reflect.Float32, reflect.Float64:
		return f == JSON && !n.decodesItself()
	}
	return false
}

// Fits refuses an integer that does not fit into its number type, and a list of another length than its array
// or struct. The msgpack library would cut the one, and cut or fill up the other. The data must be well-formed,
// and have integers of the given classes. [Shape.FitsJSON] does so for JSON.
func (s *Shape) Fits(data []byte, numbers msgpack.Numbers) error {
	if numbers&^s.fits == 0 && !s.narrow {
		return nil
	}
	rest := msgpack.Cursor(data)
	if where, err := fits(&rest, s.root); err != nil {
		return fmt.Errorf("%s%s: %w", s.root.t, where, err)
	}
	return nil
}

// fits passes over a value. If a part of it does not fit, it returns the path to that part.
func fits(rest *msgpack.Cursor, n *node) (where string, err error) {
	n = n.pointedTo()
	if n == nil || n.decodesItself() {
		rest.Skip()
		return "", nil
	}
	elements, isMap, isList := rest.List()
	if !isList {
		return "", n.fitsAlone(rest)
	}
	if want, counted := n.elements(); counted && !isMap && elements != want {
		return "", errElements(elements, n.t)
	}
	for i := range elements {
		below, where := n.elem, "[]"
		switch {
		case n.t.Kind() == reflect.Struct && isMap:
			below, where = n.stored(rest.Text(), false)
		case n.t.Kind() == reflect.Struct:
			below, where = n.list[i].node, n.list[i].path
		case isMap:
			if where, err := fits(rest, n.key); err != nil {
				return " key" + where, err
			}
		}
		if inner, err := fits(rest, below); err != nil {
			return where + inner, err
		}
	}
	return "", nil
}

// fitsAlone passes over a value without elements.
func (n *node) fitsAlone(rest *msgpack.Cursor) error {
	if n.t.Kind() == reflect.Array {
		if bytes := rest.Text(); bytes != nil && len(bytes) != n.t.Len() {
			return errElements(len(bytes), n.t)
		}
		return nil
	}
	if number, ok := rest.Integer(); ok && !holds(n.t, number) {
		return errNumber(number.String(), n.t)
	}
	return nil
}

func errNumber(number string, t reflect.Type) error {
	return fmt.Errorf("%s does not fit into a %s: give it a type as wide as it was stored with", number, t)
}

func errElements(n int, t reflect.Type) error {
	return fmt.Errorf("%d elements do not fit into a %s: give it the type that it was stored with, or a slice", n, t)
}

// pointedTo returns the node that pointers lead to.
func (n *node) pointedTo() *node {
	for n != nil && n.t.Kind() == reflect.Pointer && !n.decodesItself() {
		n = n.elem
	}
	return n
}

// elements returns how many elements a type has, if all its values have as many.
func (n *node) elements() (count int, counted bool) {
	switch n.t.Kind() {
	case reflect.Array:
		return n.t.Len(), true
	case reflect.Struct:
		return len(n.list), true
	}
	return 0, false
}

// stored returns the field that is stored under a name, and the path to it, or nil if there is none. In JSON, a
// name may differ from the name of the field in the case of its letters.
func (n *node) stored(name []byte, anyCase bool) (*node, string) {
	for _, f := range n.list {
		if f.stored == string(name) || f.alias != "" && f.alias == string(name) {
			return f.node, f.path
		}
	}
	for _, f := range n.list {
		if anyCase && strings.EqualFold(f.stored, string(name)) {
			return f.node, f.path
		}
	}
	return nil, ""
}

// inlined returns the struct whose fields stand beside the field, or nil.
func (f *field) inlined() *node {
	n := f.node.pointedTo()
	if !f.inline || n == nil || n.fields == nil || n.decodesItself() {
		return nil
	}
	return n
}

// holds reports whether a number type can hold an integer. Other types do not take integers, and the decoder
// reports that.
func holds(t reflect.Type, i msgpack.Integer) bool {
	v := reflect.Zero(t)
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return i.Unsigned == 0 && !v.OverflowInt(i.Signed)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return i.Signed >= 0 && !v.OverflowUint(max(i.Unsigned, uint64(i.Signed)))
	case reflect.Float32:
		return i.Unsigned == 0 && exact(i.Signed, float64(float32(i.Signed)))
	case reflect.Float64:
		return i.Unsigned == 0 && exact(i.Signed, float64(i.Signed))
	}
	return true
}

// exact reports whether a float is an integer, and not only near it.
func exact(i int64, f float64) bool { return f < 1<<63 && int64(f) == i }
