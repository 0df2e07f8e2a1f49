package aggregatetest

import (
	"slices"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// trial is one random case.
type trial[S, E any] struct {
	commands []aggregate.Command[S, E] // sent one after the other
	cut      int                       // a snapshot is saved before this command
	events   []eventstore.Event        // samples, each on its own after the commands
}

// size says how hard a trial is to read: by the number of its commands and events, then by their text.
type size struct {
	count, length int
	text          string
}

func (c trial[S, E]) size() size {
	s := size{count: len(c.events) + len(c.commands)}
	for _, command := range c.commands {
		s.text += form(command) + "\n"
	}
	for _, event := range c.events {
		s.text += form(event) + "\n"
	}
	s.length = len(s.text)
	return s
}

func (s size) less(than size) bool {
	switch {
	case s.count != than.count:
		return s.count < than.count
	case s.length != than.length:
		return s.length < than.length
	}
	return s.text < than.text
}

// with returns the trial with another command at an index.
func (c trial[S, E]) with(at int, command aggregate.Command[S, E]) trial[S, E] {
	c.commands = slices.Clone(c.commands)
	c.commands[at] = command
	return c
}

// without returns the trial without some of its commands.
func (c trial[S, E]) without(begin, end int) trial[S, E] {
	c.commands = slices.Delete(slices.Clone(c.commands), begin, end)
	c.cut = min(c.cut, len(c.commands))
	return c
}

// withoutEvent returns the trial without a sample.
func (c trial[S, E]) withoutEvent(i int) trial[S, E] {
	c.events = slices.Delete(slices.Clone(c.events), i, i+1)
	return c
}

// withEvent returns the trial with another sample of the type.
func (c trial[S, E]) withEvent(i int, event eventstore.Event) trial[S, E] {
	c.events = slices.Clone(c.events)
	c.events[i] = event
	return c
}
