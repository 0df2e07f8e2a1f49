package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/kv"
)

// maxDocuments is how many documents one batch changes at most; the checkpoint is the last of its writes.
const maxDocuments = kv.MaxBatch - 1

var (
	// errLost says that the checkpoint was moved by somebody else.
	errLost = errors.New("another runner moved the checkpoint")

	// restarts spaces the sessions of a runner whose server is away or whose checkpoint others move.
	restarts = backoff.Policy{Base: 20 * time.Millisecond, Max: 2 * time.Second}
)

// Run folds the log into the view, from its checkpoint on, until ctx ends; then it returns nil. It returns an error as
// soon as going on would skip something; see the package documentation. A View runs once at a time, other Views of the
// same name may run elsewhere.
func (v *View[V]) Run(ctx context.Context) error {
	if !v.running.CompareAndSwap(false, true) {
		return fmt.Errorf("projection: view %s: %w", v.name, ErrRunning)
	}
	defer v.running.Store(false)
	for failures := 1; ; failures++ {
		s := session[V]{view: v, clean: lru.New[string, V](v.cfg.cacheSize()), dirty: make(map[string]V)}
		err := s.run(ctx)
		v.progress.set(false, 0) // the bucket knows, and after a power cut only the bucket
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, errLost) && !errors.Is(err, errReconnected) && !errors.Is(err, kv.ErrUnavailable):
			return err
		}
		if s.flushed {
			failures = 1
		}
		v.logger.WarnContext(ctx, "projection: view begins again from its checkpoint", "error", err)
		if restarts.Wait(ctx, failures) != nil {
			return nil
		}
	}
}

// session folds from one reading of the checkpoint until something goes wrong:
//
//	mend -> checkpoint -> verify -> follow the log -> gather commits, fold them -> write documents and checkpoint at once -+
//	                                                  ^                                                                    |
//	                                                  +--------------------------------------------------------------------+
//
// It ends when the connection was lost and is back, too.
type session[V any] struct {
	view       *View[V]
	reconnects uint64 // before the bucket was looked at
	at         stand
	clean      *lru.Cache[string, V] // documents as they are in the bucket
	dirty      map[string]V          // documents changed since the last batch
	folded     *eventstore.Commit    // the last commit folded, or nil when it is in the bucket
	flushed    bool                  // a batch was written
}

func (s *session[V]) run(ctx context.Context) error {
	ctx, end := s.view.untilReconnected(ctx)
	defer end()
	s.reconnects = s.view.reconnects()
	err := s.follow(ctx)
	if errors.Is(context.Cause(ctx), errReconnected) {
		return fmt.Errorf("%w: %w", errReconnected, err)
	}
	return err
}

func (s *session[V]) follow(ctx context.Context) error {
	err := s.view.mend(ctx)
	if err != nil {
		return err
	}
	if s.at, err = s.view.stand(ctx); err != nil {
		return err
	}
	if err := s.view.verify(ctx, s.at); err != nil {
		return err
	}
	s.view.progress.set(true, s.at.Position)
	log := follow(ctx, s.view.store, s.at.Position)
	defer log.stop()
	var last time.Time
	for {
		group, err := log.next(ctx)
		if err != nil {
			return err
		}
		// Under load a batch gathers until then; after a pause that moment is over.
		full := time.After(time.Until(last.Add(s.view.cfg.interval())))
		for group != nil {
			if err := s.fold(ctx, group); err != nil {
				return err
			}
			if group, err = log.nextBefore(ctx, full); err != nil {
				return err
			}
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
		last = time.Now()
	}
}

// fold applies one commit, or the commits of one transaction, to the documents. It writes those changed before when both
// would not fit into one batch.
func (s *session[V]) fold(ctx context.Context, group []*eventstore.Commit) error {
	changes, err := s.changes(group)
	if err != nil {
		return err
	}
	keys := make(map[string]bool, len(changes))
	added := 0
	for _, c := range changes {
		if _, dirty := s.dirty[c.key]; !dirty && !keys[c.key] {
			added++
		}
		keys[c.key] = true
	}
	if len(keys) > maxDocuments {
		return fmt.Errorf("projection: view %s: position %d: %w: it changes %d, a batch holds %d: write smaller commits, or key the view otherwise",
			s.view.name, group[0].Position, ErrTooManyDocuments, len(keys), maxDocuments)
	}
	if len(s.dirty)+added > maxDocuments {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := s.apply(ctx, c); err != nil {
			return err
		}
	}
	s.folded = group[len(group)-1]
	return nil
}

// change is one event that changes one document.
type change[V any] struct {
	rule     Rule[V]
	key      string
	event    eventstore.Event
	recorded eventstore.Recorded
}

// changes decodes the events that the view has rules for. Others are not decoded.
func (s *session[V]) changes(group []*eventstore.Commit) (changes []change[V], err error) {
	for _, c := range group {
		for recorded := range c.Events() {
			if !s.view.decodes[recorded.Type()] {
				continue
			}
			events, err := recorded.Decode()
			if err != nil {
				return nil, fmt.Errorf("projection: view %s: %w", s.view.name, err)
			}
			for _, event := range events {
				one, ok, err := s.change(event, recorded)
				if err != nil {
					return nil, err
				}
				if ok {
					changes = append(changes, one)
				}
			}
		}
	}
	return changes, nil
}

// change finds the rule for one decoded event and the key it changes, if there are any.
func (s *session[V]) change(event eventstore.Event, recorded eventstore.Recorded) (one change[V], ok bool, err error) {
	name, err := s.view.store.TypeOf(event)
	if err != nil {
		return one, false, err // unreachable: what Decode gives is registered and current
	}
	rule, ok := s.view.rules[name]
	if !ok {
		return one, false, nil
	}
	one = change[V]{rule: rule, event: event, recorded: recorded}
	err = s.guard(recorded, func() { one.key = rule.keyOf(event, recorded) })
	return one, err == nil && one.key != "", err
}

func (s *session[V]) apply(ctx context.Context, c change[V]) error {
	document, ok := s.dirty[c.key]
	if !ok {
		var err error
		if document, err = s.document(ctx, c.key); err != nil {
			return err
		}
	}
	return s.guard(c.recorded, func() { s.dirty[c.key] = c.rule.apply(document, c.event, c.recorded) })
}

// document gives the document under a key as of the checkpoint, the zero V where there is none. It asks the bucket's
// leader: a replica might have an older one than the checkpoint vouches for.
func (s *session[V]) document(ctx context.Context, key string) (V, error) {
	if document, ok := s.clean.Get(key); ok {
		return document, nil
	}
	entry, err := s.view.documents.GetLeader(ctx, key)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return entry.Value, err
	}
	return entry.Value, nil
}

// guard turns a panic of a rule into a FoldError.
func (s *session[V]) guard(r eventstore.Recorded, rule func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &FoldError{
				View: s.view.name, Stream: r.Stream, Version: r.Version(), Position: r.Position, Type: r.Type(), Panic: p,
			}
		}
	}()
	rule()
	return nil
}

// flush writes the changed documents and the checkpoint, both or neither.
func (s *session[V]) flush(ctx context.Context) error {
	if s.folded == nil {
		return nil
	}
	next := checkpoint{
		Store: s.view.store.Identity(), Position: s.folded.Position, Commit: s.folded.ID.String(), Write: uuid.NewString(),
	}
	revision, err := s.write(ctx, next)
	if errors.Is(err, kv.ErrUnknownOutcome) {
		revision, err = s.settle(ctx, next, err)
	}
	if errors.Is(err, kv.ErrConflict) {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	if err != nil {
		return fmt.Errorf("projection: view %s: write up to position %d: %w", s.view.name, next.Position, err)
	}
	for key, document := range s.dirty {
		s.clean.Put(key, document)
	}
	clear(s.dirty)
	s.at, s.folded, s.flushed = stand{checkpoint: next, revision: revision}, nil, true
	s.view.progress.set(true, next.Position)
	return nil
}

// write refuses to write where the connection was lost since the bucket was looked at: on top of half of a batch, the half
// would not be seen any more.
func (s *session[V]) write(ctx context.Context, next checkpoint) (revision uint64, err error) {
	if s.view.reconnects() != s.reconnects {
		return 0, errReconnected
	}
	batch := s.view.documents.Batch()
	for key, document := range s.dirty {
		batch.Put(key, document)
	}
	s.view.checkpoint.UpdateIn(batch, next, s.at.revision)
	return batch.Commit(ctx)
}

// settle finds out what became of a batch without an answer: the checkpoint in the bucket says whose it is. When it still
// is the old one, the session ends, since the batch may yet arrive: the next one reads the checkpoint and goes on from
// whatever it finds, and the expectation lets at most one of the two through.
func (s *session[V]) settle(ctx context.Context, next checkpoint, unknown error) (uint64, error) {
	now, err := s.view.stand(ctx)
	switch {
	case err != nil:
		return 0, errors.Join(kv.ErrUnavailable, unknown, err)
	case now.Write == next.Write:
		return now.revision, nil
	}
	return 0, fmt.Errorf("%w: %w", errLost, unknown)
}
