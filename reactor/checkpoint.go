package reactor

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
)

// checkpoint says up to where events were handled, parked or discarded, and which instance runs. It changes by
// compare-and-set only, so a runner whose checkpoint was changed by another can write nothing more.
//
// Releases of a program may have reactions to different types of events. So the checkpoint says for which types it
// stands:
//
//	position 90, types a b                   all events of a and b up to 90 are done
//	since c: 70                              all events of c up to 70 are done; the runner has no reaction to c
//
// A release announces its types when it opens the reactor: a type that is in none of both lists is added to since, at
// the log's end. A release that takes over moves the types that it lacks to since. Then it reads the log after the
// lowest position of its own types, and leaves out what is done.
type checkpoint struct {
	Store    string                         `json:"store"` // its identity
	Position eventstore.Position            `json:"position"`
	Commit   string                         `json:"commit"`          // the id of the commit there
	Types    []string                       `json:"types"`           // that the last runner handles, in order
	Since    map[string]eventstore.Position `json:"since,omitempty"` // the types that do not stand at Position
	Stops    []stop                         `json:"stops,omitempty"` // what is done beyond that
	Top      *top                           `json:"top,omitempty"`   // nothing beyond is called done; nil for Position

	Runner string        `json:"runner"`         // the one that runs, or ""
	Next   string        `json:"next,omitempty"` // a runner that handles more and asks the present one to stop, or ""
	For    time.Duration `json:"for"`            // how long others wait for the next write before they take over
	Write  string        `json:"write"`          // unique, to find out what became of a write without an answer

	UnderWay int            `json:"underWay"` // events that were read and are not done
	Parked   int            `json:"parked"`   // streams
	Held     map[string]int `json:"held,omitempty"`
}

// top is a commit up to which the log must be the same, or Since and Stops say too much.
type top struct {
	Position eventstore.Position `json:"position"`
	Commit   string              `json:"commit"`
}

// stop says what a runner that stopped in good order has done beyond the positions of its types: all events of them up
// to the frontier, except the open ones. It stays true for an instance that takes over.
type stop struct {
	Frontier eventstore.Position `json:"frontier"`
	Types    []string            `json:"types"`
	Open     []openEvent         `json:"open,omitempty"`
}

// openEvent is an event that is not done.
type openEvent struct {
	Position eventstore.Position `json:"position"`
	Index    int                 `json:"index,omitempty"`
	Type     string              `json:"type"`
	Done     int                 `json:"done,omitempty"` // how many of the events that it decodes to are done
}

// stand is a checkpoint, the revision it has in the bucket, and a time before it was written.
type stand struct {
	checkpoint
	revision uint64
	written  time.Time
}

// logMark is a place in the log where a checkpoint may stand.
type logMark struct {
	position eventstore.Position
	commit   uuid.UUID
}

func (m logMark) commitID() string {
	if m.position == 0 {
		return ""
	}
	return m.commit.String()
}

// doneUpTo returns the position up to which all events of a type are done.
func (c checkpoint) doneUpTo(name string) eventstore.Position {
	if at, apart := c.Since[name]; apart {
		return at
	}
	return c.Position
}

// lowest returns the position up to which all events of some types are done.
func (c checkpoint) lowest(types []string) eventstore.Position {
	low := c.Position
	for _, name := range types {
		low = min(low, c.doneUpTo(name))
	}
	return low
}

// waiting returns the types that the last runner did not handle, and how far they were handled, or nil.
func (c checkpoint) waiting() (waiting map[string]eventstore.Position) {
	for name, at := range c.Since {
		if !slices.Contains(c.Types, name) {
			waiting = withSince(waiting, name, at)
		}
	}
	return waiting
}

// wants reports whether an event is to be handled, and how much of it is done.
func (c checkpoint) wants(name string, position eventstore.Position, index int) (done int, wanted bool) {
	if position <= c.doneUpTo(name) {
		return 0, false
	}
	for _, s := range c.Stops {
		if position > s.Frontier || !slices.Contains(s.Types, name) {
			continue
		}
		open := s.find(position, index)
		if open < 0 {
			return 0, false
		}
		done = max(done, s.Open[open].Done)
	}
	return done, true
}

// mostPassed bounds the events that a checkpoint lists because replays have passed them.
const mostPassed = 1000

// without returns the checkpoint after replays have passed events that it called done. The next runner with reactions
// to them handles them. If there are too many to list, it also repeats others.
func (c checkpoint) without(passed []openEvent) checkpoint {
	for _, event := range passed {
		if at, apart := c.Since[event.Type]; apart && event.Position <= at {
			c.Since = withSince(c.Since, event.Type, event.Position-1)
		}
	}
	c.Stops = slices.Clone(c.Stops)
	for i, s := range c.Stops {
		s.Types, s.Open = slices.Clone(s.Types), slices.Clone(s.Open)
		for _, event := range passed {
			switch {
			case !event.within(s) || s.find(event.Position, event.Index) >= 0:
			case len(passed) > mostPassed:
				s.Types = slices.DeleteFunc(s.Types, func(name string) bool { return name == event.Type })
			default:
				s.Open = append(s.Open, event)
			}
		}
		c.Stops[i] = s
	}
	return c.pruned()
}

// within reports whether an event is one that a stop calls done unless it is open.
func (e openEvent) within(s stop) bool {
	return e.Position <= s.Frontier && slices.Contains(s.Types, e.Type)
}

// find returns the index of an event among the open ones of a stop, or -1.
func (s stop) find(position eventstore.Position, index int) int {
	return slices.IndexFunc(s.Open, func(o openEvent) bool { return o.Position == position && o.Index == index })
}

// announce adds types that the checkpoint does not know, from the log's end on. It reports whether there were any.
func (c checkpoint) announce(types []string, end eventstore.Position) (checkpoint, bool) {
	added := false
	for _, name := range types {
		if _, apart := c.Since[name]; !apart && !slices.Contains(c.Types, name) {
			c.Since, added = withSince(c.Since, name, end), true
		}
	}
	return c, added
}

// withSince returns a copy of since with one more position.
func withSince(since map[string]eventstore.Position, name string, at eventstore.Position) map[string]eventstore.Position {
	more := make(map[string]eventstore.Position, len(since)+1)
	maps.Copy(more, since)
	more[name] = at
	return more
}

// takenBy returns the checkpoint with the types of a runner that takes over.
func (c checkpoint) takenBy(types []string) checkpoint {
	since := c.Since
	for _, name := range c.Types {
		if !slices.Contains(types, name) {
			since = withSince(since, name, c.doneBeyond(name))
		}
	}
	c.Types, c.Since = types, since
	return c.pruned()
}

// doneBeyond is doneUpTo with what runners that stopped have done beyond that without a gap.
func (c checkpoint) doneBeyond(name string) eventstore.Position {
	at := c.doneUpTo(name)
	for _, s := range c.Stops {
		if !slices.Contains(s.Types, name) {
			continue
		}
		beyond := s.Frontier
		for _, open := range s.Open {
			if open.Type == name {
				beyond = min(beyond, open.Position-1)
			}
		}
		at = max(at, beyond)
	}
	return at
}

// reached returns the checkpoint once all events of its types up to a mark are done.
func (c checkpoint) reached(low logMark) checkpoint {
	if low.position > c.Position {
		c.Position, c.Commit = low.position, low.commitID()
	}
	c.Since = maps.Clone(c.Since)
	for _, name := range c.Types {
		at, apart := c.Since[name]
		switch {
		case !apart || at > low.position:
		case low.position >= c.Position:
			delete(c.Since, name)
		default:
			c.Since[name] = low.position
		}
	}
	return c.pruned()
}

// pruned returns the checkpoint without what its positions imply.
func (c checkpoint) pruned() checkpoint {
	var stops []stop
	for _, s := range c.Stops {
		pruned := stop{Frontier: s.Frontier}
		for _, name := range s.Types {
			if c.doneUpTo(name) < s.Frontier {
				pruned.Types = append(pruned.Types, name)
			}
		}
		for _, open := range s.Open {
			if slices.Contains(pruned.Types, open.Type) && open.Position > c.doneUpTo(open.Type) {
				pruned.Open = append(pruned.Open, open)
			}
		}
		if len(pruned.Types) > 0 {
			stops = append(stops, pruned)
		}
	}
	c.Stops = stops
	if c.Top != nil && c.Top.Position <= c.Position {
		c.Top = nil
	}
	return c
}

// raised returns the checkpoint for which the log must have a commit.
func (c checkpoint) raised(position eventstore.Position, commit string) checkpoint {
	if commit != "" && position > c.Position && (c.Top == nil || position > c.Top.Position) {
		c.Top = &top{position, commit}
	}
	return c
}

// lowered returns the checkpoint without all that it says of the log after its position. Commits are lost there.
func (c checkpoint) lowered() checkpoint {
	c.Since = maps.Clone(c.Since)
	for name, at := range c.Since {
		c.Since[name] = min(at, c.Position)
	}
	c.Stops = slices.Clone(c.Stops)
	for i, s := range c.Stops {
		lost := func(o openEvent) bool { return o.Position > c.Position }
		c.Stops[i] = stop{min(s.Frontier, c.Position), s.Types, slices.DeleteFunc(slices.Clone(s.Open), lost)}
	}
	c.Top = nil
	return c.pruned()
}

// stopped returns the checkpoint of a runner that stops in good order. It has read up to the frontier, and all that
// it has read is done except the open events.
func (c checkpoint) stopped(frontier logMark, open []openEvent) checkpoint {
	c = c.raised(frontier.position, frontier.commitID())
	c.Runner, c.For = "", 0
	last := stop{Frontier: frontier.position, Types: c.Types, Open: open}
	stops := []stop{last}
	for _, s := range c.Stops {
		if !last.implies(s) {
			stops = append(stops, s)
		}
	}
	c.Stops = stops
	return c.pruned()
}

// implies reports whether a stop says all that an earlier one says.
func (s stop) implies(earlier stop) bool {
	lacks := func(name string) bool { return !slices.Contains(s.Types, name) }
	return earlier.Frontier <= s.Frontier && !slices.ContainsFunc(earlier.Types, lacks)
}

// handlesMore reports whether types holds all of the checkpoint's types, and others.
func (c checkpoint) handlesMore(types []string) bool {
	return c.handlesAll(types) && len(types) > len(c.Types)
}

// handlesAll reports whether types holds all of the checkpoint's types.
func (c checkpoint) handlesAll(types []string) bool {
	return !slices.ContainsFunc(c.Types, func(name string) bool { return !slices.Contains(types, name) })
}
