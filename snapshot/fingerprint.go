package snapshot

import (
	"crypto/sha256"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/plain"
)

// fingerprint gives a hash of what makes a state: the types of the state and of the events that are folded into it, old ones
// that are upcast to them included, and how samples of the events are upcast and folded. It differs where the type of the
// state or of an event changed, where an event was added, and where Evolve or an upcaster treats a sample otherwise, unless
// they are not probed.
func fingerprint[S interface{ Evolve(event E) S }, E eventstore.Event](store *eventstore.Store, initial S, clone func(S) S, probed bool) ([]byte, error) {
	h := sha256.New()
	begin, err := plain.Whole(initial)
	if err != nil {
		return nil, err
	}
	describe(h, reflect.TypeFor[S](), nil)
	_, _ = h.Write(begin) // a hash takes everything
	prototypes := store.Prototypes()
	stored := storedAs[E](store, prototypes)
	p := probe[S, E]{store: store, clone: clone, initial: initial, all: clone(initial)}
	for _, prototype := range prototypes {
		if !slices.Contains(stored, prototype.EventType()) {
			continue
		}
		_, _ = fmt.Fprintf(h, "\n%q ", prototype.EventType())
		describe(h, reflect.TypeOf(prototype), nil)
		if !probed {
			continue
		}
		_, _ = fmt.Fprintf(h, "\n%s\n%s\n%s", p.alone(prototype), p.alone(sampleOf(prototype)), p.onTop(sampleOf(prototype)))
	}
	return h.Sum(nil), nil
}

// storedAs gives the names under which events of E may stand in the log.
func storedAs[E eventstore.Event](store *eventstore.Store, prototypes []eventstore.Event) []string {
	var stored []string
	for _, prototype := range prototypes {
		if _, ok := prototype.(E); ok {
			stored = append(stored, store.StoredAs(prototype.EventType())...)
		}
	}
	return stored
}

// describe writes all that a codec sees of a type. Its name is not among that.
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

// probe folds samples.
type probe[S interface{ Evolve(event E) S }, E eventstore.Event] struct {
	store   *eventstore.Store
	clone   func(S) S
	initial S
	all     S // all samples so far, one on top of the other
}

// alone gives what a sample makes of the initial state.
func (p *probe[S, E]) alone(sample eventstore.Event) string {
	_, outcome := p.fold(p.initial, sample)
	return outcome
}

// onTop gives what a sample makes of the state that the samples before left.
func (p *probe[S, E]) onTop(sample eventstore.Event) string {
	state, outcome := p.fold(p.all, sample)
	p.all = state
	return outcome
}

// fold folds a sample into a copy of a state, and gives the canonical bytes of what comes out. User code may not be made
// for such events: that it panics is an outcome too.
func (p *probe[S, E]) fold(state S, sample eventstore.Event) (_ S, outcome string) {
	folded := p.clone(state)
	err := plain.Guard(func() error {
		events, err := p.store.Upcast(sample)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e, ok := e.(E); ok {
				folded = folded.Evolve(e)
			}
		}
		said, err := plain.Whole(folded)
		outcome = string(said)
		return err
	})
	if err != nil {
		return state, "fails"
	}
	return folded, outcome
}

// sampleOf gives an event of a prototype's type with every field filled.
func sampleOf(prototype eventstore.Event) eventstore.Event {
	v := reflect.New(reflect.TypeOf(prototype)).Elem()
	f := filler{}
	f.fill(v, 4)
	return v.Interface().(eventstore.Event)
}

// filler fills values with numbers that count up, so that no two fields are alike.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value, depth int) {
	f.n = f.n%100 + 1 // fits every number type
	switch t := v.Type(); {
	case t == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(int64(f.n), 0).UTC()))
		return
	case plain.Opaque(t) || depth == 0:
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.n))
	case reflect.String:
		v.SetString("sample " + strconv.Itoa(f.n))
	default:
		f.fillComposite(v, depth)
	}
}

func (f *filler) fillComposite(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for field, value := range v.Fields() {
			if value.CanSet() || field.Anonymous && value.Kind() == reflect.Struct {
				f.fill(value, depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i), depth-1)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), depth-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(v.Index(0), depth-1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key, depth-1)
		f.fill(value, depth-1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	}
}
