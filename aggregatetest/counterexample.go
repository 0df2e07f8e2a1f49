package aggregatetest

import (
	"fmt"
	"go/format"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// Counterexample is the shortest list of commands that was found to break a law.
type Counterexample[S, E any] struct {
	Law      string                    // the law that does not hold
	Why      string                    // how it is broken
	Commands []aggregate.Command[S, E] // one after the other, on an aggregate without events
	Events   []eventstore.Event        // samples of registered types, each on its own after the commands
	Test     string                    // Go source of a test that fails; "" for events of old types
}

// String returns the counterexample as text for people, with the test.
func (c *Counterexample[S, E]) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "this does not hold: %s: %s\n", c.Law, c.Why)
	if c.Test != "" {
		fmt.Fprintf(&text, "\nthe shortest case that was found, as a test:\n\n%s", c.Test)
	}
	return text.String()
}

// counterexample describes a trial that failed.
func (s *search[S, E]) counterexample(c trial[S, E], f *fault) *Counterexample[S, E] {
	return &Counterexample[S, E]{
		Law: f.law, Why: f.why, Commands: c.commands, Events: c.events, Test: s.test(c, f),
	}
}

// test returns the source of a test of the trial.
func (s *search[S, E]) test(c trial[S, E], f *fault) string {
	w := s.domain.writer
	h := s.domain.begin()
	last := []aggregate.Command[S, E]{}
	earlier := c.commands
	if n := len(earlier) - 1; n >= 0 && len(c.events) == 0 {
		earlier, last = earlier[:n], earlier[n:]
	}
	_, _ = s.domain.play(h, earlier) // a law that is broken there is the law of the fault
	given := h.events
	var then string
	switch {
	case len(c.events) > 0:
		event, mine := c.events[0].(E)
		if !mine || !s.domain.events[reflect.TypeOf(event)] {
			return ""
		}
		given = append(slices.Clip(given), event)
		if f.law == lawCodec {
			then = ".\n\t\tThenStored(" + s.store() + ")"
		}
	case f.law == lawInvariant:
		then = ".\n\t\tThenKeeps(" + invariantName(w.Local, f.invariant) + ")"
	case s.lab != nil:
		then = ".\n\t\tThenStored(" + s.store() + ")"
	}
	var code strings.Builder
	fmt.Fprintf(&code, "func Test%sCounterexample(t *testing.T) {\n", title(w.Type(reflect.TypeFor[S]())))
	fmt.Fprintf(&code, "\taggregatetest.For(t, %s)", w.Line(s.domain.initial))
	if len(given) > 0 {
		code.WriteString(".\n\t\tGiven(" + arguments(w.Line, given) + ")")
	}
	for _, command := range last {
		code.WriteString(".\n\t\tWhen(" + w.Line(command) + ")")
	}
	code.WriteString(then + "\n}\n")
	formatted, err := format.Source([]byte(code.String()))
	if err != nil {
		return code.String() // it can still be read
	}
	return string(formatted)
}

// store returns the source of the arguments that opened the lab's store, without those that have no literal.
func (s *search[S, E]) store() string {
	cfg := "nil"
	if codec := s.cfg.Store.Codec; codec != "" {
		cfg = fmt.Sprintf("&eventstore.Config{Codec: %q}", string(codec))
	}
	var prototypes []eventstore.Event
	for _, p := range userEvents(s.lab.store) {
		if s.domain.events[reflect.TypeOf(p)] {
			prototypes = append(prototypes, p)
		}
	}
	return cfg + ", " + arguments(s.domain.writer.Line, prototypes)
}

func arguments[E any](write func(any) string, values []E) string {
	lines := make([]string, len(values))
	for i, v := range values {
		lines[i] = write(v)
	}
	if len(lines) < 2 {
		return strings.Join(lines, "")
	}
	return "\n\t\t\t" + strings.Join(lines, ",\n\t\t\t") + ",\n\t\t"
}

// invariantName returns the name by which a package calls an invariant. An invariant without a name is left for the
// reader to fill in.
func invariantName(local string, invariant any) string {
	name := runtime.FuncForPC(reflect.ValueOf(invariant).Pointer()).Name()
	folder := strings.LastIndex(name, "/") + 1
	pkg, function, _ := strings.Cut(name[folder:], ".")
	if strings.ContainsAny(function, ".[(") {
		return "/* the invariant that does not hold, which has no name */"
	}
	if name[:folder]+pkg == local {
		return function
	}
	return pkg + "." + function
}

// title returns a type's name, capitalized and without its package and type arguments.
func title(name string) string {
	name, _, _ = strings.Cut(name, "[")
	name = name[strings.LastIndex(name, ".")+1:]
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[size:]
}
