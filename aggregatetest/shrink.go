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
	// shrinkTime bounds shrinking. It takes milliseconds in memory, and milliseconds for each trial in a store.
	shrinkTime = 10 * time.Second
	// poolSize is how many commands of each kind are tried in place of another, the shortest first.
	poolSize = 40
	// pairsUpTo is the most commands for which two are changed at once.
	pairsUpTo = 8
)

// pool keeps the commands that were drawn. Shrinking uses no others, because the domain need not accept them.
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

// kind returns the types that a form names: the type of a command, and the types of its parts.
func kind(form string) string { return strings.Join(literals.FindAllString(form, -1), "") }

// like returns the commands of the same kind, the shortest first.
func (p pool[S, E]) like(command aggregate.Command[S, E]) (list []aggregate.Command[S, E]) {
	of := p[kind(form(command))]
	for _, text := range slices.SortedFunc(maps.Keys(of), shorter) {
		list = append(list, of[text])
	}
	return list[:min(len(list), poolSize)]
}

// smaller returns the commands of the same kind that are shorter.
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

// shrinker makes a failing trial smaller as long as it fails.
type shrinker[S aggregate.State[S, E], E eventstore.Event] struct {
	try   func(trial[S, E]) *fault
	pool  pool[S, E]
	best  trial[S, E]
	found *fault
	until time.Time
}

// shrink removes commands, many at once before one by one. It replaces the remaining commands with smaller ones, one at
// a time and two at a time, until nothing helps (delta debugging; Zeller and Hildebrandt, 2002).
func (s *shrinker[S, E]) shrink() {
	for s.remove() || s.removePairs() || s.removeAndReplace() || s.replace() || s.replacePairs() || s.shrinkEvents() {
	}
}

// accept makes a trial the best one if it is smaller and breaks the same law.
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
	for chunk := len(s.best.commands); chunk > 0; chunk /= 2 {
		for begin := 0; begin+chunk <= len(s.best.commands); {
			if s.accept(s.best.without(begin, begin+chunk)) {
				changed = true
			} else {
				begin += chunk
			}
		}
	}
	return changed
}

// removePairs removes two commands that need each other.
func (s *shrinker[S, E]) removePairs() bool {
	for i := range min(len(s.best.commands), pairsUpTo) {
		for j := range i {
			if s.accept(s.best.without(i, i+1).without(j, j+1)) {
				return true
			}
		}
	}
	return false
}

// removeAndReplace removes a command that is not needed if another becomes larger.
func (s *shrinker[S, E]) removeAndReplace() bool {
	if len(s.best.commands) > pairsUpTo {
		return false
	}
	for gone := range s.best.commands {
		for at, command := range s.best.commands {
			for _, like := range s.pool.like(command) {
				if gone != at && s.accept(s.best.with(at, like).without(gone, gone+1)) {
					return true
				}
			}
		}
	}
	return false
}

func (s *shrinker[S, E]) replace() (changed bool) {
	for at, command := range s.best.commands {
		for _, smaller := range s.pool.smaller(command) {
			if s.accept(s.best.with(at, smaller)) {
				changed = true
				break
			}
		}
	}
	return changed
}

// replacePairs replaces two commands that can become smaller only together.
func (s *shrinker[S, E]) replacePairs() bool {
	if len(s.best.commands) > pairsUpTo {
		return false
	}
	for a := range s.best.commands {
		for b := range a {
			for _, x := range s.pool.smaller(s.best.commands[a]) {
				for _, y := range s.pool.smaller(s.best.commands[b]) {
					if s.accept(s.best.with(a, x).with(b, y)) {
						return true
					}
				}
			}
		}
	}
	return false
}

// shrinkEvents removes samples, and empties the fields of the remaining samples.
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
