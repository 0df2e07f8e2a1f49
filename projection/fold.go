package projection

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
)

// document is a document while it is folded.
type document[V any] struct {
	value   V
	deleted bool
}

// documents is where a folder finds documents and puts what became of them: a live runner's cache over its bucket, or the
// memory of a build.
type documents[V any] interface {
	get(ctx context.Context, key string) (document[V], error)
	set(ctx context.Context, key string, d document[V]) error
}

// folder folds commits into documents, and knows which keys are parked.
type folder[V any] struct {
	view   *View[V]
	parked map[string]Parked
	newly  map[string]Parked // those parked, or counted up, since they were last written
}

func newFolder[V any](v *View[V]) *folder[V] {
	return &folder[V]{view: v, parked: make(map[string]Parked), newly: make(map[string]Parked)}
}

// change is one event that changes one document.
type change[V any] struct {
	rule     Rule[V]
	key      string
	event    eventstore.Event
	recorded eventstore.Recorded
	fault    error // why the event cannot be decoded; the key is its stream's then
}

// changes decodes the events that the view has rules for. Others are not decoded.
func (f *folder[V]) changes(group []*eventstore.Commit) (all []change[V], err error) {
	for _, c := range group {
		for recorded := range c.Events() {
			byStream, wanted := f.view.rules.stored[recorded.Type()]
			if !wanted {
				continue
			}
			events, err := recorded.Decode()
			if err != nil {
				if !byStream || !f.view.cfg.park() {
					return nil, fmt.Errorf("projection: view %s: %w", f.view.name, err)
				}
				all = append(all, change[V]{key: recorded.Stream.ID, recorded: recorded, fault: err})
				continue
			}
			for i := range events {
				if all, err = f.changesOf(all, events, i, recorded); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// changesOf appends the changes of one of the events that were decoded. A key function that panics stops the view: which
// document it is about cannot be known. Each document takes over memory of its event, so each is given an event of its own.
func (f *folder[V]) changesOf(all []change[V], events []eventstore.Event, i int, recorded eventstore.Recorded) ([]change[V], error) {
	event := events[i]
	name, err := f.view.store.TypeOf(event)
	if err != nil {
		return all, err // unreachable: what Decode gives is registered and current
	}
	rule, ok := f.view.rules.byType[name]
	if !ok {
		return all, nil
	}
	var keys []string
	if err := f.guard(recorded, func() { keys = rule.keysOf(event, recorded) }); err != nil {
		return all, err
	}
	first := i == 0 // what an upcaster makes of one event shares memory too
	for n, key := range keys {
		if key == "" || slices.Contains(keys[:n], key) {
			continue
		}
		if f.view.rules.shared[name] && !first {
			own, err := recorded.Decode()
			if err != nil {
				return all, err // unreachable: it was decoded before
			}
			event = own[i]
		}
		first = false
		all = append(all, change[V]{rule: rule, key: key, event: event, recorded: recorded})
	}
	return all, nil
}

// apply folds one change into its document. Where that fails, the key is parked if the view is to go on.
func (f *folder[V]) apply(ctx context.Context, docs documents[V], c change[V]) error {
	if parked, ok := f.parked[c.key]; ok {
		parked.Waiting++
		f.parked[c.key], f.newly[c.key] = parked, parked
		return nil
	}
	before, err := docs.get(ctx, c.key)
	if err != nil {
		return err
	}
	saved, err := f.view.save(before)
	if err != nil {
		return err
	}
	after, err := f.fold(before, c)
	if err == nil {
		err = f.view.storable(after)
	}
	switch {
	case err == nil:
		return docs.set(ctx, c.key, after)
	case !f.view.cfg.park():
		return err
	}
	f.park(ctx, c, err)
	if saved == nil {
		return nil
	}
	if before, err = f.view.restore(saved); err != nil {
		return err
	}
	return docs.set(ctx, c.key, before)
}

// save encodes a document if what it refers to may be changed by a fold that then panics, and the view goes on behind that.
func (v *View[V]) save(d document[V]) ([]byte, error) {
	if !v.cfg.park() || !v.shared || v.shape == nil || d.deleted {
		return nil, nil
	}
	return v.shape.Marshal(&d.value)
}

// storable refuses a document that cannot be stored, so that its key is parked. A view that does not park keys finds out when it
// writes.
func (v *View[V]) storable(d document[V]) error {
	if !v.cfg.park() || v.shape == nil || d.deleted {
		return nil
	}
	if _, err := v.shape.Marshal(&d.value); err != nil {
		return fmt.Errorf("projection: view %s: the document cannot be stored: %w", v.name, err)
	}
	return nil
}

// restore decodes a document that was saved.
func (v *View[V]) restore(saved []byte) (d document[V], err error) {
	err = v.shape.Unmarshal(saved, &d.value)
	return d, err
}

// settle makes of a document in memory what is read of it.
func (v *View[V]) settle(d document[V]) document[V] {
	if v.shape != nil {
		v.shape.Settle(reflect.ValueOf(&d.value).Elem())
	}
	return d
}

// fold gives what a document becomes.
func (f *folder[V]) fold(before document[V], c change[V]) (after document[V], err error) {
	if c.fault != nil {
		return before, c.fault
	}
	err = f.guard(c.recorded, func() {
		after.value, after.deleted = c.rule.apply(before.value, c.event, c.recorded)
	})
	if after.deleted {
		after.value = *new(V)
	}
	return after, err
}

func (f *folder[V]) park(ctx context.Context, c change[V], err error) {
	p := Parked{
		Stream: c.recorded.Stream, Version: c.recorded.Version(), Position: c.recorded.Position, Index: c.recorded.Index,
		Type: c.recorded.Type(), Error: runner.Shortened(err.Error()), Since: time.Now().UTC(),
	}
	f.parked[c.key], f.newly[c.key] = p, p
	f.view.logger.ErrorContext(ctx, "projection: key parked", "key", c.key, "position", uint64(p.Position), "error", err)
}

// guard turns a panic of a rule into a FoldError.
func (f *folder[V]) guard(r eventstore.Recorded, rule func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &FoldError{
				View: f.view.name, Stream: r.Stream, Version: r.Version(), Position: r.Position, Type: r.Type(), Panic: p,
			}
		}
	}()
	rule()
	return nil
}

// keysOf counts the documents that changes are about.
func keysOf[V any](changes []change[V]) map[string]bool {
	keys := make(map[string]bool, len(changes))
	for _, c := range changes {
		keys[c.key] = true
	}
	return keys
}

// refold folds keys from the log's begin up to a position, as a replay of what is parked under them: events that were
// discarded are left out. It gives what became of the documents, and what is parked again.
func (f *folder[V]) refold(ctx context.Context, wishes map[string]Parked, upTo eventstore.Position) (map[string]document[V], map[string]Parked, error) {
	again := newFolder(f.view)
	docs := make(memory[V], len(wishes))
	for key := range wishes {
		docs[key] = document[V]{deleted: true}
	}
	for c, err := range f.view.store.Log(ctx) {
		if err != nil {
			return nil, nil, err
		}
		if c.Position > upTo {
			break
		}
		changes, err := again.changes([]*eventstore.Commit{c})
		if err != nil {
			return nil, nil, err
		}
		for _, one := range changes {
			wish, wanted := wishes[one.key]
			if !wanted || wish.skips(one.recorded) {
				continue
			}
			if err := again.apply(ctx, docs, one); err != nil {
				return nil, nil, err
			}
		}
	}
	for key, parked := range again.parked {
		parked.Skipped = wishes[key].Skipped
		again.parked[key] = parked
	}
	return docs, again.parked, nil
}

// memory is documents without a bucket.
type memory[V any] map[string]document[V]

func (m memory[V]) get(_ context.Context, key string) (document[V], error) { return m[key], nil }

func (m memory[V]) set(_ context.Context, key string, d document[V]) error {
	m[key] = d
	return nil
}
