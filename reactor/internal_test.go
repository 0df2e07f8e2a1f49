package reactor

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// releases is a log of which each position has one event, and releases that take the checkpoint from each other.
type releases struct {
	log       []string // the types of the events
	at        checkpoint
	announced map[string]eventstore.Position // the log's end when a release with the type was opened first
	handled   map[eventstore.Position]int
	parked    []eventstore.Position // of events that wait in documents
	repeats   bool                  // a release has crashed, or has passed an event that only another one handles
}

// fate is what becomes of an event that a release reads.
type fate int

const (
	handles fate = iota
	skips
	parks
)

func (r *releases) end() eventstore.Position { return eventstore.Position(len(r.log)) }

func (r *releases) append(t *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(t, "events") {
		r.log = append(r.log, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "type"))
	}
}

// opened announces a release.
func (r *releases) opened(types []string) {
	for _, name := range types {
		if _, known := r.announced[name]; !known {
			r.announced[name] = r.end()
		}
	}
	r.at, _ = r.at.announce(types, r.end())
}

// replay handles some of the parked events again. A release passes those to which it has no reaction.
func (r *releases) replay(types []string, chosen func() bool) {
	var passed []openEvent
	r.parked = slices.DeleteFunc(r.parked, func(position eventstore.Position) bool {
		name := r.log[position-1]
		switch {
		case !chosen():
			return false
		case slices.Contains(types, name):
			r.handled[position]++
		default:
			passed = append(passed, openEvent{Position: position, Type: name})
			r.repeats = r.repeats || position <= r.at.Since[name]
		}
		return true
	})
	r.at = r.at.without(passed)
}

// run has a release take over, read for a while, handle some of what it has read, and stop, in good order or not.
func (r *releases) run(types []string, read int, becomes func() fate, write, crash bool) {
	at := r.at.takenBy(types)
	r.at = at
	r.replay(types, func() bool { return becomes() == handles })
	var open []openEvent
	frontier := at.lowest(types)
	mark := func() logMark {
		if len(open) > 0 {
			return logMark{open[0].Position - 1, uuid.New()}
		}
		return logMark{frontier, uuid.New()}
	}
	for ; read > 0 && frontier < r.end(); read-- {
		frontier++
		name := r.log[frontier-1]
		if !slices.Contains(types, name) {
			continue
		}
		if _, wanted := at.wants(name, frontier, 0); !wanted {
			continue
		}
		switch becomes() {
		case skips:
			open = append(open, openEvent{Position: frontier, Type: name})
			continue
		case parks:
			r.parked = append(r.parked, frontier)
		default:
			r.handled[frontier]++
		}
		if write {
			r.at = r.at.reached(mark())
		}
	}
	if crash {
		r.repeats = true
		return
	}
	r.at = r.at.reached(mark()).stopped(logMark{frontier, uuid.New()}, open)
}

func TestReleasesLoseNothingAndRepeatNothingInGoodOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := releases{
			at: checkpoint{Types: []string{"a"}}, announced: map[string]eventstore.Position{"a": 0}, handled: map[eventstore.Position]int{},
		}
		subsets := [][]string{{"a"}, {"b"}, {"c"}, {"a", "b"}, {"a", "c"}, {"b", "c"}, {"a", "b", "c"}}
		crashes := rapid.Bool().Draw(t, "crashes")
		bit := func() bool { return rapid.IntRange(0, 3).Draw(t, "bit") == 0 }
		fates := func() fate {
			return rapid.SampledFrom([]fate{handles, handles, handles, handles, skips, parks}).Draw(t, "fate")
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			r.append(t)
			types := rapid.SampledFrom(subsets).Draw(t, "release")
			r.opened(types)
			r.append(t)
			r.run(types, rapid.IntRange(0, 12).Draw(t, "read"), fates, bit(), crashes && bit())
		}
		all := []string{"a", "b", "c"}
		r.opened(all)
		r.run(all, len(r.log), func() fate { return handles }, true, false)
		for i, name := range r.log {
			position := eventstore.Position(i + 1)
			if position <= r.announced[name] {
				require.Zero(t, r.handled[position], "%s at %d was appended before it was announced", name, position)
				continue
			}
			require.Positive(t, r.handled[position], "%s at %d", name, position)
			if !r.repeats {
				require.Equal(t, 1, r.handled[position], "%s at %d", name, position)
			}
		}
		require.Equal(t, r.end(), r.at.lowest(all))
		require.Empty(t, r.at.Stops)
	})
}

// A process may be frozen between the moment at which a worker is given an event and the one at which it begins.
func TestAWorkerThatIsLateBeginsNothing(t *testing.T) {
	s := newSession(&Reactor{cfg: Config{Workers: 1}}, "a runner", stand{})
	given := &lane{}
	s.assignments <- assignment{lane: given, done: 2, until: time.Now().Add(-time.Millisecond)}
	close(s.assignments)
	s.work(t.Context())
	require.Equal(t, outcome{lane: given, done: 2, late: true}, <-s.results)
}

// The watch of a session that begins may be served by a replica that lags. It then has documents of the time before
// another runner changed or deleted them.
func TestOldDocumentsOfAReplicaThatLagsAreNotPutBack(t *testing.T) {
	r := &Reactor{name: "mails", cfg: Config{Workers: 1}, logger: slog.New(slog.DiscardHandler)}
	s := newSession(r, "me", stand{checkpoint: checkpoint{Runner: "me"}, revision: 20})
	note := func(change kv.Change[document]) { require.NoError(t, s.note(t.Context(), change)) }
	parked := func(id, state string, version eventstore.Version, revision uint64) {
		value := document{State: state, Category: "account", ID: id, Version: version, Until: 5, Waiting: 3}
		note(kv.Change[document]{Entry: kv.Entry[document]{Key: r.parkedKey(value.stream()), Value: value, Revision: revision}})
	}
	parked("deleted", stateDiscard, 3, 10)
	parked("changed", stateParked, 3, 11)
	parked("changed", stateParked, 4, 13)
	parked("changed", stateParked, 3, 12)
	deleted := eventstore.StreamID{Category: "account", ID: "deleted"}
	note(kv.Change[document]{Entry: kv.Entry[document]{Key: r.parkedKey(deleted), Revision: 15}, Deleted: true})
	s.parking.begin(t.Context())
	require.Len(t, s.parking.parked, 1)
	changed := s.parking.lanes.of(eventstore.StreamID{Category: "account", ID: "changed"})
	require.EqualValues(t, 4, changed.document.Version)
	require.EqualValues(t, 13, changed.revision)
	require.NotContains(t, s.parking.lanes.byStream, deleted)
	require.Empty(t, s.parking.dirty, "nothing is put back")
	require.Empty(t, s.parking.discarded)
}
