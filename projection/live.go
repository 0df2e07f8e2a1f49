package projection

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

// gather folds commits until the batch is due, and writes what changed.
func (s *session[V]) gather(ctx context.Context, log follower, first []*eventstore.Commit, full <-chan time.Time) error {
	groups := [][]*eventstore.Commit{first}
	for due := false; !due; groups = nil {
		var err error
		if groups, due, err = log.gather(ctx, groups, full); err != nil {
			return err
		}
		if err := s.foldAll(ctx, groups); err != nil {
			return err
		}
	}
	return s.flush(ctx)
}

// catchUp folds what the log holds now behind the checkpoint, or as much of it as is needed to come to a position, if
// that is not 0.
func (s *session[V]) catchUp(ctx context.Context, upTo eventstore.Position) (err error) {
	defer func() { s.traced.finish(s.at.Position, 0, err) }()
	for groups, err := range batches(s.spec.store.Log(ctx, eventstore.After(s.at.Position)), upTo) {
		if err != nil {
			return err
		}
		if err := s.foldAll(ctx, groups); err != nil {
			return err
		}
	}
	return s.flush(ctx)
}

// foldAll folds groups one after the other.
func (s *session[V]) foldAll(ctx context.Context, groups [][]*eventstore.Commit) error {
	units, err := s.plan(groups)
	if err != nil {
		return err
	}
	return s.foldUnits(ctx, units)
}

// foldUnits folds units, once the documents that they change are read. It writes those changed before if both would not
// fit into one batch.
func (s *session[V]) foldUnits(ctx context.Context, units []unit[V]) error {
	for len(units) > 0 {
		n := min(len(units), unitsAhead)
		s.traced.begin(ctx, s.spec.name, s.at.Position)
		if err := s.lookAhead(ctx, units[:n]); err != nil {
			return err
		}
		err := s.fold(ctx, s, units[:n],
			func(u *unit[V]) error { return s.makeRoom(ctx, u) },
			func(u *unit[V]) error { s.passed(u); return nil })
		if err != nil {
			return err
		}
		clear(s.ahead)
		units = units[n:]
	}
	return nil
}

// get returns the document under a key as of the last unit folded.
func (s *session[V]) get(ctx context.Context, key string) (document[V], error) {
	if d, ok := s.dirty[key]; ok {
		return d, nil
	}
	if d, ok := s.clean.Get(key); ok {
		return d, nil
	}
	if d, ok := s.ahead[key]; ok {
		return d, nil
	}
	return s.stored(ctx, s.sink, key)
}

func (s *session[V]) set(_ context.Context, key string, d document[V]) error {
	s.dirty[key] = d
	delete(s.ahead, key) // once it is written, this is what it was before
	return nil
}

// flush writes the changed documents, what is newly parked, and the checkpoint: all or nothing.
func (s *session[V]) flush(ctx context.Context) error {
	if s.folded == nil && s.half == nil {
		return nil
	}
	if err := s.writeChanged(ctx, s.nextCheckpoint()); err != nil {
		return s.spec.blamed(ctx, err, func(key string) (document[V], bool) { d, ok := s.dirty[key]; return d, ok })
	}
	s.traced.finish(s.at.Position, len(s.dirty), nil)
	for key, d := range s.dirty {
		s.clean.Put(key, s.spec.settle(d))
	}
	clear(s.dirty)
	clear(s.newly)
	clear(s.weights)
	s.folded, s.half, s.bytes, s.flushed = nil, nil, 0, true
	return nil
}

// writeChanged writes what was changed and newly parked, with a checkpoint.
func (s *session[V]) writeChanged(ctx context.Context, next checkpoint) error {
	for {
		batch := s.generation.documents.Batch()
		order, err := s.putChanged(batch)
		if err != nil {
			return err
		}
		revision, err := s.write(ctx, next, batch)
		if errors.Is(err, errLost) && len(order) > 0 {
			// An operator may have written a wish into what is parked.
			wished, readErr := s.takeWishes(ctx, order)
			if readErr == nil && wished {
				continue
			}
		}
		if err != nil {
			return err
		}
		// The writes of a batch stand next to each other, the checkpoint last.
		for i, key := range order {
			s.revisions[key] = revision - uint64(len(order)-i)
		}
		return nil
	}
}

func put[V any](batch *kv.Batch[V], key string, d document[V]) {
	switch {
	case d.deleted:
		batch.Delete(key)
	case d.encoded != nil:
		kv.PutEncoded(inside.Pass{}, batch, key, d.encoded)
	default:
		batch.Put(key, d.value)
	}
}

// putChanged adds the changed documents to a batch, and then what is newly parked. It returns the keys of the latter in
// the order of their writes.
func (s *session[V]) putChanged(batch *kv.Batch[V]) (order []string, err error) {
	if err := s.putAll(batch, s.dirty); err != nil {
		return nil, err
	}
	for key, p := range s.newly {
		joined(batch, s.generation.parked).Update(key, p, s.revisions[key])
		order = append(order, key)
	}
	return order, nil
}

// putAll adds documents to a batch, which encodes them unless they are encoded already.
func (s *session[V]) putAll(batch *kv.Batch[V], docs map[string]document[V]) error {
	under := ""
	broken, err := s.guarded(func() error {
		for key, d := range docs {
			under = key
			if failed := s.calls.Call(func() { put(batch, key, d) }); failed != nil {
				return failed
			}
		}
		return nil
	})
	if err = errors.Join(broken, err); err != nil {
		return &kv.Error{Op: "put", Bucket: s.sink.Name(), Key: under, Reason: kv.ErrEncode, Err: err}
	}
	return nil
}

// takeWishes reads again what is parked under keys that are about to be written. It reports whether the checkpoint is
// still the one that is known, so that a conflict was about these keys.
func (s *session[V]) takeWishes(ctx context.Context, keys []string) (bool, error) {
	now, err := s.generation.stand(ctx)
	if err != nil || now.revision != s.revision() {
		return false, err
	}
	for _, key := range keys {
		entry, err := s.generation.parked.GetLeader(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		p := s.newly[key]
		p.Wish = entry.Value.Wish
		s.newly[key], s.parked[key], s.revisions[key] = p, p, entry.Revision
	}
	return true, nil
}
