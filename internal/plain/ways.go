package plain

import (
	"cmp"
	"encoding"
	"encoding/json"
	"reflect"
	"runtime"
	"slices"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// way is how a type is encoded or decoded.
type way int

const (
	byKind   way = iota // by reflection
	byItself            // by methods that write and read the format itself
	byBinary            // by MarshalBinary and UnmarshalBinary
	byText              // by MarshalText and UnmarshalText
)

// methods are a method that encodes, and its counterpart.
type methods struct {
	way              way
	encodes, decodes reflect.Type // interfaces
}

func methodsOf[Encodes, Decodes any](w way) methods {
	return methods{way: w, encodes: reflect.TypeFor[Encodes](), decodes: reflect.TypeFor[Decodes]()}
}

// asked are the methods that a format asks a type for, in its order.
var asked = map[Format][]methods{
	JSON: {
		methodsOf[json.Marshaler, json.Unmarshaler](byItself),
		methodsOf[encoding.TextMarshaler, encoding.TextUnmarshaler](byText),
	},
	Msgpack: {
		methodsOf[msgpack.CustomEncoder, msgpack.CustomDecoder](byItself),
		methodsOf[msgpack.Marshaler, msgpack.Unmarshaler](byItself),
		methodsOf[encoding.BinaryMarshaler, encoding.BinaryUnmarshaler](byBinary),
		methodsOf[encoding.TextMarshaler, encoding.TextUnmarshaler](byText),
	},
}

// place separates values with an address from values in maps, whose pointer methods cannot be called.
type place int

const (
	addressed place = iota
	mapValue
	mapKey
)

// askedAt are the methods that a format asks a type for at a place.
func (f Format) askedAt(at place) []methods {
	all := asked[f]
	if f == JSON && at == mapKey {
		return all[len(all)-1:] // a key is text
	}
	return all
}

// use is the way in which a type is encoded or decoded, and the interface whose method is called for that, if
// any.
type use struct {
	way
	by        reflect.Type
	byPointer bool // only a pointer to the type has the method
}

// encodes says how a type is encoded at a place.
func (f Format) encodes(t reflect.Type, at place) use {
	if f == JSON && at == mapKey && t.Kind() == reflect.String {
		return use{} // encoding/json asks such keys for no text
	}
	p := reflect.PointerTo(t)
	var pointers use
	for _, m := range f.askedAt(at) {
		switch byValue := t.Implements(m.encodes); {
		case f == JSON && at == addressed && p.Implements(m.encodes):
			return use{way: m.way, by: m.encodes, byPointer: !byValue}
		case byValue:
			return use{way: m.way, by: m.encodes}
		case pointers.by == nil && p.Implements(m.encodes):
			pointers = use{way: m.way, by: m.encodes, byPointer: true}
		}
	}
	return pointers
}

// decodes says how a type is decoded at a place.
func (f Format) decodes(t reflect.Type, at place) use {
	if f == JSON && t.Name() == "" && at != mapKey {
		return use{} // encoding/json asks named types only
	}
	p := reflect.PointerTo(t)
	for _, m := range f.askedAt(at) {
		if p.Implements(m.decodes) {
			return use{way: m.way, by: m.decodes}
		}
	}
	return use{}
}

// Opaque reports whether a type encodes and decodes itself in some format, also by methods of its pointer. Then
// its valid values are not known, and its fields need not be exported.
func Opaque(t reflect.Type) bool {
	for f := range asked {
		if t.Kind() != reflect.Pointer && f.encodes(t, addressed).by != nil && f.decodes(t, addressed).by != nil {
			return true
		}
	}
	return false
}

// promoted reports whether a struct has one of the methods from an embedded field, so that the method does not
// cover the other fields. If the only field of a struct is embedded by value, its method covers the whole
// struct.
func promoted(t reflect.Type, used ...reflect.Type) bool {
	if t.Kind() != reflect.Struct || !embeds(t) {
		return false
	}
	p := reflect.PointerTo(t)
	for _, i := range used {
		if i != nil && p.Implements(i) && !declares(t, i) && !declares(p, i) {
			return true
		}
	}
	return false
}

// lostTo names the embedded field of a struct that has one of the methods, and a field that this method does
// not cover. Both are the same field if it may be nil, so that there is nothing to call the method of.
func lostTo(t reflect.Type, used ...reflect.Type) (embedded, lost string) {
	for f := range t.Fields() {
		has := slices.ContainsFunc(used, func(i reflect.Type) bool {
			return i != nil && f.Anonymous && (f.Type.Implements(i) || reflect.PointerTo(f.Type).Implements(i))
		})
		switch {
		case has && embedded == "":
			embedded = f.Name
		case lost == "":
			lost = f.Name
		}
	}
	return embedded, cmp.Or(lost, embedded)
}

// embeds reports whether a struct embeds a field because of which methods or other fields may be lost.
func embeds(t reflect.Type) bool {
	for f := range t.Fields() {
		if f.Anonymous && (t.NumField() > 1 || f.Type.Kind() == reflect.Pointer || f.Type.Kind() == reflect.Interface) {
			return true
		}
	}
	return false
}

// declares reports whether a type itself declares the method of an interface. The compiler generates the
// methods that a struct gets from its embedded fields, and that a pointer gets from its type, and marks them in
// the place of the file's name.
func declares(t, i reflect.Type) bool {
	m, ok := method(t, i.Method(0).Name)
	if !ok {
		return false
	}
	f := runtime.FuncForPC(m.Func.Pointer())
	if f == nil {
		return true
	}
	file, _ := f.FileLine(f.Entry())
	return file != "<autogenerated>"
}

// method looks a method up by a constant name. Otherwise the linker would keep all methods of all types.
func method(t reflect.Type, name string) (reflect.Method, bool) {
	switch name {
	case "MarshalJSON":
		return t.MethodByName("MarshalJSON")
	case "UnmarshalJSON":
		return t.MethodByName("UnmarshalJSON")
	case "MarshalText":
		return t.MethodByName("MarshalText")
	case "UnmarshalText":
		return t.MethodByName("UnmarshalText")
	case "MarshalBinary":
		return t.MethodByName("MarshalBinary")
	case "UnmarshalBinary":
		return t.MethodByName("UnmarshalBinary")
	case "MarshalMsgpack":
		return t.MethodByName("MarshalMsgpack")
	case "UnmarshalMsgpack":
		return t.MethodByName("UnmarshalMsgpack")
	case "EncodeMsgpack":
		return t.MethodByName("EncodeMsgpack")
	case "DecodeMsgpack":
		return t.MethodByName("DecodeMsgpack")
	default:
		return t.MethodByName("IsZero")
	}
}
