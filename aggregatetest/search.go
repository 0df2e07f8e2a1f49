package aggregatetest

import (
	"flag"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// search looks for a trial of which a law does not hold.
type search[S aggregate.State[S, E], E eventstore.Event] struct {
	t      testing.TB
	domain *domain[S, E]
	cfg    *Config
	lab    *lab[S, E] // nil for laws that need no store
	drawn  pool[S, E]
}

// runs is how many runs rapid makes.
func runs(t testing.TB) int {
	t.Helper()
	all, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatalf("aggregatetest: how many runs there are: %v", err)
	}
	if testing.Short() {
		all /= 5 // as rapid does
	}
	return all
}

// hunt lets rapid draw trials until one fails, and shrinks that. Rapid does not hear of it: it has no notion of which command is
// needed by which, and shrinks long lists slowly. What it draws after that is put into the place of what was found. Of runs beyond
// those that are wanted nothing is tried.
func (s *search[S, E]) hunt(wanted int, draw func(*rapid.T) trial[S, E], try func(trial[S, E]) *fault) *Counterexample[S, E] {
	s.t.Helper()
	shrinker := shrinker[S, E]{try: try, pool: s.drawn}
	tried := 0
	rapid.Check(s.t, func(rt *rapid.T) {
		if tried++; tried > wanted && shrinker.found == nil {
			return
		}
		c := draw(rt)
		for _, commands := range c.commands {
			s.drawn.add(commands)
		}
		if shrinker.found == nil {
			shrinker.best, shrinker.found = c, try(c)
		}
	})
	if shrinker.found == nil {
		return nil
	}
	shrinker.until = time.Now().Add(shrinkTime)
	shrinker.shrink()
	return s.counterexample(shrinker.best, shrinker.found)
}

// decided tries the laws that need no store.
func (s *search[S, E]) decided(c trial[S, E]) *fault {
	_, f := s.domain.play(s.domain.begin(), c.commands[before])
	return f
}

// sampled tries events of all types.
func (s *search[S, E]) sampled(c trial[S, E]) *fault {
	h, f := s.past(c)
	for _, event := range c.events {
		if f == nil {
			f = s.lab.sample(s.t.Context(), h, event)
		}
	}
	return f
}

func (s *search[S, E]) past(c trial[S, E]) (*history[S, E], *fault) {
	h := s.domain.begin()
	_, f := s.domain.play(h, c.commands[before])
	return h, f
}

// stored tries the commands on a repository.
func (s *search[S, E]) stored(c trial[S, E]) *fault {
	return s.lab.stored(s.t.Context(), nil, c.commands[before], c.cut)
}

// raced tries two clients.
func (s *search[S, E]) raced(c trial[S, E]) *fault {
	h, f := s.past(c)
	if f != nil {
		return f
	}
	return s.lab.race(s.t.Context(), h.events, c.commands[one], c.commands[other])
}

// callerPackage gives the import path of the package that called this one.
func callerPackage() string {
	own := reflect.TypeFor[Config]().PkgPath() + "."
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, own) {
			folder := strings.LastIndex(frame.Function, "/") + 1
			name, _, _ := strings.Cut(frame.Function[folder:], ".")
			return frame.Function[:folder] + strings.ReplaceAll(name, "%2e", ".")
		}
		if !more {
			return ""
		}
	}
}
