package eventstore

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/system"
)

// Event is something that happened, as a plain value: a struct whose exported fields are all its data.
type Event interface {
	// EventType is the event's name in the log, such as "account.deposited" or "account.deposited.v2". It is written by
	// hand, the same for all values of the Go type, and stays when the Go type is renamed or moved.
	EventType() string
}

const maxTypeName = 128

// eventType is one type of events as the registry knows it.
type eventType struct {
	name     string
	goType   reflect.Type
	shape    *plain.Shape
	upcaster *upcaster // of an old type, otherwise nil
	// unpackers holds zero values. One event at a time is decoded into each, and copied.
	unpackers sync.Pool
}

// registry knows the events that a store may write and decode. It is fixed when the store is opened.
type registry struct {
	codec   Codec
	byName  map[string]*eventType
	byType  map[reflect.Type]*eventType
	sources map[string][]string // for each type, under which names its events may stand in the log, sorted
}

func newRegistry(codec Codec, prototypes []Event, upcasters []Upcaster) (*registry, error) {
	r := &registry{
		codec: codec, byName: make(map[string]*eventType), byType: make(map[reflect.Type]*eventType), sources: make(map[string][]string),
	}
	for i, p := range prototypes {
		if p == nil {
			return nil, fmt.Errorf("%w: prototype %d is nil", ErrInvalidEvents, i)
		}
		if err := r.add(p, codec.format().Of); err != nil {
			return nil, err
		}
	}
	for _, p := range systemEvents() {
		shape, err := codec.format().Of(reflect.TypeOf(p))
		if err != nil {
			return nil, err
		}
		r.put(reflect.TypeOf(p), p.EventType(), shape)
	}
	return r, r.addUpcasters(upcasters)
}

// add registers one type of the user, and finds out its shape.
func (r *registry) add(p Event, shapeOf func(reflect.Type) (*plain.Shape, error)) error {
	t := reflect.TypeOf(p)
	if t.Kind() == reflect.Pointer { // perhaps nil, so that its methods panic
		return fmt.Errorf("%w: %s: register the value type, not a pointer", ErrInvalidEvents, t)
	}
	name := p.EventType()
	if err := checkTypeName(name); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalidEvents, t, err)
	}
	shape, err := shapeOf(t)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidEvents, err)
	}
	if other, ok := r.byName[name]; ok {
		return fmt.Errorf("%w: %q is the name of both %s and %s", ErrInvalidEvents, name, other.goType, t)
	}
	if other, ok := r.byType[t]; ok {
		return fmt.Errorf("%w: %s is registered as %q and as %q", ErrInvalidEvents, t, other.name, name)
	}
	r.put(t, name, shape)
	return nil
}

func (r *registry) put(t reflect.Type, name string, shape *plain.Shape) {
	kind := &eventType{name: name, goType: t, shape: shape}
	r.byName[name], r.byType[t] = kind, kind
}

// named returns the type of events with a name. If none is registered, the type has only the name.
func (r *registry) named(name []byte) *eventType {
	if t, ok := r.byName[string(name)]; ok {
		return t
	}
	return &eventType{name: string(name)}
}

func checkTypeName(name string) error {
	if name == "" || len(name) > maxTypeName || !utf8.ValidString(name) {
		return fmt.Errorf("event type %q: must be 1 to %d bytes of UTF-8", name, maxTypeName)
	}
	if strings.HasPrefix(name, system.Prefix) {
		return fmt.Errorf("event type %q: names that begin with %q are the toolkit's own", name, system.Prefix)
	}
	for _, c := range name {
		if unicode.IsControl(c) || unicode.IsSpace(c) {
			return fmt.Errorf("event type %q: must not hold blanks or control characters", name)
		}
	}
	return nil
}

// typeOf returns the registered type of an event that is to be written.
func (r *registry) typeOf(e Event) (*eventType, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: the event is nil", ErrUnknownType)
	}
	t, ok := r.byType[reflect.TypeOf(e)]
	if !ok {
		return nil, fmt.Errorf("%w: %T is not among the events the store was opened with", ErrUnknownType, e)
	}
	if t.upcaster != nil {
		return nil, fmt.Errorf("%w: %T is of an old type, which is upcast and not written: write its successor", ErrUnknownType, e)
	}
	return t, nil
}
