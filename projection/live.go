package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// session works on one generation from one reading of its checkpoint until something goes wrong:
//
//	checkpoint -> verify -> claim -> follow the log -> gather commits, fold them -> write documents and checkpoint at once -+
//	                                     ^          -> nothing for a while: write the checkpoint, as a heartbeat            |
//	                                     |          -> an operator wants something: do it                                   |
//	                                     +------------------------------------------------------------------------------+
type session[V any] struct {
	*folder[V]
	generation *generation[V]
	reconnects uint64 // before the bucket was looked at
	at         stand
	clean      *lru.Cache[string, document[V]] // documents as they are in the bucket
	ahead      map[string]document[V]          // the same, of what is about to be folded
	dirty      map[string]document[V]          // documents changed since the last batch
	folded     *eventstore.Commit              // the last commit folded, or nil when it is in the bucket
	revisions  map[string]uint64               // of the parked documents in the bucket
	flushed    bool                            // a batch was written
	room       int                             // how many documents, parked ones included, a batch takes beside the checkpoint
}

func newSession[V any](v *View[V], g *generation[V]) *session[V] {
	return &session[V]{
		folder: newFolder(v), generation: g, clean: lru.New[string, document[V]](v.cfg.cacheSize()),
		ahead: make(map[string]document[V]), dirty: make(map[string]document[V]), revisions: make(map[string]uint64),
	}
}

// runUntilReconnected is run that ends when the connection was lost and is back, too: what a power cut tore is looked for
// before anything is written on top of it.
func (s *session[V]) runUntilReconnected(ctx context.Context) error {
	ctx, end := s.view.untilReconnected(ctx)
	defer end()
	err := s.run(ctx)
	if errors.Is(context.Cause(ctx), errReconnected) {
		return errors.Join(errReconnected, err)
	}
	return err
}

func (s *session[V]) run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	v := s.view
	log := follow(ctx, v.store, s.at.Position)
	defer log.stop()
	wanted := listen(ctx, v.catalog)
	defer wanted.stop()
	beat := time.NewTicker(v.cfg.heartbeat())
	defer beat.Stop()
	var last time.Time
	for {
		select {
		case group, ok := <-log.groups:
			if !ok {
				return log.err
			}
			// Under load a batch gathers until then; after a pause that moment is over.
			if err := s.gather(ctx, log, group, time.After(time.Until(last.Add(v.cfg.interval())))); err != nil {
				return err
			}
			last = time.Now()
			beat.Reset(v.cfg.heartbeat())
		case <-beat.C:
			if err := s.write(ctx, s.at.checkpoint, s.generation.documents.Batch()); err != nil {
				return err
			}
		case o, ok := <-wanted.orders:
			if !ok {
				return wanted.err
			}
			if o.Paused {
				return errPaused
			}
			if err := s.attend(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// begin reads where the generation stands and what is parked, and claims the checkpoint: another runner's next write fails.
func (s *session[V]) begin(ctx context.Context) error {
	v := s.view
	var err error
	if s.at, err = s.generation.stand(ctx); err != nil {
		return err
	}
	if s.at.Retired != "" {
		if err := v.awaitSuccessor(ctx, s.generation.version); err != nil {
			return err
		}
	}
	if err := verify(ctx, v.store, "view "+v.name, s.at.checkpoint); err != nil {
		return err
	}
	if s.room, err = runner.RoomIn(ctx, s.generation.documents); err != nil {
		return err
	}
	if err := s.loadParked(ctx); err != nil {
		return err
	}
	claim := s.at.checkpoint
	claim.Retired = ""
	if claim.Store == "" {
		claim.Store = v.store.Identity()
	}
	if err := s.write(ctx, claim, s.generation.documents.Batch()); err != nil {
		return err
	}
	return s.complete(ctx)
}

func (s *session[V]) loadParked(ctx context.Context) error {
	clear(s.parked)
	clear(s.revisions)
	for entry, err := range s.generation.parked.List(ctx) {
		if err != nil {
			return err
		}
		s.parked[entry.Key], s.revisions[entry.Key] = entry.Value, entry.Revision
	}
	return nil
}

// awaitSuccessor blocks while a build that has retired a generation is about to take its place. When nothing has come of
// it for a while, the generation goes on.
func (v *View[V]) awaitSuccessor(ctx context.Context, retired Version) error {
	timed, cancel := context.WithTimeout(ctx, v.cfg.standBy())
	defer cancel()
	for change, err := range v.catalog.versions.Watch(timed, versionKey(v.foldVersion)) {
		switch {
		case timed.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case !change.Synced && change.Value.Build != retired.Build:
			return fmt.Errorf("%w: %s", errMoved, change.Value.Build)
		}
	}
	return context.Cause(ctx)
}

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

// catchUp folds what the log holds now behind the checkpoint.
func (s *session[V]) catchUp(ctx context.Context) error {
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
		err := s.write(ctx, next, batch)
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
			s.revisions[key] = s.at.revision - uint64(len(order)-i)
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
	if err != nil || now.revision != s.at.revision {
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

// write adds a checkpoint to a batch, under the condition that the one in the bucket is the one that is known, and commits
// it. It refuses to where the connection was lost since the bucket was looked at: on top of half of a batch, the half would
// not be seen any more.
func (s *session[V]) write(ctx context.Context, next checkpoint, batch *kv.Batch[V]) error {
	if s.view.reconnects() != s.reconnects {
		return errReconnected
	}
	next.Runner, next.Write = s.view.runner, uuid.NewString()
	s.generation.checkpoint.UpdateIn(batch, next, s.at.revision)
	revision, err := batch.Commit(ctx)
	if errors.Is(err, kv.ErrUnknownOutcome) {
		revision, err = s.settle(ctx, next, err)
	}
	switch {
	case errors.Is(err, kv.ErrConflict):
		return fmt.Errorf("%w: %w", errLost, err)
	case err != nil:
		return fmt.Errorf("projection: view %s: write up to position %d: %w", s.view.name, next.Position, err)
	}
	s.at = stand{checkpoint: next, revision: revision}
	s.view.progress.set(s.generation.version.Build, next.Position)
	return nil
}

// settle finds out what became of a batch without an answer: the checkpoint in the bucket says whose it is. When it still
// is the old one, the session ends, since the batch may yet arrive: the next one reads the checkpoint and goes on from
// whatever it finds, and the expectation lets at most one of the two through.
func (s *session[V]) settle(ctx context.Context, next checkpoint, unknown error) (uint64, error) {
	now, err := s.generation.stand(ctx)
	switch {
	case err != nil:
		return 0, errors.Join(kv.ErrUnavailable, unknown, err)
	case now.Write == next.Write:
		return now.revision, nil
	}
	return 0, errors.Join(kv.ErrUnavailable, unknown)
}

// attend does what operators wish for parked keys: they are folded again from the log, up to the checkpoint.
func (s *session[V]) attend(ctx context.Context) error {
	if err := s.loadParked(ctx); err != nil {
		return err
	}
	wishes := make(map[string]Parked)
	for key, p := range s.parked {
		if p.Wish == "" || len(wishes) == s.room/2 {
			continue
		}
		if p.Wish == wishDiscard {
			p.Skipped = append(p.Skipped, EventRef{Position: p.Position, Index: p.Index})
		}
		wishes[key] = p
	}
	if len(wishes) == 0 {
		return nil
	}
	docs, again, err := s.refold(ctx, wishes, s.at.Position)
	if err != nil {
		return err
	}
	batch := s.generation.documents.Batch()
	putAll(batch, docs)
	for key := range wishes {
		if p, failed := again[key]; failed {
			s.generation.parked.UpdateIn(batch, key, p, s.revisions[key])
		} else {
			s.generation.parked.DeleteIn(batch, key, s.revisions[key])
		}
	}
	if err := s.write(ctx, s.at.checkpoint, batch); err != nil {
		return err
	}
	for key := range wishes {
		s.clean.Put(key, s.view.settle(docs[key]))
		s.view.logger.InfoContext(ctx, "projection: parked key folded again", "key", key, "parked", again[key].Error != "")
	}
	return s.attend(ctx)
}
