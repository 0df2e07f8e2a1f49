package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

const (
	// keysAtOnce is how many documents one request asks for.
	keysAtOnce = 256
	// readers is how many documents a session reads at the same time, if it reads each from the leader.
	readers = 32
	// unitsAhead is for how many units documents are read before they are folded.
	unitsAhead = 256
	// serverTime is how long reading or sending a document may last beside its decoding or encoding, which is watched.
	serverTime = 15 * time.Second
)

// lookAhead reads the documents that units are about, many at a time: one after the other, each would cost a round
// trip.
func (s *session[V]) lookAhead(ctx context.Context, units []unit[V]) error {
	unknown := s.unknown(units)
	if len(unknown) < 2 {
		return nil // as well read when it is wanted
	}
	for keys := range slices.Chunk(unknown, keysAtOnce) {
		if s.readAtOnce(ctx, keys) {
			continue
		}
		if err := s.readEach(ctx, keys); err != nil {
			return err
		}
	}
	return nil
}

// readAtOnce reads documents with one request, and the checkpoint with them. It reports false if it could not, or if
// the replica that answered is behind this session's last write.
func (s *session[V]) readAtOnce(ctx context.Context, keys []string) bool {
	docs, wrote := make([]inside.Found[V], len(keys)), s.revision()
	var at inside.Found[checkpoint]
	readings := []inside.Reading{within(s.generation.checkpoint).Into(checkpointKey, &at)}
	for i, key := range keys {
		readings = append(readings, within(s.sink).Into(key, &docs[i]))
	}
	var err error
	failed := guard.CallWithin(s.spec.cfg.FoldTimeout+serverTime, func() { err = within(s.sink).Read(ctx, readings...) })
	if failed != nil || err != nil || at.Revision < wrote {
		return false
	}
	for i, key := range keys {
		s.ahead[key] = document[V]{value: docs[i].Value, deleted: docs[i].Revision == 0}
	}
	return true
}

// readEach reads documents from the leader, each with a request.
func (s *session[V]) readEach(ctx context.Context, unknown []string) error {
	docs, errs := make([]document[V], len(unknown)), make([]error, len(unknown))
	var next atomic.Int64
	var reading sync.WaitGroup
	for range min(readers, len(unknown)) {
		reading.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(unknown); i = int(next.Add(1)) - 1 {
				docs[i], errs[i] = s.stored(ctx, s.sink, unknown[i])
			}
		})
	}
	reading.Wait()
	for i, key := range unknown {
		switch {
		case errors.Is(errs[i], kv.ErrDecode): // get meets it again, and fails for this key alone
		case errs[i] != nil:
			return errors.Join(errs...)
		default:
			s.ahead[key] = docs[i]
		}
	}
	return nil
}

// stored reads a document from the bucket's leader: a replica might have an older one than the checkpoint vouches for.
// If a method of the document fails, the error matches kv.ErrDecode.
func (f *folder[V]) stored(ctx context.Context, bucket *kv.Bucket[V], key string) (document[V], error) {
	var entry kv.Entry[V]
	var err error
	failed := guard.CallWithin(f.spec.cfg.FoldTimeout+serverTime, func() { entry, err = bucket.GetLeader(ctx, key) })
	switch {
	case failed != nil:
		return document[V]{}, fmt.Errorf("%w: %w", kv.ErrDecode, failed)
	case errors.Is(err, kv.ErrNotFound):
		return document[V]{deleted: true}, nil
	}
	return document[V]{value: entry.Value}, err
}

// knows reports whether the document under a key is in memory, or is not needed because the key is parked.
func (s *session[V]) knows(key string) bool {
	if _, dirty := s.dirty[key]; dirty {
		return true
	}
	if _, clean := s.clean.Get(key); clean {
		return true
	}
	_, parked := s.parked[key]
	return parked
}

// unknown returns the keys of units whose documents are not in memory. It notes those that cannot be in the bucket.
func (s *session[V]) unknown(units []unit[V]) []string {
	var keys []string
	seen := make(map[string]bool)
	note := func(key string, begins bool) {
		if key == "" || seen[key] || s.knows(key) {
			return
		}
		if seen[key] = true; begins {
			s.ahead[key] = document[V]{deleted: true}
			return
		}
		keys = append(keys, key)
	}
	for _, u := range units {
		for _, step := range u.steps {
			note(step.key, s.spec.perStream && step.recorded.Version() == 1)
			note(step.from, false)
		}
	}
	return keys
}
