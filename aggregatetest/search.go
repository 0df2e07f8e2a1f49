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

// search looks for a trial that breaks a law.
type search[S aggregate.State[S, E], E eventstore.Event] struct {
	t      testing.TB
	domain *domain[S, E]
	cfg    Config
	lab    *lab[S, E] // nil as long as no store is needed
	drawn  pool[S, E]
}

// runs returns how many runs rapid makes.
func runs(t testing.TB) int {
	t.Helper()
	all, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatalf("aggregatetest: the flag -rapid.checks: %v", err)
	}
	if testing.Short() {
		all /= 5 // as rapid does
	}
	return all
}

// hunt lets rapid draw trials until one fails, and shrinks that one. It does not tell rapid, which shrinks long lists
// slowly because it does not know which command needs which. Commands that rapid draws after the failure go into the
// pool that shrinking uses. Runs beyond the wanted number try nothing.
func (s *search[S, E]) hunt(wanted int, draw func(*rapid.T) trial[S, E], try func(trial[S, E]) *fault) *Counterexample[S, E] {
	s.t.Helper()
	shrinker := shrinker[S, E]{try: try, pool: s.drawn}
	tried := 0
	rapid.Check(s.t, func(rt *rapid.T) {
		if tried++; tried > wanted && shrinker.found == nil {
			return
		}
		c := draw(rt)
		s.drawn.add(c.commands)
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

// decided checks the laws that need no store.
func (s *search[S, E]) decided(c trial[S, E]) *fault {
	_, f := s.domain.play(s.domain.begin(), c.commands)
	return f
}

// sampled checks events of all types in the state after the commands.
func (s *search[S, E]) sampled(c trial[S, E]) *fault {
	h := s.domain.begin()
	_, f := s.domain.play(h, c.commands)
	for _, event := range c.events {
		if f == nil {
			f = s.lab.sample(s.t.Context(), h, event)
		}
	}
	return f
}

// stored sends the commands to a repository.
func (s *search[S, E]) stored(c trial[S, E]) *fault {
	return s.lab.stored(s.t.Context(), nil, c.commands, c.cut)
}

// callerPackage returns the import path of the package that called this one.
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
