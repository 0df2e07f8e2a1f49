// Package literal writes values as Go code, for people and for tests that are pasted, and shows how two values
// differ.
package literal

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// deepest is the depth down to which values are written. A value that is nested deeper may hold itself.
const deepest = 24

// narrow is the number of characters that a composite value may have on one line.
const narrow = 100

// Writer writes values as they are written in a package. The zero Writer qualifies all types.
type Writer struct {
	Local string // the import path of the package, whose types are not qualified
}

// Line writes a value as one Go expression on one line. It leaves out zero fields, and empty slices, which mean
// the same. Times are in UTC. Two values of one type with the same line are the same to a program. A value
// without a literal in Go, such as a func that is not nil, is written as nil with a remark.
func (w Writer) Line(v any) string { return w.value(reflect.ValueOf(v), bare, deepest) }

// Lines is Line that divides long values into lines, one for each field, element or entry.
func (w Writer) Lines(v any) string {
	line := w.Line(v)
	if len(line) <= narrow {
		return line
	}
	return w.spread(reflect.ValueOf(v), bare, deepest, "")
}

// Type writes a type.
func (w Writer) Type(t reflect.Type) string {
	if t.Name() == "" {
		switch t.Kind() {
		case reflect.Pointer:
			return "*" + w.Type(t.Elem())
		case reflect.Slice:
			return "[]" + w.Type(t.Elem())
		case reflect.Array:
			return "[" + strconv.Itoa(t.Len()) + "]" + w.Type(t.Elem())
		case reflect.Map:
			return "map[" + w.Type(t.Key()) + "]" + w.Type(t.Elem())
		}
	}
	name := t.String()
	if t.PkgPath() != "" && t.PkgPath() == w.Local {
		name = t.Name()
	}
	return w.shorten(name)
}

// folders matches the import paths of type arguments, without their last element.
var folders = regexp.MustCompile(`([\w.~-]+/)+`)

func (w Writer) shorten(name string) string {
	if !strings.Contains(name, "/") {
		return name // like most types, it has no type arguments of other packages
	}
	if w.Local != "" {
		name = strings.ReplaceAll(name, w.Local+".", "")
	}
	return folders.ReplaceAllString(name, "")
}

// place says what Go knows about the type of a value at the place where the value is written.
type place int

const (
	bare    place = iota // nothing
	typed                // the type, as in a field: constants need no conversion
	element              // the type, as in a slice: composite literals need no type either
)

func (w Writer) value(v reflect.Value, at place, depth int) string {
	if !v.IsValid() {
		return "nil"
	}
	if depth < 0 {
		return "nil /* nested too deep */"
	}
	switch v.Kind() {
	case reflect.Interface:
		return w.value(v.Elem(), bare, depth-1)
	case reflect.Pointer:
		return w.pointer(v, at, depth)
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return w.composite(v, at, depth, func(open string, parts []string) string {
			return open + "{" + strings.Join(parts, ", ") + "}"
		})
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		if v.IsNil() {
			return "nil"
		}
		return "nil /* a " + v.Kind().String() + " */"
	default:
		return w.constant(v, at)
	}
}

// spread writes a value over several lines if it is long.
func (w Writer) spread(v reflect.Value, at place, depth int, indent string) string {
	for v.IsValid() && v.Kind() == reflect.Interface {
		v, at = v.Elem(), bare
	}
	line := w.value(v, at, depth)
	if len(indent)+len(line) <= narrow || !v.IsValid() || depth < 0 {
		return line
	}
	switch v.Kind() {
	case reflect.Pointer:
		return "&" + w.spread(v.Elem(), bare, depth-1, indent)
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
	default:
		return line
	}
	return w.compositeOf(v, at, depth, func(v reflect.Value, at place) string {
		return w.spread(v, at, depth-1, indent+"\t")
	}, func(open string, parts []string) string {
		if len(parts) == 0 {
			return open + "{}"
		}
		return open + "{\n" + indent + "\t" + strings.Join(parts, ",\n"+indent+"\t") + ",\n" + indent + "}"
	})
}

func (w Writer) pointer(v reflect.Value, at place, depth int) string {
	if v.IsNil() {
		if at == bare {
			return "(" + w.Type(v.Type()) + ")(nil)"
		}
		return "nil"
	}
	switch v.Elem().Kind() {
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return "&" + w.value(v.Elem(), bare, depth-1)
	}
	return "new(" + w.value(v.Elem(), bare, depth-1) + ")"
}

func (w Writer) composite(v reflect.Value, at place, depth int, join func(open string, parts []string) string) string {
	return w.compositeOf(v, at, depth, func(v reflect.Value, at place) string { return w.value(v, at, depth-1) }, join)
}

// compositeOf writes a struct, slice, array or map of parts that a function writes.
func (w Writer) compositeOf(
	v reflect.Value, at place, depth int, part func(reflect.Value, place) string, join func(open string, parts []string) string,
) string {
	open := w.Type(v.Type())
	if at == element {
		open = ""
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		return moment(v)
	case v.Kind() == reflect.Struct:
		return join(open, w.fields(v, part))
	case v.Kind() == reflect.Map:
		if v.IsNil() {
			return w.none(v, at)
		}
		return join(open, w.entries(v, depth, part))
	case v.Kind() == reflect.Slice && v.IsNil():
		return w.none(v, at)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return w.Type(v.Type()) + "(" + strconv.Quote(string(v.Bytes())) + ")"
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = part(v.Index(i), element)
	}
	return join(open, parts)
}

func (w Writer) none(v reflect.Value, at place) string {
	if at == bare {
		return w.Type(v.Type()) + "(nil)"
	}
	return "nil"
}

func (w Writer) fields(v reflect.Value, part func(reflect.Value, place) string) (parts []string) {
	for field, value := range v.Fields() {
		if value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0 {
			continue
		}
		parts = append(parts, field.Name+": "+part(value, typed))
	}
	return parts
}

func (w Writer) entries(v reflect.Value, depth int, part func(reflect.Value, place) string) []string {
	parts := make([]string, 0, v.Len())
	for key, value := range v.Seq2() {
		parts = append(parts, w.value(key, element, depth-1)+": "+part(value, element))
	}
	slices.Sort(parts)
	return parts
}

// moment writes a time. A time in a field that is not exported can be read by its parts only.
func moment(v reflect.Value) string {
	if !v.CanInterface() {
		return fmt.Sprintf("time.Time{wall: %#x, ext: %d}", v.Field(0).Uint(), v.Field(1).Int())
	}
	at := v.Interface().(time.Time).UTC()
	if at.IsZero() {
		return "time.Time{}"
	}
	return fmt.Sprintf("time.Date(%d, %d, %d, %d, %d, %d, %d, time.UTC)",
		at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond())
}

// defaults are the types that constants have by default.
var defaults = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[string](), reflect.TypeFor[float64](), reflect.TypeFor[complex128](),
}

func (w Writer) constant(v reflect.Value, at place) string {
	text, untyped := constant(v)
	if slices.Contains(defaults, v.Type()) || at != bare && untyped {
		return text
	}
	return w.Type(v.Type()) + "(" + text + ")"
}

// constant writes a value of a basic kind, and reports whether it wrote an untyped constant.
func constant(v reflect.Value) (text string, untyped bool) {
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.String:
		return strconv.Quote(v.String()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(v.Uint(), 10), true
	case reflect.Float32, reflect.Float64:
		return float(v.Float())
	default:
		return fmt.Sprint(v.Complex()), true
	}
}

func float(f float64) (text string, untyped bool) {
	switch {
	case math.IsNaN(f):
		return "math.NaN()", false
	case math.IsInf(f, 0):
		return fmt.Sprintf("math.Inf(%d)", int(math.Copysign(1, f))), false
	case f == 0 && math.Signbit(f):
		return "math.Copysign(0, -1)", false
	}
	text = strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text, true
}
