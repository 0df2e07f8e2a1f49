package projection

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
)

// A replay folds parked keys again, from the start of the log up to the checkpoint, beside the documents of the bucket.
// If documents move between keys, the keys from which they have come are also folded, but only the wished keys are
// written.

// attend does what operators wish for parked keys: they are folded again from the log, up to the checkpoint.
func (s *session[V]) attend(ctx context.Context) error {
	if err := s.loadParked(ctx); err != nil {
		return err
	}
	wishes := s.wishes()
	if len(wishes) == 0 {
		return nil
	}
	docs, again, err := s.refold(ctx, wishes, s.at.Position)
	if err != nil {
		return err
	}
	for len(wishes) > 0 {
		if err := s.grant(ctx, wishes, docs, again); err != nil {
			return err
		}
	}
	return s.attend(ctx) // what was wished meanwhile
}

// grant writes what became of some of the keys that were folded again, as many as one batch takes, and takes them from
// the wishes.
func (s *session[V]) grant(ctx context.Context, wishes map[string]Parked, docs memory[V], again map[string]Parked) error {
	granted, size := make(map[string]document[V]), 0
	for key := range wishes {
		if 2*len(granted)+2 > s.room || len(granted) >= s.few || size >= s.budget.limit() {
			break
		}
		d, err := docs.get(ctx, key)
		if err != nil {
			return err
		}
		granted[key], size = d, size+len(d.encoded)
	}
	batch := s.generation.documents.Batch()
	if err := s.putAll(batch, granted); errors.Is(err, errHeavy) {
		return nil // the next batch has fewer
	} else if err != nil {
		return err
	}
	for key := range granted {
		if p, failed := again[key]; failed {
			joined(batch, s.generation.parked).Update(key, p, s.revisions[key])
		} else {
			joined(batch, s.generation.parked).DeleteRevision(key, s.revisions[key])
			delete(s.parked, key)
		}
	}
	next := s.at.checkpoint
	next.Parked = len(s.parked) > 0
	if _, err := s.write(ctx, next, batch); err != nil {
		return err
	}
	for key, d := range granted {
		delete(wishes, key)
		s.clean.Put(key, s.spec.asRead(d))
		s.spec.logger.InfoContext(ctx, "projection: parked key folded again", "key", key, "parked", again[key].Error != "")
	}
	return nil
}

// wishes returns what operators wish for parked keys. A key waits for the one from which its document would have come,
// so it goes along with that.
func (s *session[V]) wishes() map[string]Parked {
	wishes := make(map[string]Parked)
	for key, p := range s.parked {
		if p.Wish == "" || len(wishes) >= s.spec.cfg.CacheSize {
			continue // the others come next
		}
		if p.Wish == wishDiscard {
			p.Skipped = append(p.Skipped, EventRef{Position: p.Position, Index: p.Index})
		}
		wishes[key] = p
	}
	for found := s.spec.rules.moves; found; {
		found = false
		for key, p := range s.parked {
			_, already := wishes[key]
			if _, waited := wishes[p.Source]; waited && !already {
				wishes[key], found = p, true
			}
		}
	}
	return wishes
}

// refold folds keys from the start of the log up to a position, as a replay of the parked events. Events that were
// discarded are left out. It returns the documents, and what is parked again.
func (f *folder[V]) refold(ctx context.Context, wishes map[string]Parked, upTo eventstore.Position) (memory[V], map[string]Parked, error) {
	again := newFolder(f.spec)
	again.sink, again.skipped = f.sink, maps.Clone(f.parked)
	wanted := make(map[string]bool)
	for key, p := range wishes {
		again.skipped[key], wanted[key] = p, true
	}
	if f.spec.rules.moves {
		if err := again.addSources(ctx, wanted, upTo); err != nil {
			return nil, nil, err
		}
	}
	docs := make(memory[V], len(wanted))
	for groups, err := range batches(f.spec.store.Log(ctx), upTo) {
		if err != nil {
			return nil, nil, err
		}
		units, err := again.plan(groups)
		if err != nil {
			return nil, nil, err
		}
		for i := range units {
			units[i].steps = slices.DeleteFunc(units[i].steps, func(s step[V]) bool { return !wanted[s.key] && !wanted[s.from] })
		}
		if err := again.fold(ctx, docs, units, nil, nil); err != nil {
			return nil, nil, err
		}
	}
	return docs, again.parked, nil
}

// addSources adds to keys those from which documents have moved to them, directly or over others.
func (f *folder[V]) addSources(ctx context.Context, keys map[string]bool, upTo eventstore.Position) error {
	sources := make(map[string][]string)
	for groups, err := range batches(f.spec.store.Log(ctx), upTo) {
		if err != nil {
			return err
		}
		units, err := f.plan(groups)
		if err != nil {
			return err
		}
		for _, u := range units {
			for _, s := range u.steps {
				if s.from != "" {
					sources[s.key] = append(sources[s.key], s.from)
				}
			}
		}
	}
	open := make([]string, 0, len(keys))
	for key := range keys {
		open = append(open, key)
	}
	for len(open) > 0 {
		key := open[len(open)-1]
		open = open[:len(open)-1]
		for _, from := range sources[key] {
			if !keys[from] {
				keys[from] = true
				open = append(open, from)
			}
		}
	}
	return nil
}

// memory is documents without a bucket.
type memory[V any] map[string]document[V]

func (m memory[V]) get(_ context.Context, key string) (document[V], error) {
	if d, ok := m[key]; ok {
		return d, nil
	}
	return document[V]{deleted: true}, nil
}

func (m memory[V]) set(_ context.Context, key string, d document[V]) error {
	m[key] = d
	return nil
}
