package aggregate

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/runnel-go/runnel/internal/plain"
)

// cloner gives how states are copied, and whether they may be cached: a state that refers to memory of its own can be
// shared only through its Clone method.
func cloner[S any](initial S) (clone func(S) S, cacheable bool, err error) {
	if _, ok := any(initial).(interface{ Clone() S }); ok {
		return func(s S) S { return any(s).(interface{ Clone() S }).Clone() }, true, nil
	}
	same := func(s S) S { return s }
	t := reflect.TypeFor[S]()
	switch {
	case t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer:
		return nil, false, fmt.Errorf("%w: %s: use a struct value, or give it a method Clone() %s", ErrInvalidState, t, t)
	case flat(t):
		return same, true, nil
	case refers(reflect.ValueOf(initial)):
		return nil, false, fmt.Errorf("%w: the initial %s holds a map, slice or pointer, which all aggregates would share: give %s a method Clone() %s",
			ErrInvalidState, t, t, t)
	}
	return same, false, nil
}

// flat reports whether copying a value of the type copies all of it.
func flat(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true // its location is never changed
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

// refers reports whether a value holds memory that its copies share.
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

// hashCommand gives what tells a command from another under the same key: the SHA-256 of its type's name, with the path of
// its package, and its fields. A pointer stands for what it points to. The types that were found to be plain are kept.
func hashCommand(command any, plainTypes *sync.Map) ([]byte, error) {
	v := reflect.ValueOf(command)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer {
		return nil, fmt.Errorf("%w: the command is nil", ErrInvalidCommand)
	}
	t := v.Type()
	if _, known := plainTypes.Load(t); !known {
		// Two commands that differ in what cannot be compared would be taken for one.
		if err := plain.Check(t); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidCommand, err)
		}
		plainTypes.Store(t, nil)
	}
	fields, err := plain.Canonical(v.Interface())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalidCommand, t, err)
	}
	sum := sha256.Sum256(append([]byte(t.PkgPath()+"\x00"+t.String()+"\x00"), fields...))
	return sum[:16], nil
}
