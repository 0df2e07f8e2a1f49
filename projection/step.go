package projection

import (
	"errors"
	"slices"
	"strings"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
)

// step is one rule that is applied to one document because of one event.
type step[V any] struct {
	rule     Rule[V]
	key      string // of the document, or the stand-in for a key that cannot be stored
	from     string // the key from which the rule moves the document, or ""
	unit     string // the name of the unit that the step belongs to
	event    eventstore.Event
	recorded eventstore.Recorded
	fault    error // why the step cannot be taken, or nil
}

// unit is the part of a commit, or of the commits of a transaction, that must be written in one batch: the steps for
// one key, or for the keys between which documents move. Units of one group depend on each other in nothing.
type unit[V any] struct {
	name  string // the least of its keys
	keys  int
	steps []step[V] // in the order of the log and of the rules
	group *eventstore.Commit

	whole  bool // with it, all of the group is folded; group is the last commit of it
	events int  // of the group, those with a rule; known if it is whole
}

// plan decodes the events of groups of commits that the view has rules for, and returns what they do, unit by unit. The
// units of a group come in the order of their names, and the last of them is whole, even if it has no steps.
func (f *folder[V]) plan(groups [][]*eventstore.Commit) ([]unit[V], error) {
	f.wanted = f.wanted[:0]
	for _, group := range groups {
		for _, c := range group {
			for recorded := range c.Events() {
				if _, ok := f.spec.rules.stored[recorded.Type()]; ok {
					f.wanted = append(f.wanted, recorded)
				}
			}
		}
	}
	steps, err := f.stepsOf(f.wanted)
	if err != nil {
		return nil, err
	}
	units, wanted := make([]unit[V], 0, max(len(groups), len(steps))), f.wanted
	for _, group := range groups {
		last := group[len(group)-1]
		n := 0
		for n < len(steps) && steps[n].recorded.Position <= last.Position {
			n++
		}
		units = f.divide(units, steps[:n:n], last)
		steps = steps[n:]
		whole := &units[len(units)-1]
		for whole.events < len(wanted) && wanted[whole.events].Position <= last.Position {
			whole.events++
		}
		wanted = wanted[whole.events:]
	}
	return units, nil
}

// stepsOf decodes events and asks their rules for keys. None of that is done twice, even if it ends the goroutine.
func (f *folder[V]) stepsOf(events []eventstore.Recorded) (all []step[V], err error) {
	next := 0
	decode := func() (err error) {
		for ; next < len(events) && err == nil; next++ {
			all, err = f.stepsOfEvent(all, events[next])
		}
		return err
	}
	for {
		broken, err := f.guarded(decode)
		if broken == nil {
			return all, err
		}
		if all, err = f.unreadable(all, events[next], broken); err != nil {
			return nil, err
		}
		next++
	}
}

// stepsOfEvent appends the steps of one event. Each document takes over memory of its event, so each step is given an
// event of its own.
func (f *folder[V]) stepsOfEvent(all []step[V], recorded eventstore.Recorded) ([]step[V], error) {
	events, err := f.decode(recorded)
	if err != nil {
		return f.unreadable(all, recorded, err)
	}
	first := len(all)
	for i, event := range events {
		name, err := eventstore.Inside(inside.Pass{}, f.spec.store).TypeOf(event)
		if err != nil {
			return all, err // unreachable: what Decode returns is registered and current
		}
		for _, rule := range f.spec.rules.byType[name] {
			begun := len(all)
			if all, err = f.stepsOfRule(all, rule, event, recorded); err != nil {
				return all, err
			}
			for at := max(begun, first+1); at < len(all) && f.spec.rules.shared[name]; at++ {
				own, err := f.decode(recorded)
				if err != nil {
					return f.unreadable(all[:first], recorded, err)
				}
				all[at].event = own[i]
			}
		}
	}
	return all, nil
}

// decode decodes an event, which may run code of the user: upcasters and methods of the event's type.
func (f *folder[V]) decode(recorded eventstore.Recorded) (events []eventstore.Event, err error) {
	if failed := f.calls.Call(func() { events, err = recorded.Decode() }); failed != nil {
		return nil, failed
	}
	return events, err
}

// stepsOfRule appends the steps of one rule for one event. A key function that fails stops the view, because which
// document the event is about cannot be known.
func (f *folder[V]) stepsOfRule(all []step[V], rule Rule[V], event eventstore.Event, recorded eventstore.Recorded) ([]step[V], error) {
	var keys []string
	if failed := f.calls.Call(func() { keys = rule.keysOf(event, recorded) }); failed != nil {
		return all, f.spec.blame(recorded, "", failed)
	}
	if rule.moves() {
		from, to := keys[0], keys[1]
		if from == "" || to == "" || from == to {
			return all, nil
		}
		moving := f.stepFor(rule, to, event, recorded)
		moving.from = standIn(from)
		return append(all, moving), nil
	}
	for _, key := range distinct(keys) {
		if key != "" {
			all = append(all, f.stepFor(rule, key, event, recorded))
		}
	}
	return all, nil
}

func (f *folder[V]) stepFor(rule Rule[V], key string, event eventstore.Event, recorded eventstore.Recorded) step[V] {
	s := step[V]{rule: rule, key: key, event: event, recorded: recorded}
	if err := checkKey(key); err != nil {
		s.key, s.fault = standIn(key), f.spec.blame(recorded, key, err)
	}
	s.unit = s.key
	return s
}

// unreadable appends the step of an event that could not be decoded. Its key is known if all rules for it go by the
// stream.
func (f *folder[V]) unreadable(all []step[V], recorded eventstore.Recorded, err error) ([]step[V], error) {
	byStream, key := f.spec.rules.stored[recorded.Type()], ""
	if byStream {
		key = recorded.Stream.ID
	}
	if _, ok := errors.AsType[*eventstore.ReadError](err); ok {
		err = f.spec.failed(err) // it names the event
	} else {
		err = f.spec.blame(recorded, key, err)
	}
	if !byStream || !f.spec.cfg.Park {
		return all, err
	}
	return append(all, step[V]{key: key, unit: key, recorded: recorded, fault: err}), nil
}

// distinct returns each of the keys once, in their order.
func distinct(keys []string) []string {
	if len(keys) < 2 {
		return keys
	}
	seen, once := make(map[string]bool, len(keys)), make([]string, 0, len(keys))
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			once = append(once, key)
		}
	}
	return once
}

// divide appends the units of the steps of one group, which it sorts.
func (f *folder[V]) divide(units []unit[V], steps []step[V], group *eventstore.Commit) []unit[V] {
	if f.spec.rules.moves {
		couple(steps)
	}
	slices.SortStableFunc(steps, func(a, b step[V]) int { return strings.Compare(a.unit, b.unit) })
	before := len(units)
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && steps[n].unit == steps[0].unit {
			n++
		}
		units = append(units, unit[V]{name: steps[0].unit, keys: f.keysIn(steps[:n]), steps: steps[:n:n], group: group})
		steps = steps[n:]
	}
	if len(units) == before {
		units = append(units, unit[V]{group: group})
	}
	units[len(units)-1].whole = true
	return units
}

// couple makes one unit of the keys between which documents move, and names it by the least of them.
func couple[V any](steps []step[V]) {
	above := make(map[string]string) // keys that are coupled, each to a lesser one
	least := func(key string) string {
		for above[key] != "" {
			key = above[key]
		}
		return key
	}
	for _, s := range steps {
		if s.from == "" {
			continue
		}
		if a, b := least(s.from), least(s.key); a < b {
			above[b] = a
		} else if b < a {
			above[a] = b
		}
	}
	for i := range steps {
		steps[i].unit = least(steps[i].key)
	}
}

// keysIn counts the keys of one unit's steps.
func (f *folder[V]) keysIn(steps []step[V]) int {
	if !f.spec.rules.moves {
		return 1
	}
	keys := make(map[string]bool)
	for _, s := range steps {
		keys[s.key] = true
		if s.from != "" {
			keys[s.from] = true
		}
	}
	return len(keys)
}
