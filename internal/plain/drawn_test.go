package plain_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/proptest"
)

// written are types written by hand, with methods that reflection cannot make: how to draw a value, and whether two are
// equal. Where there is no value to draw, the format refuses the type, or the type is filled like any other.
var written = []struct {
	t     reflect.Type
	draw  func(t *rapid.T) any
	equal func(a, b any) bool
}{
	{t: reflect.TypeFor[stampedText]()},
	{t: reflect.TypeFor[byPointer]()},
	{t: reflect.TypeFor[half]()},
	{t: reflect.TypeFor[generic[int]]()},
	{t: reflect.TypeFor[mixed](), draw: func(t *rapid.T) any { return mixed{text(t)} }},
	{t: reflect.TypeFor[secret](), draw: func(t *rapid.T) any { return secret(text(t)) }},
	{t: reflect.TypeFor[forgetful]()},
	{t: reflect.TypeFor[lowered](), draw: func(t *rapid.T) any { return lowered(text(t)) }},
	{t: reflect.TypeFor[Named]()},
	{t: reflect.TypeFor[both]()},
	{t: reflect.TypeFor[money]()},
	{t: reflect.TypeFor[time.Duration]()},
	{t: reflect.TypeFor[stamp](), draw: func(t *rapid.T) any { return stamp{instant(t)} }, equal: func(a, b any) bool {
		return a.(stamp).Equal(b.(stamp).Time) && b.(stamp).Location() == time.UTC
	}},
	{t: reflect.TypeFor[whole](), draw: func(t *rapid.T) any { return whole{Note: text(t)} }},
	{t: reflect.TypeFor[cents](), draw: func(t *rapid.T) any { return cents(rapid.Int64().Draw(t, "cents")) }},
	{t: reflect.TypeFor[level](), draw: func(t *rapid.T) any { return level(rapid.IntRange(0, 2).Draw(t, "level")) }},
	{t: reflect.TypeFor[uuid.UUID](), draw: func(t *rapid.T) any {
		return uuid.UUID([]byte(rapid.StringOfN(rapid.Rune(), 16, -1, 16).Filter(func(s string) bool { return len(s) == 16 }).Draw(t, "uuid")))
	}},
	{t: reflect.TypeFor[netip.Addr](), draw: func(t *rapid.T) any {
		return rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")}).Draw(t, "addr")
	}},
	{t: reflect.TypeFor[big.Int](), draw: func(t *rapid.T) any { return *big.NewInt(rapid.Int64().Draw(t, "big")) }, equal: func(a, b any) bool {
		one, other := a.(big.Int), b.(big.Int)
		return one.Cmp(&other) == 0
	}},
	{t: reflect.TypeFor[json.RawMessage](), draw: func(t *rapid.T) any {
		return json.RawMessage(rapid.SampledFrom([]string{`1`, `{"a":"b"}`, `[null]`}).Draw(t, "raw"))
	}},
}

// embedded are types that a struct may embed. Reflection makes no methods, so they have none.
var embedded = []reflect.Type{
	reflect.TypeFor[Named](), reflect.TypeFor[Titled](), reflect.TypeFor[Percent](), reflect.TypeFor[Optional](),
	reflect.TypeFor[*Named](), reflect.TypeFor[*Percent](), reflect.TypeFor[*Optional](),
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

func drawType(t *rapid.T, depth int) reflect.Type {
	kinds := []string{"basic", "basic", "written", "struct", "struct", "pointer", "slice", "array", "map"}
	if depth == 0 {
		kinds = kinds[:3]
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "written":
		return rapid.SampledFrom(written).Draw(t, "written").t
	case "pointer":
		return reflect.PointerTo(drawType(t, depth-1))
	case "slice":
		return reflect.SliceOf(drawType(t, depth-1))
	case "array":
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(t, "length"), drawType(t, depth-1))
	case "map":
		key := drawType(t, 1)
		if !key.Comparable() {
			key = reflect.TypeFor[string]()
		}
		return reflect.MapOf(key, drawType(t, depth-1))
	case "struct":
		return drawStruct(t, depth)
	}
	return rapid.SampledFrom(basics).Draw(t, "basic")
}

func drawStruct(t *rapid.T, depth int) reflect.Type {
	var fields []reflect.StructField
	names := make(map[string]bool)
	for i := range rapid.IntRange(1, 4).Draw(t, "fields") {
		f := reflect.StructField{Name: string(rune('A' + i)), Tag: rapid.SampledFrom(tags).Draw(t, "tag")}
		if rapid.IntRange(0, 5).Draw(t, "embeds") == 0 {
			f.Anonymous, f.Type = true, rapid.SampledFrom(embedded).Draw(t, "embedded")
			f.Name = strings.TrimPrefix(f.Type.String(), "*")
			f.Name = f.Name[strings.LastIndex(f.Name, ".")+1:]
		} else {
			f.Type = drawType(t, depth-1)
		}
		if !names[f.Name] {
			names[f.Name] = true
			fields = append(fields, f)
		}
	}
	return reflect.StructOf(fields)
}

func text(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "a", "é", "\ufffd", `\ufffd`, "<&>\u2028\x00", "caf\xe9", "\xff", "text"}).Draw(t, "text")
}

func instant(t *rapid.T) time.Time {
	at := time.Unix(rapid.SampledFrom([]int64{0, -1 << 33, 1 << 31, 1 << 35, -62135596800, 253402300800}).Draw(t, "seconds"),
		rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds"))
	return at.In(time.FixedZone("x", rapid.SampledFrom([]int{0, 3600, -5400, 3464, 90000}).Draw(t, "offset")))
}

// drawValue fills a value of any type.
func drawValue(t *rapid.T, v reflect.Value, depth int) {
	for _, w := range written {
		if w.t == v.Type() && w.draw != nil {
			v.Set(reflect.ValueOf(w.draw(t)))
			return
		}
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(instant(t)))
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
		v.SetString(text(t))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int") >> (64 - v.Type().Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint") >> (64 - v.Type().Bits()))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1.5, 0.1, math.MaxFloat32, math.NaN(), math.Inf(1)}).Draw(t, "float"))
	case reflect.Pointer:
		if length() > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			drawValue(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if n := length(); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			drawValue(t, v.Index(i), depth-1)
		}
	case reflect.Map:
		n := length()
		if n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
		}
		for range n {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			drawValue(t, key, depth-1)
			drawValue(t, value, depth-1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() {
				drawValue(t, f, depth-1)
			}
		}
	}
}

// lost returns where two values differ, "" if they are equal but for what a tag leaves out. It is written without what
// it tests.
func lost(a, b reflect.Value, format plain.Format, where string) string {
	for _, w := range written {
		if w.t == a.Type() && w.equal != nil {
			return unlessSame(w.equal(a.Interface(), b.Interface()), where)
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
		return lost(a.Elem(), b.Elem(), format, where)
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() || a.Kind() == reflect.Slice && a.IsNil() != b.IsNil() {
			return where
		}
		for i := range a.Len() {
			if where := lost(a.Index(i), b.Index(i), format, where+"[]"); where != "" {
				return where
			}
		}
		return ""
	case reflect.Map:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return where
		}
		for key, value := range a.Seq2() {
			if !key.Equal(key) {
				continue // what holds no number is not found again
			}
			other := b.MapIndex(key)
			if !other.IsValid() {
				return where + " key"
			}
			if where := lost(value, other, format, where+"[]"); where != "" {
				return where
			}
		}
		return ""
	case reflect.Struct:
		return lostFields(a, b, format, where)
	}
	return unlessSame(reflect.DeepEqual(a.Interface(), b.Interface()), where)
}

func lostFields(a, b reflect.Value, format plain.Format, where string) string {
	for f, value := range a.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get(string(format)), ",")
		other := b.FieldByIndex(f.Index)
		switch {
		case !f.IsExported():
			if !reflect.DeepEqual(reflect.Zero(f.Type), value) {
				continue // of a type that is opaque to us
			}
		case name == "-":
			if !other.IsZero() {
				return where + "." + f.Name
			}
			continue
		case options == "omitempty" && (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0:
			if other.Len() > 0 {
				return where + "." + f.Name
			}
			continue
		}
		if where := lost(value, other, format, where+"."+f.Name); where != "" {
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

// What is accepted comes back equal, what is kept beside it may be kept, and what is refused is named.
func TestDrawnTypesAreKeptOrRefused(t *testing.T) {
	proptest.Runs(t, 200)
	accepted, refused, values, unfit := 0, 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		for range proptest.Volume(1, 50) {
			drawn := drawStruct(rt, 3) // as events are
			for _, format := range []plain.Format{plain.Msgpack, plain.JSON} {
				shape, err := format.Of(drawn)
				if err != nil {
					requireNamed(rt, drawn, err)
					refused++
					continue
				}
				accepted++
				for range 3 {
					values++
					if !tryValue(rt, shape, format, drawn) {
						unfit++
					}
				}
			}
		}
	})
	t.Logf("%d types accepted, %d refused; of %d values %d refused", accepted, refused, values, unfit)
}

// tryValue draws a value of an accepted type, and reports whether it was accepted too.
func tryValue(rt *rapid.T, shape *plain.Shape, format plain.Format, drawn reflect.Type) bool {
	given := reflect.New(drawn)
	drawValue(rt, given.Elem(), 4)
	data, err := shape.Marshal(given.Interface())
	if err != nil {
		requireNamed(rt, drawn, err)
		return false
	}
	live, replayed := reflect.New(drawn), reflect.New(drawn)
	require.NoError(rt, shape.Unmarshal(data, live.Interface()), "%s %s: %v: %s", format, drawn, given.Elem(), data)
	require.NoError(rt, shape.Unmarshal(data, replayed.Interface()))
	require.Empty(rt, lost(given.Elem(), live.Elem(), format, drawn.String()), "%s: %#v: %s", format, given.Elem(), data)
	again, err := shape.Marshal(live.Interface())
	require.NoError(rt, err, "what was stored can be stored again")
	third := reflect.New(drawn)
	require.NoError(rt, shape.Unmarshal(again, third.Interface()))
	require.Empty(rt, lost(live.Elem(), third.Elem(), format, drawn.String()))
	if plain.KeepingOf(drawn) == plain.Itself {
		require.Equal(rt, fmt.Sprintf("%#v", replayed.Elem()), fmt.Sprintf("%#v", given.Elem()), "it is kept as it is")
	}
	return true
}

// requireNamed requires an error to say which part of a type it is about.
func requireNamed(rt *rapid.T, drawn reflect.Type, err error) {
	where, found := strings.CutPrefix(err.Error(), drawn.String())
	require.True(rt, found, "%s: %v", drawn, err)
	if drawn.Name() != "" || drawn.Kind() != reflect.Struct {
		return
	}
	for f := range drawn.Fields() {
		if strings.HasPrefix(where, "."+f.Name) {
			return
		}
	}
	rt.Fatalf("%s: no field is named by: %v", drawn, err)
}
