// Package defaultstest tests that the Configs of this module refuse what is impossible.
package defaultstest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Refused calls use with one Config after the other, each with one wrong field. Each must be refused with an error that
// matches the sentinel and names the field. The cases are by the field's name, and each field that holds a number needs
// one.
func Refused[C any](t *testing.T, sentinel error, use func(cfg *C) error, wrong map[string][]C) {
	t.Helper()
	for _, field := range reflect.VisibleFields(reflect.TypeFor[C]()) {
		kind := field.Type.Kind()
		if reflect.Int <= kind && kind <= reflect.Int64 && field.IsExported() && len(wrong[field.Name]) == 0 {
			t.Errorf("%s has no wrong value here", field.Name)
		}
	}
	for field, cases := range wrong {
		for _, cfg := range cases {
			if err := use(&cfg); !errors.Is(err, sentinel) || !strings.Contains(err.Error(), field+" is ") {
				t.Errorf("%s: %+v: want an error that is %q and names the field: %v", field, cfg, sentinel, err)
			}
		}
	}
}
