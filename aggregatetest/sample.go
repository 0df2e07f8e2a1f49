package aggregatetest

import (
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/plain"
)

// sampled returns two events of each type: one without data, and a drawn one.
func sampled(rt *rapid.T, prototypes []eventstore.Event) []eventstore.Event {
	events := slices.Clone(prototypes)
	for _, prototype := range prototypes {
		v := reflect.New(reflect.TypeOf(prototype)).Elem()
		fill(rt, v, 3)
		events = append(events, v.Interface().(eventstore.Event))
	}
	return events
}

// fill draws a plain value. Types that encode themselves stay zero, except times, because their valid values are not
// known.
func fill(rt *rapid.T, v reflect.Value, depth int) {
	switch t := v.Type(); {
	case t == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(rapid.Int64Range(0, 1<<33).Draw(rt, "time"), 0).UTC()))
		return
	case plain.Opaque(t) || depth == 0:
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(rt, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		most := int64(1)<<(v.Type().Bits()-1) - 1
		v.SetInt(rapid.Int64Range(-most-1, most).Draw(rt, "int"))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64Range(0, 1<<v.Type().Bits()-1).Draw(rt, "uint"))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(rapid.Float32().Draw(rt, "float"))) // both types hold it
	case reflect.String:
		v.SetString(rapid.StringN(0, 8, -1).Draw(rt, "string"))
	default:
		fillComposite(rt, v, depth)
	}
}

// most is how many elements a slice or map of a sample has.
const most = 2

func fillComposite(rt *rapid.T, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for field, value := range v.Fields() {
			if value.CanSet() || field.Anonymous && value.Kind() == reflect.Struct {
				fill(rt, value, depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rt, v.Index(i), depth-1)
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(rt, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rt, v.Elem(), depth-1)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, most).Draw(rt, "length")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rt, v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, most).Draw(rt, "length") {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(rt, key, depth-1)
			fill(rt, value, depth-1)
			v.SetMapIndex(key, value)
		}
	}
}
