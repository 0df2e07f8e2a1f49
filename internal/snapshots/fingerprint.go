package snapshots

import (
	"crypto/sha256"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/plain"
)

// fingerprint returns a hash of the types that a state is made from: the state type with its initial value, and the
// types of the events that are folded into it, including the old types that are upcast to them. It does not see what
// Evolve and the upcasters do; the fold version stands for that.
func fingerprint[S interface{ Evolve(event E) S }, E eventstore.Event](store *eventstore.Store, initial S) ([]byte, error) {
	h := sha256.New()
	begin, err := plain.Whole(initial)
	if err != nil {
		return nil, err
	}
	describe(h, reflect.TypeFor[S](), nil)
	_, _ = h.Write(begin) // a hash never fails
	prototypes := eventstore.Inside(inside.Pass{}, store).Prototypes()
	stored := storedAs[E](store, prototypes)
	for _, prototype := range prototypes {
		if slices.Contains(stored, prototype.EventType()) {
			_, _ = fmt.Fprintf(h, "\n%q ", prototype.EventType())
			describe(h, reflect.TypeOf(prototype), nil)
		}
	}
	return h.Sum(nil), nil
}

// storedAs returns the names under which events of E may stand in the log.
func storedAs[E eventstore.Event](store *eventstore.Store, prototypes []eventstore.Event) []string {
	var stored []string
	for _, prototype := range prototypes {
		if _, ok := prototype.(E); ok {
			stored = append(stored, eventstore.Inside(inside.Pass{}, store).StoredAs(prototype.EventType())...)
		}
	}
	return stored
}

// describe writes all that a codec sees of a type. The codec does not see the type's name.
func describe(w io.Writer, t reflect.Type, above []reflect.Type) {
	_, _ = io.WriteString(w, t.Kind().String())
	if up := slices.Index(above, t); up >= 0 {
		_, _ = fmt.Fprintf(w, " as above %d", up)
		return
	}
	if plain.EncodesItself(t) {
		_, _ = fmt.Fprintf(w, " as %s encodes itself", t)
		return
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Struct:
		for f := range t.Fields() {
			_, _ = fmt.Fprintf(w, "{%s %q ", f.Name, f.Tag)
			describe(w, f.Type, above)
			_, _ = io.WriteString(w, "}")
		}
	case reflect.Map:
		describe(w, t.Key(), above)
		describe(w, t.Elem(), above)
	case reflect.Array:
		_, _ = fmt.Fprintf(w, " of %d ", t.Len())
		describe(w, t.Elem(), above)
	case reflect.Pointer, reflect.Slice:
		describe(w, t.Elem(), above)
	}
}
