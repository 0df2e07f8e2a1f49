package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

var (
	// errLost says that somebody else has moved the checkpoint.
	errLost = errors.New("another runner moved the checkpoint")
	// errClosing says that a build is about to replace the generation. The runner leaves the checkpoint to it,
	// since over a slow link the build would never be the first to write it.
	errClosing = errors.New("a build is about to serve")
	// errRestarted says that the server was restarted since the bucket was looked at. After a power cut it may have
	// lost a part of what it had.
	errRestarted = errors.New("the server was restarted")
	// errSilence says that a write has waited too long for its answer.
	errSilence = fmt.Errorf("%w: half of Config.StandBy has passed", jsapi.ErrNoReply)
)

// session works on one generation, from one reading of its checkpoint until something goes wrong:
//
//	load -> claim -> follow the log -> gather commits, fold them -> write documents and checkpoint at once -+
//	                      ^         -> an operator wants something: do it                                   |
//	                      +-----------------------------------------------------------------------------------+
//	beside it: a sign of life each Config.Heartbeat
type session[V any] struct {
	*folder[V]
	generation *generation[V]
	tracker    *tracker
	progress   *progress                       // for the readers of this process
	runner     string                          // name of the runner in the checkpoint; empty if nobody goes on with it
	server     string                          // the server that the bucket was looked at on
	term       uint64                          // of the record that the session goes by
	clean      *lru.Cache[string, document[V]] // documents as they are in the bucket
	ahead      map[string]document[V]          // the same, of what is about to be folded
	dirty      map[string]document[V]          // documents changed since the last batch
	folded     *eventstore.Commit              // the last commit folded, or nil when it is in the bucket
	half       *unit[V]                        // the last unit folded of the commits so far, or nil
	begun      time.Time                       // when the first unit since the last batch was folded
	revisions  map[string]uint64               // of the parked documents in the bucket
	traced     tracedBatch                     // as Config.Trace knows it
	flushed    bool                            // a batch was written
	room       int                             // documents in a batch, parked ones included
	few        int                             // documents in a batch, as large as they are at present
	budget     *budget                         // bytes in a batch
	size       int                             // bytes of the documents in the batch that is written next
	reached    eventstore.Position             // up to which the log was given to the folder

	writing sync.Mutex // held while the checkpoint is written; guards wrote, term and at.revision
	at      stand      // at.checkpoint is changed by the session's own goroutine alone
	wrote   time.Time  // when the last write was sent that is stored
}

func newSession[V any](of *spec[V], tracker *tracker, progress *progress, g *generation[V]) *session[V] {
	s := &session[V]{
		folder: newFolder(of), generation: g, tracker: tracker, progress: progress, server: of.server(),
		budget: newBudget(of.cfg.Heartbeat),
		clean:  lru.New[string, document[V]](of.cfg.CacheSize), traced: tracedBatch{trace: of.cfg.Trace},
		ahead: make(map[string]document[V]), dirty: make(map[string]document[V]), revisions: make(map[string]uint64),
	}
	s.sink, s.careful = g.documents, false
	return s
}

// load reads how the generation stands, and what is parked.
func (s *session[V]) load(ctx context.Context) error {
	of := s.spec
	at, err := s.generation.stand(ctx)
	if err != nil {
		return err
	}
	s.at = at
	if err := verify(ctx, of.store, "view "+of.name, at.checkpoint); err != nil {
		return err
	}
	if s.room, err = runner.RoomIn(ctx, s.generation.documents); err != nil {
		return err
	}
	s.few = s.room
	return s.loadParked(ctx)
}

func (s *session[V]) loadParked(ctx context.Context) error {
	clear(s.parked)
	clear(s.revisions)
	for entry, err := range s.generation.parked.List(ctx) {
		if err != nil {
			return unreadable(err)
		}
		s.parked[entry.Key], s.revisions[entry.Key] = entry.Value, entry.Revision
	}
	return nil
}

// claim writes the checkpoint as it is, without a fence: the next write of another runner fails. It expects the
// checkpoint as it was read before the record.
func (s *session[V]) claim(ctx context.Context, read stand) error {
	if s.at.revision != read.revision {
		return errLost
	}
	claim := s.at.checkpoint
	claim.Retired, claim.Parked = "", len(s.parked) > 0
	if claim.Store == "" {
		claim.Store = s.spec.store.Identity()
	}
	_, err := s.write(ctx, claim, s.generation.documents.Batch())
	return err
}

// run folds the log until ctx ends or something goes wrong. The checkpoint is this runner's.
func (s *session[V]) run(ctx context.Context) error {
	ctx, lost := context.WithCancelCause(ctx)
	var owned sync.WaitGroup
	defer owned.Wait()
	defer lost(nil)
	owned.Go(func() { s.showLife(ctx, lost) })
	err := s.complete(ctx)
	if err == nil {
		err = s.follow(ctx)
	}
	err = because(ctx, err)
	s.traced.finish(s.at.Position, 0, err)
	return err
}

// follow folds what the log has, and what it gets.
func (s *session[V]) follow(ctx context.Context) error {
	of := s.spec
	log := follow(ctx, of.store, s.at.Position)
	defer log.Stop()
	attended := uint64(0)
	var last time.Time
	for {
		now := s.tracker.now()
		if err := s.heed(ctx, now.record); err != nil {
			return err
		}
		if now.Attend != attended {
			if err := s.attend(ctx); err != nil {
				return err
			}
			attended = now.Attend
		}
		select {
		case group, ok := <-log.Items:
			if !ok {
				return log.Err()
			}
			if err := s.gather(ctx, log, group, s.paceBehind(last)); err != nil {
				return err
			}
			last = time.Now()
		case <-now.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// heed returns an error if a record ends the session. If the record is from before the session, a watch is late, or the
// record was deleted or lost. So its leader is asked.
func (s *session[V]) heed(ctx context.Context, r record) error {
	if r.Term < s.term {
		var err error
		if r, err = s.tracker.ask(ctx); err != nil {
			return err
		}
		s.goBy(r.Term)
	}
	slot := r.slot(s.spec.foldVersion)
	switch {
	case slot.Paused:
		return errPaused
	case r.Folds[s.spec.foldVersion].Closing:
		return errClosing
	case slot.Serving != s.generation.version.Bucket:
		return fmt.Errorf("%w: %q", errMoved, slot.Serving)
	}
	return nil
}

// goBy notes the term of the record that the session goes by.
func (s *session[V]) goBy(term uint64) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.term = term
}

// showLife writes the checkpoint, without any change, whenever nothing else has written it for a heartbeat, until ctx
// ends. It ends the session once the checkpoint is not this runner's any more.
func (s *session[V]) showLife(ctx context.Context, lost context.CancelCauseFunc) {
	beat := time.NewTicker(s.spec.cfg.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		err := s.beat(ctx)
		switch {
		case errors.Is(err, errLost), errors.Is(err, errRestarted):
			lost(err)
			return
		case err != nil && ctx.Err() == nil:
			s.spec.logger.DebugContext(ctx, "projection: no sign of life could be written", "error", err)
		}
	}
}

func (s *session[V]) beat(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if time.Since(s.wrote) < s.spec.cfg.Heartbeat/2 {
		return nil
	}
	next, err := s.writeLocked(ctx, s.at.checkpoint, s.generation.documents.Batch())
	if err == nil {
		s.at.revision = next.revision
	}
	return err
}

// revision returns the revision that the checkpoint has now.
func (s *session[V]) revision() uint64 {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.at.revision
}

// release tells other instances that nobody runs the view, so that one of them takes over at once.
func (s *session[V]) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.runner = ""
	if _, err := s.write(ctx, s.at.checkpoint, s.generation.documents.Batch()); err != nil {
		s.spec.logger.DebugContext(ctx, "projection: the others take over once they hear nothing any more", "error", err)
	}
}

// write adds a checkpoint to a batch, on the condition that the one in the bucket is the one that is known, and
// commits the batch. It returns the revision of the checkpoint.
func (s *session[V]) write(ctx context.Context, next checkpoint, batch *kv.Batch[V]) (uint64, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	begun := time.Now()
	written, err := s.writeLocked(ctx, next, batch)
	s.budget.note(s.size, time.Since(begun), err == nil)
	s.size = 0
	if err != nil {
		return 0, err
	}
	s.at = written
	if s.runner != "" {
		s.progress.set(s.generation.version.Build, next)
	}
	return written.revision, nil
}

// writeLocked refuses to write if the server was restarted since the bucket was looked at: on top of half of a
// batch, the half would not be seen any more.
func (s *session[V]) writeLocked(ctx context.Context, next checkpoint, batch *kv.Batch[V]) (stand, error) {
	if now := s.spec.server(); now != s.server && now != "" {
		return stand{}, errRestarted
	}
	next.Runner, next.Write, next.Term = s.runner, uuid.NewString(), s.term
	joined(batch, s.generation.checkpoint).Update(checkpointKey, next, s.at.revision)
	sent := time.Now()
	revision, err := s.commit(ctx, batch)
	if errors.Is(err, kv.ErrUnknownOutcome) {
		revision, err = s.outcome(ctx, next, err)
	}
	switch {
	case errors.Is(err, kv.ErrConflict):
		return stand{}, fmt.Errorf("%w: %w", errLost, err)
	case err != nil:
		return stand{}, fmt.Errorf("projection: view %s: write up to position %d: %w", s.spec.name, next.Position, err)
	}
	s.wrote = sent
	return stand{checkpoint: next, revision: revision}, nil
}

// commit waits for no longer than leaves time to show life in another way.
func (s *session[V]) commit(ctx context.Context, batch *kv.Batch[V]) (uint64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.spec.cfg.patience(), errSilence)
	defer cancel()
	return batch.Commit(ctx)
}

// outcome finds out what became of a batch without an answer: the checkpoint in the bucket says whose it is. If it
// is still the old one, the session ends, since the batch may yet arrive: the next one reads the checkpoint and
// goes on from whatever it finds, and the expectation lets at most one of the two through.
func (s *session[V]) outcome(ctx context.Context, next checkpoint, unknown error) (uint64, error) {
	now, err := s.generation.stand(ctx)
	switch {
	case err != nil:
		return 0, errors.Join(kv.ErrUnavailable, unknown, err)
	case now.Write == next.Write:
		return now.revision, nil
	}
	return 0, errors.Join(kv.ErrUnavailable, unknown)
}
