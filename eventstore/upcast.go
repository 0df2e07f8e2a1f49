package eventstore

import (
	"fmt"
	"reflect"
	"slices"
)

// Upcaster turns events of an old type into events of newer types, each time one is decoded. The log stays as it is.
// [Upcast] and [UpcastMany] make upcasters, and [Config.Upcasters] takes them.
type Upcaster struct {
	old   Event
	to    []Event
	apply func(Event) []Event
}

// Upcast makes an upcaster that turns each event into one newer event:
//
//	eventstore.Upcast(func(e DepositedV1) Deposited { return Deposited{Amount: e.Amount, Currency: "CZK"} })
//
// The function must be pure. The type that it returns may itself be upcast further.
func Upcast[Old, New Event](f func(Old) New) Upcaster {
	return Upcaster{
		old:   prototypeOf[Old](),
		to:    []Event{prototypeOf[New]()},
		apply: func(e Event) []Event { return []Event{f(e.(Old))} },
	}
}

// UpcastMany makes an upcaster that turns each event into one or more newer events, in the order in which they are to
// be read. The prototypes are of all types that the function returns. The function must be pure, and return at least
// one event.
func UpcastMany[Old Event](f func(Old) []Event, prototypes ...Event) Upcaster {
	return Upcaster{
		old:   prototypeOf[Old](),
		to:    prototypes,
		apply: func(e Event) []Event { return f(e.(Old)) },
	}
}

// prototypeOf returns the zero event of a type. It returns nil for an interface or pointer type, which newRegistry
// refuses.
func prototypeOf[E Event]() Event {
	if kind := reflect.TypeFor[E]().Kind(); kind == reflect.Interface || kind == reflect.Pointer {
		return nil
	}
	return *new(E)
}

// upcaster is an Upcaster whose types are known to a registry.
type upcaster struct {
	from  string
	to    []*eventType
	apply func(Event) []Event
}

// addUpcasters registers the old types, for decoding only, and then the types that their events become.
func (r *registry) addUpcasters(upcasters []Upcaster) error {
	for i, u := range upcasters {
		if u.old == nil || len(u.to) == 0 || slices.Contains(u.to, nil) || u.apply == nil {
			return fmt.Errorf("%w: upcaster %d: write it for struct types: it is from %T to %v", ErrInvalidEvents, i, u.old, u.to)
		}
		if err := r.add(u.old, r.codec.format().Written); err != nil {
			return fmt.Errorf("%w: upcaster %d: an old type is not written any more, so it is not among the events", err, i)
		}
		r.byType[reflect.TypeOf(u.old)].upcaster = &upcaster{from: u.old.EventType(), apply: u.apply}
	}
	for _, u := range upcasters {
		from := r.byType[reflect.TypeOf(u.old)].upcaster
		for _, e := range u.to {
			to, ok := r.byType[reflect.TypeOf(e)]
			if !ok {
				return fmt.Errorf("%w: %q is upcast to %T, which is not among the events the store is opened with", ErrInvalidEvents, from.from, e)
			}
			from.to = append(from.to, to)
		}
	}
	return r.indexSources()
}

// indexSources notes for each type under which names its events may stand in the log, and refuses upcasters that form a
// circle.
func (r *registry) indexSources() error {
	for _, stored := range r.byName {
		reached := []*eventType{stored}
		for i := 0; i < len(reached); i++ {
			u := reached[i].upcaster
			if u == nil {
				continue
			}
			for _, to := range u.to {
				if to == stored {
					return fmt.Errorf("%w: the upcasters of %q lead back to it", ErrInvalidEvents, stored.name)
				}
				if !slices.Contains(reached, to) {
					reached = append(reached, to)
				}
			}
		}
		for _, t := range reached {
			r.sources[t.name] = append(r.sources[t.name], stored.name)
		}
	}
	for _, sources := range r.sources {
		slices.Sort(sources)
	}
	return nil
}

// upcast returns what an event of a type, decoded from the log, becomes today. Upcasters form no circle, so it ends.
func (r *registry) upcast(t *eventType, e Event) ([]Event, error) {
	u := t.upcaster
	if u == nil {
		return []Event{e}, nil
	}
	newer, err := u.run(e)
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, e := range newer {
		to := r.byType[reflect.TypeOf(e)]
		if !slices.Contains(u.to, to) {
			return nil, fmt.Errorf("the upcaster of %q returns a %T, which is not among its prototypes", u.from, e)
		}
		further, err := r.upcast(to, e)
		if err != nil {
			return nil, err
		}
		all = append(all, further...)
	}
	return all, nil
}

// run calls the function. Its panic becomes an error.
func (u *upcaster) run(e Event) (newer []Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the upcaster of %q panics: %v", u.from, p)
		}
	}()
	if newer = u.apply(e); len(newer) == 0 {
		return nil, fmt.Errorf("the upcaster of %q returns no event", u.from)
	}
	return newer, nil
}
