package aggregatetest

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

const (
	// shrinkTime bounds shrinking, which takes milliseconds in memory and trials of milliseconds each in a store.
	shrinkTime = 10 * time.Second
	// poolSize is how many commands of each kind are tried in the place of another: the ones that say least.
	poolSize = 40
	// pairsUpTo is for how many commands two are changed at once.
	pairsUpTo = 8
)

// pool keeps commands that were drawn. What is drawn is what the domain must bear, so shrinking makes up no others.
type pool[S, E any] map[string]map[string]aggregate.Command[S, E] // by kind and form

func (p pool[S, E]) add(commands []aggregate.Command[S, E]) {
	for _, command := range commands {
		text := form(command)
		of := kind(text)
		if p[of] == nil {
			p[of] = make(map[string]aggregate.Command[S, E])
		}
		p[of][text] = command
	}
}

var literals = regexp.MustCompile(`[\w.]+{`)

// kind gives the types that a form names: those of a command, and of what it wraps.
func kind(form string) string { return strings.Join(literals.FindAllString(form, -1), "") }

// like gives the commands of a kind, from the one that says least on.
func (p pool[S, E]) like(command aggregate.Command[S, E]) (list []aggregate.Command[S, E]) {
	of := p[kind(form(command))]
	for _, text := range slices.SortedFunc(maps.Keys(of), shorter) {
		list = append(list, of[text])
	}
	return list[:min(len(list), poolSize)]
}

// smaller gives those of them that say less.
func (p pool[S, E]) smaller(command aggregate.Command[S, E]) []aggregate.Command[S, E] {
	text := form(command)
	return slices.DeleteFunc(p.like(command), func(other aggregate.Command[S, E]) bool { return shorter(form(other), text) >= 0 })
}

func shorter(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// shrinker makes a trial that fails smaller, as long as it fails.
type shrinker[S aggregate.State[S, E], E eventstore.Event] struct {
	try   func(trial[S, E]) *fault
	pool  pool[S, E]
	best  trial[S, E]
	found *fault
	until time.Time
}

// shrink takes out commands, many at once before one by one, and puts smaller ones into the place of those that are left, one at
// a time and two at a time, until nothing helps (delta debugging; Zeller and Hildebrandt, 2002).
func (s *shrinker[S, E]) shrink() {
	for s.remove() || s.removePairs() || s.removeAndReplace() || s.replace() || s.replacePairs() || s.shrinkEvents() {
	}
}

// accept takes a trial over if it is smaller and breaks the same law.
func (s *shrinker[S, E]) accept(c trial[S, E]) bool {
	if time.Now().After(s.until) || !c.size().less(s.best.size()) {
		return false
	}
	f := s.try(c)
	same := f != nil && f.law == s.found.law
	if same {
		s.best, s.found = c, f
	}
	return same
}

func (s *shrinker[S, E]) remove() (changed bool) {
	for part := range s.best.commands {
		for chunk := len(s.best.commands[part]); chunk > 0; chunk /= 2 {
			for begin := 0; begin+chunk <= len(s.best.commands[part]); {
				if s.accept(s.best.without(part, begin, begin+chunk)) {
					changed = true
				} else {
					begin += chunk
				}
			}
		}
	}
	return changed
}

// removePairs takes out two commands that need each other.
func (s *shrinker[S, E]) removePairs() bool {
	for part, list := range s.best.commands {
		for i := range min(len(list), pairsUpTo) {
			for j := range i {
				if s.accept(s.best.without(part, i, i+1).without(part, j, j+1)) {
					return true
				}
			}
		}
	}
	return false
}

// removeAndReplace takes out a command that is not needed where another is a larger one.
func (s *shrinker[S, E]) removeAndReplace() bool {
	slots := s.best.slots()
	if len(slots) > pairsUpTo {
		return false
	}
	for _, gone := range slots {
		for _, at := range slots {
			for _, like := range s.pool.like(s.best.commands[at.part][at.index]) {
				if gone != at && s.accept(s.best.with(at, like).without(gone.part, gone.index, gone.index+1)) {
					return true
				}
			}
		}
	}
	return false
}

func (s *shrinker[S, E]) replace() (changed bool) {
	for _, at := range s.best.slots() {
		for _, smaller := range s.pool.smaller(s.best.commands[at.part][at.index]) {
			if s.accept(s.best.with(at, smaller)) {
				changed = true
				break
			}
		}
	}
	return changed
}

// replacePairs replaces two commands where each would have to become smaller with the other.
func (s *shrinker[S, E]) replacePairs() bool {
	slots := s.best.slots()
	if len(slots) > pairsUpTo {
		return false
	}
	for i, a := range slots {
		for _, b := range slots[:i] {
			for _, x := range s.pool.smaller(s.best.commands[a.part][a.index]) {
				for _, y := range s.pool.smaller(s.best.commands[b.part][b.index]) {
					if s.accept(s.best.with(a, x).with(b, y)) {
						return true
					}
				}
			}
		}
	}
	return false
}

// shrinkEvents leaves out samples, and empties the fields of those that are left.
func (s *shrinker[S, E]) shrinkEvents() bool {
	for i, event := range s.best.events {
		if s.accept(s.best.withoutEvent(i)) {
			return true
		}
		v := reflect.ValueOf(event)
		for field := range v.NumField() {
			less := reflect.New(v.Type()).Elem()
			less.Set(v)
			if !less.Field(field).CanSet() {
				continue
			}
			less.Field(field).SetZero()
			if s.accept(s.best.withEvent(i, less.Interface().(eventstore.Event))) {
				return true
			}
		}
	}
	return false
}
