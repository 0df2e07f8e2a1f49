package aggregatetest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/literal"
)

// Config holds what Check needs beyond its arguments. A nil *Config and the zero Config give the defaults.
type Config struct {
	// Store is the configuration of the store that events are stored in, with their upcasters and codec. Defaults to none.
	Store *eventstore.Config
	// MaxCommands is how many commands an aggregate gets at most in memory; it gets a third of them in a store. Defaults to 60.
	MaxCommands int
	// NoSnapshots leaves snapshots out, for states that are never to be stored. Defaults to false.
	NoSnapshots bool
}

func (c *Config) store() *eventstore.Config {
	if c == nil || c.Store == nil {
		return &eventstore.Config{}
	}
	return c.Store
}

func (c *Config) maxCommands() int {
	if c == nil || c.MaxCommands <= 0 {
		return 60
	}
	return c.MaxCommands
}

func (c *Config) noSnapshots() bool { return c != nil && c.NoSnapshots }

// maxAtOnce is how many commands each of two clients sends at once. The orders of two lists of n are (2n)!/(n!)².
const maxAtOnce = 4

// inMemory is how many times more lists of commands are tried in memory, which costs little.
const inMemory = 10

// Check tries random lists of commands on an aggregate and fails the test with the shortest one for which a law of the
// package documentation, or an invariant, does not hold. The events are what a store of the domain is opened with.
//
//	commands -> decide, fold, ask the invariants          all runs     in memory
//	         -> any registered event, in any state        a fifth      stored, decoded, upcast and folded
//	         -> the same commands to a repository         a fifth      in a real store, replayed, and from a snapshot
//	         -> two clients at once                       a fifth      in a real store
//
// A run is one list of commands; there are 100, or as many as -rapid.checks and RAPID_CHECKS say. It blocks until all have
// been tried, a second or two, and as long again as shrinking takes where one fails.
func Check[S aggregate.State[S, E], E eventstore.Event](
	t testing.TB, initial S, events []eventstore.Event, commands *rapid.Generator[aggregate.Command[S, E]], cfg *Config, invariants ...Invariant[S, E],
) {
	t.Helper()
	if found := Search(t, initial, events, commands, cfg, invariants...); found != nil {
		t.Fatalf("aggregatetest: %s", found)
	}
}

// Search is Check that gives what it finds, or nil, and does not fail the test for it: to show that the invariants find a
// mistake that is planted.
func Search[S aggregate.State[S, E], E eventstore.Event](
	t testing.TB, initial S, events []eventstore.Event, commands *rapid.Generator[aggregate.Command[S, E]], cfg *Config, invariants ...Invariant[S, E],
) *Counterexample[S, E] {
	t.Helper()
	d := &domain[S, E]{
		initial: initial, events: typesOf(events), invariants: invariants, writer: literal.Writer{Local: callerPackage()},
	}
	s := &search[S, E]{t: t, domain: d, cfg: cfg, drawn: make(pool[S, E])}
	long, list := lists(commands, cfg.maxCommands()), lists(commands, max(cfg.maxCommands()/3, 1))
	all := runs(t)
	few := max(all/5, 1)
	for range inMemory {
		if found := s.hunt(all, func(rt *rapid.T) trial[S, E] { return after(long.Draw(rt, "commands")) }, s.decided); found != nil {
			return found
		}
	}
	var err error
	if s.lab, err = openLab(t, d, events, cfg); err != nil {
		t.Fatalf("aggregatetest: open a store: %v", err)
	}
	prototypes := userEvents(s.lab.store)
	found := s.hunt(few, func(rt *rapid.T) trial[S, E] {
		c := after(list.Draw(rt, "commands"))
		c.events = sampled(rt, prototypes)
		return c
	}, s.sampled)
	if found != nil {
		return found
	}
	found = s.hunt(few, func(rt *rapid.T) trial[S, E] {
		c := after(list.Draw(rt, "commands"))
		c.cut = rapid.IntRange(0, len(c.commands[before])).Draw(rt, "snapshot")
		return c
	}, s.stored)
	if found != nil {
		return found
	}
	short := rapid.SliceOfN(commands, 1, maxAtOnce)
	return s.hunt(few, func(rt *rapid.T) trial[S, E] {
		c := after(list.Draw(rt, "commands"))
		c.commands[one], c.commands[other] = short.Draw(rt, "one"), short.Draw(rt, "other")
		return c
	}, s.raced)
}

// after gives the trial that begins with some commands.
func after[S, E any](commands []aggregate.Command[S, E]) (c trial[S, E]) {
	c.commands[before] = commands
	return c
}

// lists draws lists of commands. Rapid's own have 5 on average where none is the least, which is too few to get anywhere.
func lists[C any](commands *rapid.Generator[C], most int) *rapid.Generator[[]C] {
	least := rapid.SampledFrom([]int{0, most / 8, most / 2})
	return rapid.Custom(func(rt *rapid.T) []C {
		return rapid.SliceOfN(commands, least.Draw(rt, "least"), most).Draw(rt, "list")
	})
}
