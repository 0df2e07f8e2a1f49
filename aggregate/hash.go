package aggregate

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"sync"

	"github.com/runnel-go/runnel/internal/plain"
)

// hashCommand returns a hash by which two commands under one key are compared: the first half of a SHA-256 of the name
// of the command's type, with the path of its package, and of its fields. A pointer to a command has its hash.
// Types that were found to be plain are kept in plainTypes.
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
		// Two commands that differ only in something that cannot be compared would be taken for one.
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
