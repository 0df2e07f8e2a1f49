package aggregate

import (
	"fmt"
	"reflect"
	"time"
)

// cloner returns the function that copies a state, and whether states may be cached. A state that refers to memory is
// cached only if it has a method Clone.
func cloner[S any](initial S) (clone func(S) S, cacheable bool, err error) {
	if _, ok := any(initial).(interface{ Clone() S }); ok {
		return func(s S) S { return any(s).(interface{ Clone() S }).Clone() }, true, nil
	}
	same := func(s S) S { return s }
	t := reflect.TypeFor[S]()
	switch {
	case t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer:
		return nil, false, fmt.Errorf("%w: state type %s: use a struct value, or give it a method Clone() %s", ErrInvalid, t, t)
	case flat(t):
		return same, true, nil
	case refers(reflect.ValueOf(initial)):
		return nil, false, fmt.Errorf("%w: the initial state %s holds a map, slice or pointer, which all aggregates would share: give %s a method Clone() %s",
			ErrInvalid, t, t, t)
	}
	return same, false, nil
}

// flat reports whether a copy of a value of the type shares no memory with it.
func flat(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true // a Location never changes
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return false
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !flat(f.Type) {
				return false
			}
		}
	}
	return true
}

// refers reports whether a value refers to memory that its copies share.
func refers(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface, reflect.Func, reflect.Chan:
		return !v.IsNil()
	case reflect.Array:
		for i := range v.Len() {
			if refers(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if refers(field) {
				return true
			}
		}
	}
	return false
}
