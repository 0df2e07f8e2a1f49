// Package plain separates plain data from data that a codec would lose, and compares plain data by its meaning.
//
// Plain types consist of exported fields, numbers, strings, bytes, slices, arrays, maps, pointers and times,
// and of types that encode themselves as text or as bytes.
//
// [Check] is for data that is compared, such as commands and states. For data that is stored, [Format.Of] looks
// at a type as a codec does, and refuses a type that would lose something. It returns a [Shape], which encodes
// and decodes values of the type:
//
//	type      rules, for what is known of the codecs       ways.go, fields.go, shape.go
//	          samples that must come back, for the rest    probe.go
//	value     Refuse what the codec cannot hold; encode; Kept: see that nothing was replaced
//	bytes     Fits: see that each number fits; decode; Settle: times in UTC
//
// [KeepingOf] says how a value may be kept in memory beside its stored form.
package plain

import (
	"encoding"
	"fmt"
	"math/big"
	"net/url"
	"reflect"
	"slices"
	"time"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	urlType      = reflect.TypeFor[url.URL]()
	userType     = reflect.TypeFor[*url.Userinfo]()
	bigFloatType = reflect.TypeFor[big.Float]()

	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// Check refuses types that can be neither stored nor compared: unexported fields, functions, channels,
// interfaces. The error names the field. It leaves out fields with the tag `msgpack:"-"`, looks into embedded
// structs whether they are exported or not, and accepts types that encode themselves whole by methods of their
// pointer.
func Check(t reflect.Type) error { return check(t, t.String(), nil) }

func check(t reflect.Type, path string, above []reflect.Type) error {
	if slices.Contains(above, t) {
		return nil // recursive type, checked on the way down
	}
	above = append(above, t)
	if EncodesItself(t) || saysItself(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		for f := range t.Fields() {
			if leftOut(f) || silent(f) {
				continue
			}
			if !f.IsExported() && !readable(f) {
				return fmt.Errorf("%s.%s is not exported, so it would be lost: export it, or leave it out with the tag `msgpack:\"-\"`", path, f.Name)
			}
			if err := check(f.Type, path+"."+f.Name, above); err != nil {
				return err
			}
		}
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Interface, reflect.Complex64, reflect.Complex128, reflect.Uintptr:
		return fmt.Errorf("%s is a %s, which cannot be stored: use plain data", path, t.Kind())
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return check(t.Elem(), path+"[]", above)
	case reflect.Map:
		if err := check(t.Key(), path+" key", above); err != nil {
			return err
		}
		return check(t.Elem(), path+"[]", above)
	}
	return nil
}

// EncodesItself reports whether a type encodes itself whole as text or as bytes. JSON takes its text, and
// msgpack its bytes if it has them, and both must decode again. If a struct has these methods from an embedded
// field, they do not cover its other fields.
func EncodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t == timeType || t.Implements(textMarshaler) && p.Implements(textUnmarshaler) &&
		t.Implements(binaryMarshaler) == p.Implements(binaryUnmarshaler) &&
		!promoted(t, textMarshaler, textUnmarshaler, binaryMarshaler, binaryUnmarshaler)
}
