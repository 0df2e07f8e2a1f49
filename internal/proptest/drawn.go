package proptest

import (
	"math"
	"reflect"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// Types draws the types that reflection can make, and values of them, and finds differences of two values.
type Types struct {
	Written  []Written      // types with methods, which reflection cannot make; at least one
	Embedded []reflect.Type // types without methods that a struct may embed; at least one
}

// Written is a type that is written by hand.
type Written struct {
	Type  reflect.Type
	Draw  func(t *rapid.T) any // draws a value; nil if the type is filled like any other, or refused
	Equal func(a, b any) bool  // compares two values; nil if they are compared like any other
}

var basics = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](),
	reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](),
	reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[time.Time](),
}

var tags = []reflect.StructTag{
	"", "", "", `json:"-" msgpack:"-"`, `json:",omitempty" msgpack:",omitempty"`, `json:",omitzero"`, `json:"x" msgpack:"x"`, `json:"y,omitempty" msgpack:"A"`,
	`json:",string"`, `msgpack:",noinline"`, `json:"a"`,
}

func (d Types) drawType(t *rapid.T, depth int) reflect.Type {
	kinds := []string{"basic", "basic", "written", "struct", "struct", "pointer", "slice", "array", "map"}
	if depth == 0 {
		kinds = kinds[:3]
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "written":
		return rapid.SampledFrom(d.Written).Draw(t, "written").Type
	case "pointer":
		return reflect.PointerTo(d.drawType(t, depth-1))
	case "slice":
		return reflect.SliceOf(d.drawType(t, depth-1))
	case "array":
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(t, "length"), d.drawType(t, depth-1))
	case "map":
		key := d.drawType(t, 1)
		if !key.Comparable() {
			key = reflect.TypeFor[string]()
		}
		return reflect.MapOf(key, d.drawType(t, depth-1))
	case "struct":
		return d.Struct(t, depth)
	}
	return rapid.SampledFrom(basics).Draw(t, "basic")
}

// Struct draws a struct whose parts nest at most so deep.
func (d Types) Struct(t *rapid.T, depth int) reflect.Type {
	var fields []reflect.StructField
	names := make(map[string]bool)
	for i := range rapid.IntRange(1, 4).Draw(t, "fields") {
		f := reflect.StructField{Name: string(rune('A' + i)), Tag: rapid.SampledFrom(tags).Draw(t, "tag")}
		if rapid.IntRange(0, 5).Draw(t, "embeds") == 0 {
			f.Anonymous, f.Type = true, rapid.SampledFrom(d.Embedded).Draw(t, "embedded")
			f.Name = strings.TrimPrefix(f.Type.String(), "*")
			f.Name = f.Name[strings.LastIndex(f.Name, ".")+1:]
		} else {
			f.Type = d.drawType(t, depth-1)
		}
		if !names[f.Name] {
			names[f.Name] = true
			fields = append(fields, f)
		}
	}
	return reflect.StructOf(fields)
}

// Text draws a text, which may be invalid UTF-8.
func Text(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "a", "é", "\ufffd", `\ufffd`, "<&>\u2028\x00", "caf\xe9", "\xff", "text"}).Draw(t, "text")
}

// Instant draws a time in some zone.
func Instant(t *rapid.T) time.Time {
	at := time.Unix(rapid.SampledFrom([]int64{0, -1 << 33, 1 << 31, 1 << 35, -62135596800, 253402300800}).Draw(t, "seconds"),
		rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds"))
	return at.In(time.FixedZone("x", rapid.SampledFrom([]int{0, 3600, -5400, 3464, 90000}).Draw(t, "offset")))
}

// Fill fills a value of a drawn type, at most so deep.
func (d Types) Fill(t *rapid.T, v reflect.Value, depth int) {
	for _, w := range d.Written {
		if w.Type == v.Type() && w.Draw != nil {
			v.Set(reflect.ValueOf(w.Draw(t)))
			return
		}
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(Instant(t)))
		return
	}
	length := func() int {
		if depth <= 0 {
			return -1
		}
		return rapid.IntRange(-1, 2).Draw(t, "length")
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.String:
		v.SetString(Text(t))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int") >> (64 - v.Type().Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint") >> (64 - v.Type().Bits()))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1.5, 0.1, math.MaxFloat32, math.NaN(), math.Inf(1)}).Draw(t, "float"))
	case reflect.Pointer:
		if length() > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			d.Fill(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if n := length(); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			d.Fill(t, v.Index(i), depth-1)
		}
	case reflect.Map:
		n := length()
		if n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
		}
		for range n {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			d.Fill(t, key, depth-1)
			d.Fill(t, value, depth-1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for field, f := range v.Fields() {
			if f.CanSet() || field.Anonymous && f.Kind() == reflect.Struct {
				d.Fill(t, f, depth-1)
			}
		}
	}
}

// Lost returns the path at which two values differ. It returns "" if they are equal except for fields that a
// tag leaves out. It shares no code with the package that it tests.
func (d Types) Lost(a, b reflect.Value, format, where string) string {
	for _, w := range d.Written {
		if w.Type == a.Type() && w.Equal != nil {
			return unlessSame(w.Equal(a.Interface(), b.Interface()), where)
		}
	}
	if a.Type() == reflect.TypeFor[time.Time]() {
		back := b.Interface().(time.Time)
		return unlessSame(a.Interface().(time.Time).Equal(back) && back.Location() == time.UTC, where)
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return unlessSame(a.Float() == b.Float() || math.IsNaN(a.Float()) && math.IsNaN(b.Float()), where)
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return unlessSame(a.IsNil() == b.IsNil(), where)
		}
		return d.Lost(a.Elem(), b.Elem(), format, where)
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() || a.Kind() == reflect.Slice && a.IsNil() != b.IsNil() {
			return where
		}
		for i := range a.Len() {
			if where := d.Lost(a.Index(i), b.Index(i), format, where+"[]"); where != "" {
				return where
			}
		}
		return ""
	case reflect.Map:
		return d.lostEntries(a, b, format, where)
	case reflect.Struct:
		return d.lostFields(a, b, format, where)
	}
	return unlessSame(reflect.DeepEqual(a.Interface(), b.Interface()), where)
}

func (d Types) lostEntries(a, b reflect.Value, format, where string) string {
	if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
		return where
	}
	for key, value := range a.Seq2() {
		other := b.MapIndex(key)
		if !other.IsValid() {
			return where + " key"
		}
		if where := d.Lost(value, other, format, where+"[]"); where != "" {
			return where
		}
	}
	return ""
}

func (d Types) lostFields(a, b reflect.Value, format, where string) string {
	sparse := false // whether msgpack leaves out all empty fields
	for f, value := range a.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get(format), ",")
		sparse = sparse || format == "msgpack" && f.Name == "_msgpack" && options == "omitempty"
		other := b.FieldByIndex(f.Index)
		switch {
		case !f.IsExported() && f.Anonymous:
		case !f.IsExported():
			if !reflect.DeepEqual(reflect.Zero(f.Type), value) {
				continue // the type is opaque
			}
		case name == "-":
			if !other.IsZero() {
				return where + "." + f.Name
			}
			continue
		case (sparse || options == "omitempty") && (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0:
			if other.Len() > 0 {
				return where + "." + f.Name
			}
			continue
		}
		if where := d.Lost(value, other, format, where+"."+f.Name); where != "" {
			return where
		}
	}
	return ""
}

func unlessSame(same bool, where string) string {
	if same {
		return ""
	}
	return where + " differs"
}
