package projection

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// gather folds commits until there are no more or the batch is due, and writes what changed.
func (s *session[V]) gather(ctx context.Context, log *follower, group []*eventstore.Commit, full <-chan time.Time) error {
	for group != nil {
		if err := s.foldAll(ctx, append([][]*eventstore.Commit{group}, log.ready()...)); err != nil {
			return err
		}
		var err error
		if group, err = log.nextBefore(ctx, full); err != nil {
			return err
		}
	}
	return s.flush(ctx)
}

// catchUp folds what the log holds now behind the checkpoint, or as much of it as is needed to come to a position, if that is not 0.
func (s *session[V]) catchUp(ctx context.Context, upTo eventstore.Position) error {
	var group []*eventstore.Commit
	for c, err := range s.view.store.Log(ctx, eventstore.After(s.at.Position)) {
		if err != nil {
			return err
		}
		if group = append(group, c); !c.Whole() {
			continue
		}
		if err := s.foldAll(ctx, [][]*eventstore.Commit{group}); err != nil {
			return err
		}
		group = nil
		if upTo > 0 && c.Position >= upTo {
			break
		}
	}
	return s.flush(ctx)
}

// foldAll folds groups one after the other, once the documents that they change are read.
func (s *session[V]) foldAll(ctx context.Context, groups [][]*eventstore.Commit) error {
	all := make([][]change[V], len(groups))
	for i, group := range groups {
		var err error
		if all[i], err = s.changes(group); err != nil {
			return err
		}
	}
	if err := s.lookAhead(ctx, all); err != nil {
		return err
	}
	for i, group := range groups {
		if err := s.fold(ctx, group, all[i]); err != nil {
			return err
		}
	}
	clear(s.ahead)
	return nil
}

// fold applies the changes of one commit, or of the commits of one transaction, to the documents. It writes those changed before
// when both would not fit into one batch. A key takes two writes at most, one of its document and one that parks it.
func (s *session[V]) fold(ctx context.Context, group []*eventstore.Commit, changes []change[V]) error {
	writes := len(keysOf(changes))
	if s.view.cfg.park() {
		writes *= 2
	}
	if len(s.dirty)+len(s.newly)+writes > s.room {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := s.apply(ctx, s, c); err != nil {
			return err
		}
	}
	s.folded = group[len(group)-1]
	return nil
}

// get gives the document under a key as of the last commit folded. It asks the bucket's leader: a replica might have an
// older one than the checkpoint vouches for.
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
	return s.stored(ctx, key)
}

func (s *session[V]) stored(ctx context.Context, key string) (document[V], error) {
	entry, err := s.generation.documents.GetLeader(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return document[V]{deleted: true}, nil
	}
	return document[V]{value: entry.Value}, err
}

func (s *session[V]) set(_ context.Context, key string, d document[V]) error {
	s.dirty[key] = d
	delete(s.ahead, key) // once it is written, this is what it was before
	return nil
}

// flush writes the changed documents, what is newly parked, and the checkpoint: all or nothing, where one batch takes it.
func (s *session[V]) flush(ctx context.Context) error {
	if s.folded == nil {
		return nil
	}
	return s.flushAs(ctx, checkpoint{Store: s.view.store.Identity(), Position: s.folded.Position, Commit: s.folded.ID.String()})
}

// flushAs is flush with the checkpoint that all of it leads to.
func (s *session[V]) flushAs(ctx context.Context, next checkpoint) error {
	for rest := s.changed(); ; {
		var keys []string
		keys, rest = s.split(rest)
		at := next
		if len(rest) > 0 {
			at = s.partly(next, keys[len(keys)-1])
		}
		if err := s.writeKeys(ctx, at, keys); err != nil {
			return err
		}
		if len(rest) == 0 {
			break
		}
	}
	for key, d := range s.dirty {
		s.clean.Put(key, s.view.settle(d))
	}
	clear(s.dirty)
	clear(s.newly)
	s.folded, s.flushed = nil, true
	return nil
}

// writeKeys writes what was changed and newly parked under some keys, with a checkpoint.
func (s *session[V]) writeKeys(ctx context.Context, next checkpoint, keys []string) error {
	for {
		batch := s.generation.documents.Batch()
		order := s.putKeys(batch, keys)
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

// putAll adds documents to a batch.
func putAll[V any](batch *kv.Batch[V], docs map[string]document[V]) {
	for key, d := range docs {
		put(batch, key, d)
	}
}

func put[V any](batch *kv.Batch[V], key string, d document[V]) {
	if d.deleted {
		batch.Delete(key)
	} else {
		batch.Put(key, d.value)
	}
}

// putKeys adds the documents under some keys to a batch, and then what is newly parked. It gives the keys of the latter in the
// order of their writes.
func (s *session[V]) putKeys(batch *kv.Batch[V], keys []string) []string {
	for _, key := range keys {
		if d, ok := s.dirty[key]; ok {
			put(batch, key, d)
		}
	}
	var order []string
	for _, key := range keys {
		if p, ok := s.newly[key]; ok {
			s.generation.parked.UpdateIn(batch, key, p, s.revisions[key])
			order = append(order, key)
		}
	}
	return order
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
