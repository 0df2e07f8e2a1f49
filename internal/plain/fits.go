package plain

import (
	"fmt"
	"reflect"

	"github.com/runnel-go/runnel/internal/wellformed"
)

// numbers returns the classes of integers that fit into every number of a type.
func (n *node) numbers(seen map[*node]bool) wellformed.Numbers {
	fits := wellformed.AllNumbers
	if seen[n] || n.decodesItself() {
		return fits
	}
	seen[n] = true
	switch n.t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		fits = wellformed.SignedOf(n.t.Bits())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		fits = wellformed.UnsignedOf(n.t.Bits())
	case reflect.Float32:
		fits = wellformed.SignedOf(16) | wellformed.UnsignedOf(16)
	case reflect.Float64:
		fits = wellformed.SignedOf(32) | wellformed.UnsignedOf(32)
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

// decodesItself reports whether it is not for us to say what the data of a type means.
func (n *node) decodesItself() bool { return n.opaque || n.half || n.transparent || n.time }

// Fits refuses an integer that does not fit into the number which it is decoded into: the msgpack library takes what is
// left of it. The data is well-formed, and has integers of the given classes. encoding/json refuses such numbers
// itself.
func (s *Shape) Fits(data []byte, numbers wellformed.Numbers) error {
	if numbers&^s.fits == 0 {
		return nil
	}
	rest := wellformed.Cursor(data)
	if where, err := fits(&rest, s.root); err != nil {
		return fmt.Errorf("%s%s: %w", s.root.t, where, err)
	}
	return nil
}

// fits passes over a value. If a number in it does not fit, it returns the path to that number.
func fits(rest *wellformed.Cursor, n *node) (where string, err error) {
	for n != nil && n.t.Kind() == reflect.Pointer && !n.decodesItself() {
		n = n.elem
	}
	if n == nil || n.decodesItself() {
		rest.Skip()
		return "", nil
	}
	elements, isMap, isList := rest.List()
	if !isList {
		if number, ok := rest.Integer(); ok && !holds(n.t, number) {
			return "", fmt.Errorf("%s does not fit into a %s: give it a type as wide as it was stored with", number, n.t)
		}
		return "", nil
	}
	for range elements {
		below, name := n.elem, []byte(nil)
		switch {
		case isMap && n.t.Kind() == reflect.Struct:
			name = rest.Text()
			below = n.stored(name)
		case isMap:
			if where, err := fits(rest, n.key); err != nil {
				return " key" + where, err
			}
		}
		if where, err := fits(rest, below); err != nil {
			return n.pathTo(name) + where, err
		}
	}
	return "", nil
}

// stored returns the field that is stored under a name, or nil if there is none.
func (n *node) stored(name []byte) *node {
	for i := range n.fields {
		f := &n.fields[i]
		if embedded := f.inlined(); embedded != nil {
			if inner := embedded.stored(name); inner != nil {
				return inner
			}
		}
		if f.stored == string(name) {
			return f.node
		}
	}
	return nil
}

// pathTo returns the path to what is stored under a name, or to an element.
func (n *node) pathTo(name []byte) string {
	if n.t.Kind() != reflect.Struct {
		return "[]"
	}
	for i := range n.fields {
		f := &n.fields[i]
		if embedded := f.inlined(); embedded != nil && embedded.stored(name) != nil {
			return "." + f.Name + embedded.pathTo(name)
		}
		if f.stored == string(name) {
			return "." + f.Name
		}
	}
	return ""
}

// inlined returns the struct whose fields stand beside the field, or nil.
func (f *field) inlined() *node {
	n := f.node
	for n.t.Kind() == reflect.Pointer && n.elem != nil {
		n = n.elem
	}
	if !f.inline || n.fields == nil || n.decodesItself() {
		return nil
	}
	return n
}

// holds reports whether a number type can hold an integer. Other types do not take integers, which is for the decoder
// to say.
func holds(t reflect.Type, i wellformed.Integer) bool {
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
