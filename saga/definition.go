package saga

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/internal/token"
)

// Definition says of which steps the sagas of one kind, with data S, consist. [Define] makes definitions. It has no
// state and is safe for concurrent use.
type Definition[S any] struct {
	name   string
	steps  []step[S]
	starts []start[S]
	shape  *plain.Shape // of the data
}

// Part is a part of a definition: a step of [Step] or [Await], or a start of [StartOn].
type Part[S any] interface {
	// add adds the part to a definition, or says why it cannot be used.
	add(d *Definition[S]) error
}

// step is one step of a definition.
type step[S any] struct {
	name  string
	do    *DoStep[S] // one of both
	await *AwaitStep[S]

	// Of a definition that is opened on a store: the names of the types that are awaited, and the names under which
	// their events may stand in the log.
	awaits, stored []string
}

// The lengths that keep every [Call.Key] below 256 bytes.
const (
	maxID   = 128 // escaped
	maxStep = 40
)

// Define makes the definition of a kind of sagas. The name is the category of the streams that hold their histories, so
// nothing else may be written there. S is plain data: every field of it is exported, and msgpack keeps all of it. The
// steps run in the order of the parts. A saga keeps the steps with which it was started. A later release may add steps
// and change what they do, and an Await may gain events. A step that is taken out must stay defined, under another
// name of the definition, until no saga has it ahead. It returns an error that matches ErrInvalidDefinition.
func Define[S any](name string, parts ...Part[S]) (*Definition[S], error) {
	d := &Definition[S]{name: name}
	if err := d.define(parts); err != nil {
		return nil, fmt.Errorf("saga: %s: %w: %w", name, ErrInvalidDefinition, err)
	}
	return d, nil
}

func (d *Definition[S]) define(parts []Part[S]) error {
	if err := token.CheckName(d.name); err != nil {
		return err
	}
	var err error
	if d.shape, err = plain.Msgpack.Of(reflect.TypeFor[S]()); err != nil {
		return err
	}
	for i, part := range parts {
		if part == nil {
			return fmt.Errorf("part %d is nil", i)
		}
		if err := part.add(d); err != nil {
			return err
		}
	}
	if len(d.steps) == 0 {
		return fmt.Errorf("there is no step")
	}
	return d.checkReturn()
}

// checkReturn refuses a step that may send the saga back past one from which there is no return.
func (d *Definition[S]) checkReturn() error {
	pivot := ""
	for _, s := range d.steps {
		mayFail := s.do != nil && !s.do.retriable || s.await != nil && s.await.otherwise == nil
		if pivot != "" && mayFail {
			return fmt.Errorf("step %q may fail, but after %q, which is retriable, there is no way back: make it Retriable, or give it Else", s.name, pivot)
		}
		if s.do != nil && s.do.retriable {
			pivot = s.name
		}
	}
	return nil
}

// addStep adds a step whose name is not taken.
func (d *Definition[S]) addStep(s step[S]) error {
	if err := token.CheckName(s.name); err != nil || len(s.name) > maxStep {
		return fmt.Errorf("step %q: the name has 1 to %d letters, digits, - or _", s.name, maxStep)
	}
	if _, taken := d.find(s.name); taken {
		return fmt.Errorf("two steps are called %q", s.name)
	}
	d.steps = append(d.steps, s)
	return nil
}

func (d *Definition[S]) find(name string) (step[S], bool) {
	i := slices.IndexFunc(d.steps, func(s step[S]) bool { return s.name == name })
	if i < 0 {
		return step[S]{}, false
	}
	return d.steps[i], true
}

// started is the first event of a saga with encoded data, started by an event at a place or by no event.
func (d *Definition[S]) started(data []byte, cause place) sagaevent.Started {
	started := sagaevent.Started{Data: data, Cause: cause.position, CauseIndex: cause.index}
	for _, s := range d.steps {
		started.Steps, started.Kinds = append(started.Steps, s.name), append(started.Kinds, s.kind())
		started.Awaits = append(started.Awaits, s.awaits)
	}
	return started
}

// awaitsNext reports whether the step after the current one has a deadline.
func (d *Definition[S]) awaitsNext(s *Status) bool {
	if s.At+1 >= len(s.Steps) {
		return false
	}
	next, _ := d.find(s.Steps[s.At+1].Name)
	return next.await != nil
}

func (s step[S]) kind() string {
	if s.await != nil {
		return kindAwait
	}
	return kindDo
}

// undone says what becomes of the step, once it has begun, when the saga goes back: "" for nothing.
func (s step[S]) undone() string {
	switch {
	case s.do != nil && s.do.undo != nil:
		return undoDue
	case s.do != nil && s.do.retriable:
		return undoNever
	}
	return ""
}

// fits returns nil if a saga can be run with the definition, or says why not. Then a step of it is not defined here, or
// is of another kind. Or it awaits an event that it does not await here, or has to be undone and has no Undo here.
func (d *Definition[S]) fits(s *Status) error {
	for _, one := range s.Steps {
		step, found := d.find(one.Name)
		switch {
		case !found:
			return fmt.Errorf("its step %q is not defined here", one.Name)
		case one.Kind != "" && one.Kind != step.kind():
			return fmt.Errorf("its step %q is of the kind %q, and is defined as %q here", one.Name, one.Kind, step.kind())
		case s.Back && one.owed() && step.undone() != undoDue:
			return fmt.Errorf("its step %q has to be undone, and has no Undo here", one.Name)
		case s.Back || one.State != Ahead && one.State != UnderWay:
			continue // it awaits nothing any more
		}
		for _, name := range one.Awaits {
			if !slices.Contains(step.stored, name) {
				return fmt.Errorf("its step %q awaits the event %q, which it does not await here", one.Name, name)
			}
		}
	}
	return nil
}

// on returns the definition as it is on a store, and what it awaits or starts with, by the name of the event as the
// store knows it.
func (d *Definition[S]) on(store *eventstore.Store) (*Definition[S], map[string][]listener[S], error) {
	rules := make(map[string][]listener[S])
	add := func(l listener[S]) (string, error) {
		name, err := l.source.eventType(store)
		if err != nil {
			return "", err
		}
		rules[name] = append(rules[name], l)
		return name, nil
	}
	for _, s := range d.starts {
		if _, err := add(listener[S]{source: s, start: s.start}); err != nil {
			return nil, nil, err
		}
	}
	opened := *d
	opened.steps = slices.Clone(d.steps)
	for i, s := range d.steps {
		if s.await == nil {
			continue
		}
		one := &opened.steps[i]
		for _, event := range s.await.events {
			name, err := add(listener[S]{source: event, step: s.name, key: event.key, take: event.take})
			if err != nil {
				return nil, nil, err
			}
			one.awaits = append(one.awaits, name)
			one.stored = append(one.stored, eventstore.Inside(inside.Pass{}, store).StoredAs(name)...)
		}
	}
	return &opened, rules, nil
}
