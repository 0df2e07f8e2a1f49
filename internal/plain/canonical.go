package plain

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// errNested also ends the walk through a value that holds itself.
var errNested = errors.New("is nested too deep to be stored")

// Canonical returns bytes that two values of one type share if and only if they mean the same:
//
//   - times are instants
//   - nil and empty slices and maps are alike; a pointer to a zero value differs from nil
//   - neither the order of a map's entries nor the order of a struct's fields matters
//   - a field with its zero value does not count, so a value of a type that gains a field keeps its bytes
//   - a field with the tag `msgpack:"-"` does not count
//   - a struct that hides fields may encode itself whole by methods of its pointer; an embedded one need not be
//     exported
//
// The bytes are the same in every process and release, so that they can be hashed and stored. Canonical refuses
// values that are not plain, or that are nested deeper than a decoder goes. So it refuses values that hold
// themselves.
func Canonical(v any) ([]byte, error) {
	return form{}.value(nil, reflect.ValueOf(v), msgpack.MaxDepth)
}

// Whole is another such form. In it all fields count, and a nil map differs from an empty one: two values that
// share it are the same to a program. It refuses a value that has something in a field which is neither stored
// nor plain.
func Whole(v any) ([]byte, error) {
	return form{whole: true}.value(nil, reflect.ValueOf(v), msgpack.MaxDepth)
}

// Equal reports whether two values of one type have the same form [Whole].
func Equal(a, b any) bool {
	one, errOne := Whole(a)
	other, errOther := Whole(b)
	return errOne == nil && errOther == nil && bytes.Equal(one, other)
}

// form says which fields are written: all, or the stored ones that are not zero.
type form struct{ whole bool }

// value appends a value: its kind, then its length if that varies, then its content.
func (f form) value(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if !v.IsValid() {
		return nil, errors.New("is nil")
	}
	if depth < 0 {
		return nil, errNested
	}
	b = append(b, byte(v.Kind()))
	if EncodesItself(v.Type()) {
		said, err := itself(b, v)
		if err != nil || !masked(v) {
			return said, err
		}
		b = said
	}
	if saysItself(v.Type()) {
		pointer := reflect.New(v.Type())
		pointer.Elem().Set(v)
		return itself(b, pointer)
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float())), nil
	case reflect.String:
		return text(b, v.String()), nil
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return f.elements(b, v, depth)
	case reflect.Struct:
		return f.fields(b, v, depth)
	case reflect.Map:
		return f.entries(b, v, depth)
	default:
		return nil, fmt.Errorf("holds a %s, which cannot be stored", v.Kind())
	}
}

func text(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// itself appends a value in its own encoding. For a time it leaves out the location.
func itself(b []byte, v reflect.Value) (_ []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("holds a %s that panics when it is encoded: %v", v.Type(), p)
		}
	}()
	if nilable := v.Kind() == reflect.Pointer || v.Kind() == reflect.Map || v.Kind() == reflect.Slice; nilable && v.IsNil() {
		return b, nil
	}
	for wraps(v.Type()) {
		v = v.Field(0)
	}
	var data []byte
	switch m := v.Interface().(type) {
	case time.Time:
		data, err = m.UTC().MarshalBinary()
	case encoding.BinaryMarshaler: // msgpack prefers this one
		data, err = m.MarshalBinary()
	case encoding.TextMarshaler:
		data, err = m.MarshalText()
	}
	return text(b, string(data)), err
}

// masked reports whether a number or a text does not come back from its own encoding, such as a secret of which that
// shows stars. Then it counts as it is, too.
func masked(v reflect.Value) (is bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Struct, reflect.Map:
		return false
	}
	defer func() { is = recover() != nil || is }()
	back := reflect.New(v.Type())
	var err error
	if m, ok := reflect.TypeAssert[encoding.BinaryMarshaler](v); ok {
		data, _ := m.MarshalBinary() // itself has called it without an error
		err = back.Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(data)
	} else {
		data, _ := v.Interface().(encoding.TextMarshaler).MarshalText()
		err = back.Interface().(encoding.TextUnmarshaler).UnmarshalText(data)
	}
	return err != nil || !back.Elem().Equal(v)
}

// wraps reports whether a struct has the methods by which it encodes itself from the one field that it embeds, so that
// a time in it is an instant as well.
func wraps(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() == 1 && t.Field(0).Anonymous && t.Field(0).IsExported() &&
		!declares(t, textMarshaler) && !declares(t, binaryMarshaler)
}

func (f form) elements(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return append(b, 0), nil
		}
		return f.value(append(b, 1), v.Elem(), depth-1)
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		return text(b, string(v.Bytes())), nil
	}
	b = binary.AppendUvarint(b, uint64(v.Len()))
	for i := range v.Len() {
		if b, err = f.value(b, v.Index(i), depth-1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// fields appends a struct's fields in the order of their bytes, which begin with their names.
func (f form) fields(b []byte, v reflect.Value, depth int) ([]byte, error) {
	all := make([][]byte, 0, v.NumField())
	for field, value := range v.Fields() {
		if silent(field) || leftOut(field) && (!f.whole || value.IsZero()) {
			continue
		}
		if !field.IsExported() && !readable(field) {
			return nil, fmt.Errorf("%s.%s is not exported", v.Type(), field.Name)
		}
		if !f.whole && blank(value) {
			continue
		}
		one, err := f.value(text(nil, field.Name), value, depth-1)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	slices.SortFunc(all, bytes.Compare)
	return append(binary.AppendUvarint(b, uint64(len(all))), bytes.Join(all, nil)...), nil
}

// blank reports whether a value means no more than the zero value of its type.
func blank(v reflect.Value) bool {
	switch {
	case v.Type() == timeType:
		return v.Interface().(time.Time).IsZero()
	case v.Kind() == reflect.Slice, v.Kind() == reflect.Map:
		return v.Len() == 0
	case EncodesItself(v.Type()), saysItself(v.Type()):
		return v.IsZero() || v.Kind() == reflect.Struct && saysZero(v)
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			if !blank(v.Index(i)) {
				return false
			}
		}
		return true
	case v.Kind() == reflect.Struct:
		for field, value := range v.Fields() {
			if !leftOut(field) && !silent(field) && (!field.IsExported() && !readable(field) || !blank(value)) {
				return false
			}
		}
		return true
	default:
		return v.IsZero()
	}
}

// saysZero reports whether a struct encodes itself as its zero value does, such as a number that was computed.
func saysZero(v reflect.Value) bool {
	said, err := form{}.value(nil, v, 0)
	zero, errZero := form{}.value(nil, reflect.Zero(v.Type()), 0)
	return err == nil && errZero == nil && bytes.Equal(said, zero)
}

// leftOut reports whether the tag prevents a field from being stored.
func leftOut(f reflect.StructField) bool { return f.Tag.Get("msgpack") == "-" }

// readable reports whether the fields of an embedded struct can be read although its type is not exported.
func readable(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct && !Opaque(t) && !EncodesItself(t)
}

// saysItself reports whether a struct with unexported fields encodes itself whole by methods of its pointer.
// The numbers of math/big do so, and URLs, which hide the user.
func saysItself(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || !hides(t) && t != urlType || EncodesItself(t) || promoted(t, textMarshaler, textUnmarshaler, binaryMarshaler, binaryUnmarshaler) {
		return false
	}
	p := reflect.PointerTo(t)
	text := p.Implements(textMarshaler) && p.Implements(textUnmarshaler)
	binary := p.Implements(binaryMarshaler) && p.Implements(binaryUnmarshaler)
	return (text || binary) && p.Implements(binaryMarshaler) == p.Implements(binaryUnmarshaler)
}

// hides reports whether a struct has a field that is not exported.
func hides(t reflect.Type) bool {
	for f := range t.Fields() {
		if !f.IsExported() {
			return true
		}
	}
	return false
}

// entries appends a map's entries in the order of their bytes.
func (f form) entries(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() && f.whole {
		return append(b, 0), nil
	}
	b = binary.AppendUvarint(b, uint64(v.Len())+1)
	all := make([][]byte, 0, v.Len())
	for key, value := range v.Seq2() {
		entry, err := f.value(nil, key, depth-1)
		if err != nil {
			return nil, err
		}
		if entry, err = f.value(entry, value, depth-1); err != nil {
			return nil, err
		}
		all = append(all, entry)
	}
	slices.SortFunc(all, bytes.Compare)
	return append(b, bytes.Join(all, nil)...), nil
}
