package aggregatetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/literal"
	"github.com/runnel-go/runnel/internal/system"
	"github.com/runnel-go/runnel/snapshot"
)

// The names in a lab's store.
const (
	category = "aggregate"
	samples  = "sample"
)

// lab is a store on a server of its own. Each trial has an aggregate of its own in it.
type lab[S aggregate.State[S, E], E eventstore.Event] struct {
	domain    *domain[S, E]
	cfg       Config
	store     *eventstore.Store
	writer    *eventstore.Store           // without upcasters, so that it writes old events too
	live      *aggregate.Repository[S, E] // caches its states
	replaying *aggregate.Repository[S, E] // reads the log each time
	trials    int
}

func openLab[S aggregate.State[S, E], E eventstore.Event](
	t testing.TB, d *domain[S, E], prototypes []eventstore.Event, cfg Config,
) (_ *lab[S, E], err error) {
	t.Helper()
	js := eventstoretest.JetStream(t, eventstoretest.Memory())
	l := &lab[S, E]{domain: d, cfg: cfg}
	if l.store, err = eventstore.Open(t.Context(), js, "check", prototypes, cfg.Store); err != nil {
		return nil, err
	}
	writing := *cfg.Store
	writing.Upcasters = nil
	if l.writer, err = eventstore.Open(t.Context(), js, "check", userEvents(l.store), &writing); err != nil {
		return nil, errors.Join(err, l.store.Close())
	}
	l.live, err = aggregate.New(l.store, category, d.initial, nil)
	if err == nil {
		l.replaying, err = aggregate.New(l.store, category, d.initial, &aggregate.Config{CacheSize: -1})
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Errorf("aggregatetest: close the store: %v", err)
		}
	})
	return l, nil
}

// userEvents returns the prototypes of a store that are not the toolkit's own.
func userEvents(store *eventstore.Store) (prototypes []eventstore.Event) {
	for _, p := range eventstore.Inside(inside.Pass{}, store).Prototypes() {
		if !strings.HasPrefix(p.EventType(), system.Prefix) {
			prototypes = append(prototypes, p)
		}
	}
	return prototypes
}

func (l *lab[S, E]) close() error { return errors.Join(l.writer.Close(), l.store.Close()) }

// next returns the id of an aggregate that was not used yet.
func (l *lab[S, E]) next() string {
	l.trials++
	return strconv.Itoa(l.trials)
}

// unfit returns the fault that the kit's own store failed.
func unfit(law string, err error) *fault { return broken(law, "the store answers: %v", err) }

// given stores the earlier events as one commit.
func (l *lab[S, E]) given(ctx context.Context, id string, events []E) *fault {
	if len(events) == 0 {
		return nil
	}
	write := eventstore.Write{Stream: eventstore.StreamID{Category: category, ID: id}}
	for _, event := range events {
		write.Events = append(write.Events, event)
	}
	if _, err := l.store.AppendAll(ctx, write); err != nil {
		return unfit(lawLive, err)
	}
	return nil
}

// stored sends commands to one aggregate. It compares the answers with the decisions of the domain, and the log with
// the decided events. It compares the live state with a replay of the log, and with a state from a snapshot that is
// saved before command cut.
func (l *lab[S, E]) stored(ctx context.Context, given []E, commands []aggregate.Command[S, E], cut int) *fault {
	id, h := l.next(), l.domain.begin()
	if f := l.domain.fold(h, given, false); f != nil {
		return f
	}
	if f := l.given(ctx, id, given); f != nil {
		return f
	}
	for _, command := range commands[:cut] {
		if f := l.send(ctx, id, h, command); f != nil {
			return f
		}
	}
	saved, f := l.snapshot(ctx, id, h)
	if f != nil {
		return f
	}
	for _, command := range commands[cut:] {
		if f := l.send(ctx, id, h, command); f != nil {
			return f
		}
	}
	return l.compare(ctx, id, h, saved)
}

// send sends one command, and compares the answer.
func (l *lab[S, E]) send(ctx context.Context, id string, h *history[S, E], command aggregate.Command[S, E]) *fault {
	want, f := l.domain.decide(h.state(), command)
	if f == nil {
		f = l.domain.fold(h, want.events, false)
	}
	if f != nil {
		return f
	}
	result, err := l.live.Do(ctx, id, command)
	got, err := decisionOf(result, err)
	w := l.domain.writer
	switch {
	case err != nil:
		return unfit(lawLive, err)
	case got.text(w) != want.text(w):
		return broken(lawLive, "- the domain decides, + the repository answers:\n%s", literal.Diff(want.text(w), got.text(w)))
	case want.err != nil:
		return l.unmoved(ctx, id, len(h.events))
	case result.Version != eventstore.Version(len(h.events)):
		return broken(lawLive, "%d events were decided, and the version is %d", len(h.events), result.Version)
	}
	return l.equal(lawLive, h.state(), result.State)
}

// decisionOf returns a repository's answer as a decision of the domain. The error is the repository's own.
func decisionOf[S, E any](result aggregate.Result[S, E], err error) (decision[E], error) {
	if rejected, ok := errors.AsType[*aggregate.RejectedError](err); ok {
		return decision[E]{err: rejected.Err}, nil
	}
	return decision[E]{events: result.Events}, err
}

// unmoved wants a stream to have no more events than before a command was rejected.
func (l *lab[S, E]) unmoved(ctx context.Context, id string, events int) *fault {
	result, err := l.replaying.Load(ctx, id)
	if err != nil {
		return unfit(lawRejected, err)
	}
	if result.Version != eventstore.Version(events) {
		return broken(lawRejected, "the stream had %d events before, and has %d", events, result.Version)
	}
	return nil
}

func (l *lab[S, E]) equal(law string, want, got S) *fault {
	if form(want) == form(got) {
		return nil
	}
	w := l.domain.writer
	return broken(law, "- live, + here:\n%s", literal.Diff(w.Lines(want), w.Lines(got)))
}

// compare compares the log, and the states that are read from it, with the history.
func (l *lab[S, E]) compare(ctx context.Context, id string, h *history[S, E], saved bool) *fault {
	read, err := l.store.Load(ctx, eventstore.StreamID{Category: category, ID: id})
	if err != nil {
		return unfit(lawCodec, err)
	}
	var decoded []E
	for _, commit := range read.Commits {
		for recorded := range commit.Events() {
			events, err := recorded.Decode()
			if err != nil {
				return unfit(lawCodec, err)
			}
			for _, event := range events {
				decoded = append(decoded, event.(E))
			}
		}
	}
	if want, got := eventLines(l.domain.writer, h.events), eventLines(l.domain.writer, decoded); want != got {
		return broken(lawCodec, "- decided, + decoded:\n%s", literal.Diff(want, got))
	}
	replayed, err := l.replaying.Load(ctx, id)
	if err != nil {
		return unfit(lawReplay, err)
	}
	if f := l.equal(lawReplay, h.state(), replayed.State); f != nil || !saved {
		return f
	}
	return l.restored(ctx, id, h.state())
}

// snapshot saves a snapshot of an aggregate, and reports whether there was a state to save.
func (l *lab[S, E]) snapshot(ctx context.Context, id string, h *history[S, E]) (saved bool, f *fault) {
	if l.cfg.NoSnapshots || len(h.events) == 0 {
		return false, nil
	}
	counters, _, err := l.withSnapshots(ctx, id)
	if err != nil {
		return false, unfit(lawSnapshot, err)
	}
	if counters.Saved != 1 {
		return false, broken(lawSnapshot, "the state does not survive being stored; set Config.NoSnapshots if it never is:\n%s",
			l.domain.writer.Lines(h.state()))
	}
	return true, nil
}

// restored compares the state from the snapshot.
func (l *lab[S, E]) restored(ctx context.Context, id string, want S) *fault {
	counters, state, err := l.withSnapshots(ctx, id)
	if err != nil {
		return unfit(lawSnapshot, err)
	}
	if counters.Restored != 1 {
		return broken(lawSnapshot, "the snapshot is not found again: %+v", counters)
	}
	return l.equal(lawSnapshot, want, state)
}

// withSnapshots loads a state through a repository with snapshots and no cache, and waits until the newest is saved.
func (l *lab[S, E]) withSnapshots(ctx context.Context, id string) (snapshot.Counters, S, error) {
	var none S
	cache, err := snapshot.Open(ctx, l.store, category, &snapshot.Config{Every: 1})
	if err != nil {
		return snapshot.Counters{}, none, err
	}
	repository, err := aggregate.New(l.store, category, l.domain.initial, &aggregate.Config{CacheSize: -1, Snapshots: cache})
	if err != nil {
		return snapshot.Counters{}, none, errors.Join(fmt.Errorf("%w (set Config.NoSnapshots to do without)", err), cache.Close())
	}
	result, err := repository.Load(ctx, id)
	err = errors.Join(err, cache.Close())
	return repository.Counters().Snapshots, result.State, err
}

// sample stores an event of any registered type, old types included. It compares the decoded events with the events
// that it is upcast to. Evolve must accept an event of the aggregate in the state of the history.
func (l *lab[S, E]) sample(ctx context.Context, h *history[S, E], event eventstore.Event) *fault {
	id := eventstore.StreamID{Category: samples, ID: l.next()}
	if _, err := l.writer.AppendAll(ctx, eventstore.Write{Stream: id, Events: []eventstore.Event{event}}); err != nil {
		return unfit(lawCodec, err)
	}
	want, err := eventstore.Inside(inside.Pass{}, l.store).Upcast(event)
	if err != nil {
		return broken(lawCodec, "%v", err)
	}
	read, err := l.store.Load(ctx, id)
	if err != nil {
		return unfit(lawCodec, err)
	}
	for recorded := range read.Commits[0].Events() {
		got, err := recorded.Decode()
		if err != nil {
			return broken(lawCodec, "%v", err)
		}
		w := l.domain.writer
		if diff := literal.Diff(eventLines(w, want), eventLines(w, got)); diff != "" {
			return broken(lawCodec, "- upcast, + stored, decoded and upcast:\n%s", diff)
		}
	}
	for _, one := range want {
		if mine, ok := one.(E); ok {
			if _, f := l.domain.evolve(h.state(), mine); f != nil {
				return f
			}
		}
	}
	return nil
}

// typesOf returns the set of types of prototypes.
func typesOf(prototypes []eventstore.Event) map[reflect.Type]bool {
	types := make(map[reflect.Type]bool, len(prototypes))
	for _, p := range prototypes {
		types[reflect.TypeOf(p)] = true
	}
	return types
}
