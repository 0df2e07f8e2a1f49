package aggregatetest

import (
	"slices"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// The lists of commands of a trial.
const (
	before = iota // one after the other
	one           // of one client, after those before
	other         // of another, at the same time
	parts
)

// trial is one random case.
type trial[S, E any] struct {
	commands [parts][]aggregate.Command[S, E]
	cut      int                // before which command a snapshot is saved
	events   []eventstore.Event // samples, each on its own after the commands
}

// size is how hard a trial is to read: first the number of its commands and events, then what they say.
type size struct {
	count, length int
	text          string
}

func (c trial[S, E]) size() size {
	s := size{count: len(c.events)}
	for _, list := range c.commands {
		s.count += len(list)
		for _, command := range list {
			s.text += form(command) + "\n"
		}
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

// slot is the place of a command in a trial.
type slot struct{ part, index int }

func (c trial[S, E]) slots() (all []slot) {
	for part, list := range c.commands {
		for index := range list {
			all = append(all, slot{part, index})
		}
	}
	return all
}

// with gives the trial with another command in a slot.
func (c trial[S, E]) with(at slot, command aggregate.Command[S, E]) trial[S, E] {
	c.commands[at.part] = slices.Clone(c.commands[at.part])
	c.commands[at.part][at.index] = command
	return c
}

// without gives the trial less some of the commands of a part.
func (c trial[S, E]) without(part, begin, end int) trial[S, E] {
	c.commands[part] = slices.Delete(slices.Clone(c.commands[part]), begin, end)
	c.cut = min(c.cut, len(c.commands[before]))
	return c
}

// withoutEvent gives the trial less a sample.
func (c trial[S, E]) withoutEvent(i int) trial[S, E] {
	c.events = slices.Delete(slices.Clone(c.events), i, i+1)
	return c
}

// withEvent gives the trial with another sample of the type.
func (c trial[S, E]) withEvent(i int, event eventstore.Event) trial[S, E] {
	c.events = slices.Clone(c.events)
	c.events[i] = event
	return c
}
