package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/kv"
)

// gather folds commits until the batch is due, and writes what changed.
func (s *session[V]) gather(ctx context.Context, log follower, first []*eventstore.Commit, batch *pace) error {
	defer batch.due.Stop()
	groups := [][]*eventstore.Commit{first}
	for due := false; !due; groups = nil {
		var err error
		if groups, due, err = log.gather(ctx, groups, batch); err != nil {
			return err
		}
		if err := s.foldAll(ctx, groups); err != nil {
			return err
		}
	}
	return s.again(ctx, s.flush(ctx))
}

// catchUp folds what the log holds now after the checkpoint, or as much of it as is needed to come to a position, if
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
	return s.again(ctx, s.flush(ctx))
}

// foldAll folds groups one after the other.
func (s *session[V]) foldAll(ctx context.Context, groups [][]*eventstore.Commit) error {
	if len(groups) == 0 {
		return nil
	}
	last := groups[len(groups)-1]
	s.reached = last[len(last)-1].Position
	units, err := s.plan(groups)
	if err == nil {
		err = s.foldUnits(ctx, units)
	}
	return s.again(ctx, err)
}

// again folds once more from the log what it has folded since the last batch, if err says that this cannot be written
// as it is. Otherwise it returns err.
func (s *session[V]) again(ctx context.Context, err error) error {
	if !errors.Is(err, errUnsure) && !errors.Is(err, errHeavy) {
		return err
	}
	s.traced.finish(s.at.Position, 0, err)
	s.careful = s.careful || errors.Is(err, errUnsure)
	clear(s.dirty)
	clear(s.newly)
	clear(s.ahead)
	clear(s.touched)
	s.folded, s.half, s.touched, s.settled = nil, nil, s.touched[:0], 0
	s.clean = lru.New[string, document[V]](s.spec.cfg.CacheSize) // folds may have changed these documents in place
	upTo := s.reached
	if err = s.loadParked(ctx); err == nil {
		err = s.complete(ctx)
	}
	if err == nil && s.at.Position < upTo {
		err = s.catchUp(ctx, upTo)
	}
	if err == nil && s.at.Position < upTo {
		err = fmt.Errorf("%w: the log ended at position %d, before %d", kv.ErrUnavailable, s.at.Position, upTo)
	}
	return err
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
		if s.spec.cfg.Park && !s.careful && keyOf(err) != "" {
			return errUnsure
		}
		return s.spec.blamed(ctx, err, func(key string) (document[V], bool) { d, ok := s.dirty[key]; return d, ok })
	}
	s.traced.finish(s.at.Position, len(s.dirty), nil)
	for key, d := range s.dirty {
		s.clean.Put(key, s.spec.asRead(d))
	}
	clear(s.dirty)
	clear(s.newly)
	s.folded, s.half, s.flushed = nil, nil, true
	return nil
}

// writeChanged writes what was changed and newly parked, with a checkpoint.
func (s *session[V]) writeChanged(ctx context.Context, next checkpoint) error {
	for {
		batch := s.generation.documents.Batch()
		if err := s.putAll(batch, s.dirty); err != nil {
			return err
		}
		order, parks := s.putParked(batch)
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
		s.careful = parks
		return nil
	}
}

// putParked adds what is newly parked to a batch. It returns the keys in the order of their writes, and whether some
// key was not parked before.
func (s *session[V]) putParked(batch *kv.Batch[V]) (order []string, parks bool) {
	for key, p := range s.newly {
		joined(batch, s.generation.parked).Update(key, p, s.revisions[key])
		order, parks = append(order, key), parks || s.revisions[key] == 0
	}
	return order, parks
}

// putAll adds documents to a batch. It encodes those that are not encoded yet. It returns errHeavy if they are too
// large together, and then a batch will have fewer of them from now on.
func (s *session[V]) putAll(batch *kv.Batch[V], docs map[string]document[V]) error {
	under, put, size, limit := "", 0, 0, s.budget.limit()
	broken, err := s.guarded(func() error {
		for key, d := range docs {
			under = key
			if d.deleted {
				batch.Delete(key)
				continue
			}
			if d.encoded == nil {
				var err error
				if failed := s.calls.Call(func() { d.encoded, err = within(s.sink).Encode(key, d.value) }); failed != nil || err != nil {
					return errors.Join(failed, err)
				}
			}
			kv.PutEncoded(inside.Pass{}, batch, key, d.encoded)
			put, size = put+1, size+len(d.encoded)
			if size > limit && put < len(docs) && s.few > 1 {
				return errHeavy
			}
		}
		return nil
	})
	if broken == nil && err == nil {
		s.size = size
	}
	switch {
	case errors.Is(err, errHeavy):
		s.few = max(1, min(s.few/2, put))
		return err
	case broken != nil || err != nil && keyOf(err) == "":
		return &kv.Error{Op: "put", Bucket: s.sink.Name(), Key: under, Reason: kv.ErrEncode, Err: errors.Join(broken, err)}
	case err == nil && size < limit/4:
		s.few = min(2*s.few, s.room)
	}
	return err
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
