package aggregatetest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/literal"
)

// Config holds the settings of Check and Search. A nil *Config and the zero Config give the defaults. A negative
// MaxCommands fails the test.
type Config struct {
	// Store is the configuration of the store, with its upcasters and codec. Defaults to none.
	Store *eventstore.Config
	// MaxCommands is the most commands that an aggregate gets in memory. In a store it gets at most a third of them.
	// Defaults to 60.
	MaxCommands int
	// NoSnapshots skips the laws of snapshots, for states that are never to be stored. Defaults to false.
	NoSnapshots bool
}

// withDefaults returns a copy in which every field is set. It refuses a negative number.
func (c *Config) withDefaults() (Config, error) {
	full := defaults.Of(c)
	if full.Store == nil {
		full.Store = &eventstore.Config{}
	}
	return full, defaults.Set("MaxCommands", &full.MaxCommands, 60)
}

// inMemory is how many times more lists of commands are tried in memory, because they cost little there.
const inMemory = 10

// Check tries random lists of commands on an aggregate. If a law of the package documentation or an invariant does not
// hold, it fails the test with the shortest list that breaks it. The events are the prototypes for a store of the
// domain.
//
//	commands -> decide, fold, ask the invariants          all runs     in memory
//	         -> any registered event, in any state        a fifth      stored, decoded, upcast and folded
//	         -> the same commands to a repository         a fifth      in a real store, replayed, and from a snapshot
//
// A run is one list of commands. There are 100 runs, or as many as -rapid.checks and RAPID_CHECKS say. Check blocks for
// a second or two, and while it shrinks a list that fails.
func Check[S aggregate.State[S, E], E eventstore.Event](
	t testing.TB, initial S, events []eventstore.Event, commands *rapid.Generator[aggregate.Command[S, E]], cfg *Config, invariants ...Invariant[S, E],
) {
	t.Helper()
	if found := Search(t, initial, events, commands, cfg, invariants...); found != nil {
		t.Fatalf("aggregatetest: %s", found)
	}
}

// Search is Check that returns what it finds, or nil, instead of failing the test. Use it to show that the invariants
// find a planted mistake.
func Search[S aggregate.State[S, E], E eventstore.Event](
	t testing.TB, initial S, events []eventstore.Event, commands *rapid.Generator[aggregate.Command[S, E]], cfg *Config, invariants ...Invariant[S, E],
) *Counterexample[S, E] {
	t.Helper()
	d := &domain[S, E]{
		initial: initial, events: typesOf(events), invariants: invariants, writer: literal.Writer{Local: callerPackage()},
	}
	full, err := cfg.withDefaults()
	if err != nil {
		t.Fatalf("aggregatetest: %v", err)
	}
	s := &search[S, E]{t: t, domain: d, cfg: full, drawn: make(pool[S, E])}
	long, list := lists(commands, full.MaxCommands), lists(commands, max(full.MaxCommands/3, 1))
	all := runs(t)
	few := max(all/5, 1)
	for range inMemory {
		if found := s.hunt(all, func(rt *rapid.T) trial[S, E] { return trial[S, E]{commands: long.Draw(rt, "commands")} }, s.decided); found != nil {
			return found
		}
	}
	if s.lab, err = openLab(t, d, events, full); err != nil {
		t.Fatalf("aggregatetest: open a store: %v", err)
	}
	prototypes := userEvents(s.lab.store)
	found := s.hunt(few, func(rt *rapid.T) trial[S, E] {
		return trial[S, E]{commands: list.Draw(rt, "commands"), events: sampled(rt, prototypes)}
	}, s.sampled)
	if found != nil {
		return found
	}
	return s.hunt(few, func(rt *rapid.T) trial[S, E] {
		commands := list.Draw(rt, "commands")
		return trial[S, E]{commands: commands, cut: rapid.IntRange(0, len(commands)).Draw(rt, "snapshot")}
	}, s.stored)
}

// lists draws lists of commands. Rapid's own lists have 5 elements on average if they may be empty, which is too few to
// get anywhere.
func lists[C any](commands *rapid.Generator[C], most int) *rapid.Generator[[]C] {
	least := rapid.SampledFrom([]int{0, most / 8, most / 2})
	return rapid.Custom(func(rt *rapid.T) []C {
		return rapid.SliceOfN(commands, least.Draw(rt, "least"), most).Draw(rt, "list")
	})
}
